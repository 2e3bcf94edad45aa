"""Small Minari data sets, written by Minari's own storage into a folder that goes with the tests."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from gymnasium import Space
from minari import __version__ as minari_version
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="acclimate-recorded-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write(folder: Path, observation_space: Space[Any], action_space: Space[Any], episodes: list[EpisodeBuffer]) -> str:
    """Write episodes into the folder `data` of a data set's folder, and return the latter's path."""
    data = folder / "data"
    data.mkdir(parents=True)
    storage = MinariStorage.new(data, observation_space, action_space, data_format="hdf5", jpeg_encoding=False)
    storage.update_metadata({"dataset_id": "recorded/test-v0", "minari_version": minari_version})
    storage.update_episodes(episodes)
    return str(folder)


def recorded(observation_space: Space[Any], action_space: Space[Any], lengths: tuple[int, ...] = (4, 3, 5)) -> str:
    """Return the path of a data set of random steps, whose rewards count up and whose first episode is cut off."""
    folder = Path(tempfile.mkdtemp(dir=_folder()))
    observation_space.seed(0)
    action_space.seed(0)
    episodes, paid = [], iter(range(sum(lengths)))
    for number, length in enumerate(lengths):
        ends = [False] * (length - 1) + [True]
        episodes.append(
            EpisodeBuffer(
                observations=[observation_space.sample() for _ in range(length + 1)],
                actions=[action_space.sample() for _ in range(length)],
                rewards=[float(next(paid)) for _ in range(length)],
                terminations=ends if number else [False] * length,
                truncations=[False] * length if number else ends,
            )
        )
    return write(folder, observation_space, action_space, episodes)
