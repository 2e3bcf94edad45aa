"""What a model lets go of when its training has ended."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.freed import collect
from acclimate.seam import Seam


def let_trainer_go(seam: Seam) -> None:
    """Let go of what no measurement needs after the last update: the engine with its gradients, and rollouts.

    The optimizers' moments stay, for a checkpoint.
    """
    seam.engine = None
    if hasattr(seam.model, "rollout_buffer"):
        seam.model.rollout_buffer = None
    for parameter in seam.tuner.parameters:
        parameter.grad = None
    collect()


def empty(seam: Seam) -> None:
    """Let go of all that a model has stored and that trained it: who judges its snapshots needs its networks alone.

    That is also the replay buffer, the last minibatch and the optimizers' moments. Nothing is trained with these
    moments again: an agent that is kept has fresh optimizers.
    """
    seam.signals.batch = None
    if hasattr(seam.model, "replay_buffer"):
        seam.model.replay_buffer = None
    for groups in seam.optimizers.values():
        groups.optimizer.state.clear()


def close(model: BaseAlgorithm) -> None:
    """Close the environments, also where a process of theirs has died."""
    try:
        model.env.close()  # type: ignore[union-attr]
    except (EOFError, ConnectionError):
        for process in model.env.unwrapped.processes:  # type: ignore[union-attr]
            process.terminate()
    # A closed environment of MuJoCo keeps its simulation.
    getattr(model.env.unwrapped, "envs", []).clear()  # type: ignore[union-attr]
