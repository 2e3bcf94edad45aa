"""Measure what the engine saves in `acclimate demo`: the same run beside one that Stable-Baselines3's own code trains.

    python -m benchmarks.demo              # three rounds, about four minutes, then the table in docs/benchmarks.md
    python -m benchmarks.demo --rounds 1 --no-table

Both sides do all of it: load, probe, train, judge, write the report. Each run is a process of its own, and they take
turns. A process's seconds count from its start, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.page import ROOT, put

SIDES = {"sb3": "SB3's own training", "auto": "the engine"}


def run(engine: str) -> None:
    """Do the demo in this process, and print where it ended."""
    import acclimate as ac
    from acclimate import shifts
    from acclimate.agents import shipped
    from acclimate.cli.demo import AGENT, ENV, SHIFT, STEPS
    from acclimate.planning.recipe import Recipe
    from acclimate.tasks.task import Task

    agent, task = ac.load(shipped.path(AGENT)), Task(ENV, shifts=(shifts.parse(SHIFT),))
    with tempfile.TemporaryDirectory() as room:
        done = ac.finetune(agent, task, Recipe(steps=STEPS, seed=0, engine=engine), out=f"{room}/run", progress=False)
    returns = done.report.target.after.returns
    print(json.dumps({"verdict": done.report.verdict, "after": float(np.mean(returns))}))


def ask(engine: str) -> dict[str, float | str]:
    """Let another process do it, and return its seconds on the clock and on the processors beside what it printed."""
    used, begun = _cpu(), time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.demo", "--worker", engine]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    wall, cpu = time.perf_counter() - begun, _cpu() - used
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return {"wall": wall, "cpu": cpu, **json.loads(done.stdout.splitlines()[-1])}


def _cpu() -> float:
    """Return the processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(found: dict[str, list[dict[str, float | str]]]) -> list[str]:
    """Return the medians of each side with the lowest and the highest, and what is saved in a round."""
    lines = ["| trained by | seconds | processor seconds | verdict | return after |", "|---|--:|--:|---|--:|"]
    for side, told in SIDES.items():
        times = (_spread([float(each[key]) for each in found[side]], 0) for key in ("wall", "cpu"))
        verdicts = ", ".join(sorted({str(each["verdict"]) for each in found[side]}))
        after = ", ".join(sorted({f"{each['after']:.0f}" for each in found[side]}))
        lines.append(f"| {told} | {' | '.join(times)} | {verdicts} | {after} |")
    pairs = list(zip(found["sb3"], found["auto"], strict=True))
    saved = _spread([float(slow["wall"]) - float(quick["wall"]) for slow, quick in pairs], 0)
    ratio = _spread([float(slow["wall"]) / float(quick["wall"]) for slow, quick in pairs], 2)
    return [*lines, "", f"Saved: {saved} s of a run; {ratio} times as fast, in {len(pairs)} round(s)."]


def _spread(values: list[float], digits: int) -> str:
    return f"{np.median(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        run(arguments.worker)
        return
    # As in `make demo`; a machine may tell numpy to multiply as on an older CPU.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.pop("OPENBLAS_CORETYPE", None)
    found: dict[str, list[dict[str, float | str]]] = {side: [] for side in SIDES}
    for _ in range(arguments.rounds):
        for side in SIDES:
            found[side].append(ask(side))
            print(side, found[side][-1], flush=True)
    lines = table(found)
    print("\n".join(lines))
    if not arguments.no_table:
        put("demo", "\n".join(lines))


if __name__ == "__main__":
    main()
