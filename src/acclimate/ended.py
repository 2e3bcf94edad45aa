"""What a model lets go of when its training has ended."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm


def empty(model: BaseAlgorithm) -> None:
    """Let go of what the model has stored: who judges its snapshots needs its networks alone."""
    for name in ("replay_buffer", "rollout_buffer"):
        if hasattr(model, name):
            setattr(model, name, None)


def close(model: BaseAlgorithm) -> None:
    """Close the environments, also where a process of theirs has died."""
    try:
        model.env.close()  # type: ignore[union-attr]
    except (EOFError, ConnectionError):
        for process in model.env.unwrapped.processes:  # type: ignore[union-attr]
            process.terminate()
    # A closed environment of MuJoCo keeps its simulation.
    getattr(model.env.unwrapped, "envs", []).clear()  # type: ignore[union-attr]
