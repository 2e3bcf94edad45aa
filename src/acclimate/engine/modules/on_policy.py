"""The updates of PPO and A2C whose policy is run by its own modules and differentiated by autograd.

They serve what the updates in numpy cannot: convolutions, observations that are no vector, and methods that put modules
into a network or change what it puts out. The loss, the steps and all around them are the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.torch_layers import MlpExtractor
from torch import Tensor

from acclimate.engine.learning import refusals
from acclimate.engine.learning.penalties import Penalties
from acclimate.engine.learning.steps import flat_step
from acclimate.engine.modules.lookup import Chosen, choose
from acclimate.engine.modules.policy import Modules
from acclimate.engine.modules.prefix import PIECE
from acclimate.engine.modules.stages import drawn, touched
from acclimate.engine.on_policy.rows import Rows, minibatches
from acclimate.engine.on_policy.update import OnPolicyUpdate, unfit
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.outputs import Outputs
from acclimate.seam.decisions import Decisions
from acclimate.tuning.tuner import Tuner

Array = NDArray[Any]


class ModularUpdate(OnPolicyUpdate):
    """Updates a PPO or A2C model in place, with the methods of a tuner, through the policy's own modules."""

    oracle: Modules

    def __init__(self, model: PPO | A2C, tuner: Tuner, decisions: Decisions) -> None:
        """Move the parameters into one array; `cannot` has said that all of this can be run.

        Args:
            model: it is updated.
            tuner: its methods.
            decisions: which steps of a rollout were the policy's own.
        """
        super().__init__(model, tuner, Modules)
        self._decisions = decisions
        self._moded = True
        kind = Anew if drawn(model.policy) else InPieces
        self.penalties = kind(tuner.composition, self.flat)

    def train(self) -> None:
        """Update on the rollout buffer and log; what was kept of the rollout is of no use afterwards."""
        super().train()
        self.oracle.prefix.forget()

    def ready(self) -> None:
        """Take the parameters back where somebody has given them other storage since."""
        if not self.flat.bound:
            self.flat.bind()
            self.oracle.prefix.forget()

    def _rows(self) -> Rows:
        rows = choose(self.model.rollout_buffer, self.oracle.distribution, self.oracle.dtype)
        self.oracle.prefix.ready(rows.observations.source, len(rows.values))
        if self._decisions.own is not None:
            # So that chance goes on as under SB3, whose buffer draws an order when `tap` lets it be laid out.
            np.random.permutation(len(rows.values))
        return rows

    def _drawn(self, rows: Rows, size: int | None) -> tuple[Array, list[slice]]:
        own = self._decisions.own
        if own is None:
            return super()._drawn(rows, size)
        chosen = np.flatnonzero(own.T.reshape(-1))
        # As `tap` cuts them: parts of nearly one size.
        parts = len(list(minibatches(len(chosen), size)))
        ends = np.cumsum([len(part) for part in np.array_split(chosen, parts)]).tolist()
        order = np.random.permutation(chosen)
        return order, [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


class InPieces(Penalties):
    """Penalties whose prior is asked for a rollout of images in pieces."""

    def _prior(self, net: Net, index: Array | None) -> Outputs:
        if net.role not in self._priors:
            batch = self._batch
            pieces = [slice(i, i + PIECE) for i in range(0, len(batch.observations), PIECE)]
            with torch.no_grad():
                self._priors[net.role] = _joined([net.prior(_read(batch, piece)) for piece in pieces])
        return super()._prior(net, index)


class Anew(Penalties):
    """Penalties on networks that draw or count as they run: each has passes of its own, as under SB3."""

    @property
    def at_outputs_now(self) -> bool:
        """Never: what a network puts out under a penalty is not what it put out under the loss."""
        return False

    def at_parameters(self, batch: Batch) -> None:
        """Add the gradients of all penalties to the flat gradient."""
        penalty = self._composition.penalty(batch)
        trained = [p for p in self._flat.parameters if p.requires_grad]
        if not penalty.requires_grad:
            return
        for parameter, gradient in zip(trained, torch.autograd.grad(penalty, trained, allow_unused=True), strict=True):
            if gradient is not None:
                self._flat.gradient_of(parameter)[...] += gradient.numpy()


def _read(batch: Batch, piece: slice) -> Batch:
    observations: Chosen = batch.observations[piece]
    return Batch(observations.read(), batch.actions[piece])  # type: ignore[index]


def _joined(parts: list[Outputs]) -> Outputs:
    """Return the outputs of all rows; what does not depend on the row stays."""
    first = parts[0]
    whole = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name, value in vars(first).items()
        if isinstance(value, Tensor) and value.dim() > 1
    }
    return dataclasses.replace(first, **whole)


def cannot(model: Any, stock: type, tuner: Tuner) -> str | None:
    """Return why an agent with these methods is not trained here either, None if it is.

    Args:
        model: the agent's model.
        stock: its class, without what the seam has made of it.
        tuner: the methods.
    """
    policy = model.policy
    why = unfit(model, stock, RolloutBuffer, DictRolloutBuffer) or refusals.policy(policy, *refusals.ACTOR_CRITICS)
    if why is not None:
        return why
    if type(policy.mlp_extractor) is not MlpExtractor or touched(policy.mlp_extractor):
        return f"the layers of a {type(policy.mlp_extractor).__name__}"
    return (
        refusals.distribution(policy)
        or refusals.elsewhere(policy)
        or refusals.precision(policy)
        or refusals.stepping([policy.optimizer], flat_step)
    )
