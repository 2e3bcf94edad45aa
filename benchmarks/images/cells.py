"""The cells of the image benchmark: one changed world, one row and one seed each, written when it ends.

Fixed before the first run, and nothing was tuned on them: the game, the pretraining, both changes, steps and rows.
"""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from stable_baselines3 import PPO

import acclimate as ac
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.seeds import training_seed
from acclimate.files.atomic import write_atomic
from acclimate.planning.recipe import Recipe
from acclimate.tasks.task import Task
from benchmarks.images.agent import N_ENVS, pretrained
from benchmarks.images.cell import Cell
from benchmarks.images.game import Rain

CELLS = Path(__file__).resolve().parents[1] / "results" / "images"
SOURCE = Task(Rain)
WORLDS = {"inverted picture": {"inverted": True}, "mirrored controls": {"mirrored": True}}
STEPS = 102_400
SEEDS = 3
UNTOUCHED, CONTINUED, SCRATCH, OURS = "zero-shot", "SB3 continued", "scratch", "acclimate"
FROZEN = ", frozen trunk"
ROWS = (UNTOUCHED, CONTINUED, f"{CONTINUED}{FROZEN}", SCRATCH, OURS, f"{OURS}{FROZEN}")


def path_of(world: str, row: str, seed: int) -> Path:
    """Return where a cell lies."""
    return CELLS / f"{f'{world} {row}'.replace(',', '').replace(' ', '-').lower()}-s{seed}.json"


def missing() -> Iterator[tuple[str, str, int]]:
    """Yield world, row and seed of each cell that is not there, seeds outermost so that a table is soon complete."""
    for seed in range(SEEDS):
        for world in WORLDS:
            for row in ROWS:
                if not (row == UNTOUCHED and seed) and not path_of(world, row, seed).exists():
                    yield world, row, seed


def run_cell(world: str, row: str, seed: int, *, steps: int = STEPS) -> Cell:
    """Run one cell and write it."""
    target = Task(Rain, env_kwargs=WORLDS[world])
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = (_ours if row.startswith(OURS) else _stock)(target, row, seed, steps)
    cell = dataclasses.replace(found, case=world, row=row, seed=seed)
    cell.seconds = cell.seconds or time.perf_counter() - begun
    path = path_of(world, row, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(dataclasses.asdict(cell)))
    return cell


def _stock(target: Task, row: str, seed: int, steps: int) -> Cell:
    """What a user does by SB3 alone: `load` and `learn` on, with the settings of the agent's file."""
    agent, cell = ac.load(pretrained(), trust=True), Cell("", row, seed)
    tuned = agent
    if row != UNTOUCHED:
        venv = target.vector(N_ENVS, seed=training_seed(seed))
        if row == SCRATCH:
            model = agent.blueprint.build(env=venv, seed=seed, verbose=0)
        else:
            model = PPO.load(pretrained(), env=venv, device="cpu")
            model.set_random_seed(seed)
        if row.endswith(FROZEN):
            model.policy.features_extractor.requires_grad_(False)
        begun = time.perf_counter()
        model.learn(steps)
        cell.seconds, cell.steps = time.perf_counter() - begun, model.num_timesteps
        tuned = agent.around(model, normalizer=None)
    cell.target, cell.source = (evaluate(tuned, task).returns.tolist() for task in (target, SOURCE))
    return cell


def _ours(target: Task, row: str, seed: int, steps: int) -> Cell:
    """`finetune` with its defaults, or with one method more."""
    agent = ac.load(pretrained(), trust=True)
    methods = (ac.Freeze(on="trunk"),) if row.endswith(FROZEN) else ()
    recipe = Recipe(methods=methods, steps=steps, seed=seed, vec_env="dummy")
    report = ac.finetune(agent, target, recipe, source=SOURCE, progress=False).report
    cell = Cell("", row, seed, report.steps_charged, report.wall_seconds)
    cell.target, cell.source = (found.after.returns.tolist() for found in (report.target, report.source))
    ends = [None if found.last is None else found.last.returns.tolist() for found in (report.target, report.source)]
    cell.extra = {"kept": report.kept, "last_target": ends[0], "last_source": ends[1], "choices": report.choices}
    return cell
