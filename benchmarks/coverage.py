"""Simulate how often the intervals of a study hold, where they say 95 %.

    python -m benchmarks.coverage                # the table in docs/benchmarks.md, and what reports say of themselves

Returns of two ways to adapt an agent are drawn for n seeds and 50 episodes that all of them share: an effect of the
seed, one of the episode and one of both, of equal size. **Normal**; **skewed**: exponential effects; **rare falls**:
one way loses three deviations in one of twenty episodes, the other in none; **a seed in ten falls**: the whole of it,
by ten deviations. The truth is known, so it is counted how often the interval holds it, where there is one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from acclimate.files.atomic import write_atomic
from acclimate.statistics.bootstrap import hierarchical_bootstrap
from acclimate.statistics.estimates import Estimate
from acclimate.statistics.seeds import crossed, improvement, over_cases, together
from benchmarks.page import put

SEEDS, EPISODES, CASES, MANY = (2, 3, 5, 10), 50, 4, 16
WORTH, KEPT = 10.0, 0.8
TOLD = Path(__file__).resolve().parents[1] / "src" / "acclimate" / "studies" / "coverage.json"
KINDS = ("normal", "skewed", "rare falls", "a seed in ten falls")
RATE, DEPTH = 0.05, 3.0
FALLEN, DEEP = 0.1, 10.0
CHANCE = 0.5


def drawn(rng: np.random.Generator, kind: str, seeds: int) -> np.ndarray:
    """Return differences of two ways, (seeds, episodes), whose true mean is 0."""

    def effect(*shape: int) -> np.ndarray:
        return rng.exponential(size=shape) - 1 if kind == "skewed" else rng.normal(size=shape)

    found = effect(seeds, 1) + effect(1, EPISODES) + effect(seeds, EPISODES)
    if kind == "rare falls":
        found += DEPTH * (rng.random((seeds, EPISODES)) < RATE) - DEPTH * RATE
    if kind == "a seed in ten falls":
        found += DEEP * (rng.random((seeds, 1)) < FALLEN) - DEEP * FALLEN
    return found


def holds(found: Estimate, truth: float) -> bool | None:
    """Tell whether an interval has the truth in it; None where there is no interval."""
    return None if np.isnan(found.low) else bool(found.low <= truth <= found.high)


def by_crossing(rng: np.random.Generator, kind: str, seeds: int) -> bool | None:
    """Tell whether the interval of one case holds."""
    found = crossed(drawn(rng, kind, seeds)).interval()
    return holds(found, 0.0)


def by_study(rng: np.random.Generator, kind: str, seeds: int) -> bool | None:
    """Tell whether the interval of the mean over cases of different spreads holds."""
    found = together([crossed(drawn(rng, kind, seeds)).scaled(size) for size in (1, 2, 3, 4)[:CASES]]).interval()
    return holds(found, 0.0)


def by_resampling(rng: np.random.Generator, kind: str, seeds: int) -> bool | None:
    """Tell whether the percentile interval that resamples seeds, then episodes, holds: what tables had before."""
    found = hierarchical_bootstrap(drawn(rng, kind, seeds), reps=500, seed=int(rng.integers(2**31)))
    return holds(found, 0.0)


def by_share(rng: np.random.Generator, kind: str, seeds: int) -> bool | None:
    """Tell whether the interval of the share kept at home holds, where what there is to keep was measured as well."""
    change = drawn(rng, kind, seeds) - (1 - KEPT) * WORTH
    worth = WORTH + rng.normal(size=EPISODES).mean() - rng.normal(size=EPISODES).mean()
    lost = crossed(change).scaled(1 / worth)
    return holds(replace(lost, mean=1 + lost.mean).interval(), KEPT)


def by_cases(rng: np.random.Generator, kind: str, seeds: int) -> bool | None:
    """Tell whether the interval for other cases holds, where the effect differs from case to case."""
    effects = rng.exponential(size=MANY) - 1 if kind == "skewed" else rng.normal(size=MANY)
    return holds(over_cases([effect + drawn(rng, kind, seeds).mean() for effect in effects]).interval(), 0.0)


def by_improvement(rng: np.random.Generator, kind: str, seeds: int) -> bool | None:
    """Tell whether the interval of the probability of improvement holds; two equal ways have one of a half."""
    pairs = [[drawn(rng, kind, seeds).mean(axis=1) for _ in range(2)] for _ in range(CASES)]
    found = improvement(pairs, reps=500, seed=int(rng.integers(2**31)))
    return holds(found, CHANCE)


INTERVALS: dict[str, tuple[str, Callable[[np.random.Generator, str, int], bool | None]]] = {
    "difference": ("one case: seeds and episodes crossed, Student's t", by_crossing),
    "study": ("mean over four cases of different spread", by_study),
    "home": ("share kept at home, what there was to keep measured too", by_share),
    "wider": (f"difference over {MANY} cases, for other cases", by_cases),
    "improvement": ("probability of improvement over four cases", by_improvement),
    "resampled": ("resampling seeds, then episodes (in tables of before)", by_resampling),
}


def share(found: Iterable[bool | None]) -> float:
    """Return how many of those that can be told are true."""
    return float(np.mean([each for each in found if each is not None]))


def simulated(draws: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the share of draws in which each interval held, by its name, the kind of returns and the seeds."""
    return {
        name: {
            kind: {str(seeds): share(told(rng, kind, seeds) for _ in range(draws)) for seeds in SEEDS}
            for kind in KINDS
            for rng in [np.random.default_rng(7)]
        }
        for name, (_, told) in INTERVALS.items()
    }


def table(found: dict[str, dict[str, dict[str, float]]], draws: int) -> str:
    """Return the table."""
    lines = [
        f"`python -m benchmarks.coverage`, {draws:,} draws a number; how often an interval of 95 % holds the truth, "
        f"for {', '.join(map(str, SEEDS))} seeds of {EPISODES} shared episodes.",
        "",
        f"| interval | {' | '.join(KINDS)} |",
        f"|---|{'---|' * len(KINDS)}",
    ]
    for name, (words, _) in INTERVALS.items():
        shares = (" / ".join(f"{100 * share:.1f}" for share in found[name][kind].values()) for kind in KINDS)
        lines.append(f"| {words} | {' | '.join(shares)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Simulate, and write what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=4_000)
    draws = parser.parse_args().draws
    found = simulated(draws)
    write_atomic(TOLD, json.dumps({"draws": draws, "episodes": EPISODES, "held": found}, indent=1) + "\n")
    put("coverage", table(found, draws))
    print(table(found, draws))


if __name__ == "__main__":
    main()
