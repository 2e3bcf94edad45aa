"""Figures become sentences, alarms where they are due."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.unit.driver.world import task

from acclimate.callbacks.selection import Point, Record, Snapshot
from acclimate.diagnosis import diagnose
from acclimate.normalizer import Normalizer
from acclimate.probe import Situation

KNOWN = Normalizer.identity(task().observation_space)


def sentences(situation: Situation | None = None, **found: Any) -> list[str]:
    fields = {
        "record": Record(),
        "kl": None,
        "log": {},
        "pretrained_returns": np.array([10.0, 10.1]),
        "last": None,
        **found,
    }
    return list(diagnose(SimpleNamespace(normalizer=KNOWN), situation or Situation(), SimpleNamespace(**fields)))  # type: ignore[arg-type]


def test_nothing_known_is_nothing_said() -> None:
    assert sentences() == []


def test_the_skill_that_is_left() -> None:
    (said,) = sentences(Situation(source_return=10.0, target_return=6.0, random_return=2.0))
    assert "kept 50% of its skill" in said


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ({"clip_fraction": [0.0, 0.5, 0.5, 0.5, 0.5, 0.5]}, "50% of the last updates were clipped"),
        ({"clip_fraction": [0.9] * 5 + [0.1] * 5}, None),
        ({"explained_variance": [0.9, -0.5]}, None),
        ({"explained_variance": [-0.5]}, "critic explains nothing"),
        ({"std": [0.01]}, "std fell to 0.01"),
        ({"std": [0.5]}, None),
    ],
)
def test_alarms_of_the_updates(log: dict[str, list[float]], said: str | None) -> None:
    found = sentences(log=log)
    assert (found == []) if said is None else said in found[0]


def test_a_dip_names_the_worst_step() -> None:
    points = [
        Point(n, np.array([value, value + spread]), np.array([8, 8]), 0.0)
        for n, value, spread in ((5, 9.0, 3.0), (9, 4.0, 0.2), (12, 11.0, 0.2))
    ]
    assert "At step 9 the return dipped 5.95" in sentences(record=Record(points))[0]
    assert sentences(record=Record(points[:1])) == [], "within the noise of two episodes"


def test_drift_of_the_observations() -> None:
    moved = Snapshot(1, {}, replace(KNOWN, obs_mean=np.array([0.0, 3.0])))
    assert "Observation 1 moved by 3.0" in sentences(last=moved)[0]
    still = Snapshot(1, {}, replace(KNOWN, obs_mean=np.array([0.0, 0.5])))
    assert "at most 0.50" in sentences(last=still)[0]


def test_the_distance_from_the_prior() -> None:
    assert "0.25 nats" in sentences(kl=0.25)[0]
