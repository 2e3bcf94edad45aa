"""The kept agent in a run's folder: tried before the first step, written at the end, read when the run is resumed."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from acclimate.agents.agent import Agent
from acclimate.agents.graft import kept
from acclimate.agents.load import load, load_like
from acclimate.errors import ConfigError, MisfitError
from acclimate.planning.case import Case
from acclimate.tasks.spaces import task_spaces
from acclimate.training.warm_start import as_algorithm
from acclimate.tuning.method import chain

ZIP, BUNDLE, LAST = "agent.zip", "bundle", "last"


def rehearse(case: Case, folder: Path) -> tuple[str, ...]:
    """Write an agent of the form that the run will end with, remove it, and return what `write` returns.

    A class that no file can hold, a full disk or a quota is so known before anything is trained.

    Args:
        case: Of the run.
        folder: Of the run.

    Raises:
        ExportError: The run could not keep what it trains: no format holds it, or the disk is full.
        ConfigError: The folder cannot be written.
    """
    agent, method = case.agent, chain(*case.recipe.methods)
    methods = () if method.foldable and not agent.methods else (*agent.methods, *kept(method))
    ending = agent.around(agent.model, normalizer=agent.normalizer, methods=methods)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".rehearsal.", suffix=".tmp") as place:
            return tuple(note.replace(place, str(folder)) for note in write(ending, Path(place)))
    except OSError as error:
        raise ConfigError(f"cannot write {folder} ({error.strerror or error}); choose another folder.") from error


def write(agent: Agent, folder: Path) -> tuple[str, ...]:
    """Write an agent in every form that can hold it, and return which cannot, and why.

    Raises:
        MisfitError: None can.
        ExportError: The folder cannot be written: a run that is resumed tries again.
    """
    refused = {}
    for name in (ZIP, BUNDLE):
        try:
            if name == ZIP and agent.methods:
                raise MisfitError(_in_place(agent))
            agent.save(folder / name)
        except MisfitError as error:
            refused[name] = f"no {name}: {error}"
    if len(refused) == 2:
        raise MisfitError(f"{folder}: no form of file can hold the tuned agent: {'; '.join(refused.values())}")
    return tuple(refused.values())


def write_last(agent: Agent, folder: Path) -> tuple[str, ...]:
    """Write the agent at the end of a training that was not kept beside the one that was, and return what to note.

    Whoever asked for too few episodes to judge by, or knows better, has it.

    Raises:
        ExportError: No form of file can hold it, or the folder cannot be written.
    """
    place = folder / LAST
    place.mkdir(exist_ok=True)
    return *write(agent, place), f"the agent at the end of training, which was not kept, is in {LAST}/"


def read(folder: Path, case: Case, algorithm: str) -> Agent:
    """Return the agent that a finished run kept.

    Where there is no bundle its policy may be a class that only the given agent brings, as no file is asked for one.

    Args:
        folder: Of the run.
        case: Of the run.
        algorithm: Of the kept agent, as the report has it.

    Raises:
        SourceError: It is missing or damaged.
    """
    if (folder / BUNDLE).exists():
        return load(folder)
    like = as_algorithm(case.agent, algorithm)
    blueprint = dataclasses.replace(like.blueprint, **task_spaces(case.agent, case.task))
    return load_like(blueprint, folder / ZIP, device=case.agent.device)


def _in_place(agent: Agent) -> str:
    names = " and ".join(dict.fromkeys(f"`{method.name}`" for method in agent.methods if not method.foldable))
    return f"{names} in its networks cannot end as a stock network; load the bundle"
