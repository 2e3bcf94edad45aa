"""What tells one callable environment from another of the same name."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from acclimate.errors import ConfigError
from acclimate.runs.finetune import finetune
from acclimate.tasks.identity import called, identity
from acclimate.tasks.task import Task
from acclimate.tasks.wrappers import FrameStack
from tests.world import Dot, agent, recipe


def closed(offset: float) -> Any:
    def make() -> gym.Env:
        return Dot(offset=offset)

    return make


class Factory:
    def __init__(self, offset: float) -> None:
        self.offset = offset

    def __call__(self) -> gym.Env:
        return Dot(offset=self.offset)

    def make(self) -> gym.Env:
        return self()


def small() -> gym.Env:
    return Dot(offset=0.1)


PAIRS = {
    "closure": (closed(0.1), closed(0.2)),
    "lambda": (lambda: Dot(offset=0.1), lambda: Dot(offset=0.2)),
    "default": (lambda offset=0.1: Dot(offset=offset), lambda offset=0.2: Dot(offset=offset)),
    "partial": (functools.partial(Dot, offset=0.1), functools.partial(Dot, offset=0.2)),
    "partial of a partial": tuple(
        functools.partial(functools.partial(Dot, offset=by), discrete=False) for by in (1, 2)
    ),
    "instance": (Factory(0.1), Factory(0.2)),
    "method": (Factory(0.1).make, Factory(0.2).make),
    "array": tuple(functools.partial(Dot, offset=np.array(by)) for by in (1.0, 2.0)),
    "another class": (Dot, gym.Env),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS.keys())
def test_what_makes_another_world_is_another_one(one: Any, other: Any) -> None:
    assert identity(one) != identity(other)
    assert json.loads(json.dumps(identity(one))) == identity(one), "it goes through a file"


@pytest.mark.parametrize("make", [closed, Factory, lambda by: functools.partial(Dot, offset=by)])
def test_made_again_it_is_the_same(make: Any) -> None:
    assert identity(make(0.1)) == identity(make(0.1))


def test_what_is_no_data_counts_by_its_type() -> None:
    assert identity(functools.partial(Dot, trace=object())) == identity(functools.partial(Dot, trace=object()))
    round_about: dict[str, Any] = {}
    round_about["again"] = round_about
    json.dumps(identity(round_about))


def test_it_is_the_same_in_another_process() -> None:
    asked = "from tests.unit.tasks.test_identity import *; print(json.dumps([identity(a) for a, _ in PAIRS.values()]))"
    root = Path(__file__).parents[3]
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=root)
    assert json.loads(told.stdout) == [identity(one) for one, _ in PAIRS.values()]


def test_a_partial_is_called_as_what_it_calls() -> None:
    assert called(functools.partial(functools.partial(small))) == "small"
    assert Task(functools.partial(Dot, offset=1)).describe() == "Dot"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (Task(closed(0.1)), Task(closed(0.2))),
        (Task(Dot, env_kwargs={"offset": 0.1}), Task(Dot, env_kwargs={"offset": 0.2})),
        (Task(small), Task(small, wrappers=(FrameStack(1),))),
    ],
    ids=["closure", "arguments", "wrappers"],
)
def test_a_run_is_not_resumed_in_another_world(first: Task, then: Task, tmp_path: Path) -> None:
    finetune(agent("ppo"), first, recipe(steps=400), out=tmp_path / "run", progress=False)
    again = finetune(agent("ppo"), first, recipe(steps=400), out=tmp_path / "run", resume=True, progress=False)
    assert again.folder == tmp_path / "run"
    with pytest.raises(ConfigError, match=r"another callables\.t"):
        finetune(agent("ppo"), then, recipe(steps=400), out=tmp_path / "run", resume=True, progress=False)


def test_a_run_of_before_goes_on_by_its_name(tmp_path: Path) -> None:
    finetune(agent("ppo"), Task(closed(0.1)), recipe(steps=400), out=tmp_path / "run", progress=False)
    known = tmp_path / "run" / "run.json"
    told = json.loads(known.read_text())
    del told["callables"]
    known.write_text(json.dumps(told))
    finetune(agent("ppo"), Task(closed(0.1)), recipe(steps=400), out=tmp_path / "run", resume=True, progress=False)
