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
from benchmarks import engine, engine_cases, engine_page, page
from benchmarks.engine_cases import LOOPS, Case
from benchmarks.peers import gym_envs, side, workload
from benchmarks.peers.side import Looping, Spent
from benchmarks.peers.workload import Workload
from gymnasium.vector import AutoresetMode

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
    cell = engine.measure(case, 2, ["cleanrl"])
    assert told[6:12] == ["sb3", "sbx", "acclimate", "sbx", "acclimate", "sb3"]  # after the warm-up of each
    assert told[12:] == ["sb3 closed", "sbx closed", "acclimate closed"]
    assert "acclimate 40/s" in engine.shown(cell)
    cells = {case.name: cell, own.name: engine.measure(own, 1, [])}
    monkeypatch.setattr(engine_page, "CASES", (case, own))
    monkeypatch.setattr(engine_page, "CELLS", tmp_path)
    monkeypatch.setattr(engine_page, "CHART", tmp_path / "engine.png")
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    (tmp_path / "page.md").write_text("# Head\n")
    for name, found in cells.items():
        engine_page.path_of(name).write_text(json.dumps(found))
    engine_page.write()
    text = (tmp_path / "page.md").read_text()
    ratio, same = "4.00 [4.00, 4.00]", "1.00 [1.00, 1.00]"
    assert f"| PPO, fake | 10 | - | 40 | 40 | {ratio} | - | {same} | {same} | 2 |" in text
    assert f"| kl | 40 | 40 | {same} | 1 |" in text
    assert "Measured with 1 thread(s), the kernel of" in text
    assert "Empty cells: PPO, fake: it has none." in text
    assert (tmp_path / "engine.png").read_bytes().startswith(b"\x89PNG")


def test_the_engine_is_one_of_the_sides() -> None:
    one = engine_cases.Engine(engine_cases.plain(small("ppo")), engine_cases.Full())
    stock_class = type(one.model).__mro__[1]
    assert one.train(16).cpu > 0
    one.close()
    assert type(one.model) is stock_class


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
