"""SB3's own loader, for files whose origin the caller vouches for. It runs whatever code they hold."""

from __future__ import annotations

import warnings
from pathlib import Path

from acclimate.agent import Origin, Parts
from acclimate.errors import SourceError
from acclimate.sources import live, sb3, sidecar, vocabulary

# Buffers need the environment they came from; an agent that acts needs none.
_REPLACED = {"replay_buffer_class": None, "replay_buffer_kwargs": {}}


def read(path: Path) -> Parts:
    """Return the parts of the agent in the zip at `path`, unpickled by SB3.

    Raises:
        SourceError: SB3 cannot load it, or it is none of its algorithms.
    """
    algorithm = sb3.algorithm_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = vocabulary.ALGORITHMS[algorithm].load(path, device="cpu", custom_objects=_REPLACED)
    # The code in the file may raise anything; whatever it is, the agent cannot be had.
    except Exception as error:  # noqa: BLE001
        raise SourceError(f"{path}: SB3's own loader fails ({type(error).__name__}: {error}).") from error
    return live.read(model, Origin(path=str(path), env_id=sidecar.env_id(path), config=sidecar.config(path)))
