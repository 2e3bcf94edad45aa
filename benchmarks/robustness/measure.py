"""One cell: the agent fine-tuned, then played clean and under each attack."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.agents.home import home
from acclimate.agents.load import load
from acclimate.attacks.attack import Attack
from acclimate.attacks.playing import attacked
from acclimate.evaluation.evaluate import evaluate
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded, GuardedPlayer
from acclimate.methods.smooth import Smooth
from acclimate.planning.recipe import EvaluationPlan, Recipe
from acclimate.runs.finetune import finetune
from acclimate.runs.keeping import LAST
from acclimate.shifts.sensors import SensorNoise
from acclimate.tasks.task import Task
from benchmarks.robustness.cases import EPISODES, N_ENVS, STEPS, Case, Cell

PLAYED: dict[str, Any] = {"episodes": EPISODES, "n_envs": N_ENVS}
FIT = 320
"""Clean episodes of the guard's fit."""


def run(cell: Cell, zoo: Path) -> dict[str, Any]:
    """Return all figures of a cell."""
    began = time.process_time()
    agent = load(zoo / cell.case.zip)
    task = home(agent).task
    if cell.arm == "guard":
        returns = behind_guard(agent, task, cell.case)
    else:
        tuned = agent if cell.arm == "before" else last(agent, task, recipe(cell), cell)
        returns = under_attack(tuned, task, cell.case)
    seconds = round(time.process_time() - began, 1)
    return {"case": cell.case.name, "arm": cell.arm, "seed": cell.seed, "returns": returns, "cpu_seconds": seconds}


def recipe(cell: Cell) -> Recipe:
    """Return what an arm does; all of them train as `finetune` does by default."""
    methods = (Smooth(radius=cell.case.radius),) if cell.arm == "smooth" else ()
    # The agent at the end is measured, whatever its clean return: one look during training, and few to judge by.
    plan = EvaluationPlan(points=1, episodes=1, judging_episodes=2, final_episodes=2)
    return Recipe(methods=methods, steps=STEPS, seed=cell.seed, evaluation=plan)


def last(agent: Agent, task: Task, recipe: Recipe, cell: Cell) -> Agent:
    """Return the agent at the end of its training."""
    world = task.shifted(SensorNoise(cell.case.radius)) if cell.arm == "noise" else task
    with tempfile.TemporaryDirectory() as folder:
        run = finetune(agent, world, recipe, out=Path(folder) / "run", progress=False)
        place = Path(folder) / "run" / LAST
        return load(place) if place.exists() else run.agent


def under_attack(agent: Agent, task: Task, case: Case) -> dict[str, list[float]]:
    """Return the returns of clean episodes and of the same under each attack."""
    found = {"clean": evaluate(agent, task, **PLAYED)}
    for name in case.attacks:
        found[name] = attacked(agent, task, Attack(name, case.radius), **PLAYED)
    return {name: each.returns.tolist() for name, each in found.items()}


def behind_guard(agent: Agent, task: Task, case: Case) -> dict[str, list[float]]:
    """Return the returns behind a guard: clean, under an attack that knows nothing of it, and under one that does."""
    guarded, attack = Guarded(agent, fit(agent, task, episodes=FIT, n_envs=N_ENVS)), Attack("pgd", case.radius)
    found = {
        "clean": evaluate(agent, task, behind=lambda _: GuardedPlayer(guarded), **PLAYED),
        "pgd": attacked(agent, task, attack, guarded=guarded, evade=False, **PLAYED),
        "evading": attacked(agent, task, attack, guarded=guarded, **PLAYED),
    }
    return {name: each.returns.tolist() for name, each in found.items()}
