"""The figures of a measured guard, by hand; and faults that do what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from acclimate.errors import ConfigError
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded
from acclimate.guard.trials.faults import FAULTS, Sensors
from acclimate.guard.trials.measuring import Bench, Strangeness, detection, measure
from acclimate.guard.trials.wording import as_json, told
from tests.unit.guard.world import agent, fitted, random_world, task


@pytest.fixture(scope="module")
def guarded() -> Guarded:
    return Guarded(agent(), fitted("bounds", "rate", "mahalanobis", episodes=130, alarms=0.05))


def test_strangeness_is_a_rank_until_a_tier_refuses() -> None:
    clean = [np.float32([[0, 10], [0, 20]]), np.float32([[0, 30], [0, 40]])]
    strange = Strangeness(clean, np.float32([0, 45]))
    seen = np.float32([[0, 5], [0, 25], [0, 45], [0, 46], [2, 5]])
    assert strange(seen).tolist() == [0.0, 0.5, 1.0, 2.0, 3.0]


def test_detection_by_hand() -> None:
    clean = [np.array([0.1, 0.2]), np.array([0.3, 0.4])]
    faulty = [np.array([9.0, 0.1, 2.0, 0.2]), np.array([0.2, 0.2, 0.2, 0.2]), np.array([0.1, 3.0, 3.0, 3.0])]
    shows = [np.array([0, 1, 1, 1], bool), np.array([0, 1, 1, 1], bool), np.array([0, 0, 0, 1], bool)]
    found = detection(clean, faulty, shows, 1.0)
    # While it shows: .1 2 .2 | .2 .2 .2 | 3. The alarm before the first fault is none of its detections.
    assert found.detected == pytest.approx(2 / 3)
    assert found.delay == 0.5, "one step late, and at once"
    assert found.rate == pytest.approx(2 / 7)
    above = [0.5, 4, 1.5, 1.5, 1.5, 1.5, 4]
    assert found.auroc == pytest.approx(sum(above) / (4 * 7))


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_begins_within_the_episode_and_changes_what_it_says(fault: str, guarded: Guarded) -> None:
    """The policy's last layer is silenced, so that what it sees does not change the world."""
    bench = Bench(guarded, task())
    deviation = 1 / guarded.guard.filter.standard.gain.numpy()
    weights = guarded.agent.model.policy.action_net.weight.data
    kept = weights.clone()
    weights.zero_()
    try:
        _, truth, _ = bench.watched(4, look=lambda rows, _: rows.copy())
        _, seen, shows = bench.watched(4, fault, look=lambda rows, _: rows.copy())
    finally:
        weights.copy_(kept)
    for clean, rows, where in zip(truth, seen, shows, strict=True):
        begin = int(np.argmax(where))
        assert 10 <= begin <= (60 if fault != "spike" else 99)
        np.testing.assert_array_equal(rows[~where], clean[~where])
        assert (rows[where] != clean[where]).any(1).mean() > 0.9
        size = np.abs(rows - clean)[begin:] / deviation
        SAID[fault](rows[begin:], size)


def one_of(size: np.ndarray) -> np.ndarray:
    """Return the sizes of the one sensor that is off."""
    assert ((size > 1e-3).any(0)).sum() == 1
    return size.max(1)


def stuck(rows: np.ndarray, size: np.ndarray) -> None:
    assert (np.ptp(rows, axis=0) == 0).sum() == 1


def not_finite(rows: np.ndarray, size: np.ndarray) -> None:
    assert (~np.isfinite(rows)).all(0).sum() == (~np.isfinite(rows)).any(0).sum() == 1


def spike(rows: np.ndarray, size: np.ndarray) -> None:
    high = size.max(1)[size.max(1) > 0]
    np.testing.assert_allclose(high, 8.0, rtol=1e-3)
    assert len(high) < 0.3 * len(size)


def bias(rows: np.ndarray, size: np.ndarray) -> None:
    np.testing.assert_allclose(one_of(size), 3.0, rtol=1e-3)


def drift(rows: np.ndarray, size: np.ndarray) -> None:
    np.testing.assert_allclose(one_of(size), 0.02 * np.arange(1, len(size) + 1), rtol=1e-2)


def dropout(rows: np.ndarray, size: np.ndarray) -> None:
    assert 0.15 < (rows == 0).mean() < 0.45


def swapped(rows: np.ndarray, size: np.ndarray) -> None:
    assert ((size > 0).any(0)).sum() == 2


def noisy(rows: np.ndarray, size: np.ndarray) -> None:
    assert 0.6 < size.mean() < 1.0, "the mean of a folded normal is .8"


SAID = {each.__name__: each for each in (not_finite, stuck, spike, bias, drift, dropout, swapped, noisy)}


def test_episodes_fail_alike_whoever_plays_and_however_many_run_together(guarded: Guarded) -> None:
    kept = []
    for n_envs in (1, 3):
        bench = Bench(guarded, task(), n_envs=n_envs)
        kept.append(bench.watched(5, "noisy", look=lambda rows, _: rows.copy())[1:])
    for one, other in zip(*kept, strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_allclose(left, right, atol=1e-5)


def test_a_measurement_tells_all_of_it(guarded: Guarded) -> None:
    found = measure(guarded, task(), episodes=20, fault_episodes=4)
    assert [trial.fault for trial in found.trials] == list(FAULTS)
    by = {trial.fault: trial for trial in found.trials}
    assert by["not_finite"].returns is None
    assert by["not_finite"].first == "not_finite"
    assert (by["not_finite"].detection.auroc, by["not_finite"].detection.delay) == (1.0, 0.0)
    assert by["spike"].detection.detected == 1.0
    assert by["spike"].detection.auroc > 0.95
    assert all(len(trial.guarded) == 4 for trial in found.trials)
    page, data = told(found, 0.05), as_json(found)
    assert all(fault in page for fault in FAULTS)
    assert "Clopper-Pearson" in page
    assert json.loads(json.dumps(data))["false_alarms"]["n"] == 20


def test_a_world_of_choices_has_no_sensor_to_fail() -> None:
    made, world = random_world("a2c")
    choices = Guarded(made, fit(made, world, episodes=10, alarms=0.9))
    with pytest.raises(ConfigError, match="no number that moves"):
        measure(choices, world, episodes=2, fault_episodes=1, faults=["not_finite"])
    found = measure(choices, world, episodes=20, fault_episodes=1)
    assert (found.false_alarms.n, found.trials) == (20, ())
    assert told(found, 0.05).endswith("no fault of a sensor was shown")


def test_pictures_fail_as_a_whole() -> None:
    made, world = random_world("ppo-cnn")
    camera = Guarded(made, fit(made, world, episodes=10, alarms=0.9))
    assert [len(places) for places, _ in Sensors(camera.guard).all] == [36 * 36 * 3]
    assert Sensors(camera.guard).floating == []


@pytest.mark.parametrize(
    ("asked", "said"), [({"faults": ("stuk",)}, "Did you mean `stuck`"), ({"fault_episodes": 30}, "give 1 to 5")]
)
def test_what_cannot_be_is_refused(asked: dict, said: str, guarded: Guarded) -> None:
    with pytest.raises(ConfigError, match=said):
        measure(guarded, task(), episodes=5, **{"fault_episodes": 1, **asked})
