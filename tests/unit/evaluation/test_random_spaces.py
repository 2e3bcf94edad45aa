"""On random spaces an agent acts as its own SB3 model does, alone and in a batch, through a zip as well."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
from benchmarks.compatibility.worlds import World
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.load import load
from acclimate.evaluation.evaluate import evaluate
from acclimate.tasks.task import Task

SIZES = st.integers(1, 4)
SHAPES = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)
KINDS = st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8])


@st.composite
def boxes(draw: Any, shapes: Any = SHAPES, kinds: Any = KINDS) -> spaces.Box:
    """Draw a Box with other bounds at each entry; those of numbers with a point may be open on a side."""
    shape, kind = draw(shapes), draw(kinds)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    low = rng.integers(0, 5, shape).astype(kind)
    high = low + rng.integers(1, 9, shape).astype(kind)
    if np.issubdtype(kind, np.floating) and draw(st.booleans()):
        high = np.where(rng.random(shape) < 0.5, np.inf, high).astype(kind)
    return spaces.Box(low, high.astype(kind), dtype=kind)


PARTS = st.one_of(
    boxes(),
    SIZES.map(spaces.Discrete),
    st.lists(SIZES, min_size=1, max_size=3).map(spaces.MultiDiscrete),
    SHAPES.map(spaces.MultiBinary),
)
OBSERVATIONS = st.one_of(PARTS, st.dictionaries(st.sampled_from("abc"), PARTS, min_size=1).map(spaces.Dict))
ACTIONS = st.one_of(
    st.integers(1, 3).map(spaces.Discrete),
    st.lists(st.integers(1, 3), min_size=1, max_size=3).map(spaces.MultiDiscrete),
    SIZES.map(spaces.MultiBinary),
    st.just(spaces.Box(np.array([-1.0, 0.5], np.float32), np.array([-0.5, 2.5], np.float32))),
)


def agrees(kind: type[BaseAlgorithm], seen: spaces.Space, done: spaces.Space) -> None:
    policy = "MultiInputPolicy" if isinstance(seen, spaces.Dict) else "MlpPolicy"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = kind(policy, World(seen, done), policy_kwargs={"net_arch": [3]}, n_steps=8, device="cpu", seed=0)
    world, expected = World(seen, done), 0.0
    now, _ = world.reset(seed=7)
    for _ in range(20):
        action, _ = model.predict(now, deterministic=True)
        now, reward, _, ended, _ = world.step(action[()] if isinstance(done, spaces.Discrete) else action)
        expected += reward
        if ended:
            break
    file = io.BytesIO()
    model.save(file)
    for agent in (load(model), load(kind.load(io.BytesIO(file.getvalue()), device="cpu"))):
        task = Task(World, env_kwargs={"seen": seen, "taken": done})
        assert evaluate(agent, task, episodes=1, seed=7).returns[0] == pytest.approx(expected, rel=1e-6, abs=1e-6)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pair = evaluate(agent, task, episodes=2, seed=6, n_envs=2).returns
        assert pair[1] == pytest.approx(expected, rel=1e-4, abs=1e-4), "it depends on what runs beside it"


QUICK = [HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=QUICK)
@given(kind=st.sampled_from([PPO, A2C]), seen=OBSERVATIONS, done=ACTIONS)
def test_an_agent_on_random_spaces_acts_as_its_model(
    kind: type[BaseAlgorithm], seen: spaces.Space, done: spaces.Space
) -> None:
    agrees(kind, seen, done)


@pytest.mark.nightly
@settings(max_examples=400, deadline=None, suppress_health_check=QUICK)
@given(kind=st.sampled_from([PPO, A2C]), seen=OBSERVATIONS, done=ACTIONS)
def test_an_agent_on_more_random_spaces_acts_as_its_model(
    kind: type[BaseAlgorithm], seen: spaces.Space, done: spaces.Space
) -> None:
    agrees(kind, seen, done)
