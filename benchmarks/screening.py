"""Screen settings of the warm start, several seeds each, on a case that is not reported.

    python -m benchmarks.screening sac/HalfCheetah-v3_1/HalfCheetah-v3.zip HalfCheetah-v5 gear=0.5
    python -m benchmarks.screening ... --set warm_start.prior_steps=1900 --set warm_start.learning_rate=1e-3

A run of `--steps` is begun and measured on the way, until `--until` of its target steps are spent; the seeds begin at
100, which no reported run has. One line of JSON a seed: the mean return at each measurement. A few seeds guide a choice
and are not evidence.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import acclimate as ac
from acclimate.config import parse_scalar
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.seeds import SELECTION_SEED
from acclimate.evaluation.transitions import Transitions
from acclimate.planning.case import Case
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import probe
from acclimate.planning.recipe import Recipe
from acclimate.sb3.vocabulary import OFF_POLICY
from acclimate.training.job import Job, Listeners
from acclimate.training.trainer import train

ROOT = Path(__file__).resolve().parent.parent
EPISODES = 5


def screen(path: Path, env: str, shift: str, recipe: Recipe, until: int) -> list[tuple[int, float]]:
    """Train by a recipe until that many target steps are spent; return the steps and returns of its measurements."""
    agent, source = ac.load(path), ac.Task(env)
    task = source.shifted(*(ac.shifts.parse(text) for text in shift.split(",")))
    probed = Transitions() if agent.algorithm in OFF_POLICY else None
    case = Case(agent, task, source, recipe)
    found = probe(case, record=probed)

    def go_on(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        return bool(scope["self"].num_timesteps + found.steps < until)

    job = Job(
        case=case,
        plan=make_plan(agent, recipe, found, home=False),
        pretrained=evaluate(agent, task, episodes=EPISODES, seed=SELECTION_SEED),
        charged=found.steps,
        probed=probed,
        listeners=Listeners(callback=go_on, progress=False),
    )
    return [(point.steps, round(float(point.evaluation.returns.mean()), 1)) for point in train(job).record.points]


def nested(settings: list[str]) -> dict[str, Any]:
    """Return `a.b=1` and the like as a mapping of mappings."""
    found: dict[str, Any] = {}
    for setting in settings:
        path, _, value = setting.partition("=")
        *above, last = path.split(".")
        place = found
        for name in above:
            place = place.setdefault(name, {})
        place[last] = parse_scalar(value)
    return found


def main() -> None:
    """Run each seed and print its line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("zip", help="path of the agent below the zoo")
    parser.add_argument("env")
    parser.add_argument("shift", help="such as gear=0.5; several with commas")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of the recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--steps", type=int, default=20_000, help="target steps that the run is planned for")
    parser.add_argument("--until", type=int, default=10_000, help="target steps after which it is stopped")
    parser.add_argument("--freq", type=int, default=1_000, help="steps between two measurements")
    parser.add_argument("--zoo", default=os.environ.get("ACCLIMATE_ZOO", str(ROOT.parent / "shared" / "zoo")))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for seed in given.seeds:
        fixed = {"steps": given.steps, "seed": seed, "evaluation": {"freq": given.freq, "episodes": EPISODES}}
        recipe = Recipe.from_dict({**nested(given.set), **fixed})
        curve = screen(Path(given.zoo) / given.zip, given.env, given.shift, recipe, given.until)
        print(json.dumps({"set": given.set, "seed": seed, "curve": curve}), flush=True)


if __name__ == "__main__":
    main()
