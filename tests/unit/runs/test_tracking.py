from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acclimate.errors import ConfigError
from acclimate.reports.report import read
from acclimate.runs.finetune import finetune
from acclimate.runs.tracking import Tracking
from tests.world import agent, recipe, task


class WandbError(Exception):
    """Stands for `wandb.Error`."""


def stand_in(monkeypatch: pytest.MonkeyPatch, **fails: Exception) -> dict[str, Any]:
    """Put something in the place of Weights & Biases, and return what it is told."""
    seen: dict[str, Any] = {}

    def init(**arguments: Any) -> Any:
        if "init" in fails:
            raise fails["init"]
        seen.update(arguments)
        return SimpleNamespace(finish=finish)

    def finish(*, exit_code: int) -> None:
        seen.update(exit_code=exit_code)
        if "finish" in fails:
            raise fails["finish"]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Error=WandbError))
    return seen


def test_a_run_is_mirrored_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = stand_in(monkeypatch)
    asked = recipe()
    finetune(agent("ppo"), task(), asked, out=tmp_path / "run", track=Tracking(project="p", tags=("a",)))
    assert (seen["project"], seen["tags"], seen["name"], seen["dir"]) == ("p", ["a"], "run", str(tmp_path / "run"))
    assert seen["sync_tensorboard"] is True
    assert seen["config"] == asked.to_dict()
    assert seen["exit_code"] == 0


def test_a_failed_run_is_closed_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = stand_in(monkeypatch)

    def fail(*_: object) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        finetune(agent("ppo"), task(), recipe(), out=tmp_path / "run", track=Tracking(), callback=fail)
    assert seen["exit_code"] == 1


def test_a_mirror_that_cannot_be_closed_costs_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, finish=WandbError("the network is gone"))
    report = finetune(agent("ppo"), task(), recipe(), out=tmp_path / "run", track=Tracking()).report
    assert [note for note in read(tmp_path / "run").notes if "the network is gone" in note]
    assert (tmp_path / "run" / "agent.zip").exists()
    assert read(tmp_path / "run").notes == report.notes


@pytest.mark.parametrize("error", [WandbError("no api key"), OSError("no api key")])
def test_one_that_cannot_begin_is_told_before_anything_is_done(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, init=error)
    with pytest.raises(ConfigError, match=r"no api key.*WANDB_MODE=offline"):
        finetune(agent("ppo"), task(), recipe(), out=tmp_path / "run", track=Tracking())
    assert not (tmp_path / "run").exists()


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"acclimate\[track\]"):
        finetune(agent("ppo"), task(), recipe(), out=tmp_path / "run", track=Tracking())
    assert not (tmp_path / "run").exists()
