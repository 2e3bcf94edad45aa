"""Observations near those that were made, and the one among them at which a function is largest.

Near is no further than a radius in any entry, in units of what a network reads: where a normaliser scales,
standard deviations; elsewhere those of the environment; in images shares of a pixel's range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from gymnasium import Space, spaces
from torch import Tensor

from acclimate.errors import SurgeryError

PIXEL = 255.0
"""The range of a pixel, which is what 1 is in an image."""
Units = Mapping[str, float]
"""What 1 is in the numbers of each part of the observations that can be moved, by key; "" is one that has no parts."""


def units(space: Space[Any]) -> dict[str, float]:
    """Return what can be moved of observations: floating numbers and images. Choices and counts have no neighbours.

    Args:
        space: of what the networks read.

    Raises:
        SurgeryError: There is nothing of the kind.

    Example:
        >>> units(spaces.Dict(seen=spaces.Box(-1.0, 1.0, (2,)), gear=spaces.Discrete(3)))
        {'seen': 1.0}
    """
    inner = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    found = {key: unit for key, part in inner.items() if (unit := _unit(part))}
    if not found:
        raise SurgeryError(
            f"observations of {space} cannot be moved a little: they have no floating numbers and no images"
        )
    return found


def floating(observations: Any) -> dict[str, float]:
    """Return the units of floating observations whose space nobody tells: those of the numbers themselves.

    Raises:
        SurgeryError: There are none.
    """
    parts = observations if isinstance(observations, dict) else {"": observations}
    found = {key: 1.0 for key, part in parts.items() if part.is_floating_point()}
    if not found:
        raise SurgeryError("observations without floating numbers cannot be moved a little")
    return found


def _unit(space: Space[Any]) -> float:
    if not isinstance(space, spaces.Box):
        return 0.0
    if space.dtype.kind == "f":
        return 1.0
    image = (
        space.dtype == "uint8" and len(space.shape) == 3 and bool((space.low == 0).all() & (space.high == 255).all())
    )
    return PIXEL if image else 0.0


def climb(
    function: Callable[[Any], Tensor],
    observations: Any,
    units: Units,
    *,
    radius: Any,
    steps: int,
    source: torch.Generator,
) -> Iterator[Any]:
    """Yield neighbours of observations at which a function is ever larger: a random one, then one for each step.

    A step goes by the sign of the gradient (Madry et al. 2018, arXiv:1706.06083), 2 radius / steps far, so that every
    corner can be reached from anywhere. It begins at a random point because the distance to what is done at the
    observation itself has no gradient there. Nothing is left in the `.grad` of parameters.

    Args:
        function: from observations to a number for each row, (rows,).
        observations: a batch as networks read it, a tensor or a dict of them.
        units: of their parts.
        radius: the largest change of an entry, in those units.
        steps: 0 or more.
        source: of the first point.
    """
    parts = observations if isinstance(observations, dict) else {"": observations}
    reach = {key: radius * unit for key, unit in units.items()}
    bounds = {key: _bounds(parts[key], reach[key], units[key]) for key in units}
    moved = {key: _between(*bounds[key], source) for key in units}
    yield _joined(observations, moved)
    for _ in range(steps):
        slopes = _slopes(function, observations, moved)
        moved = {
            key: (value + (2.0 * reach[key] / steps) * slopes[key].sign()).clamp(*bounds[key])
            for key, value in moved.items()
        }
        yield _joined(observations, moved)


def _bounds(part: Tensor, reach: Any, unit: float) -> tuple[Tensor, Tensor]:
    middle = part.detach() if part.is_floating_point() else part.detach().float()
    low, high = middle - reach, middle + reach
    return (low.clamp(min=0.0), high.clamp(max=PIXEL)) if unit == PIXEL else (low, high)


def _between(low: Tensor, high: Tensor, source: torch.Generator) -> Tensor:
    share = torch.rand(low.shape, generator=source).to(low)
    return torch.minimum(torch.maximum(low + (high - low) * share, low), high)


def _slopes(function: Callable[[Any], Tensor], observations: Any, moved: dict[str, Tensor]) -> dict[str, Tensor]:
    with torch.enable_grad():
        leaves = {key: value.detach().requires_grad_() for key, value in moved.items()}
        total = function(_joined(observations, leaves)).sum()
        slopes = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, slopes, strict=True))


def _joined(observations: Any, moved: dict[str, Tensor]) -> Any:
    return {**observations, **moved} if isinstance(observations, dict) else moved[""]
