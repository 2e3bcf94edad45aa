from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acclimate.errors import ConfigError
from acclimate.runs.finetune import finetune
from acclimate.runs.tracking import Tracking
from tests.world import agent, recipe, task


def test_a_run_is_mirrored_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def init(**arguments: Any) -> Any:
        seen.update(arguments)
        return SimpleNamespace(finish=lambda: seen.update(finished=True))

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    asked = recipe()
    finetune(agent("ppo"), task(), asked, out=tmp_path / "run", track=Tracking(project="p", tags=("a",)))
    assert (seen["project"], seen["tags"], seen["name"], seen["dir"]) == ("p", ["a"], "run", str(tmp_path / "run"))
    assert seen["sync_tensorboard"] is True
    assert seen["config"] == asked.to_dict()
    assert seen["finished"] is True


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"acclimate\[track\]"):
        finetune(agent("ppo"), task(), recipe(), out=tmp_path / "run", track=Tracking())
    assert not (tmp_path / "run").exists()
