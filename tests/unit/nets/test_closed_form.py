"""Closed forms in arrays against what autograd finds of the same modules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import Parameter

from acclimate.methods.channel import Scaled, ScaledAndShifted
from acclimate.methods.dora import Decomposed
from acclimate.methods.ia3 import Rescaled, RescaledInputs
from acclimate.methods.lora import LowRank
from acclimate.nets.closed_form import Closed, closed


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def _low_rank(stored: torch.Tensor) -> LowRank:
    module = LowRank(stored, 2, 0.7, torch.Generator().manual_seed(0))
    nn.init.normal_(module.up, generator=torch.Generator().manual_seed(1))
    return module


CASES: dict[str, tuple[tuple[int, ...], Callable[[torch.Tensor], Closed]]] = {
    "scaled": ((4, 3), lambda stored: Scaled(Parameter(drawn(len(stored))))),
    "scaled-convolution": ((4, 3, 2, 2), lambda stored: Scaled(Parameter(drawn(len(stored))))),
    "shifted": (
        (4,),
        lambda stored: ScaledAndShifted(Parameter(drawn(len(stored))), Parameter(drawn(len(stored)) + 1)),
    ),
    "rescaled": ((4,), lambda stored: Rescaled(Parameter(drawn(len(stored))))),
    "inputs": ((4, 3), lambda stored: RescaledInputs(Parameter(drawn(stored.shape[1])))),
    "inputs-convolution": ((4, 3, 2, 2), lambda stored: RescaledInputs(Parameter(drawn(stored.shape[1])))),
    "low-rank": ((4, 3), _low_rank),
    "low-rank-convolution": ((4, 3, 2, 2), _low_rank),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_that_of_the_module(case: str) -> None:
    shape, make = CASES[case]
    stored, gradient = drawn(*shape).requires_grad_(), drawn(*shape) + 0.5
    module = make(stored.detach())
    assert closed(module)
    gradients = {parameter: np.zeros(tuple(parameter.shape)) for parameter in module.parameters()}
    array = stored.detach().numpy()
    form = module.form(array, lambda p: p.detach().numpy(), gradients.__getitem__)
    out = np.empty(shape)
    form.write(array, out)
    result = module(stored)
    np.testing.assert_allclose(out, result.detach().numpy(), rtol=1e-12)
    form.pull(array, gradient.numpy())
    wanted = torch.autograd.grad(result, [stored, *gradients], gradient)
    np.testing.assert_allclose(form.below(gradient.numpy()), wanted[0].numpy(), rtol=1e-12)
    for found, true in zip(gradients.values(), wanted[1:], strict=True):
        np.testing.assert_allclose(found, true.numpy(), rtol=1e-12)


def test_what_a_subclass_computes_otherwise_has_none() -> None:
    assert not closed(Decomposed(drawn(4, 3), 2, 1.0, torch.Generator()))
    assert not closed(nn.Identity())
