"""What was measured before training; a resumed run reads it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Dict

from acclimate.config import convert, from_dict
from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import INSIDE, Evaluation
from acclimate.evaluation.seeds import FINAL_SEED, REPEATING_SEED, SELECTION_SEED
from acclimate.evaluation.transitions import Transitions
from acclimate.files.atomic import write_atomic
from acclimate.planning.case import Case
from acclimate.planning.probe import Situation, probe
from acclimate.runs.episodes import Episodes
from acclimate.runs.folder import PROBED, lost, read_json
from acclimate.sb3.vocabulary import OFF_POLICY
from acclimate.tasks.repeated import repeated

_FILE = "before.json"


@dataclass(frozen=True)
class Before:
    """The situation, and the untouched agent's episodes."""

    situation: Situation
    target: Evaluation
    """On the seeds of the final evaluation, in the changed world."""
    source: Evaluation | None
    """On the same seeds in the world of pretraining."""
    selection: Evaluation
    """On the seeds of the measurements during training."""
    probed: Transitions | None = None
    """The probe's steps in the changed world, for algorithms that can learn from them."""
    unpaired: tuple[str, ...] = ()
    """What is to be said of worlds whose episodes their seeds do not determine."""
    repeating: int = 0
    """Environment steps that looking for it took."""

    @property
    def steps_measured(self) -> int:
        """Environment steps that this took, but for those of the probe that are charged."""
        played = (self.target, self.selection, *(() if self.source is None else (self.source,)))
        return self.situation.source_steps + self.repeating + sum(each.steps for each in played)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the episodes of the worlds."""
        worlds = {"target": self.target, "source": self.source}
        named = " and ".join(name for name, played in worlds.items() if played is not None and played.inside)
        scored = (f"{named}: {INSIDE}. Training goes by what the wrappers show",) if named else ()
        return *self.unpaired, *scored

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Return whether a run's folder holds one."""
        return (folder / _FILE).exists()

    def write(self, folder: Path) -> None:
        """Write it into a run's folder."""
        if self.probed is not None:
            self.probed.write(folder / PROBED)
        write_atomic(folder / _FILE, json.dumps(self.to_json()))

    @classmethod
    def read(cls, folder: Path, *, probed: bool) -> Before:
        """Read what `write` wrote.

        Args:
            folder: The run's.
            probed: Whether the probe's steps are among it.

        Raises:
            SourceError: A file is missing or damaged.
        """
        data = read_json(folder / _FILE)
        with lost(folder / _FILE):
            before = cls.from_json(data)
        return replace(before, probed=Transitions.read(folder / PROBED)) if probed else before

    def check(self, case: Case) -> None:
        """Check that it is of a case.

        Raises:
            ConfigError: It is of other episodes or of another world.
        """
        plan = case.recipe.evaluation
        found = {"target": self.target, "selection": self.selection, "source": self.source}
        wanted = {"target": plan.final_episodes, "selection": plan.episodes, "source": plan.final_episodes}
        seeds = {"target": FINAL_SEED, "selection": SELECTION_SEED, "source": FINAL_SEED}
        if (self.source is None) != (case.source is None):
            raise ConfigError("one of the run and its measurements has a source world, the other none")
        for name, played in found.items():
            if played is not None and played.seeds.tolist() != list(range(seeds[name], seeds[name] + wanted[name])):
                raise ConfigError(f"{name} is not of the episodes of this run")
        space = case.agent.observation_space
        for step in self.probed or ():
            if not (_fits(step.observation, space) and _fits(step.following, space)):
                raise ConfigError(f"{PROBED} holds observations of another world")
            if np.shape(step.action) != case.agent.action_space.shape:
                raise ConfigError(f"{PROBED} holds actions of another world")

    def to_json(self) -> dict[str, Any]:
        """Return the measurements as JSON-able data."""
        return {
            "situation": asdict(self.situation),
            "target": self.target.to_json(),
            "source": None if self.source is None else self.source.to_json(),
            "selection": self.selection.to_json(),
            "unpaired": list(self.unpaired),
            "repeating": self.repeating,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Before:
        """Read what `to_json` returned."""
        source = data["source"]
        return cls(
            from_dict(Situation, data["situation"], path="situation"),
            Evaluation.from_json(data["target"]),
            None if source is None else Evaluation.from_json(source),
            Evaluation.from_json(data["selection"]),
            unpaired=convert(tuple[str, ...], data.get("unpaired", ()), "unpaired"),
            repeating=convert(int, data.get("repeating", 0), "repeating"),
        )


def _fits(seen: Any, space: Space[Any]) -> bool:
    """Tell whether an observation is of the shapes of a space; an image may have its channels first or last."""
    if isinstance(space, Dict):
        return isinstance(seen, dict) and all(key in seen and _fits(seen[key], part) for key, part in space.items())
    return not isinstance(seen, dict) and sorted(np.shape(seen)) == sorted(space.shape or ())


def look(case: Case, folder: Path | None, *, resume: bool) -> Before:
    """Measure the pretrained agent in both worlds, or read what a killed run has measured.

    Args:
        case: Of the run.
        folder: Of the run; what was measured is written there.
        resume: Whether a killed run goes on there.

    Raises:
        SpaceMismatchError: The agent's spaces are not the task's.
        TaskError: The environment raised.
        SourceError: What was measured is damaged.
    """
    off_policy = case.agent.algorithm in OFF_POLICY
    if folder is not None and resume and Before.is_in(folder):
        before = Before.read(folder, probed=off_policy)
        with lost(folder):
            before.check(case)
        return before
    looks = [repeated(world, REPEATING_SEED) for world in case.worlds.values()]
    unpaired, steps = tuple(each.differs for each in looks if each.differs), sum(each.steps for each in looks)
    probed = Transitions() if off_policy else None
    situation = probe(case, record=probed)
    play = Episodes(case)
    jobs = {**play.everywhere(lambda: case.agent), "selection": lambda: play.selection(case.agent)}
    played = {"source": None, **play.together(jobs)}
    before = Before(situation=situation, probed=probed, unpaired=unpaired, repeating=steps, **played)
    if folder is not None:
        before.write(folder)
    return before
