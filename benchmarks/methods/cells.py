"""The cells of the methods' comparison: which are missing, and how one is run and written.

A cell is one method and seed; it is written when it ends, so the benchmark resumes where it was stopped. Worker
processes import this file and begin at `run_cell`, so nothing heavy is imported before that.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CELLS = ROOT / "benchmarks" / "results" / "methods"
FINAL_EPISODES = 20


@dataclass(frozen=True)
class Ground:
    """Where methods are compared: an agent of benchmarks/agents, a shift and a number of steps."""

    title: str
    agent: str
    env: str
    shift: str
    steps: int


GROUNDS = {
    "ppo": Ground("PPO CartPole, `length=2`", "ppo-CartPole-v1-s{seed}.zip", "CartPole-v1", "length=2", 8_000),
    "sac": Ground("SAC Pendulum, `length=1.5`", "sac-Pendulum-v1-s{seed}.zip", "Pendulum-v1", "length=1.5", 2_000),
}
Job = tuple[str, str, int, int | None, str]
"""Ground, method, seed, steps (None: those of the ground), folder of the cells."""


def path_of(folder: str, ground: str, name: str, seed: int) -> Path:
    """Return where a cell lies."""
    return Path(folder) / f"{ground}-{name}-s{seed}.json"


def load(ground: Ground, seed: int) -> Any:
    """Return the pretrained agent of a seed."""
    import acclimate as ac

    return ac.load(ROOT / "benchmarks" / "agents" / ground.agent.format(seed=seed))


def run_cell(job: Job) -> str:
    """Run one cell and write it."""
    import warnings

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    import acclimate as ac
    from acclimate.errors import AcclimateError
    from acclimate.files.atomic import write_atomic
    from acclimate.planning.recipe import EvaluationPlan, Recipe
    from benchmarks.instances import instance_on

    where, name, seed, steps, folder = job
    ground = GROUNDS[where]
    task = ac.Task(ground.env, shifts=(ac.shifts.parse(ground.shift),))
    plan = EvaluationPlan(points=2, episodes=5, final_episodes=FINAL_EPISODES)
    steps = steps or ground.steps
    cell: dict[str, Any] = {"ground": where, "method": name, "seed": seed, "steps": steps}
    agent = load(ground, seed)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            method = instance_on(name, agent, task, Path(scratch) / "recorded")
            recipe = Recipe(methods=(method,), steps=steps, seed=seed, evaluation=plan)
            run = ac.finetune(agent, task, recipe, out=Path(scratch) / "run", progress=False)
    except AcclimateError as error:
        cell["error"] = str(error)
    else:
        cell |= _figures(run.report)
    path = path_of(folder, where, name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(cell))
    said = cell.get("error") or f"{sum(cell['target']) / len(cell['target']):.1f} in {cell['seconds']:.0f} s"
    return f"{where} {name}, seed {seed}: {said}"


def _figures(report: Any) -> dict[str, Any]:
    """Return what the table needs of a report: the end of training, whether it was kept or not."""
    signals = report.signals

    def last(name: str) -> float | None:
        known = [value for value in signals.get(name, ()) if value is not None]
        return known[-1] if known else None

    idle = [last(name) for name in signals if name.endswith(("/dormant", "/saturated"))]
    moved = [last(name) for name in signals if name.startswith("distance/")]
    target, source = report.target.last, report.source.last
    return {
        "before": report.target.before.returns.tolist(),
        "target": target.returns.tolist() if target else [],
        "source_before": report.source.before.returns.tolist(),
        "source": source.returns.tolist() if source else [],
        "kept": report.kept,
        "charged": report.steps_charged,
        "seconds": report.wall_seconds,
        "trainable": report.trainable_parameters / report.total_parameters,
        "kl": last("policy/kl"),
        "kl_source": last("policy/kl_source"),
        "distance": max((value for value in moved if value is not None), default=None),
        "active": 1.0 - sum(idle) / len(idle) if idle and None not in idle else None,
        "diagnosis": list(report.diagnosis),
    }


def ground_of(name: str) -> str:
    """Return where a method is compared: on PPO, or on SAC if PPO refuses it."""
    from acclimate.errors import SurgeryError
    from benchmarks.instances import instance
    from benchmarks.overhead import KINDS, prepare

    try:
        prepare(KINDS[0], instance(name))
    except SurgeryError:
        return "sac"
    return "ppo"


def wanted(arguments: argparse.Namespace) -> list[Job]:
    """Return the cells that are still missing, seeds outermost so that a table is soon complete."""
    from acclimate.registry import METHODS

    names = arguments.only or METHODS.names()
    places = {name: ground_of(name) for name in names}
    chosen = [(place, name) for name, place in places.items()]
    if "sac" in places.values() and "full" in names:
        chosen.append(("sac", "full"))  # beside which the others stand
    return [
        (place, name, seed, arguments.steps, arguments.cells)
        for seed in range(arguments.seeds)
        for place, name in chosen
        if not path_of(arguments.cells, place, name, seed).exists()
    ]
