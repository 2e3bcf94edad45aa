"""Models rebuilt from data alone."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

import acclimate as ac
from acclimate.sb3.blueprint import IDLE_BUFFER_BYTES, Blueprint
from tests import tiny


@pytest.mark.parametrize("name", tiny.MODELS)
def test_json_round_trip(name: str) -> None:
    blueprint = ac.load(tiny.model(name, steps=0)).blueprint
    text = json.dumps(blueprint.to_json(), allow_nan=False)
    assert Blueprint.from_json(json.loads(text)) == blueprint


@pytest.mark.parametrize("name", ["ppo", "dqn", "sac", "td3", "a2c", "her"])
def test_a_blueprint_builds_a_model_that_trains(name: str) -> None:
    theirs = tiny.model(name)
    blueprint = ac.load(theirs).blueprint
    env = DummyVecEnv([lambda: tiny.world(name)] * 2)
    model = blueprint.build(env=env, seed=3, learning_rate=0.5)
    assert type(model) is type(theirs)
    assert model.learning_rate == 0.5
    assert model.n_envs == 2
    assert {n: p.shape for n, p in model.policy.named_parameters()} == {
        n: p.shape for n, p in theirs.policy.named_parameters()
    }
    assert type(model.policy.optimizer if name in ("ppo", "a2c", "dqn") else model.actor.optimizer) is type(
        theirs.policy.optimizer if name in ("ppo", "a2c", "dqn") else theirs.actor.optimizer
    )
    model.learn(16)
    again = blueprint.build(env=DummyVecEnv([lambda: tiny.world(name)]), seed=3)
    fresh = blueprint.build(env=DummyVecEnv([lambda: tiny.world(name)]), seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(_arrays(again), _arrays(fresh), strict=True))


def _arrays(model: object) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in model.policy.state_dict().values()]


def test_names_stand_for_classes() -> None:
    model = tiny.model("ppo", steps=0, policy_kwargs={"net_arch": [4], "activation_fn": nn.ELU})
    blueprint = ac.load(model).blueprint
    assert blueprint.policy_kwargs["activation_fn"] == "elu"
    assert blueprint.build().policy.activation_fn is nn.ELU
    wrong = dataclasses.replace(blueprint, policy_kwargs={"activation_fn": "rleu"})
    with pytest.raises(ac.SourceError, match="Did you mean `relu`"):
        wrong.build()


def test_wrong_names_are_told() -> None:
    blueprint = ac.load(tiny.model("ppo", steps=0)).blueprint
    with pytest.raises(ac.SourceError, match=r"no argument `n_stps`. Did you mean `n_steps`"):
        blueprint.build(n_stps=3)
    with pytest.raises(ac.SourceError, match=r"no policy `MplPolicy`\. Did you mean `MlpPolicy`"):
        dataclasses.replace(blueprint, policy="MplPolicy").build()
    with pytest.raises(ac.SourceError, match=r"no algorithm `pppo`\. Did you mean `ppo`"):
        dataclasses.replace(blueprint, algorithm="pppo").build()


def test_a_model_without_an_environment_keeps_its_buffers_small() -> None:
    blueprint = dataclasses.replace(
        ac.load(tiny.model("dqn", steps=0)).blueprint, hyperparameters={"buffer_size": 10**9}
    )
    model = blueprint.build()
    assert model.buffer_size == 10**9
    assert model.replay_buffer.observations.nbytes < IDLE_BUFFER_BYTES
    small = dataclasses.replace(blueprint, hyperparameters={"buffer_size": 1000}).build()
    assert small.replay_buffer.buffer_size == 1000


def test_an_idle_model_says_that_it_has_no_environment() -> None:
    model = ac.load(tiny.model("ppo", steps=0)).blueprint.build()
    assert model.get_env() is None
    model.set_env(DummyVecEnv([lambda: tiny.world("ppo")]))
    model.learn(8)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(np.array([-np.inf, 0.1], np.float32), np.array([np.inf, 0.3], np.float32)),
        spaces.Box(-np.inf, np.inf, (4,), np.float64),
        spaces.Box(0, 255, (8, 8, 3), np.uint8),
        spaces.Box(-5, 2**40, (2,), np.int64),
        spaces.Box(-1, 1, (), np.float32),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiDiscrete([[2, 3], [4, 5]], dtype=np.int32),
        spaces.MultiBinary(3),
        spaces.MultiBinary((2, 2)),
        spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Box(0, 1, (2,))}),
    ],
    ids=str,
)
def test_spaces_keep_every_bit(space: spaces.Space) -> None:
    from acclimate.files import pickles as inert
    from acclimate.files import spaces as space_format

    described = json.loads(json.dumps(space_format.to_json(space), allow_nan=False))
    assert space_format.from_json(described) == space
    import cloudpickle

    for _ in range(2):  # again with a random number generator inside
        found = space_format.from_record(inert.read(cloudpickle.dumps(space), where="here"), "here")
        assert found == space
        if isinstance(space, spaces.Dict):
            assert list(found.spaces) == list(space.spaces)
        space.seed(0)
        space.sample()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Tuple"},
        {"shape": [10**9]},
        {"low": "x"},
        {"low": [0.0]},
        {"dtype": "object"},
        {"dtype": "intp; x"},
        {"low": 5},
    ],
)
def test_broken_descriptions_of_spaces(change: dict[str, object]) -> None:
    from acclimate.files import spaces as space_format

    with pytest.raises(ac.SourceError):
        space_format.from_json({**space_format.to_json(spaces.Box(-1, 1, (3,))), **change})


def test_order_of_dict_spaces_is_that_of_the_file() -> None:
    """Networks read the keys in order; sorting them would permute the inputs."""
    from collections import OrderedDict

    space = spaces.Dict(OrderedDict(z=spaces.Box(0, 1, (1,)), a=spaces.Box(0, 1, (2,))))
    blueprint = Blueprint("ppo", "MultiInputPolicy", {}, space, tiny.CHOICE)
    assert list(Blueprint.from_json(blueprint.to_json()).observation_space.spaces) == ["z", "a"]
