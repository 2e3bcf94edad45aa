"""How many more cells of a study two workers do than one, each with one thread on a core of its own.

    python -m benchmarks.workers                # the line in docs/benchmarks.md

The same cells are run by one worker and by two, in turn, from empty folders; what counts is the median of the rounds.
Both take the start of their processes, as a user does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from acclimate.agents import shipped
from acclimate.shifts import parse
from acclimate.studies.comparing import compare, keys
from acclimate.studies.study import Case, Study
from acclimate.tasks.task import Task
from benchmarks.page import put

AGENT = Path(shipped.__file__).parent
BAR = 1.6


def study(seeds: int, steps: int) -> Study:
    """Return what is run: the demo's lander."""
    zips = sorted(AGENT.glob("*.zip"))
    task = Task("LunarLander-v3").shifted(parse("main_engine=0.6"))
    return Study(cases=(Case(name="lander", agent=str(zips[0]), task=task),), seeds=seeds, steps=steps, episodes=10)


def seconds(asked: Study, workers: int) -> float:
    """Return what a study takes."""
    with tempfile.TemporaryDirectory() as room:
        begun = time.perf_counter()
        done = compare(asked, Path(room) / "study", workers=workers)
        if done.findings.missing:
            raise SystemExit(f"cells failed: {done.findings.missing}")
        return time.perf_counter() - begun


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100_000)
    given = parser.parse_args()
    asked, ratios = study(given.seeds, given.steps), []
    for number in range(given.rounds):
        one, two = seconds(asked, 1), seconds(asked, 2)
        ratios.append(one / two)
        print(f"round {number}: {one:.0f} s by one worker, {two:.0f} s by two: {one / two:.2f}", flush=True)
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    said = (
        f"`python -m benchmarks.workers --rounds {given.rounds}`: two workers do {middle:.2f} [{low:.2f}, {high:.2f}] "
        f"times the cells of one, {len(list(keys(asked)))} cells a study "
        f"of {given.steps:,} steps, in turn; the bar is {BAR}.\n"
    )
    put("workers", said)
    print(said)


if __name__ == "__main__":
    main()
