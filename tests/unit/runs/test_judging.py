"""What is kept, by which episodes; and what is found is the same whether these are played at once or one by one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from acclimate.evaluation.seeds import TRAINING_SEED
from acclimate.parallel.cores import forks
from acclimate.runs import before, episodes, judging
from acclimate.runs.finetune import finetune
from acclimate.runs.judging import choose
from acclimate.tasks.task import Task
from acclimate.training.callbacks import selection
from tests.world import agent, linear, recipe, same, task, weights


def tuned(processes: int, name: str, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Any:
    """Tune with so many processes at once."""
    with monkeypatch.context() as patch:
        patch.setattr(episodes, "forks", lambda *_: processes)
        return finetune(agent(name), task(name, offset=0.5), recipe(**given), source=task(name))


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_a_run_finds_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (tuned(processes, name, monkeypatch) for processes in (1, 2))
    for world in ("target", "source"):
        for when in ("before", "after", "last"):
            found = [getattr(getattr(run.report, world), when) for run in (one, other)]
            assert (found[0] is None) == (found[1] is None)
            if found[0] is not None:
                assert np.array_equal(found[0].returns, found[1].returns)
                assert np.array_equal(found[0].seeds, found[1].seeds)
    assert one.report.kept == other.report.kept
    assert same(weights(one.agent), weights(other.agent))


def test_several_are_at_work_and_who_wants_one_process_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[int] = []
    play = episodes.evaluate

    def seen(*given: Any, **more: Any) -> Any:
        here.append(os.getpid())
        return play(*given, **more)

    monkeypatch.setattr(episodes, "evaluate", seen)
    tuned(2, "ppo", monkeypatch, vec_env="dummy")
    alone = len(here)
    here.clear()
    tuned(2, "ppo", monkeypatch)
    assert 0 < len(here) < alone


def test_worlds_of_unknown_make_are_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acclimate.parallel.cores._cores", lambda: 4)
    known = Task("CartPole-v1")
    assert forks(known.make, known.make) == 4
    assert forks(known.make, task("ppo").make) == 1


# What is kept


class Told:
    """Episodes whose returns are told beforehand."""

    def __init__(self, **returns: Any) -> None:
        self.returns = {name: np.asarray(values, dtype=np.float64) for name, values in returns.items()}
        self.asked: list[str] = []

    def judging(self, who: Any) -> Any:
        self.asked.append(f"judging {who}")
        return SimpleNamespace(returns=self.returns[who], steps=8)

    def choosing(self, who: Any) -> Any:
        self.asked.append(f"choosing {who}")
        return SimpleNamespace(returns=self.returns[who], steps=8)

    def together(self, jobs: Any) -> Any:
        return {name: job() for name, job in jobs.items()}


def brought(best: int | None, last: int | None) -> Any:
    """Return what training left: snapshots by their steps, shown as `step N`."""
    one, other = (None if at is None else SimpleNamespace(steps=at) for at in (best, last))
    return SimpleNamespace(record=SimpleNamespace(best=one), last=other, show=lambda snapshot: f"step {snapshot.steps}")


def judged(monkeypatch: pytest.MonkeyPatch, gains: Any, episodes: int = 50) -> tuple[bool, str]:
    """Return whether a snapshot with such gains is kept, and why."""
    gains = np.asarray(gains, dtype=np.float64)
    told = Told(pretrained=np.zeros_like(gains), **{"step 7": gains})
    monkeypatch.setattr(judging, "Episodes", lambda case: told)
    case = SimpleNamespace(agent="pretrained", recipe=recipe(evaluation={"judging_episodes": episodes}))
    found = judging.surely_better(case, brought(7, 7), SimpleNamespace(steps=7))  # type: ignore[arg-type]
    return found.better, found.why


def test_a_mean_that_may_be_chance_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = np.random.default_rng(0).normal(0.0, 1.0, 50)
    gains = wide - wide.mean() + 0.1
    better, why = judged(monkeypatch, gains)
    assert gains.mean() > 0
    assert not better
    assert re.search(
        r"step 7 it returns \+0\.1 in 50 judging episodes, and not surely more \(95 % bound -0\.\d+\)", why
    )
    better, why = judged(monkeypatch, gains + 0.5)
    assert better
    assert re.search(r"and surely more \(95 % bound \+0\.\d+\)", why)


def test_a_deep_fall_among_small_gains_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal bound is above zero here."""
    better, why = judged(monkeypatch, [1.0] * 49 + [-10.0])
    assert not better
    assert why.endswith("and not surely more (too few of its falls were seen for a bound)")


def test_below_twenty_episodes_nothing_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(monkeypatch, [100.0] * 19, 19) == (False, "too few to judge: 19 judging episodes, and it takes 20")
    assert judged(monkeypatch, [100.0] * 20, 20)[0]


def test_one_is_chosen_by_episodes_that_judge_nothing() -> None:
    told = Told(**{"step 3": [5.0, 6.0], "step 9": [4.0, 5.0]})
    chosen, steps = choose(brought(3, 9), told)  # type: ignore[arg-type]
    assert (chosen.steps, steps) == (3, 16)  # type: ignore[union-attr]
    assert told.asked == ["choosing step 3", "choosing step 9"]
    told = Told(**{"step 3": [5.0, 6.0], "step 9": [5.5, 5.5]})
    chosen, _ = choose(brought(3, 9), told)  # type: ignore[arg-type]
    assert chosen.steps == 9, "the end of training wins a tie"  # type: ignore[union-attr]


@pytest.mark.parametrize(("best", "last", "found"), [(3, None, 3), (None, 9, 9), (9, 9, 9), (None, None, None)])
def test_where_there_is_no_choice_nothing_is_played(best: int | None, last: int | None, found: int | None) -> None:
    told = Told()
    chosen, steps = choose(brought(best, last), told)  # type: ignore[arg-type]
    assert steps == 0
    assert (None if chosen is None else chosen.steps) == found
    assert told.asked == []


def test_what_judges_is_what_was_asked_for_and_has_chosen_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """All episodes of a run by their seeds: those that judge are fifty by default and meet no others."""
    seeds: dict[str, list[set[int]]] = {}

    def seen(kind: str, play: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate(*given: Any, **more: Any) -> Any:
            found = play(*given, **more)
            seeds.setdefault(kind, []).append(set(found.seeds.tolist()))
            return found

        return evaluate

    class Seen(episodes.Episodes):
        final = seen("final", episodes.Episodes.final)
        judging = seen("judging", episodes.Episodes.judging)
        choosing = seen("choosing", episodes.Episodes.choosing)
        selection = seen("selection", episodes.Episodes.selection)

    monkeypatch.setattr(judging, "Episodes", Seen)
    monkeypatch.setattr(before, "Episodes", Seen)
    monkeypatch.setattr(selection, "evaluate", seen("selection", selection.evaluate))
    # The end of training is made no better, so that there is something to choose between.
    run = finetune(linear(0.0), task("ppo", offset=0.5), recipe(evaluation={"points": 4}, steps=400, vec_env="dummy"))
    assert {len(each) for each in seeds["judging"]} == {50}
    assert len(seeds["judging"]) == 2, "the tuned agent and the pretrained one, nobody else"
    mine = set.union(*seeds["judging"])
    others = set.union(*(each for kind in seeds if kind != "judging" for each in seeds[kind]))
    assert not mine & others
    assert min(mine) + len(mine) <= TRAINING_SEED
    assert ("kept", run.report.kept) in [row[:2] for row in run.report.choices]
    assert run.report.judged == 50
