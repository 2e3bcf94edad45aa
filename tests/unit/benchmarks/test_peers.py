"""The peers of the engine's benchmark train, and see what the others see."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.engine.cases import LOOPS
from benchmarks.peers import gym_envs, ppo_loop, side, stock, workload
from benchmarks.peers.side import Looping
from benchmarks.peers.workload import Workload
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.policies import ActorCriticCnnPolicy

from tests.unit.benchmarks.small import SMALL, small


@pytest.mark.parametrize("name", SMALL)
def test_a_loop_makes_the_steps_that_it_is_told(name: str) -> None:
    looping = Looping(LOOPS[small(name).algorithm](small(name)))
    assert looping.train(30).wall > 0
    looping.close()


def test_loops_know_the_end_of_an_episode() -> None:
    envs = gym_envs.vector(Workload("dqn", "CartPole-v1", n_envs=2))
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.reset(seed=0)
    for _ in range(60):
        obs, _, terminations, truncations, infos = envs.step(np.ones(2, int))
        ended = np.logical_or(terminations, truncations)
        real = gym_envs.last_observations(obs, infos, ended)
        assert np.array_equal(real[~ended], obs[~ended])
        if ended.any():
            assert (np.abs(real[ended][:, 2]) > 0.2).all()  # the pole has fallen there, not at a reset
            break
    else:
        pytest.fail("no episode ended")


def test_images_are_seen_alike_on_all_sides() -> None:
    pytest.importorskip("ale_py")
    work = dataclasses.replace(workload.ATARI, n_envs=2)
    theirs, ours = stock.environments(work), gym_envs.vector(work)
    assert theirs.observation_space.shape == (84, 84, 4)
    assert ours.single_observation_space.shape == (4, 84, 84)
    assert theirs.action_space == ours.single_action_space
    assert [seen.dtype for seen in (theirs.reset(), ours.reset(seed=0)[0])] == [np.uint8, np.uint8]
    theirs.close()
    ours.close()


def test_the_loop_sees_what_sb3_sees() -> None:
    """The same network on images: as many weights, and the same outputs where the weights are SB3's."""
    frames = Box(0, 255, (4, 84, 84), np.uint8)
    envs = type("Envs", (), {"single_observation_space": frames, "single_action_space": Discrete(4)})
    mine = ppo_loop.Agent(envs, workload.ATARI)
    theirs = ActorCriticCnnPolicy(frames, Discrete(4), lambda _: 1e-3)
    weights = theirs.features_extractor, theirs.action_net, theirs.value_net
    with torch.no_grad():
        for own, given in zip((mine.sight, mine.actor, mine.critic), weights, strict=True):
            pairs = list(zip(own.parameters(), given.parameters(), strict=True))
            assert len(pairs) in (8, 2)
            for parameter, value in pairs:
                parameter.copy_(value)
        obs = torch.randint(0, 256, (3, 4, 84, 84))
        action = torch.tensor([0, 3, 2])
        _, likelihood, entropy, value = mine.act(obs.float(), action)
        expected = theirs.evaluate_actions(obs.byte(), action)
    for found, wanted in zip((value, likelihood, entropy), expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


class Model:
    def __init__(self) -> None:
        self.learnt: list[Any] = []

    def learn(self, steps: int, reset_num_timesteps: bool) -> None:
        self.learnt.append(steps)
        print("not an answer")


def test_the_worker_answers_each_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SBX itself, which is not among the test's packages."""
    fake, model = ModuleType("sbx"), Model()
    for name in ("PPO", "SAC", "TD3", "DQN"):
        setattr(fake, name, lambda *args, **kwargs: model)
    flax = ModuleType("flax")
    flax.linen = type("linen", (), {"tanh": 1, "relu": 2})  # type: ignore[attr-defined]
    for name, module in {"sbx": fake, "flax": flax}.items():
        monkeypatch.setitem(sys.modules, name, module)
    from benchmarks.peers import sbx_worker

    orders = [{"train": 1}, {"make": dataclasses.asdict(small("ppo"))}, {"train": 16}, {"stop": True}, {"train": 1}]
    answers = io.StringIO()
    sbx_worker.answer_all(io.StringIO("".join(f"{json.dumps(order)}\n" for order in orders)), answers)
    none, made, trained = (json.loads(line) for line in answers.getvalue().splitlines())
    assert (none, made) == ({}, {})
    assert set(trained) == {"wall", "cpu"}
    assert model.learnt == [16]
    assert side.spent(lambda: None).wall >= 0
