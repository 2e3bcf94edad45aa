"""One agent: guards fitted, faults shown, and what each detector makes of the same steps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.evaluation.seeds import GUARD_SEED
from acclimate.guard.features import Features
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded, GuardedPlayer
from acclimate.guard.trials.faults import FAULTS, Faulty
from acclimate.guard.trials.measuring import Bench, Strangeness, detection
from acclimate.statistics.conformal import conformal_quantile
from acclimate.statistics.proportions import exact_proportion
from acclimate.tasks.task import Task
from benchmarks.guard.baselines import ECOD, KNN
from benchmarks.guard.cases import ALARMS, CLEAN, FAULTY, FIT, N_ENVS, TIERS, Case
from benchmarks.guard.hostile import hostile, hostile_file

Steps = list[NDArray[Any]]


class Watching:
    """A look that keeps, beside each other, standardised entries and the scores of every guard."""

    def __init__(self, benches: dict[str, Bench]) -> None:
        self.scorings = [bench.scoring() for bench in benches.values()]
        first = next(iter(benches.values()))
        self.standard = first.guarded.guard.filter.standard
        self.features = Features(first.layout)

    def __call__(self, rows: Any, starts: Any) -> Any:
        seen = self.standard(self.features(torch.from_numpy(np.nan_to_num(rows)))).numpy()
        return np.concatenate([seen, *(scoring(rows, starts) for scoring in self.scorings)], axis=1)


def run(case: Case, zoo: Path) -> dict[str, Any]:
    """Return all figures of a case."""
    began = time.process_time()
    agent, task = case.tuned(zoo)
    guards = {name: fit(agent, task, episodes=FIT, alarms=ALARMS, tiers=t, n_envs=N_ENVS) for name, t in TIERS.items()}
    benches = {name: Bench(Guarded(agent, guard), task, n_envs=N_ENVS) for name, guard in guards.items()}
    found = Figures(agent, task, benches)
    result = {
        "case": case.name,
        "task": task.describe(),
        "fitted": {"episodes": FIT, "alarms": ALARMS, "first_seed": GUARD_SEED},
        "false_alarms": found.false_alarms(),
        "clean_return": found.alone,
        "guarded_return": found.kept(None, CLEAN),
        "faults": {fault: found.fault(fault) for fault in FAULTS},
        "hostile": {
            "torch": hostile(Guarded(agent, guards["default"])),
            "onnx": hostile_file(Guarded(agent, guards["default"]), task),
        },
        "uncertainty": type(guards["all"].filter.tiers[-1]).__name__.lower(),
    }
    return {**result, "cpu_seconds": round(time.process_time() - began, 1)}


class Figures:
    """The clean episodes, and what is compared with them."""

    def __init__(self, agent: Agent, task: Task, benches: dict[str, Bench]) -> None:
        self.benches = benches
        bench = benches["default"]
        own = Bench(bench.guarded, task, seed=GUARD_SEED, n_envs=N_ENVS)
        learnt = own.watched(FIT // 2, look=Watching(benches))[1]
        played, clean, _ = bench.watched(CLEAN, look=Watching(benches))
        self.alone = played.returns.tolist()
        self.width = len(Features(bench.layout))
        # Baselines learn from one half of the same episodes and have their limit from the other, as the guards do.
        half = len(learnt) // 2
        seen = np.concatenate([each[:, : self.width] for each in learnt[:half]]).astype(np.float64)
        self.baselines: dict[str, Callable[[Any], Any]] = {"ECOD": ECOD(seen), "KNN": KNN(seen)}
        self.limits = {
            name: conformal_quantile([score(each[:, : self.width]).max() for each in learnt[half:]], ALARMS)
            for name, score in self.baselines.items()
        }
        self.strange = {
            name: Strangeness(scores, self.benches[name].guarded.guard.filter.limits.numpy())
            for name, scores in self.guards(clean).items()
        }
        self.clean = self.scored(clean)

    def guards(self, episodes: Steps) -> dict[str, Steps]:
        """Return the scores of each guard out of what `Watching` kept."""
        found, place = {}, self.width
        for name, bench in self.benches.items():
            end = place + len(bench.guarded.reasons)
            found[name] = [each[:, place:end] for each in episodes]
            place = end
        return found

    def scored(self, episodes: Steps) -> dict[str, Steps]:
        """Return what each detector gives the steps of episodes."""
        guards = self.guards(episodes).items()
        found: dict[str, Steps] = {name: [self.strange[name](each) for each in scores] for name, scores in guards}
        for name, score in self.baselines.items():
            found[name] = [score(each[:, : self.width].astype(np.float64)) for each in episodes]
        return found

    def false_alarms(self) -> dict[str, Any]:
        """Return how many clean episodes have one, by detector, with the interval."""
        limits = {**dict.fromkeys(self.benches, 1.0), **self.limits}
        return {
            name: exact_proportion([(each > limits[name]).any() for each in self.clean[name]])._asdict()
            for name in self.clean
        }

    def kept(self, fault: str | None, episodes: int) -> dict[str, list[float]]:
        """Return what the guarded agents return."""
        found = {}
        for name, bench in self.benches.items():
            player: Any = GuardedPlayer(bench.guarded)
            player = player if fault is None else Faulty(player, bench.sensors, fault)
            found[name] = bench.play(player, episodes).returns.tolist()
        return found

    def fault(self, name: str) -> dict[str, Any]:
        """Return the figures of one fault."""
        bench = self.benches["default"]
        played, seen, shows = bench.watched(FAULTY, name, look=Watching(self.benches))
        limits = {**dict.fromkeys(self.benches, 1.0), **self.limits}
        scores = self.scored(seen)
        # A number that is none tells a detector of numbers nothing; that the guards see it is no comparison.
        usable = self.benches if name == "not_finite" else scores
        return {
            "detectors": {
                each: dataclasses.asdict(detection(self.clean[each], scores[each], shows, limits[each]))
                for each in usable
            },
            "return": None if name == "not_finite" else played.returns.tolist(),
            "guarded": self.kept(name, FAULTY),
        }
