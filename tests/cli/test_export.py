"""The commands `export`, and `inspect` on what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def policy(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from click.testing import CliRunner

    from acclimate.cli import main

    out = tmp_path_factory.mktemp("exported") / "policy.onnx"
    done = CliRunner().invoke(main, ["export", str(agent), "--env", "CartPole-v1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"written: {out}\n"
    return out


def test_a_policy_is_shown(call: Call, policy: Path) -> None:
    text = call("inspect", policy).stdout
    assert "`obs` float32 (batch, 4)" in text
    assert "`actions` int64 (batch)" in text
    assert "rate:         50 Hz" in text
    facts = json.loads(call("inspect", policy, "--json").stdout)
    assert facts["parity"]["observations"] == {"drawn": 264, "seen": 264}


def test_a_policy_or_an_agent_is_held_against_an_environment(call: Call, policy: Path, agent: Path) -> None:
    for path in (policy, agent):
        assert call("inspect", path, "--against", "CartPole-v1").exit_code == 0
        wrong = call("inspect", path, "--against", "Acrobot-v1")
        assert wrong.exit_code == 2
        assert "observation: agent expects shape (4,), the environment gives (6,)" in wrong.stderr
        assert wrong.stdout == ""


def test_an_environment_that_is_not_there_is_told_and_not_needed(call: Call, agent: Path, tmp_path: Path) -> None:
    (tmp_path / "agent.zip").write_bytes(agent.read_bytes())
    done = call("export", tmp_path / "agent.zip", "--out", tmp_path / "p")
    assert done.exit_code == 0
    assert "observations are drawn" in done.stderr
    facts = json.loads(call("inspect", tmp_path / "p.onnx", "--json").stdout)
    assert facts["parity"]["observations"] == {"drawn": 264}
    assert facts["world"] is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--env", "Acrobot-v1"), "observation: agent expects shape (4,)"),
        (("--env", "Nothing-v0"), "cannot make the environment"),
        (("--to", "hub"), "the Hub asks for the licence"),
        (("--to", "onnx", "--license", "mit"), "`license` is for the card"),
    ],
)
def test_bad_input_is_one_line(call: Call, agent: Path, tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    done = call("export", agent, "--out", tmp_path / "p", *flags)
    assert done.exit_code == 2
    assert words in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_policy_is_one_line(call: Call, tmp_path: Path) -> None:
    (tmp_path / "p.onnx").write_bytes(b"no")
    done = call("inspect", tmp_path / "p.onnx")
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
