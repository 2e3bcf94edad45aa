"""`acclimate compare`: a study of flags, or of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acclimate.cli.compare import split
from acclimate.studies.study import Study
from tests.cli.conftest import Call

SMALL = ["--seeds", "1", "-n", "300", "--episodes", "2"]


def test_a_study_of_flags_runs_and_its_file_runs_again(agent: Path, call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = [agent, "--shift", "length=2", "--world", "heavy=pole_mass=3,length=2", "--method", "kl:weight=0.5", *SMALL]
    done = call("compare", *asked, "--methods", "lora", "--out", out, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    rows = ["as it is", "nothing", "random", "naive", "competent", "scratch", "acclimate", "lora", "kl:weight=0.5"]
    assert set(told["board"]) == set(rows)
    assert list(told["cases"]) == ["CartPole-v1 with length=2", "heavy"]
    assert told["missing"] == {}
    study = Study.load(out / "study.yaml")
    assert study.cases[1].task.shifts[0].name == "pole_mass"
    again = call("compare", "--study", out / "study.yaml", "--out", out)
    assert again.exit_code == 0, again.output
    assert "18 cells, 18 of them there already" in again.stderr
    assert "kl:weight=0.5" in again.stdout
    assert "compare.html" in again.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "give an AGENT, or a study"),
        (["--world", "heavy"], "give a name and its shifts"),
        (["--methods", "klo"], "kl"),
        (["--shift", "lenght=2"], "length"),
        (["--normalizer", "fresh", "--shift", "length=2"], "the recipe of a row"),
    ],
)
def test_what_is_wrong_is_one_line(flags: list[str], said: str, agent: Path, call: Call, tmp_path: Path) -> None:
    done = call("compare", *([agent] if flags else []), *flags, *SMALL, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_file_says_all_of_a_study(agent: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("cases: [{name: a, agent: a.zip, task: CartPole-v1}]")
    done = call("compare", agent, "--study", tmp_path / "study.yaml", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "leave `agent` out" in done.output


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("length=2", ["length=2"]),
        ("length=2, pole_mass=3", ["length=2", "pole_mass=3"]),
        ("wind:power=3,turbulence=1", ["wind:power=3,turbulence=1"]),
        ("wind:power=3,gust:x=1", ["wind:power=3", "gust:x=1"]),
        ("", []),
    ],
)
def test_a_comma_inside_of_one_shift_does_not_part_it(text: str, parts: list[Any]) -> None:
    assert list(split(text)) == parts
