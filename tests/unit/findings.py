"""Findings of a run that never was, for the tests of the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from acclimate.evaluation.evaluate import Evaluation
from acclimate.reports.findings import Measured, Point
from acclimate.reports.report import Report


def played(mean: float, spread: float, *, episodes: int = 50, seed: int = 10_000) -> Evaluation:
    """Return episodes around a mean; the same call gives the same ones."""
    returns = np.random.default_rng(int(abs(mean))).normal(mean, spread, episodes)
    return Evaluation(returns, np.full(episodes, 1000), seed + np.arange(episodes))


def report(**changes: Any) -> Report:
    """Return a report of a good run, with some fields changed."""
    before, after, source = played(440, 270), played(2664, 310), played(5890, 41)
    levels = ((0, 430), (20_000, 180), (40_000, 950), (60_000, 1750), (80_000, 2340), (100_000, 2600))
    facts: dict[str, Any] = {
        "agent": "ppo-HalfCheetah-v3.zip",
        "algorithm": "ppo",
        "task": "HalfCheetah-v5 with gravity=0.5",
        "source_task": "HalfCheetah-v5",
        "method": "kl:weight=0.5",
        "seed": 0,
        "steps": 100_000,
        "steps_charged": 100_000,
        "wall_seconds": 187.3,
        "trainable_parameters": 1_000,
        "total_parameters": 4_000,
        "target": Measured(before, after, played(2510, 500)),
        "source": Measured(source, played(5104, 380), played(4900, 400)),
        "carried": (("observation normaliser", "statistics of 1,000,448 observations, updated on"),),
        "reset": (("exploration std", "0.0707 -> 0.368"),),
        "choices": (("std", "0.3679", "hard shift (the agent keeps 7 % of its skill): explore"),),
        "situation": {"source_return": 5890.2, "target_return": -440.1, "episodes": 4, "retained": None},
        "diagnosis": ("The return fell before it rose.",),
        "curve": tuple(Point(at, played(level, 200, episodes=5, seed=20_000)) for at, level in levels),
        "recipe": {"methods": [{"kl": {"weight": 0.5}}], "steps": 100_000},
        "environment": {"acclimate": "0.1.0", "torch": "2.13.0"},
        "normalized": True,
    }
    return Report(**(facts | changes))
