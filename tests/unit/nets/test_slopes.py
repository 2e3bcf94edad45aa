"""The closed gradients of divergences against those that autograd finds."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from acclimate.methods.kl import KLToPrior
from acclimate.nets.outputs import ActionValues, Categorical, Gaussian, Outputs, Point, Values
from acclimate.tuning.method import Signals
from tests.cases import METHODS

ROWS = 5


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


KINDS = {
    "gaussian": lambda seed: Gaussian(drawn(ROWS, 3, seed=seed), drawn(ROWS, 3, seed=seed + 1)),
    "gaussian-shared": lambda seed: Gaussian(drawn(ROWS, 3, seed=seed), drawn(3, seed=seed + 1)),
    "point": lambda seed: Point(drawn(ROWS, 3, seed=seed)),
    "values": lambda seed: ActionValues(drawn(ROWS, 4, seed=seed)),
    "categorical": lambda seed: Categorical(drawn(ROWS, 4, seed=seed)),
}


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_those_of_autograd(kind: str, direction: str) -> None:
    method = KLToPrior(weight=0.7, direction=direction, temperature=1.3, std=0.4)  # type: ignore[arg-type]
    now, prior = KINDS[kind](0), KINDS[kind](10)
    found = method.output_slopes(now, prior, Signals())
    assert found is not None
    tensors = {k: v.requires_grad_() for k, v in vars(now).items() if isinstance(v, torch.Tensor)}
    penalty = method.output_penalty(dataclasses.replace(now, **tensors), prior, Signals())
    torch.testing.assert_close(found[0], penalty.detach())
    for (name, tensor), gradient in zip(
        tensors.items(), torch.autograd.grad(penalty, list(tensors.values())), strict=True
    ):
        slope = found[1][name] if tensor.dim() > 1 else found[1][name].sum(0)
        torch.testing.assert_close(slope, gradient, msg=lambda text, n=name: f"{n}: {text}")


def several(seed: int) -> Outputs:
    return Categorical(drawn(ROWS, 5, seed=seed), (2, 3))


@pytest.mark.parametrize("make", [several, lambda seed: Values(drawn(ROWS, 2, seed=seed))])
def test_others_are_left_to_autograd(make) -> None:
    assert KLToPrior().output_slopes(make(0), make(1), Signals()) is None
    assert METHODS["l2sp"].output_slopes(make(0), make(1), Signals()) is None
