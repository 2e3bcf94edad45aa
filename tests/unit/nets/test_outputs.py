"""Divergences against torch.distributions and a numerical integral."""

from __future__ import annotations

import math

import pytest
import torch
from torch import distributions as td

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import (
    FORBIDDEN,
    ActionValues,
    Bernoulli,
    Categorical,
    Gaussian,
    Point,
    Policy,
    Values,
    as_policy,
    choose,
    divergence,
)
from acclimate.nets.seeding import generator
from acclimate.sb3.networks import find
from tests.tiny import model as tiny

torch.manual_seed(0)
A, B = torch.randn(2, 5, 4, dtype=torch.float64)
C, D = torch.randn(2, 5, 4, dtype=torch.float64) * 0.5


def gaussian(mean: torch.Tensor, log_std: torch.Tensor) -> td.Distribution:
    return td.Independent(td.Normal(mean, log_std.exp()), 1)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Gaussian(A, C), Gaussian(B, D), td.kl_divergence(gaussian(A, C), gaussian(B, D))),
        (Gaussian(A, C[0]), Gaussian(B, D[0]), td.kl_divergence(gaussian(A, C[0]), gaussian(B, D[0]))),
        (Categorical(A), Categorical(B), td.kl_divergence(td.Categorical(logits=A), td.Categorical(logits=B))),
        (
            Categorical(A, (1, 3)),
            Categorical(B, (1, 3)),
            sum(
                td.kl_divergence(td.Categorical(logits=p), td.Categorical(logits=q))
                for p, q in zip(A.split((1, 3), -1), B.split((1, 3), -1), strict=True)
            ),
        ),
        (
            Bernoulli(A),
            Bernoulli(B),
            td.kl_divergence(td.Bernoulli(logits=A), td.Bernoulli(logits=B)).sum(-1),
        ),
    ],
    ids=["gaussian", "gaussian-shared-std", "categorical", "multi-categorical", "bernoulli"],
)
def test_closed_forms(first: Policy, second: Policy, expected: torch.Tensor) -> None:
    torch.testing.assert_close(divergence(first, second), expected)
    torch.testing.assert_close(divergence(first, first), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)


def test_squashing_leaves_the_divergence() -> None:
    """The divergence of two squashed Gaussians, by a fine sum over the actions, is that of the Gaussians."""
    means, stds = torch.tensor([0.3, -0.4], dtype=torch.float64), torch.tensor([0.5, 0.7], dtype=torch.float64)
    squashed = [
        td.TransformedDistribution(td.Normal(m, s), td.TanhTransform(cache_size=1))
        for m, s in zip(means, stds, strict=True)
    ]
    before = torch.linspace(-6, 6, 200_001, dtype=torch.float64)
    actions, width = before.tanh(), (1 - before.tanh() ** 2) * (before[1] - before[0])
    log_p, log_q = (d.log_prob(actions.clamp(-1 + 1e-12, 1 - 1e-12)) for d in squashed)
    inside = torch.isfinite(log_p) & torch.isfinite(log_q)
    integral = ((log_p.exp() * (log_p - log_q)) * width)[inside].sum()
    ours = Gaussian(means[:1, None], stds[:1, None].log(), True).kl(
        Gaussian(means[1:, None], stds[1:, None].log(), True)
    )
    assert float(ours) == pytest.approx(float(integral), rel=1e-4)


def test_single_actions_and_action_values_become_policies() -> None:
    near, far = (as_policy(Point(x), temperature=1.0, std=0.2) for x in (A, A + 0.1))
    torch.testing.assert_close(divergence(near, far), torch.full((5,), 4 * 0.01 / (2 * 0.04), dtype=torch.float64))
    q = as_policy(ActionValues(A), temperature=2.0, std=0.2)
    assert isinstance(q, Categorical)
    torch.testing.assert_close(q.logits.softmax(-1), (A / 2).softmax(-1))


def test_extreme_logits_stay_finite() -> None:
    sure, unsure = torch.tensor([[80.0, -80.0]]), torch.tensor([[-80.0, 80.0]])
    for kind in (Categorical, Bernoulli):
        assert math.isfinite(float(divergence(kind(sure), kind(unsure))))


def test_what_cannot_be_compared() -> None:
    with pytest.raises(SurgeryError, match="a critic puts out no policy"):
        as_policy(Values(A), temperature=1.0, std=0.2)
    with pytest.raises(SurgeryError, match="a Gaussian and a Categorical cannot be compared"):
        divergence(Gaussian(A, C), Categorical(B))


def test_choosing_the_likeliest() -> None:
    mean = torch.tensor([[0.5, -2.0]])
    assert choose(Gaussian(mean, torch.zeros(2))).tolist() == [[0.5, -2.0]]
    torch.testing.assert_close(choose(Gaussian(mean, torch.zeros(2), squashed=True)), torch.tanh(mean))
    logits = torch.tensor([[0.0, 3.0, 1.0, 5.0, 2.0], [4.0, 3.0, 1.0, 5.0, 9.0]])
    assert choose(Categorical(logits)).tolist() == [3, 4]
    assert choose(Categorical(logits, (3, 2))).tolist() == [[1, 0], [0, 1]]
    assert choose(Bernoulli(torch.tensor([[1.0, -1.0]]))).tolist() == [[1.0, 0.0]]
    assert choose(Point(mean)).tolist() == mean.tolist()
    assert choose(ActionValues(logits)).tolist() == [3, 4]
    with pytest.raises(SurgeryError, match="a critic puts out no action"):
        choose(Values(mean))


def test_drawing_has_the_frequencies_of_the_distribution() -> None:
    n = 20_000
    normal = choose(Gaussian(torch.full((n, 1), 2.0), torch.log(torch.tensor([0.5]))), generator(0))
    assert float(normal.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(normal.std()) == pytest.approx(0.5, abs=0.02)
    squashed = choose(Gaussian(torch.full((n, 1), 2.0), torch.log(torch.tensor([0.5])), squashed=True), generator(0))
    torch.testing.assert_close(squashed, normal.tanh())
    odds = torch.tensor([0.2, 0.3, 0.5, 0.9, 0.1])
    several = choose(Categorical(odds.log().expand(n, 5), (3, 2)), generator(1))
    assert torch.bincount(several[:, 0]).div(n).tolist() == pytest.approx([0.2, 0.3, 0.5], abs=0.02)
    assert torch.bincount(several[:, 1]).div(n).tolist() == pytest.approx([0.9, 0.1], abs=0.02)
    one = choose(Categorical(odds[:3].log().expand(n, 3)), generator(2))
    assert torch.bincount(one).div(n).tolist() == pytest.approx([0.2, 0.3, 0.5], abs=0.02)
    yes = choose(Bernoulli(torch.logit(torch.tensor([0.2, 0.7])).expand(n, 2)), generator(3))
    assert yes.mean(0).tolist() == pytest.approx([0.2, 0.7], abs=0.02)


def test_a_squashing_policy_with_gsde_is_drawn_within_its_bounds() -> None:
    model = tiny("ppo-gsde", policy_kwargs={"net_arch": [8], "squash_output": True})
    net = find(model)[0]
    outputs = net.apply(net.module, Batch(torch.zeros(4, 3)))
    assert outputs.squashed
    assert float(choose(outputs, generator(0)).abs().max()) <= 1.0
    assert not find(tiny("ppo"))[0].apply(find(tiny("ppo"))[0].module, Batch(torch.zeros(4, 3))).squashed


def test_the_entropy_of_choices_is_told_with_the_greatest_they_could_have() -> None:
    """Of what is allowed alone; a temperature leaves what is not where it is."""
    allowed = torch.tensor([[True, True, False, True, True], [True, False, False, True, False]])
    logits = torch.tensor([[2.0, 0.0, 5.0, 1.0, 1.0], [3.0, 0.0, 0.0, -1.0, 7.0]]).where(allowed, FORBIDDEN)
    now, most = Categorical(logits, (3, 2), allowed).spread()
    first = torch.distributions.Categorical(logits=torch.tensor([2.0, 0.0])).entropy()
    torch.testing.assert_close(now, torch.stack([first + math.log(2), torch.zeros(())]))
    assert most.tolist() == pytest.approx([2 * math.log(2), 0.0])
    hot = Categorical(logits, (3, 2), allowed).heated(4.0)
    torch.testing.assert_close(hot.logits[0], torch.tensor([0.5, 0.0, FORBIDDEN, 0.25, 0.25]))
    free, everything = Categorical(torch.zeros(1, 5), (3, 2)).spread()
    assert float(free) == pytest.approx(math.log(3) + math.log(2)) == float(everything)


def test_what_is_forbidden_counts_in_no_divergence() -> None:
    allowed = torch.tensor([[True, True, False]])
    one, other = (
        Categorical(torch.tensor([pair]).where(allowed, FORBIDDEN), allowed=allowed).logits.requires_grad_()
        for pair in ([1.0, 0.0, 9.0], [0.0, 0.0, -9.0])
    )
    kl = Categorical(one, allowed=allowed).kl(Categorical(other, allowed=allowed))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=torch.tensor([1.0, 0.0])),
        torch.distributions.Categorical(logits=torch.tensor([0.0, 0.0])),
    )
    torch.testing.assert_close(kl.detach(), expected[None])
    gradient, _ = torch.autograd.grad(kl.sum(), (one, other))
    assert float(gradient[0, 2]) == 0.0
