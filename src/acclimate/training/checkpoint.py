"""Checkpoints: all that a killed run needs to go on, written whole or not at all and read without unpickling."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from acclimate.errors import SourceError
from acclimate.files.atomic import atomic_folder, recover_folder

_UNREADABLE = (OSError, ValueError, KeyError, RuntimeError, EOFError, UnpicklingError, BadZipFile)


@dataclass
class Checkpoint:
    """The state of a run between two environment steps. The environments themselves start new episodes."""

    progress: dict[str, Any]
    """JSON-able: counters, measurements, what was decided."""
    tensors: dict[str, Any]
    """Weights, optimizer states, normalisers, random states: tensors, numbers and containers of them."""
    replay: dict[str, np.ndarray] | None = None


def write(checkpoint: Checkpoint, run: Path) -> None:
    """Replace the run's checkpoint."""
    with atomic_folder(run / CHECKPOINT) as folder:
        (folder / "progress.json").write_text(json.dumps(checkpoint.progress), encoding="utf-8")
        torch.save(checkpoint.tensors, folder / "state.pt")
        if checkpoint.replay is not None:
            np.savez(folder / "replay.npz", **checkpoint.replay)


def read(run: Path) -> Checkpoint | None:
    """Return the run's checkpoint, None where it has none yet.

    Raises:
        SourceError: The checkpoint is damaged.
    """
    folder = run / CHECKPOINT
    recover_folder(folder)
    if not folder.exists():
        return None
    try:
        progress = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
        tensors = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        replay = None
        if (folder / "replay.npz").exists():
            with np.load(folder / "replay.npz", allow_pickle=False) as data:
                replay = {name: data[name] for name in data.files}
    except _UNREADABLE as error:
        raise SourceError(
            f"{folder} cannot be read ({type(error).__name__}): remove that folder, and the run starts anew."
        ) from error
    return Checkpoint(progress, tensors, replay)


def random_state() -> dict[str, Any]:
    """Return the global random states that SB3 draws from."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.as_tensor(keys.astype(np.int64)), position, has_gauss, cached],
    }


def restore_random(state: dict[str, Any]) -> None:
    """Put the global random states back."""
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))


CHECKPOINT = "checkpoint"
