"""Importance of weights against sampled scores, closed forms and plain autograd, state by state."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import distributions as td
from torch import nn

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.importance import fisher_diagonal, information_factors, sensitivity
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues, Bernoulli, Categorical, Gaussian, Point, Policy, Values, divergence
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests import tiny
from tests.cases import agent, batch


def linear(apply: object, inputs: int = 2, outputs: int = 3) -> Net:
    torch.manual_seed(0)
    return Net("actor", nn.Linear(inputs, outputs, bias=False), apply)


STATES = Batch(torch.tensor([[1.0, 2.0], [-0.5, 3.0], [0.0, 1.0]]))


def information(policy: Policy, *of: torch.Tensor) -> torch.Tensor:
    """Return F of one row from the factors."""
    factors = information_factors(policy)[0]
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(f, of, retain_graph=True)]) for f in factors]
    return torch.stack(rows).T @ torch.stack(rows)


def hessian_of_kl(make: object, *at: torch.Tensor) -> torch.Tensor:
    """Return the second derivative of KL(p0 || p) at p = p0 by torch.distributions: the Fisher information."""
    sizes = [a.numel() for a in at]

    def kl(flat: torch.Tensor) -> torch.Tensor:
        here = make(*at)
        return td.kl_divergence(here, make(*flat.split(sizes))).sum()

    return torch.autograd.functional.hessian(kl, torch.cat(at))


def test_the_information_is_the_curvature_of_the_divergence() -> None:
    mean, log_std = torch.tensor([0.3, -1.0]), torch.tensor([-0.7, 0.4])
    ours = Gaussian(mean[None].clone().requires_grad_(), log_std[None].clone().requires_grad_())
    theirs = hessian_of_kl(lambda m, s: td.Normal(m, s.exp()), mean, log_std)
    torch.testing.assert_close(information(ours, ours.mean, ours.log_std), theirs)
    # By hand: 1 / std^2 for the means and 2 for the log stds.
    torch.testing.assert_close(theirs.diagonal(), torch.tensor([*torch.exp(-2 * log_std).tolist(), 2.0, 2.0]))

    logits = torch.tensor([0.5, -1.0, 2.0])
    ours = Categorical(logits[None].clone().requires_grad_())
    theirs = hessian_of_kl(lambda z: td.Categorical(logits=z), logits)
    torch.testing.assert_close(information(ours, ours.logits), theirs)

    ours = Bernoulli(logits[None].clone().requires_grad_())
    theirs = hessian_of_kl(lambda z: td.Bernoulli(logits=z), logits)
    torch.testing.assert_close(information(ours, ours.logits), theirs)


def test_choices_side_by_side_are_independent() -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0, 0.3, 0.1]], requires_grad=True)
    p, q = logits[0, :2].softmax(-1).detach(), logits[0, 2:].softmax(-1).detach()
    expected = torch.block_diag(torch.diag(p) - torch.outer(p, p), torch.diag(q) - torch.outer(q, q))
    torch.testing.assert_close(information(Categorical(logits, (2, 3)), logits), expected)


def test_a_gaussian_by_hand() -> None:
    """The mean is W x with a std of 0.5 for all: the information on W_ji is mean_s x_i^2 / 0.25."""
    net = linear(lambda module, b: Gaussian(module(b.observations), torch.full((3,), 0.5).log()))
    found = fisher_diagonal(net, STATES)[net.module.weight]
    expected = STATES.observations.square().mean(0) / 0.25
    torch.testing.assert_close(found, expected.expand(3, 2))


def test_squashing_changes_nothing() -> None:
    def of(squashed: bool) -> torch.Tensor:
        net = linear(lambda module, b: Gaussian(module(b.observations), torch.full((3,), -0.3), squashed))
        return fisher_diagonal(net, STATES)[net.module.weight]

    torch.testing.assert_close(of(True), of(False))


def test_a_categorical_by_hand() -> None:
    """The information on W_ji is mean_s p_j (1 - p_j) x_i^2."""
    net = linear(lambda module, b: Categorical(module(b.observations)))
    x = STATES.observations
    p = net.module(x).softmax(-1).detach()
    expected = torch.einsum("sj,si->ji", p * (1 - p), x.square()) / 3
    torch.testing.assert_close(fisher_diagonal(net, STATES)[net.module.weight], expected)


def test_action_values_and_single_actions_by_hand() -> None:
    x = STATES.observations
    net = linear(lambda module, b: ActionValues(module(b.observations)))
    p = (net.module(x) / 2.0).softmax(-1).detach()
    expected = torch.einsum("sj,si->ji", p * (1 - p) / 4.0, x.square()) / 3
    torch.testing.assert_close(fisher_diagonal(net, STATES, temperature=2.0)[net.module.weight], expected)
    net = linear(lambda module, b: Point(module(b.observations)))
    expected = (x.square().mean(0) / 0.04).expand(3, 2)
    torch.testing.assert_close(fisher_diagonal(net, STATES, std=0.2)[net.module.weight], expected)


def test_a_deep_network_against_scores_of_sampled_actions() -> None:
    """By its definition: the mean square of d log pi(a|s) / d theta over actions of the policy."""
    torch.manual_seed(1)
    net = Net(
        "actor", nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)), lambda m, b: Categorical(m(b.observations))
    )
    found, weight = fisher_diagonal(net, STATES), net.module[0].weight
    expected = torch.zeros_like(weight)
    for state in STATES.observations:
        log_p = net.module(state).log_softmax(-1)
        for action in range(2):
            score = torch.autograd.grad(log_p[action], weight, retain_graph=True)[0]
            expected += log_p[action].exp().detach() * score.square() / 3
    torch.testing.assert_close(found[weight], expected)


def test_sensitivity_by_hand() -> None:
    """Of y = W x it is mean_s |2 y_j x_i|, each state by itself."""
    net = linear(lambda module, b: Values(module(b.observations)))
    x, y = STATES.observations, net.module(STATES.observations).detach()
    expected = 2 * torch.einsum("sj,si->ji", y.abs(), x.abs()) / 3
    torch.testing.assert_close(sensitivity(net, STATES)[net.module.weight], expected)


@pytest.mark.parametrize(
    "name", ["ppo-mlp", "ppo-cnn", "ppo-mlp-discrete", "sac-mlp", "td3-mlp", "qrdqn-mlp", "crossq-mlp"]
)
def test_real_policies_and_nothing_changes(name: str) -> None:
    """Frozen weights are asked about too; modes, gradients and running statistics are as before."""
    model = agent(name)
    nets = Seam(model, chain()).tuner.nets
    net, shown = next(net for net in nets if net.decides), batch(model, 5)
    before, modes = copy.deepcopy(model.policy.state_dict()), [m.training for m in net.module.modules()]
    frozen = net.parameters()[0].requires_grad_(False)
    net.module.zero_grad()
    found = fisher_diagonal(net, shown)
    assert set(found) == set(net.parameters())
    assert all(value.shape == p.shape and value.isfinite().all() and (value >= 0).all() for p, value in found.items())
    assert all(value.any() for value in found.values())
    assert not frozen.requires_grad
    assert all(p.grad is None for p in net.parameters())
    assert [m.training for m in net.module.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in model.policy.state_dict().items())
    # The mean over states is that of the states one by one.
    one_by_one = [fisher_diagonal(net, shown.rows(slice(i, i + 1))) for i in range(5)]
    for parameter, value in found.items():
        torch.testing.assert_close(value, torch.stack([one[parameter] for one in one_by_one]).mean(0))


@pytest.mark.parametrize("name", ["ppo-gsde", "ppo-multi", "a2c", "sac-gsde", "her"])
def test_other_policies_of_sb3(name: str) -> None:
    """Noise that depends on the state, yes-or-no actions, several choices, and observations by name: the information
    on a weight is the second derivative of KL(policy || policy with another weight), by autograd."""
    model = tiny.model(name)
    net = next(net for net in Seam(model, chain()).tuner.nets if net.decides)
    shown, _ = model.policy.obs_to_tensor(tiny.observations(model.observation_space, 4))
    found = fisher_diagonal(net, Batch(shown))
    net.module.eval()
    policy = net.apply(net.module, Batch(shown))
    fixed = {key: value.detach() for key, value in vars(policy).items() if isinstance(value, torch.Tensor)}
    apart = divergence(dataclasses.replace(policy, **fixed), policy).mean()
    for parameter, information in found.items():
        slope = torch.autograd.grad(apart, parameter, create_graph=True)[0].flatten()
        for place in {0, int(information.argmax())}:
            curvature = torch.autograd.grad(slope[place], parameter, retain_graph=True)[0].flatten()[place]
            torch.testing.assert_close(information.flatten()[place], curvature, rtol=1e-3, atol=1e-6)


def test_values_are_no_policy() -> None:
    model = agent("sac-mlp")
    critic = Seam(model, chain()).tuner.nets[1]
    with pytest.raises(SurgeryError, match="a critic puts out no policy"):
        fisher_diagonal(critic, batch(model))
    assert all(value.isfinite().all() for value in sensitivity(critic, batch(model)).values())
