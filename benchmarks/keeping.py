"""Simulate how often a run keeps an agent that gains nothing, and one that gains.

    python -m benchmarks.keeping                 # the table in docs/benchmarks.md (ten minutes)
    python -m benchmarks.keeping --trials 500 --no-table

Each trial draws the paired differences of judging episodes from a distribution whose mean is zero, so that whoever
keeps the agent errs. Three rules judge the same draws: the one of 0.1.0, which judged two agents by a normal bound and
kept whichever passed; BCa; and the one in use, `sure_gain`. Falls are differences of one but for a share of
episodes that lose what all others won, with noise of .3.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from acclimate.statistics.bootstrap import paired_difference
from acclimate.statistics.estimates import lower_bound
from acclimate.statistics.judgement import CONFIDENCE, sure_gain, unseen
from benchmarks.page import put

EPISODES = (20, 30, 50, 100)
REPS = 1_000
PROMISED = 0.06
"""False keeps at 50 episodes, for what episodes can show."""
Draw = Callable[[np.random.Generator, int], np.ndarray]


@dataclass(frozen=True)
class World:
    """How the differences of an agent that gains nothing are spread, by standard deviations of one or so."""

    name: str
    draw: Draw
    promised: bool = True
    """Whether false keeps are bounded there."""


def falls(share: float) -> Draw:
    """Return draws of which a share lose what the others win."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        fallen = rng.random(n) < share
        return np.where(fallen, -(1 - share) / share, 1.0) + 0.3 * rng.standard_normal(n)

    return draw


WORLDS = (
    World("normal", lambda rng, n: rng.standard_normal(n)),
    World("exponential, rare losses", lambda rng, n: 1 - rng.exponential(size=n)),
    World("exponential, rare gains", lambda rng, n: rng.exponential(size=n) - 1),
    World("falls, one in ten", falls(0.1)),
    World("falls, one in twenty", falls(0.05), promised=False),
    World("falls, one in fifty", falls(0.02), promised=False),
)
GAIN = 0.5
"""Of the agent that should be kept, in standard deviations of normal differences."""


def old_rule(rng: np.random.Generator, draw: Draw, n: int, gain: float) -> bool:
    """Judge two agents by a normal bound, and keep whichever passes."""
    return any(lower_bound(draw(rng, n) + gain, 1.645) > 0 for _ in range(2))


def bca(differences: np.ndarray) -> bool:
    """Judge by the lower end of the BCa interval."""
    return paired_difference(differences, 0 * differences, reps=REPS, confidence=2 * CONFIDENCE - 1).low > 0


def rates(world: World, n: int, trials: int, gain: float = 0.0) -> tuple[float, float, float]:
    """Return how often each rule keeps an agent: that of 0.1.0, BCa, and the one in use."""
    rng = np.random.default_rng([n, WORLDS.index(world)])
    kept = np.zeros(3)
    for _ in range(trials):
        found = world.draw(rng, n) + gain
        kept += [old_rule(rng, world.draw, n, gain), bca(found), sure_gain(found, reps=REPS) > 0]
    first, second, third = (float(share) for share in kept / trials)
    return first, second, third


def row(name: str, n: int, found: tuple[float, float, float], *, bold: bool = False) -> str:
    """Return a line of the table."""
    cells = [f"{100 * share:.1f}" for share in found]
    cells[-1] = f"**{cells[-1]}**" if bold else cells[-1]
    return f"| {name} | {n} | {' | '.join(cells)} |"


def main() -> None:
    """Simulate and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5_000)
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    arguments = parser.parse_args()
    lines = [
        "| kept, % | judging episodes | two agents, normal bound (0.1.0) | BCa | in use |",
        "|---|--:|--:|--:|--:|",
    ]
    for world in WORLDS:
        for n in EPISODES:
            found = rates(world, n, arguments.trials)
            seen = world.promised and n >= 50
            lines.append(row(f"no gain: {world.name}", n, found, bold=seen and found[-1] > PROMISED))
            print(lines[-1], flush=True)
    for n in EPISODES:
        lines.append(row(f"gain of {GAIN:g} deviations: normal", n, rates(WORLDS[0], n, arguments.trials, GAIN)))
        print(lines[-1], flush=True)
    error = 100 * np.sqrt(PROMISED * (1 - PROMISED) / arguments.trials)
    blind = ", ".join(f"{n} miss one in {1 / unseen(n):.0f}" for n in EPISODES)
    lines += ["", f"{arguments.trials:,} draws a line: figures of 6 % have a standard error of {error:.1f}. In one of"]
    lines[-1] += f" twenty draws episodes show no fall at all where falls are as rare as this: {blind}."
    print(lines[-1])
    if not arguments.no_table:
        put("keeping", "\n".join(lines))


if __name__ == "__main__":
    main()
