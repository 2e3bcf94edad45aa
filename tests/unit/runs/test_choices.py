"""Observations that are choices, alone and as parts of a Dict, the whole way from the probe to the report."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.errors import SpaceMismatchError
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.transitions import Transitions
from acclimate.methods.bc import BC
from acclimate.methods.ewc import EWC
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.methods.lora import LoRA
from acclimate.methods.prior_replay import PriorReplay
from acclimate.methods.redo import ReDo
from acclimate.runs.finetune import Run, finetune
from acclimate.sb3.policies.intake import tensors
from acclimate.tasks.task import Task
from acclimate.tuning.method import Method
from tests.world import ARGUMENTS, recipe

ROOMS = 4
PARTS = {
    "room": spaces.Discrete(ROOMS),
    "gears": spaces.MultiDiscrete([2, 3]),
    "lights": spaces.MultiBinary(2),
    "speed": spaces.Box(-5.0, 5.0, (2,), np.float32),
}
KINDS = {"rooms": PARTS["room"], "gears": PARTS["gears"], "lights": PARTS["lights"], "parts": spaces.Dict(PARTS)}


class Rooms(gym.Env):
    """Walk through four rooms in a row; moves are looked up in a table."""

    moves = (-1, 1)

    def __init__(self, kind: str = "parts", *, continuous: bool = False, slip: float = 0.0) -> None:
        self.observation_space = KINDS[kind]
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32) if continuous else spaces.Discrete(2)
        self.kind, self.slip = kind, slip

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.room, self.time = int(self.np_random.integers(ROOMS)), 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        move = int(np.sign(action[0])) if isinstance(self.action_space, spaces.Box) else self.moves[action]
        if self.np_random.random() < self.slip:
            move = -move
        self.room = int(np.clip(self.room + move, 0, ROOMS - 1))
        self.time += 1
        late, last = self.time == 8, self.room == ROOMS - 1
        return self._seen(), float(last), late and last, late and not last, {}

    def _seen(self) -> Any:
        seen = {
            "room": self.room,
            "gears": np.array([self.room % 2, self.time % 3]),
            "lights": np.array([self.room % 2, self.time % 2], np.int8),
            "speed": np.array([self.room - 1.5, self.time / 5], np.float32),
        }
        return seen if self.kind == "parts" else seen.get(self.kind, self.room)


def trained(algorithm: type[BaseAlgorithm], kind: str, *, keys: tuple[str, ...] = ()) -> Agent:
    """Return a small agent of the rooms, with a normaliser over some parts if any are named."""
    venv: Any = DummyVecEnv([lambda: Rooms(kind, continuous=algorithm in (SAC, TD3))])
    if keys:
        venv = VecNormalize(venv, norm_obs_keys=list(keys))
    policy, arguments = "MultiInputPolicy" if kind == "parts" else "MlpPolicy", ARGUMENTS[algorithm.__name__.lower()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = algorithm(policy, venv, policy_kwargs={"net_arch": [8]}, seed=0, device="cpu", **arguments)
        return load(model.learn(24))


def task(algorithm: type[BaseAlgorithm], kind: str, slip: float = 0.0) -> Task:
    return Task(Rooms, env_kwargs={"kind": kind, "continuous": algorithm in (SAC, TD3), "slip": slip})


def tuned(agent: Agent, algorithm: type[BaseAlgorithm], kind: str, *, source: bool = True, **more: Any) -> Run:
    """Fine-tune to slippery rooms."""
    home = task(algorithm, kind) if source else None
    out = more.pop("out", None)
    asked = recipe(**{"steps": 400, "n_envs": 2, **more})
    return finetune(agent, task(algorithm, kind, 0.5), asked, source=home, progress=False, out=out)


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        *((one, "rooms") for one in (PPO, A2C, DQN)),
        *((one, "parts") for one in (PPO, DQN, SAC)),
        *(pytest.param(one, "parts", marks=pytest.mark.nightly) for one in (A2C, TD3)),
        *(
            pytest.param(one, kind, marks=pytest.mark.nightly)
            for one in (PPO, A2C, DQN)
            for kind in ("gears", "lights")
        ),
    ],
)
def test_from_the_probe_to_the_report(algorithm: type[BaseAlgorithm], kind: str, tmp_path: Path) -> None:
    keys = ("speed",) if kind == "parts" else ()
    agent = trained(algorithm, kind, keys=keys)
    folder = tmp_path / "run" if kind == "parts" or algorithm is DQN else None
    run = tuned(agent, algorithm, kind, out=folder)
    assert run.report.steps_charged <= 400
    told = {"observations/shift", "distance/" + ("q" if algorithm is DQN else "actor")}
    assert told | ({"values/bias"} if algorithm in (DQN, SAC, TD3) else set()) <= run.report.signals.keys()
    if folder is None:
        return
    again = load(folder)
    seen = [task(algorithm, kind).make().reset(seed=seed)[0] for seed in range(6)]
    batch = {key: np.stack([one[key] for one in seen]) for key in PARTS} if kind == "parts" else np.stack(seen)
    assert np.array_equal(again.predict(batch, deterministic=True)[0], run.agent.predict(batch, deterministic=True)[0])
    if keys:
        assert tuple(again.normalizer.obs_mean) == keys


def test_fresh_statistics_are_of_the_same_parts() -> None:
    """One Box is normalised, the other is not."""
    rooms = {"kind": "parts", "continuous": False}
    space = spaces.Dict(**PARTS, camera=spaces.Box(0.0, 255.0, (2,), np.float32))

    class Seeing(Rooms):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.observation_space = space

        def _seen(self) -> Any:
            return {**super()._seen(), "camera": np.full(2, 50.0 * self.room, np.float32)}

    venv = VecNormalize(DummyVecEnv([lambda: Seeing(**rooms)]), norm_obs_keys=["speed"])
    agent = load(PPO("MultiInputPolicy", venv, device="cpu", policy_kwargs={"net_arch": [8]}, **ARGUMENTS["ppo"]))
    started = {"normalizer": "fresh"}
    run = finetune(agent, Task(Seeing, env_kwargs=rooms), recipe(steps=400, warm_start=started), progress=False)
    assert tuple(run.agent.normalizer.obs_mean) == ("speed",)


METHODS: dict[str, Method] = {
    "kl": KLToPrior(weight=0.5),
    "bc": BC(stored=32),
    "ewc": EWC(stored=32),
    "prior-replay": PriorReplay(steps=32),
    "lora": LoRA(rank=2),
    "l2sp": L2SP(),
    "redo": ReDo(every=1),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        (DQN, "rooms"),
        (PPO, "parts"),
        pytest.param(PPO, "rooms", marks=pytest.mark.nightly),
        *(pytest.param(one, "parts", marks=pytest.mark.nightly) for one in (A2C, DQN, SAC, TD3)),
    ],
)
def test_methods_read_choices(algorithm: type[BaseAlgorithm], kind: str, name: str) -> None:
    if name == "prior-replay" and algorithm in (PPO, A2C):
        pytest.skip("it changes minibatches of a replay buffer")
    run = tuned(trained(algorithm, kind), algorithm, kind, methods=(METHODS[name],), n_envs=1)
    assert name in run.report.method


@pytest.mark.parametrize("engine", ["auto", pytest.param("sb3", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", ["rooms", "parts"])
@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_without_a_source_and_whoever_trains(algorithm: type[BaseAlgorithm], kind: str, engine: str) -> None:
    run = tuned(trained(algorithm, kind), algorithm, kind, source=False, engine=engine)
    said = dict((name, value) for name, value, _ in run.report.choices)["engine"]
    ours = engine == "auto" and not (algorithm is DQN and kind == "parts")
    assert said == ("acclimate" if ours else "sb3")


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_what_a_buffer_hands_out(kind: str) -> None:
    """From environments, from a buffer, and as SB3 samples it: one shape and one kind of numbers."""
    model, steps = trained(DQN, kind).model, Transitions()
    evaluate(load(model), task(DQN, kind), episodes=1, record=steps)
    seen = [step.observation for step in steps]
    raw = {key: np.stack([one[key] for one in seen]) for key in PARTS} if kind == "parts" else np.stack(seen)
    kept_in = DictReplayBuffer if kind == "parts" else ReplayBuffer
    held = kept_in(len(seen), model.observation_space, model.action_space, device="cpu")
    for one, step in zip(seen, steps, strict=True):
        row = {key: np.asarray(part)[None] for key, part in one.items()} if kind == "parts" else np.asarray(one)[None]
        held.add(row, row, np.array([step.action]), np.zeros(1), np.zeros(1), [{}])
    sampled = held._get_samples(np.arange(len(seen))).observations
    stored = held.observations
    kept = {key: part[:, 0] for key, part in stored.items()} if kind == "parts" else stored[:, 0]
    for given in (raw, kept):
        found = tensors(model.policy, given)
        pairs = [(found[key], sampled[key]) for key in PARTS] if kind == "parts" else [(found, sampled)]
        for ours, theirs in pairs:
            assert ours.shape == theirs.shape
            assert ours.numpy().tolist() == theirs.numpy().tolist()


@pytest.mark.parametrize(
    ("algorithm", "env"),
    [
        (PPO, "CliffWalking-v1"),
        (A2C, "FrozenLake-v1"),
        (DQN, "Taxi-v3"),
        *(
            pytest.param(one, env, marks=pytest.mark.nightly)
            for one in (PPO, A2C, DQN)
            for env in ("FrozenLake-v1", "CliffWalking-v1", "Taxi-v3")
        ),
    ],
)
def test_gymnasiums_own_grids(algorithm: type[BaseAlgorithm], env: str) -> None:
    """They look actions up in a table, and show the number of a place."""
    world = Task(Task.modern_id(env)[0], env_kwargs={"max_episode_steps": 10})
    arguments = {"policy_kwargs": {"net_arch": [4]}, **ARGUMENTS[algorithm.__name__.lower()]}
    agent = load(algorithm("MlpPolicy", world.make(), device="cpu", **arguments))
    run = finetune(agent, world, recipe(steps=400, n_envs=2), source=world, progress=False)
    assert run.report.steps_charged <= 400


class Late(Rooms):
    """Counts its rooms from one."""

    def __init__(self, part: bool, acts: bool = False) -> None:
        super().__init__("rooms")
        space = spaces.Discrete(ROOMS, start=0 if acts else 1)
        self.observation_space = spaces.Dict(room=space) if part else space
        if acts:
            self.action_space = spaces.Discrete(2, start=1)


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"part": False}, r"Late: observation: Discrete\(4, start=1\) does not count from 0.*TransformObservation"),
        ({"part": True}, r"observation\.room: Discrete\(4, start=1\)"),
        ({"part": False, "acts": True}, r"action: Discrete\(2, start=1\) .*TransformAction"),
    ],
)
def test_choices_that_do_not_count_from_zero_are_refused(kwargs: dict[str, bool], said: str) -> None:
    env = Late(**kwargs)
    policy = "MultiInputPolicy" if kwargs["part"] else "MlpPolicy"
    agent = load(PPO(policy, env, n_steps=8, batch_size=8, device="cpu"))
    for call in (evaluate, finetune):
        with pytest.raises(SpaceMismatchError, match=said):
            call(agent, Task(Late, env_kwargs=kwargs))
