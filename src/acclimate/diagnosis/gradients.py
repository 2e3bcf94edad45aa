"""How the optimisation goes: the size and direction of gradients, and rates that have run into a bound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Discrete
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)
from torch.nn.utils import get_total_norm

from acclimate.nets.modes import still
from acclimate.sb3.policies.recurrent import remembers
from acclimate.seam.seam import Seam
from acclimate.seam.trust_region import searches

LATE = 5
"""Logged values that count as the latest."""


def late(values: Sequence[float]) -> float | None:
    """Return the mean of the latest logged values, None without any."""
    return float(np.mean(values[-LATE:])) if len(values) else None


def at_bound(rates: Sequence[float]) -> bool:
    """Tell whether a rate that used to move now stands still at the lowest or the highest it has been."""
    if len(rates) <= LATE or max(rates) <= min(rates):
        return False
    tail = rates[-LATE:]
    return max(tail) == min(tail) and tail[0] in (min(rates), max(rates))


def gradient_norm(parameters: Iterable[Tensor]) -> float | None:
    """Return the Euclidean norm of all gradients together, None where there are none."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    return float(get_total_norm(gradients)) if gradients else None


def cosine(first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> float | None:
    """Return the cosine of two gradients of the same parameters; below 0 they pull apart. None where one is zero.

    A parameter that one of the two losses does not reach has no gradient (None), which counts as zero.
    """
    dot = one = other = torch.zeros(())
    for a, b in zip(first, second, strict=True):
        if a is not None:
            one = one + _dot(a, a)
        if b is not None:
            other = other + _dot(b, b)
        if a is not None and b is not None:
            dot = dot + _dot(a, b)
    size = (one * other).sqrt()
    return float(dot / size) if size > 0 else None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return torch.dot(a.flatten(), b.flatten())


ROWS = 256


AT_ONCE = 16
"""Rows that a graph is kept of at once: a convolutional network puts out a megabyte for each of them."""


def trunk_cosine(model: Any, seam: Seam) -> float | None:
    """Return the cosine of the policy's and the critic's gradient on features that both train.

    The policy's is that of PPO's loss where its update begins (all ratios 1), which is A2C's at any time; the critic's
    that of its squared error. None where nothing is shared, or where one alone trains it: the critic off-policy, the
    actor in TRPO; and where a gradient goes through what was remembered, which single rows do not have.
    """
    trunk = next((net for net in seam.tuner.nets if net.role == "trunk" and net.on_policy), None)
    buffer = getattr(model, "rollout_buffer", None)
    shared = [] if trunk is None else [p for p in trunk.parameters() if p.requires_grad]
    readable = isinstance(getattr(buffer, "observations", None), np.ndarray) and not remembers(model.policy)
    if not shared or searches(model) or not readable:
        return None
    rows = np.linspace(0, buffer.buffer_size * buffer.n_envs - 1, ROWS).astype(int)
    place = np.unravel_index(rows, (buffer.buffer_size, buffer.n_envs))
    advantages = torch.as_tensor(buffer.advantages[place], device=model.device)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    with _emptied(shared) as first:
        second = [torch.zeros_like(p) for p in shared]
        for begin in range(0, ROWS, AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            actors, critics = _losses(model, buffer, tuple(axis[part] for axis in place), advantages[part])
            actors.backward(retain_graph=True, inputs=shared)
            _add(second, torch.autograd.grad(critics, shared, allow_unused=True))
            del actors, critics
        return cosine(first, second)


@contextmanager
def _emptied(parameters: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Give out the parameters' own gradients as zeros; between two updates nobody reads them."""
    held = [p.grad for p in parameters]
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
    try:
        yield [p.grad for p in parameters]  # type: ignore[misc]
    finally:
        for p, before in zip(parameters, held, strict=True):
            p.grad = before


def _add(total: list[torch.Tensor], gradients: tuple[torch.Tensor | None, ...]) -> None:
    for held, new in zip(total, gradients, strict=True):
        if new is not None:
            held += new


def _losses(
    model: Any, buffer: Any, place: tuple[np.ndarray, ...], advantages: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return the policy's and the critic's loss, summed over some rows of a rollout."""

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values[place], device=model.device)

    # In the types of SB3's own minibatches: no likelihood takes bits as the bytes in which a buffer holds them.
    actions = tensor(buffer.actions).float()
    if isinstance(model.action_space, Discrete):
        actions = actions.long().flatten()
    masks = getattr(buffer, "action_masks", None)
    chosen = {} if masks is None else {"action_masks": tensor(masks)}
    with still(tuple(model.policy.modules())):
        values, likelihood, _ = model.policy.evaluate_actions(tensor(buffer.observations), actions, **chosen)
    return -(advantages * likelihood).sum(), F.mse_loss(values.flatten(), tensor(buffer.returns), reduction="sum")
