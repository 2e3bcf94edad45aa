"""TRPO trains by itself what its own training has a place for, and says of the rest why it has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sb3_contrib import TRPO
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.errors import SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.freeze import Freeze
from acclimate.methods.hold import Hold
from acclimate.methods.l2_init import L2Init
from acclimate.methods.l2sp import L2SP
from acclimate.methods.warmup import Warmup
from acclimate.seam.seam import Seam
from acclimate.seam.trial import tried
from acclimate.seam.trust_region import objection as said
from acclimate.tuning.method import Method, chain
from tests.cases import METHODS, agent, context, reloaded


def objection(model: TRPO, method: Method) -> str | None:
    """Return what TRPO says of a method that was put into it."""
    return said(model, tried(model, method))


OBJECTIONS: dict[str, tuple[str, ...]] = {
    "adds to the actor's loss": (
        *("l2sp", "l2sp/decoupled", "kl", "kl/reverse", "kl/source", "kl/target", "bc", "l2", "l2/decoupled"),
        *("ewc", "mas", "features", "features/all", "l2-init/all", "prior-replay", "prior-replay/all"),
        *("smooth", "smooth/growing"),
    ),
    "edits the actor's gradients": (
        *("hold", "channel-rates", "channel-rates/protect", "fisher-channels", "fisher-channels/layer"),
        *("surgical", "kl-adaptive"),
    ),
    "acts after each of the actor's steps": (
        *("head-reset/all", "shrink-perturb/all", "redo/all", "batchnorm/affine", "batchnorm/statistics"),
    ),
    "sets the actor's learning rates": (
        *("channel", "ia3", "residual/all", "side", "discriminative", "unfreeze", "plateau", "warmup", "cosine"),
    ),
}
WHY = {case: why for why, cases in OBJECTIONS.items() for case in cases}
NO_BUFFER = ("offline", "offline/discrete", "offline/image", "policy-expansion")
"""Those that no on-policy algorithm has a place for."""
WORK = [case for case in METHODS if case not in WHY and case not in NO_BUFFER]
SHOWN = ("freeze", "dropout/all", "jump-start")
"""What differs most; the others run nightly on all of the agents."""
PAIRS = [
    pair if name == "trpo-mlp" or case in SHOWN else pytest.param(*pair, marks=pytest.mark.nightly)
    for name in ("trpo-mlp", "trpo-mlp-discrete", "trpo-cnn", "trpo-cnn-separate")
    for case in WORK
    if (pair := (name, case))
]


def weights(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def moved(before: dict[str, torch.Tensor], model: BaseAlgorithm, *parts: str) -> bool:
    """Tell whether any weight moved whose name begins with one of these."""
    after = model.policy.state_dict()
    return any(not torch.equal(before[name], after[name]) for name in before if name.startswith(parts))


ACTOR, CRITIC = ("mlp_extractor.policy_net", "action_net", "log_std"), ("mlp_extractor.value_net", "value_net")


@pytest.mark.parametrize("case", WHY)
def test_what_needs_an_optimizer_of_the_actor_says_so(case: str) -> None:
    method = METHODS[case]
    expected = f"`{method.name}` {WHY[case]}, and TRPO's actor has no optimizer"
    assert objection(agent("trpo-mlp", steps=0), method) == expected
    assert objection(agent("trpo-mlp", steps=0), chain(Freeze(on="critic:value_net"), method)) == expected
    if case not in ("prior-replay", "prior-replay/all"):
        model = agent("trpo-mlp", steps=0)
        with pytest.raises(SurgeryError, match=r"has no optimizer; tune the agent as PPO"):
            Seam(model, method, context=context(model))


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_what_needs_none_is_trained_by_trpo(name: str, case: str) -> None:
    """Actor and critic learn, what is frozen stays, and the end is a stock agent that trains on, if it can be one."""
    method, model = METHODS[case], agent(name)
    assert objection(agent(name, steps=0), method) is None
    # A line search that finds nothing moves nothing: it is given more to try.
    model.target_kl, model.line_search_max_iter = 0.05, 50
    with Seam(model, method, context=context(model), total_steps=64) as seam:
        frozen = {p: p.detach().clone() for p, scale in seam.tuner.scales.items() if scale == 0}
        trained = {
            net.role: {p: p.detach().clone() for p in net.parameters() if seam.tuner.scales[p] > 0}
            for net in seam.tuner.nets
        }
        model.learn(64)
        seam.finish()
    assert all(torch.equal(p, before) for p, before in frozen.items())
    for role in ("actor", "critic"):
        assert any(not torch.equal(p, before) for p, before in trained[role].items()), role
    if method.foldable:
        stock = reloaded(seam.fold())
        assert not any("parametrizations" in name for name in weights(stock))
        stock.learn(8)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (L2SP(weight=0.1, on="critic"), None),
        (L2SP(weight=0.1, on="actor"), "loss"),
        (Hold(steps=5, on="critic"), None),
        (Warmup(on="critic"), None),
        (ChannelScale(rate=1.0), None),
        (ChannelScale(rate=2.0, on="critic"), None),
        (ChannelScale(rate=2.0, on="actor"), "learning rates"),
        (Freeze(on="actor"), "all of the actor is frozen"),
        (Freeze(on="critic"), "all of the critic is frozen"),
        (chain(Freeze(on="actor:mlp_extractor"), Freeze(on=["actor:action_net", "actor:log_std"])), "all of the actor"),
    ],
    ids=str,
)
def test_where_a_method_acts_decides(method: Method, why: str | None) -> None:
    found = objection(agent("trpo-mlp", steps=0), method)
    assert (found is None) if why is None else (why in found)


def test_features_that_the_actor_shares_are_stepped_with_it() -> None:
    on_trunk = L2SP(weight=0.1, on="trunk")
    assert "the actor's loss" in objection(agent("trpo-cnn", steps=0), on_trunk)


@pytest.mark.parametrize("name", ["trpo-mlp", "trpo-mlp-discrete", "trpo-cnn"])
@pytest.mark.parametrize("method", [chain(), METHODS["full"]], ids=["none", "full"])
def test_without_a_method_it_is_sb3_contribs_own_training(name: str, method: Method) -> None:
    plain = agent(name)
    before = weights(plain)
    plain.learn(32)
    ours = agent(name)  # seeds what both draw from
    with Seam(ours, method, total_steps=32) as seam:
        ours.learn(32)
    assert moved(before, plain, *ACTOR)
    expected, found = weights(plain), weights(seam.fold())
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_penalty_on_the_critic_reaches_its_steps_and_no_other() -> None:
    """A pull far larger than the loss takes the critic to where it pulls; the actor's step is that of stock TRPO."""

    def learnt(weight: float) -> tuple[dict[str, torch.Tensor], BaseAlgorithm]:
        model: Any = agent("trpo-mlp", n_critic_updates=40, learning_rate=0.02)
        with Seam(model, L2Init(weight=weight, on="critic"), total_steps=8) as seam:
            start = weights(model)
            model.learn(8)
        return start, seam.fold()

    _, free = learnt(1e-12)
    start, pulled = learnt(1e6)
    for name, value in pulled.policy.state_dict().items():
        if name.startswith(ACTOR):
            assert torch.equal(value, free.policy.state_dict()[name])
    distance = max(float((pulled.policy.state_dict()[n] - free.policy.state_dict()[n]).abs().max()) for n in start)
    assert distance > 0.1


def test_training_leaves_no_trace_on_the_policy() -> None:
    model = agent("trpo-mlp")
    with Seam(model, Freeze(on="actor:mlp_extractor")):
        model.learn(8)
        assert "named_parameters" not in vars(model.policy)
        names = [name for name, _ in model.policy.named_parameters()]
    assert any(name.startswith("mlp_extractor.policy_net") for name in names)


def test_what_trpo_calls_its_kl_is_known_as_the_kl() -> None:
    model = agent("trpo-mlp")
    with Seam(model, chain(), total_steps=16) as seam:
        model.learn(16)
    assert seam.signals.approx_kl == model.logger.name_to_value["train/kl_divergence_loss"]
    assert seam.signals.explained_variance is not None
