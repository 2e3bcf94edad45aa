"""What happens while SB3 trains, one duty at a time."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.monitor import load_results
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from acclimate.errors import DivergenceError
from acclimate.evaluation.evaluate import Evaluation, Point
from acclimate.planning.case import Case
from acclimate.planning.recipe import EvaluationPlan, Recipe
from acclimate.statistics.estimates import lower_bound
from acclimate.training.callbacks import selection as selections
from acclimate.training.callbacks.averaging import Averaging
from acclimate.training.callbacks.divergence import Finite, explain, is_finite, sees_finite
from acclimate.training.callbacks.log import TrainingLog
from acclimate.training.callbacks.monitor import MonitorFile
from acclimate.training.callbacks.prefill import PriorFirst
from acclimate.training.callbacks.saving import Saving
from acclimate.training.callbacks.selection import Selection, schedule
from acclimate.training.clock import Clock
from acclimate.training.job import Job
from acclimate.training.record import Record, from_json, to_json
from tests.world import model

# Averaging


def test_the_average_is_the_exponential_one() -> None:
    """0, then 1, 3, and 3 again without an update between, after 30 updates: 0.25, then 0.75 * 0.25 + 0.25 * 3."""
    policy = torch.nn.Linear(1, 1, bias=False)
    policy.weight.data.fill_(0.0)
    trained = SimpleNamespace(policy=policy, _n_updates=0, get_env=lambda: None, logger=None)
    average = Averaging(0.75)
    average.model = trained
    average._on_training_start()
    average.load_state({**average.state(), "taken": 30})
    for updates, value in ((0, 0.0), (10, 1.0), (20, 3.0), (20, 3.0)):
        trained._n_updates = updates
        policy.weight.data.fill_(value)
        average._on_rollout_start()
    assert average.average["weight"].item() == 0.9375
    with average.shown():
        assert policy.weight.item() == 0.9375
    assert policy.weight.item() == 3.0


def test_the_average_is_short_at_first() -> None:
    """From 0 to 1 and on to 2: 1/11 of the past after the first update, 2/12 of it after the second."""
    policy = torch.nn.Linear(1, 1, bias=False)
    policy.weight.data.fill_(0.0)
    average = Averaging(0.75)
    average.model = SimpleNamespace(policy=policy, _n_updates=0, get_env=lambda: None, logger=None)
    average._on_training_start()
    average.update()
    for updates in (1, 2):
        average.model._n_updates = updates
        policy.weight.data.fill_(float(updates))
        average.update()
    first = 10 / 11
    assert average.average["weight"].item() == pytest.approx(2 / 12 * first + 10 / 12 * 2)


# Selection


def evaluation(returns: list[float]) -> Evaluation:
    n = len(returns)
    return Evaluation(np.array(returns, dtype=float), np.full(n, 8), np.arange(n))


Measure = Callable[..., Selection]


@pytest.fixture
def selection(monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Return what makes a selection whose evaluations are given."""

    def make(results: list[list[float]], pretrained: list[float], due: int = 99) -> Selection:
        found = iter(results)
        monkeypatch.setattr(selections, "evaluate", lambda *_, **__: evaluation(next(found)))
        case = Case(None, None, None, Recipe())  # type: ignore[arg-type]
        plan = SimpleNamespace(steps=1_000)
        job = Job(case, plan, evaluation(pretrained), charged=100)  # type: ignore[arg-type]
        model = SimpleNamespace(policy=torch.nn.Linear(1, 1), num_timesteps=0)
        chosen = Selection(
            job,
            Clock(model, 0, 0, 0, 0.0),  # type: ignore[arg-type]
            Record(),
            live=lambda: SimpleNamespace(normalizer=None),  # type: ignore[arg-type,return-value]
            shown=nullcontext,
            on_point=lambda point: None,
        )
        chosen.due = list(range(1, due))
        return chosen

    return make


def test_the_lower_bound_by_hand() -> None:
    """Differences 1, 2, 6: mean 3, deviation sqrt(7), over sqrt(3)."""
    assert lower_bound(np.array([1.0, 2.0, 6.0])) == pytest.approx(3 - np.sqrt(7 / 3))
    assert lower_bound(np.array([1.0, 2.0, 6.0]), errors=2.0) == pytest.approx(3 - 2 * np.sqrt(7 / 3))
    assert lower_bound(np.array([5.0])) == -np.inf


def test_the_best_is_the_one_that_is_surely_better(selection: Measure) -> None:
    """The second mean is highest, but it hangs on one episode: the first bound is higher."""
    chosen = selection([[3.0, 3.1, 2.9], [0.0, 0.0, 12.0], [1.0, 1.0, 1.0]], [0.0, 0.0, 0.0])
    for steps, value in ((10, 0.1), (20, 0.2), (30, 0.3)):
        chosen.clock.model.num_timesteps = steps
        chosen.clock.model.policy.weight.data.fill_(value)
        chosen.measure()
    assert [point.steps for point in chosen.record.points] == [110, 120, 130]
    assert chosen.record.best.steps == 110
    assert chosen.record.best.policy["weight"].item() == pytest.approx(0.1), "it is no copy"


def test_it_measures_when_due_and_once(selection: Measure) -> None:
    chosen = selection([[1.0, 1.0]] * 5, [0.0, 0.0])
    chosen.due = [10, 12, 40]
    chosen.clock = dataclasses.replace(chosen.clock, start=1_000)
    measured = []
    for trained in range(0, 50, 8):
        chosen.clock.model.num_timesteps = 1_000 + trained
        chosen._on_step()
        measured.append(len(chosen.record.points))
    assert measured == [0, 0, 1, 1, 1, 2, 2]


def test_a_collapse_ends_the_run_and_says_what_to_do(selection: Measure) -> None:
    chosen = selection([[-5.0, -5.1], [-6.0, -6.1], [-7.0, -7.1]], [0.0, 0.0])
    chosen.measure()
    chosen.measure()
    with pytest.raises(DivergenceError, match=r"collapsed: .* return is -7.05.*pretrained agent's 0 .*learning_rate"):
        chosen.measure()


@pytest.mark.parametrize(
    ("results", "due"),
    [
        ([[-5.0, -5.1], [-6.0, -6.1], [-5.5, -5.6]], 99),
        ([[-5.0, -5.1], [-6.0, 6.1], [-7.0, -7.1]], 99),
        ([[-5.0, -5.1], [-6.0, -6.1], [-7.0, -7.1]], 0),
    ],
    ids=["recovers", "unsure", "over"],
)
def test_what_is_no_collapse(selection: Measure, results: list[list[float]], due: int) -> None:
    chosen = selection(results, [0.0, 0.0], due)
    for _ in results:
        chosen.measure()
    assert [point.evaluation.returns.tolist() for point in chosen.record.points] == results


def test_weights_that_are_no_numbers_are_not_measured(selection: Measure) -> None:
    chosen = selection([], [0.0, 0.0])
    chosen.clock.model.policy.weight.data.fill_(torch.nan)
    chosen.clock.model.num_timesteps = 7
    with pytest.raises(DivergenceError, match="step 7"):
        chosen.measure()


def test_points_round_trip() -> None:
    like = evaluation([0.0, 0.0])
    point = Point(7, Evaluation(np.array([1.5, 2.0]), np.array([3, 4]), like.seeds))
    (back,) = from_json(json.loads(json.dumps(to_json([point]))), like)
    assert (back.steps, back.evaluation.returns.tolist(), back.evaluation.lengths.tolist()) == (7, [1.5, 2.0], [3, 4])
    assert back.evaluation.seeds.tolist() == [0, 1]
    # Checkpoints of 0.1.0 held a bound that nobody read.
    assert from_json([{"steps": 7, "returns": [1.5, 2.0], "lengths": [3, 4], "lower": None}], like)[0].steps == 7


@pytest.mark.parametrize(
    ("plan", "steps", "at"),
    [
        (EvaluationPlan(points=5), 100, [20, 40, 60, 80]),
        (EvaluationPlan(points=1), 100, []),
        (EvaluationPlan(freq=30), 100, [30, 60, 90]),
        (EvaluationPlan(freq=50), 100, [50]),
    ],
)
def test_the_schedule_leaves_the_end_out(plan: EvaluationPlan, steps: int, at: list[int]) -> None:
    assert schedule(steps, plan) == at


# Divergence


def test_numbers_that_are_none_are_found() -> None:
    trained = model("ppo")
    assert is_finite(trained)
    assert sees_finite(trained)
    watch = Finite()
    watch.model = trained
    watch._on_rollout_start()
    with torch.no_grad():
        trained.policy.log_std.fill_(torch.inf)
    assert not is_finite(trained)
    with pytest.raises(DivergenceError) as caught:
        watch._on_rollout_start()
    assert str(caught.value) == explain(trained.num_timesteps)
    trained._last_obs = {"a": np.array([np.nan])}
    assert not sees_finite(trained)


# Prefill


@pytest.mark.parametrize("usual", [1, -1])
def test_no_gradient_before_the_prior_has_filled_the_buffer_and_then_what_it_put_off(usual: int) -> None:
    trained = SimpleNamespace(num_timesteps=50, gradient_steps=usual, n_envs=1, _n_updates=7, get_env=lambda: None)
    trained.replay_buffer = None
    trained.train_freq = TrainFreq(1, TrainFrequencyUnit.STEP)
    first = PriorFirst(3, start=50, updates=7)
    first.model = trained
    first._on_training_start()
    seen = []
    for step in range(51, 61):
        trained.num_timesteps = step
        first._on_step()
        updates = trained.gradient_steps if trained.gradient_steps >= 0 else 1
        trained._n_updates += updates
        seen.append(updates)
    assert seen == [0, 0, 2, 2, 1, 1, 1, 1, 1, 1]
    assert sum(seen) == 10, "as many updates as steps"
    assert max(seen) == 2
    trained.gradient_steps, trained.num_timesteps, trained._n_updates = usual, 54, 7 + 2
    again = PriorFirst(3, start=50, updates=7)
    again.model = trained
    again._on_training_start()
    assert trained.gradient_steps == 2, "a run that is resumed still owes what the fill put off"
    again._on_training_end()
    assert trained.gradient_steps == usual


# Files


def test_the_monitor_file_is_read_by_sb3_and_cut_where_a_run_resumes(tmp_path: Path) -> None:
    def episodes(file: MonitorFile, *returns: float) -> None:
        for value in returns:
            file.locals = {"infos": [{}, {"episode": {"r": value, "l": 8}}]}
            file._on_step()

    path = tmp_path / "monitor.csv"
    first = MonitorFile(path, "Dot")
    episodes(first, 1.0, 2.0, 3.0)
    first.close()
    assert first.rows == 3
    again = MonitorFile(path, "Dot", rows=2)
    episodes(again, 9.0)
    again.close()
    table = load_results(str(tmp_path))
    assert table["r"].tolist() == [1.0, 2.0, 9.0]
    assert table["l"].tolist() == [8, 8, 8]
    assert again.rows == 3
    with path.open() as file:
        assert next(csv.reader(file))[0].startswith('#{"t_start"')


def test_a_monitor_file_that_a_kill_has_emptied_begins_anew(tmp_path: Path) -> None:
    place = tmp_path / "monitor.csv"
    place.write_text("")
    again = MonitorFile(place, "Dot", rows=3)
    again.close()
    assert place.read_text().splitlines()[1:] == ["r,l,t"]


def test_checkpoints_are_written_now_and_then() -> None:
    written: list[int] = []
    often, seldom = Saving(lambda: written.append(1), 0.0), Saving(lambda: written.append(2), 1e6)
    for _ in range(3):
        often._on_rollout_start()
        seldom._on_rollout_start()
    assert written == [1, 1, 1]


def test_the_log_goes_on_where_it_was() -> None:
    log = TrainingLog({"std": [0.5]})
    logger = SimpleNamespace(name_to_value={"train/std": 0.25, "train/loss": np.nan, "time/fps": 3.0})
    log.model = SimpleNamespace(rollout_buffer=None, logger=logger)  # type: ignore[assignment]
    log._on_rollout_start()
    assert dict(log.values) == {"std": [0.5, 0.25]}


def test_the_progress_bar_asks_for_nothing_where_nobody_sees_it() -> None:
    from acclimate.training.callbacks.progress import ProgressBar

    asked: list[Any] = []
    bar = ProgressBar(10, lambda: asked.append(1), enabled=False)  # type: ignore[func-returns-value]
    bar.model = SimpleNamespace(num_timesteps=0, ep_info_buffer=[])  # type: ignore[assignment]
    bar._on_training_start()
    bar._on_step()
    bar.close()
    assert asked == []
