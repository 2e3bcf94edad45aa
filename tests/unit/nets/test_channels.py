from __future__ import annotations

import torch
from torch import nn

from acclimate.methods.full import Full
from acclimate.nets.experience import Batch
from acclimate.nets.importance import channel_fisher
from acclimate.nets.outputs import Gaussian
from acclimate.tuning.attach import attach


def test_the_information_of_a_linear_policy_in_closed_form() -> None:
    """mean_c = W_c x + b_c with std s_c: the information of W_ci is x_i^2 / s_c^2 and that of b_c is 1 / s_c^2."""
    torch.manual_seed(0)
    layer, log_std, x = nn.Linear(3, 2), torch.tensor([0.0, -1.0]), torch.randn(5, 3)
    tuner = attach(Full(), {"actor": nn.Sequential(layer)}, outputs={"actor": lambda mean: Gaussian(mean, log_std)})
    ((found, score),) = channel_fisher(tuner.nets[0], Batch(x), temperature=1.0, std=0.2)
    assert found.module is layer
    torch.testing.assert_close(score, (x.square().sum(1).mean() + 1.0) / log_std.exp().square())


def test_a_unit_that_is_dead_has_none() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    net[0].weight.data.abs_()
    net[0].bias.data.copy_(torch.tensor([0.1, -100.0, 0.1]))
    tuner = attach(Full(), {"q": net})
    first, last = channel_fisher(tuner.nets[0], Batch(torch.rand(4, 2)), temperature=1.0, std=0.2)
    assert (first[1] == 0).tolist() == [False, True, False]
    assert (last[1] > 0).all()
