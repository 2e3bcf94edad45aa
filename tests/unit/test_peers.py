"""The engine's benchmark: its peers train, the sides take turns, and the page shows what was measured."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from benchmarks import conditions, page
from benchmarks.conditions import Conditions, cores
from benchmarks.engine import cases as engine_cases
from benchmarks.engine import page as engine_page
from benchmarks.engine import rounds as engine
from benchmarks.engine.cases import LOOPS, Case
from benchmarks.peers import gym_envs, ppo_loop, side, stock, workload
from benchmarks.peers.side import Looping, Spent
from benchmarks.peers.workload import Workload
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.policies import ActorCriticCnnPolicy

from acclimate.methods.dropout import Dropout
from acclimate.methods.freeze import Freeze

SMALL = {
    "ppo": Workload("ppo", "CartPole-v1", {**workload.PPO, "n_steps": 8, "batch_size": 8, "n_epochs": 2}, n_envs=2),
    "ppo continuous": Workload(
        "ppo",
        "Pendulum-v1",
        {**workload.PPO, "n_steps": 8, "batch_size": 4, "n_epochs": 1},
        activation="relu",
        normalized=True,
    ),
    "sac": dataclasses.replace(workload.SAC, env="Pendulum-v1", net_arch=(8, 8)),
    "td3": dataclasses.replace(workload.TD3, env="Pendulum-v1", net_arch=(8, 8)),
    "dqn": dataclasses.replace(workload.DQN, env="CartPole-v1", net_arch=(8, 8)),
}
SHORT = {"learning_starts": 10, "buffer_size": 100, "batch_size": 4, "target_update_interval": 5}


def small(name: str) -> Workload:
    work = SMALL[name]
    short = {key: value for key, value in SHORT.items() if key in work.arguments and work.algorithm != "ppo"}
    return dataclasses.replace(work, arguments={**work.arguments, **short})


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


def test_sb3_and_ours_are_the_same_model() -> None:
    for name in ("ppo", "sac", "td3", "dqn"):
        theirs, mine = engine_cases.plain(small(name)), engine_cases.ours(small(name))
        assert str(theirs.policy) == str(mine.policy)
        assert theirs.env.num_envs == mine.env.num_envs


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


def test_every_peer_has_every_case() -> None:
    for case in engine_cases.CASES:
        there = set(case.sides)
        assert engine_page.OURS in there
        if engine_page.among_peers(case):
            assert there | set(case.missing) >= {*engine_page.PEERS, engine_page.OURS}


class Fake:
    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told

    def train(self, steps: int) -> Spent:
        self.told.append(self.name)
        return Spent(1.0 if self.name == "sb3" else 0.25, 2.0)

    def close(self) -> None:
        self.told.append(f"{self.name} closed")


def fake_case(told: list[str], name: str = "PPO, fake") -> Case:
    sides = {n: (lambda n=n: Fake(n, told)) for n in ("sb3", "sbx", "acclimate")}
    return Case(name, sides, 10, 5, {"cleanrl": "it has none"})


def test_sides_take_turns_and_the_page_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    case, own = fake_case(told), Case("kl", {n: (lambda n=n: Fake(n, told)) for n in ("a, full", "acclimate")}, 10)
    cell = engine.measure(case, 2, ["cleanrl"], Conditions())
    assert told[6:12] == ["sb3", "sbx", "acclimate", "sbx", "acclimate", "sb3"]  # after the warm-up of each
    assert told[12:] == ["sb3 closed", "sbx closed", "acclimate closed"]
    assert "acclimate 40/s" in engine.shown(cell)
    cells = [(Conditions(), cell), (Conditions(), engine.measure(own, 1, [], Conditions()))]
    for chosen in (Conditions(1), Conditions(kernel=True)):
        cells.append((chosen, {**cell, **dataclasses.asdict(chosen), "cores": 8}))
    cells.append((Conditions(4), {**cell, "case": "one that is no more"}))
    monkeypatch.setattr(engine_page, "CASES", (case, own))
    monkeypatch.setattr(engine_page, "CELLS", tmp_path)
    monkeypatch.setattr(engine_page, "CHART", tmp_path / "engine.png")
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("# Head\n")
    for chosen, found in cells:
        engine_page.path_of(found["case"], chosen).write_text(json.dumps(found))
    engine_page.write()
    text = (tmp_path / "page.md").read_text()
    ratio, same = "4.00 [4.00, 4.00]", "1.00 [1.00, 1.00]"
    assert text.count(f"| PPO, fake | 10 | - | 40 | 40 | {ratio} | - | {same} | {same} | 2 |") == 3
    assert f"| kl | 40 | 40 | {same} | 1 |" in text
    begins = f"On {cores()} core(s), each side with as many threads as it takes by itself, the kernel of"
    assert [line for line in text.splitlines() if line.startswith("On ")] == [
        f"{begins} `acclimate native` not built:",
        f"{begins.replace(str(cores()), '8', 1)} `acclimate native` built:",
        "On 8 core(s), 1 thread(s) for all sides but SBX, which takes its own, "
        "the kernel of `acclimate native` not built:",
    ]
    assert "no more" not in text
    assert "Empty cells: PPO, fake: it has none." in text
    assert (tmp_path / "engine.png").read_bytes().startswith(b"\x89PNG")


def test_a_process_begins_anew_in_other_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, str]] = []
    monkeypatch.setattr(conditions.os, "execve", lambda python, argv, env: begun.append(env))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    conditions.begin(None, kernel=True)
    conditions.begin(3, kernel=False)
    assert not set(begun[0]) & set(conditions.LIBRARIES)
    assert {begun[1][name] for name in conditions.LIBRARIES} == {"3"}
    for name in conditions.LIBRARIES:
        monkeypatch.setenv(name, "3")
    monkeypatch.setenv(conditions.CACHE, begun[1][conditions.CACHE])
    assert conditions.begin(3, kernel=False) == Conditions(3, kernel=False)  # there is no kernel now
    assert len(begun) == 2


def test_the_engine_is_one_of_the_sides() -> None:
    one = engine_cases.Engine(engine_cases.plain(small("ppo")), engine_cases.Full())
    stock_class = type(one.model).__mro__[1]
    assert one.train(16).cpu > 0
    one.close()
    assert type(one.model) is stock_class


def test_sb3_trains_with_the_method_too() -> None:
    """What is frozen stays, without our hooks; what a method adds is there while SB3 trains."""
    frozen = engine_cases.Stock(engine_cases.plain(small("ppo")), Freeze(on="actor"), frozen=True)
    before = {name: value.clone() for name, value in frozen.model.policy.state_dict().items()}
    assert type(frozen.model).train is sb3.PPO.train
    frozen.train(16)
    moved = {name for name, value in frozen.model.policy.state_dict().items() if not value.equal(before[name])}
    assert moved
    assert all("value" in name for name in moved)
    frozen.close()
    dropping = engine_cases.Stock(engine_cases.plain(small("ppo")), Dropout())
    assert type(dropping.model).train is not sb3.PPO.train
    assert dropping.train(16).wall > 0
    dropping.close()


def test_a_case_says_what_it_lacks() -> None:
    case = Case("PPO, images", {}, 1, needs=("json", "no_such_module"))
    assert case.lacks == ["no_such_module"]


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
