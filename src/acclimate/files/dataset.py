"""Recorded transitions, read from a Minari data set.

Minari keeps arrays in HDF5 and their description in JSON; neither is code. But where the description lacks the spaces,
Minari makes the environment that it names, which imports whatever that says. So the description is read here first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from numpy.typing import NDArray

from acclimate.errors import ConfigError, SourceError, SurgeryError, UnsafeFileError
from acclimate.files.bounded import read_text
from acclimate.files.plain import read_json

Fits = Callable[[Space[Any], Space[Any]], bool]
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, AssertionError, RuntimeError)


@dataclass(frozen=True)
class Steps:
    """Transitions, one row each."""

    observations: Any
    actions: NDArray[Any]
    rewards: NDArray[Any]
    next_observations: Any
    dones: NDArray[Any]


@dataclass(frozen=True)
class Dataset:
    """All episodes one after the other, as the environment gave them."""

    observations: Any
    """An array, or a dict of them: each episode's observations, the last one included."""
    places: NDArray[np.int64]
    """Where the observation of each transition stands; what followed stands behind it."""
    actions: NDArray[Any]
    rewards: NDArray[np.float32]
    dones: NDArray[np.float32]
    """Whether it ended in a terminal state; a time limit is none."""

    def __len__(self) -> int:
        """Return the number of transitions."""
        return len(self.places)

    def steps(self, index: NDArray[Any]) -> Steps:
        """Return the chosen transitions."""
        places = self.places[index]
        before, after = (_each(self.observations, lambda part, at=at: part[at]) for at in (places, places + 1))
        return Steps(before, self.actions[index], self.rewards[index], after, self.dones[index])


def read(name: str, observation_space: Space[Any], action_space: Space[Any]) -> Dataset:
    """Read a data set into memory.

    Args:
        name: its id among the downloaded ones, or the path of its folder.
        observation_space: of the agent, which it must have.
        action_space: of the agent too.

    Raises:
        ConfigError: if there is none, or Minari is not installed.
        SourceError: if it cannot be read.
        SurgeryError: if it has other spaces than the agent.
    """
    try:
        import minari
        from minari.storage.datasets_root_dir import get_dataset_path
    except ImportError as error:
        raise ConfigError(f"offline.data: {name} needs Minari: pip install 'acclimate[minari]'") from error
    folder = Path(name)
    if not folder.is_dir():
        folder = Path(get_dataset_path(name))
    if (folder / "data").is_dir():
        folder = folder / "data"
    if not folder.is_dir():
        raise ConfigError(
            f"offline.data: {name} is neither a folder nor a data set that was downloaded; `minari download {name}` "
            "fetches one of that id"
        )
    _check_description(folder, name)
    try:
        recorded = minari.MinariDataset(folder)
        _check("observations", name, recorded.observation_space, observation_space, _shows)
        _check("actions", name, recorded.action_space, action_space, _takes)
        return _joined([_episode(episode) for episode in recorded.iterate_episodes()])
    except _UNREADABLE as error:
        raise SourceError(
            f"{name} cannot be read ({type(error).__name__}: {error}); download or record the data set again"
        ) from error


def _check_description(folder: Path, name: str) -> None:
    """Refuse what Minari would have to make an environment for, or read by something else than HDF5."""
    try:
        description = read_json(read_text(folder / "metadata.json"))
        absent = [key for key in ("observation_space", "action_space") if not isinstance(description.get(key), str)]
        kind = description.get("data_format")
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError(
            f"{name} has no readable metadata.json ({type(error).__name__}); give the folder of a Minari data set"
        ) from error
    if absent:
        raise UnsafeFileError(
            f"{name} does not tell its {' and '.join(absent)}, and finding out would run the environment it names; "
            "record it again with a Minari that writes its spaces"
        )
    if kind != "hdf5":
        raise SourceError(f"{name} is stored as {kind!r}; only HDF5 is read: convert the data set")


def _episode(episode: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any]]:
    length = len(episode.rewards)
    observed = [len(part) for part in _parts(episode.observations)]
    if any(count != length + 1 for count in observed) or any(len(part) != length for part in _parts(episode.actions)):
        raise ValueError(f"episode {episode.id} has {length} rewards and {observed} observations")
    return episode.observations, episode.actions, episode.rewards, episode.terminations


def _joined(episodes: list[Any]) -> Dataset:
    if not episodes:
        raise ValueError("it has no episode")
    observations, actions, rewards, terminations = zip(*episodes, strict=True)
    first = observations[0]
    if isinstance(first, dict):
        joined: Any = {key: np.concatenate([part[key] for part in observations]) for key in first}
    else:
        joined = np.concatenate(observations)
    lengths = [len(part) for part in rewards]
    # Each episode has one observation more than transitions.
    places = np.concatenate([np.arange(n) for n in lengths]) + np.repeat(
        np.cumsum([0, *(n + 1 for n in lengths[:-1])]), lengths
    )
    return Dataset(
        joined,
        places.astype(np.int64),
        np.concatenate(actions),
        np.concatenate(rewards).astype(np.float32),
        np.concatenate(terminations).astype(np.float32),
    )


def _parts(values: Any) -> list[Any]:
    return list(values.values()) if isinstance(values, dict) else [values]


def _each(values: Any, change: Any) -> Any:
    return {key: change(part) for key, part in values.items()} if isinstance(values, dict) else change(values)


def _check(what: str, name: str, theirs: Space[Any], ours: Space[Any], fits: Fits) -> None:
    if not fits(theirs, ours):
        raise SurgeryError(
            f"`offline`: {name} has {what} {theirs}, and the agent's are {ours}; give a data set of its task"
        )


def _shows(theirs: Space[Any], ours: Space[Any]) -> bool:
    """Tell whether observations fit; bounds may differ, since environments state them differently."""
    if isinstance(theirs, spaces.Dict) and isinstance(ours, spaces.Dict):
        return theirs.keys() == ours.keys() and all(_shows(theirs[key], ours[key]) for key in ours)
    if isinstance(theirs, spaces.Box) and isinstance(ours, spaces.Box):
        image = ours.dtype == np.uint8
        # SB3 puts the channels of images first.
        shapes = [theirs.shape, (*theirs.shape[-1:], *theirs.shape[:-1])] if image else [theirs.shape]
        return ours.shape in shapes and (theirs.dtype == np.uint8) == image
    return theirs == ours


def _takes(theirs: Space[Any], ours: Space[Any]) -> bool:
    """Tell whether actions fit; bounds are the unit of an action, so that they must be the same."""
    if isinstance(theirs, spaces.Box) and isinstance(ours, spaces.Box):
        return theirs.shape == ours.shape and bool(
            np.allclose(theirs.low, ours.low) and np.allclose(theirs.high, ours.high)
        )
    return theirs == ours
