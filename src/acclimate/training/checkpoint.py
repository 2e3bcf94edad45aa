"""Checkpoints: all that a killed run needs to go on, written whole or not at all and read without unpickling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acclimate.errors import ConfigError, SourceError, TrainingError
from acclimate.files import arrays, bounded
from acclimate.files import tensors as tensor_files
from acclimate.files.atomic import atomic_folder, recover_folder
from acclimate.files.bounded import MAX_TENSORS
from acclimate.files.plain import read_json
from acclimate.formats.sb3.replay import is_known


@dataclass
class Checkpoint:
    """The state of a run between two environment steps. The environments themselves start new episodes."""

    progress: dict[str, Any]
    """JSON-able: counters, measurements, what was decided."""
    tensors: dict[str, Any]
    """Weights, optimizer states, normalisers, random states: tensors, numbers and containers of them."""
    replay: dict[str, np.ndarray] | None = None


def write(checkpoint: Checkpoint, run: Path) -> None:
    """Replace the run's checkpoint.

    Raises:
        ConfigError: It cannot be written; the one before stays.
    """
    with atomic_folder(run / CHECKPOINT) as folder:
        (folder / "progress.json").write_text(json.dumps(checkpoint.progress), encoding="utf-8")
        tensor_files.write(checkpoint.tensors, folder / "state.pt")
        if checkpoint.replay is not None:
            np.savez(folder / "replay.npz", **checkpoint.replay)


def is_in(run: Path) -> bool:
    """Return whether a run's folder holds a checkpoint, also where a kill has left it aside."""
    recover_folder(run / CHECKPOINT)
    return (run / CHECKPOINT).exists()


def read(run: Path) -> Checkpoint | None:
    """Return the run's checkpoint, None where it has none yet.

    Raises:
        SourceError: The checkpoint is damaged.
    """
    if not is_in(run):
        return None
    folder = run / CHECKPOINT
    with damaged(run):
        progress = read_json(bounded.read_text(folder / "progress.json"))
        tensors = tensor_files.read(bounded.read(folder / "state.pt", MAX_TENSORS), where=str(folder / "state.pt"))
        if not isinstance(progress, dict) or not isinstance(tensors, dict):
            raise ValueError("no mapping of fields")
        kept = folder / "replay.npz"
        return Checkpoint(progress, tensors, arrays.read(kept, is_known) if kept.exists() else None)


@contextmanager
def damaged(run: Path | None) -> Iterator[None]:
    """Turn whatever is wrong with what lies in a run's checkpoint into an error that says what to do.

    Raises:
        SourceError: Something was.
    """
    try:
        yield
    except (OSError, ConfigError, SourceError, TrainingError, IndexError, *arrays.BROKEN) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        folder = CHECKPOINT if run is None else run / CHECKPOINT
        raise SourceError(
            f"{folder} cannot be used ({reason}): remove that folder, and the run starts anew."
        ) from error


def random_state() -> dict[str, Any]:
    """Return the global random states that SB3 draws from."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [kind, torch.as_tensor(keys.astype(np.int64)), position, has_gauss, cached],
    }


def restore_random(state: dict[str, Any]) -> None:
    """Put the global random states back.

    Raises:
        ValueError: They are none; or a `TypeError`, `KeyError` or `RuntimeError`.
    """
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    # The generator reads there without a look.
    if not 0 <= int(position) <= len(keys):
        raise ValueError(f"its random state stands at place {position}")
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))


CHECKPOINT = "checkpoint"
