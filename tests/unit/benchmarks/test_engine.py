"""The engine's benchmark: its sides are what they say and take turns, and the page shows what was measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import stable_baselines3 as sb3
from benchmarks import page
from benchmarks.conditions import Conditions, cores
from benchmarks.engine import cases, rounds
from benchmarks.engine import page as engine_page
from benchmarks.engine.cases import Case
from benchmarks.peers.side import Spent

from acclimate.methods.dropout import Dropout
from acclimate.methods.freeze import Freeze
from tests.unit.benchmarks.small import small


def test_sb3_and_ours_are_the_same_model() -> None:
    for name in ("ppo", "sac", "td3", "dqn"):
        theirs, mine = cases.plain(small(name)), cases.ours(small(name))
        assert str(theirs.policy) == str(mine.policy)
        assert theirs.env.num_envs == mine.env.num_envs


def test_every_peer_has_every_case() -> None:
    for case in cases.CASES:
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
    cell = rounds.measure(case, 2, ["cleanrl"], Conditions())
    assert told[6:12] == ["sb3", "sbx", "acclimate", "sbx", "acclimate", "sb3"]  # after the warm-up of each
    assert told[12:] == ["sb3 closed", "sbx closed", "acclimate closed"]
    assert "acclimate 40/s" in rounds.shown(cell)
    cells = [(Conditions(), cell), (Conditions(), rounds.measure(own, 1, [], Conditions()))]
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


def test_the_engine_is_one_of_the_sides() -> None:
    one = cases.Engine(cases.plain(small("ppo")), cases.Full())
    stock_class = type(one.model).__mro__[1]
    assert one.train(16).cpu > 0
    one.close()
    assert type(one.model) is stock_class


def test_sb3_trains_with_the_method_too() -> None:
    """What is frozen stays, without our hooks; what a method adds is there while SB3 trains."""
    frozen = cases.Stock(cases.plain(small("ppo")), Freeze(on="actor"), frozen=True)
    before = {name: value.clone() for name, value in frozen.model.policy.state_dict().items()}
    assert type(frozen.model).train is sb3.PPO.train
    frozen.train(16)
    moved = {name for name, value in frozen.model.policy.state_dict().items() if not value.equal(before[name])}
    assert moved
    assert all("value" in name for name in moved)
    frozen.close()
    dropping = cases.Stock(cases.plain(small("ppo")), Dropout())
    assert type(dropping.model).train is not sb3.PPO.train
    assert dropping.train(16).wall > 0
    dropping.close()


def test_a_case_says_what_it_lacks() -> None:
    case = Case("PPO, images", {}, 1, needs=("json", "no_such_module"))
    assert case.lacks == ["no_such_module"]
