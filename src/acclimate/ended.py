"""What a model lets go of when its training has ended."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.seam import Seam


def empty(seam: Seam) -> None:
    """Let go of what a model has stored and what trained it: who judges its snapshots needs its networks alone.

    That is buffers and the last minibatch, the engine, gradients and the optimizers' moments. Nothing is trained with
    these moments again: an agent that is kept has fresh optimizers.
    """
    seam.engine, seam.signals.batch = None, None
    for name in ("replay_buffer", "rollout_buffer"):
        if hasattr(seam.model, name):
            setattr(seam.model, name, None)
    for groups in seam.optimizers.values():
        groups.optimizer.state.clear()
    for parameter in seam.tuner.parameters:
        parameter.grad = None


def close(model: BaseAlgorithm) -> None:
    """Close the environments, also where a process of theirs has died."""
    try:
        model.env.close()  # type: ignore[union-attr]
    except (EOFError, ConnectionError):
        for process in model.env.unwrapped.processes:  # type: ignore[union-attr]
            process.terminate()
    # A closed environment of MuJoCo keeps its simulation.
    getattr(model.env.unwrapped, "envs", []).clear()  # type: ignore[union-attr]
