"""`acclimate guard fit` and `acclimate guard test`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acclimate.guard.saved import load
from tests.cli.conftest import Call
from tests.cli.test_errors import line_of


@pytest.fixture(scope="module")
def file(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from click.testing import CliRunner

    from acclimate.cli import main

    path = tmp_path_factory.mktemp("guard") / "guard.safetensors"
    asked = [
        "guard",
        "fit",
        agent,
        "--episodes",
        20,
        "--alarms",
        0.5,
        "--fallback",
        "safe",
        "--safe",
        "1",
        "--leave",
        7,
    ]
    done = CliRunner().invoke(main, [str(each) for each in (*asked, "--shift", "gravity=1.2", "--out", path, "--json")])
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["limits"]) == ["not_finite", "bounds", "rate", "mahalanobis"]
    return path


def test_a_guard_is_what_the_flags_say(file: Path) -> None:
    guard = load(file)
    assert guard.calibration.task == "CartPole-v1 with gravity=1.2"
    assert (guard.calibration.episodes, guard.calibration.alarms, guard.calibration.seed) == (20, 0.5, 1000)
    assert guard.release.safe.tolist() == [1.0]
    assert guard.filter.hysteresis.leave == 7


def test_it_is_measured_as_a_table_and_as_json(file: Path, agent: Path, call: Call) -> None:
    asked = [
        "guard",
        "test",
        agent,
        "--guard",
        file,
        "--episodes",
        6,
        "--fault-episodes",
        2,
        "--faults",
        "bias,not_finite",
    ]
    page = call(*asked)
    assert page.exit_code == 0, page.output
    assert "clean episodes" in page.stdout
    data = json.loads(call(*asked, "--json").stdout)
    assert [trial["fault"] for trial in data["trials"]] == ["bias", "not_finite"]
    assert data["trials"][1]["returns"] is None
    assert len(data["clean"]) == 6


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--episodes", 20), "118 at least"),
        (("--tiers", "bounds,sequense"), "Did you mean `sequence`?"),
        (("--safe", "left"), "give numbers with commas"),
        (("--safe", "5"), "none of Discrete"),
        (("--fallback", "panic"), "there are hold, safe, other"),
        (("--alarms", "2"), "between 0 and 1"),
        (("--enter", "9"), "enter <= among"),
        (("--env", "Acrobot-v1"), "6"),
    ],
)
def test_bad_flags_are_one_line(flags: tuple[object, ...], said: str, agent: Path, call: Call, tmp_path: Path) -> None:
    assert said in line_of(call("guard", "fit", agent, "--out", tmp_path / "g.safetensors", *flags))
    assert list(tmp_path.iterdir()) == []


def test_bad_files_are_one_line(file: Path, agent: Path, call: Call, tmp_path: Path) -> None:
    assert "no guard that can be read" in line_of(call("guard", "test", agent, "--guard", agent))
    assert "there is no folder" in line_of(call("guard", "fit", agent, "--out", tmp_path / "none" / "g.safetensors"))
    assert "takes no other agent" in line_of(call("guard", "test", agent, "--guard", file, "--other", agent))
