"""Bad input: one line on standard error that says what to do, and exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from acclimate.cli import main
from acclimate.errors import SourceError
from tests.cli.conftest import Call


def line_of(result: Result) -> str:
    """Return the one line of the error, having checked that it is one."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("environment:", "acclimate: note:"))]
    assert result.exit_code == 2
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    return lines[0]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("finetun",), "Did you mean 'finetune'?"),
        (("evaluate", "a.zip", "--eval-episode", "3"), "--eval-episodes"),
        (("evaluate",), "Missing argument 'AGENT'"),
        (("finetune", "a.zip", "--mode", "restart"), "'adapt', 'continue'"),
        (("finetune", "a.zip", "--env-kwargs", "continuous"), "continuous:true"),
    ],
)
def test_usage_errors_point_to_what_was_meant(call: Call, args: tuple[str, ...], said: str) -> None:
    result = call(*args)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--shift", "gravty=2"), "Did you mean `gravity`?"),
        (("--shift", "gravity:factr=2"), "Did you mean `factor`?"),
        (("--shift", "joint_limits=0.5"), "CartPole-v1"),
        (("--wrapper", "framestack=4"), "Did you mean `frame_stack`?"),
        (("--env", "CartPol-v1"), "CartPole"),
        (("--env", "Acrobot-v1"), "6"),
        (("--env-kwargs", "sutton:true", "sutton:false"), "`sutton` is given twice"),
        (("--normalizer", "nowhere.pkl"), "nowhere.pkl"),
    ],
)
def test_a_task_that_cannot_be(call: Call, agent: Path, flags: tuple[str, ...], said: str) -> None:
    assert said in line_of(call("evaluate", agent, "--eval-episodes", 1, *flags))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--method", "l2ps"), "Did you mean `l2sp`?"),
        (("--method", "l2sp:wieght=1"), "Did you mean `weight`?"),
        (("--hyperparams", "gama:0.9"), "gamma"),
        (("--recipe", "nowhere.yaml"), "nowhere.yaml"),
        (("--recipe", "{recipe}"), "Did you mean `steps`?"),
    ],
)
def test_a_recipe_that_cannot_be(call: Call, agent: Path, tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("stepz: 10\n")
    out = tmp_path / "run"
    flags = tuple(flag.format(recipe=recipe) for flag in flags)
    assert said in line_of(call("finetune", agent, "--shift", "gravity=2", "-n", 64, "--out", out, *flags))
    assert not out.exists(), "something was written"


@pytest.mark.parametrize("seed", [-1, 2**32])
@pytest.mark.parametrize("command", ["evaluate", "watch", "finetune", "demo"])
def test_a_seed_out_of_range(call: Call, agent: Path, tmp_path: Path, command: str, seed: int) -> None:
    out = tmp_path / "out"
    given = () if command == "demo" else (agent,)
    written = () if command == "evaluate" else ("--out", out)
    result = call(command, *given, "--seed", seed, *written)
    lines = [line for line in result.stderr.splitlines() if line.startswith("acclimate: ")]
    assert result.exit_code == 2
    assert len(lines) == 1
    assert f"seed is {seed}; give a whole number from 0 to 4294967295" in lines[0]
    assert not out.exists()


@pytest.mark.parametrize("seed", ["true", "1.5", "-1", "4294967296", "one"])
def test_a_seed_in_a_recipe_that_is_none(call: Call, agent: Path, tmp_path: Path, seed: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"seed: {seed}\n")
    said = line_of(call("finetune", agent, "--recipe", recipe, "--out", tmp_path / "run"))
    assert "recipe.seed" in said


@pytest.mark.skipif(os.name == "nt", reason="folders of POSIX")
def test_a_folder_that_cannot_be(call: Call, agent: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = call("finetune", agent, "--shift", "gravity=2", "-n", 64, "--out", tmp_path / "file" / "run")
    assert "file" in line_of(result)


def test_a_missing_agent(call: Call) -> None:
    assert line_of(call("inspect", "nowhere.zip")).startswith("acclimate: nowhere.zip: ")


@pytest.mark.parametrize("args", [("--debug", "inspect"), ("inspect", "--debug")])
def test_debug_shows_the_trace(args: tuple[str, ...]) -> None:
    with pytest.raises(SourceError):
        CliRunner(catch_exceptions=False).invoke(main, [*args, "nowhere.zip"])


def test_an_interrupt_says_how_to_go_on(
    call: Call, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import acclimate.runs.finetune  # noqa: F401

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["acclimate.runs.finetune"], "finetune", interrupted)
    result = call("finetune", agent, "--env", "CartPole-v1", "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert "--resume" in result.stderr
    assert str(tmp_path / "run") in result.stderr


def test_an_error_says_how_to_go_on(call: Call, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import acclimate.runs.finetune  # noqa: F401

    def broken(*_: Any, **__: Any) -> None:
        error = SourceError("the file is damaged")
        error.add_note("With --resume the run goes on.")
        raise error

    monkeypatch.setattr(sys.modules["acclimate.runs.finetune"], "finetune", broken)
    result = call("finetune", agent, "--env", "CartPole-v1", "--out", tmp_path / "run")
    assert line_of(result) == "acclimate: the file is damaged. With --resume the run goes on."


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    """`acclimate methods kl | head -1`, without a shell: the pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "acclimate", "methods", "kl"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.stderr == ""
