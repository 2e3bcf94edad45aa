"""Laws that hold for every method on every algorithm.

The normal suite takes a sample; `make test-all` takes every pair of a case and an agent.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.agent import Agent
from acclimate.agents.graft import kept
from acclimate.agents.load import load
from acclimate.config import to_dict
from acclimate.errors import ExportError, SurgeryError
from acclimate.formats.sb3 import live
from acclimate.registry import METHODS as REGISTERED
from acclimate.sb3.networks import find
from acclimate.sb3.parts import Parts
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, chain
from tests.cases import (
    AGENTS,
    FREEZES,
    METHODS,
    MORE_AGENTS,
    agent,
    batch,
    close,
    context,
    refused,
    reloaded,
    responses,
)

# A fixed sample, spread so that each method and each agent comes up; the whole product runs nightly.
NAMES = list(METHODS)
WORK = [(a, m) for m in NAMES for a in (*AGENTS, *MORE_AGENTS) if not refused(m, a)]
REFUSALS = [(a, m) for m in NAMES for a in (*AGENTS, *MORE_AGENTS) if refused(m, a)]

# One of each case; the others run nightly.
_FIRST = {m: (a, m) for a, m in reversed(REFUSALS)}
SHOWN_REFUSALS = [
    pair if pair == _FIRST[pair[1]] else pytest.param(*pair, marks=pytest.mark.nightly) for pair in REFUSALS
]


def _sampled() -> list[tuple[str, str]]:
    sample = []
    for place, name in enumerate(NAMES):
        mine = [pair for pair in WORK if pair[1] == name and pair[0] in AGENTS]
        sample.append(mine[(3 * place) % len(mine)])
    return sample


SAMPLE = _sampled()
REST = [pair for pair in WORK if pair not in SAMPLE]
PAIRS = [*SAMPLE, *(pytest.param(*pair, marks=pytest.mark.nightly) for pair in REST)]
TRAINED = 16
KIN = ("recurrent_ppo-mlp", "maskable_ppo-mlp")

every_case = pytest.mark.parametrize(("name", "case"), PAIRS)


def _where(foldable: bool) -> list[Any]:
    def mine(pair: tuple[str, str]) -> bool:
        return METHODS[pair[1]].foldable is foldable

    nightly = [pytest.param(*pair, marks=pytest.mark.nightly) for pair in REST if mine(pair)]
    return [*(pair for pair in SAMPLE if mine(pair)), *nightly]


every_case_that_folds = pytest.mark.parametrize(("name", "case"), _where(True))
every_case_that_stays = pytest.mark.parametrize(("name", "case"), _where(False))


def weights(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def train(model: BaseAlgorithm, method: Method, steps: int = TRAINED) -> Seam:
    with reach(model, method, total_steps=steps) as seam:
        model.learn(steps)
        seam.finish()
    return seam


def reach(model: BaseAlgorithm, method: Method, **more: Any) -> Seam:
    return Seam(model, method, context=context(model), **more)


def bundled(stock: Parts, model: BaseAlgorithm, methods: tuple[Method, ...], folder: Path) -> Agent:
    """Return a tuned model with methods in its networks as it comes back from a bundle."""
    Agent(stock.blueprint, model, methods=methods).save(folder / "bundle")
    return load(folder / "bundle")


def test_every_registered_method_has_a_case() -> None:
    covered = {name.partition("/")[0] for name in METHODS}
    assert covered == set(REGISTERED.names())
    assert all(type(METHODS[name]) is REGISTERED.get(name.partition("/")[0]) for name in METHODS)


@pytest.mark.parametrize("case", NAMES)
def test_round_trips_to_data(case: str) -> None:
    method = METHODS[case]
    data = REGISTERED.config(method)
    assert REGISTERED.build(data, "recipe") == method
    assert {"on"} <= set(to_dict(method)), "every method can be limited by `on`"


@pytest.mark.parametrize(("name", "case"), SHOWN_REFUSALS)
def test_what_cannot_work_is_refused_by_name(name: str, case: str) -> None:
    with pytest.raises(SurgeryError, match=f"`{METHODS[case].name}`"):
        reach(agent(name, steps=0), METHODS[case])


@every_case
def test_inject_preserves_and_folds_back(name: str, case: str) -> None:
    """Outputs, twins included, are those of before the injection, and the fold is a stock one or names who stays."""
    model = agent(name)
    seam_nets = Seam(model, chain()).tuner.nets
    before, stock, shown = weights(model), responses(seam_nets, batch(model)), batch(model)
    seam = reach(model, METHODS[case])
    if METHODS[case].preserves:
        assert close(stock, responses(seam.tuner.nets, shown))
    if not METHODS[case].foldable:
        with pytest.raises(SurgeryError, match=f"`{METHODS[case].name}` cannot end as a stock network"):
            seam.fold()
        assert not METHODS[case].preserves or close(stock, responses(seam.tuner.nets, shown))
        return
    seam.fold()
    if METHODS[case].preserves:
        assert same(before, weights(model))
    assert all(p.requires_grad and p.grad is None for net in seam.tuner.nets for p in net.pretrained)


@every_case_that_stays
def test_what_stays_is_kept_in_a_bundle(name: str, case: str, tmp_path: Path) -> None:
    """It acts and values as in training, is trainable as a whole, and no zip is written of it."""
    model = agent(name)
    stock, shown = live.read(model), batch(model)
    seam = train(model, METHODS[case])
    learnt = responses(seam.tuner.nets, shown)
    assert seam.keep() is model
    again = bundled(stock, model, kept(METHODS[case]), tmp_path)
    assert again.methods == (METHODS[case],)
    assert same(weights(model), weights(again.model))
    for mine, theirs in zip(learnt.values(), responses(find(again.model), shown).values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    observations = np.asarray(shown.observations)
    acts = [m.predict(observations, deterministic=True)[0] for m in (model, again, again.copy())]
    assert all(np.array_equal(acts[0], other) for other in acts[1:])
    trained = {id(p) for o in optimizers_of(again.model) for group in o.param_groups for p in group["params"]}
    assert all(id(p) in trained and p.requires_grad for net in find(again.model) for p in net.parameters())
    with pytest.raises(ExportError, match=f"`{METHODS[case].name}` in its networks"):
        again.save(tmp_path / "agent.zip")


@every_case_that_folds
def test_fold_after_training_keeps_what_was_learnt(name: str, case: str) -> None:
    model = agent(name)
    names, kinds = list(model.policy.state_dict()), [type(module) for module in model.policy.modules()]
    seam = train(model, METHODS[case])
    shown = batch(model)
    learnt = responses(seam.tuner.nets, shown)
    assert seam.fold() is model
    assert close(learnt, responses(seam.tuner.nets, shown))
    assert list(model.policy.state_dict()) == names
    assert [type(module) for module in model.policy.modules()] == kinds
    assert not [m for m in model.policy.modules() if m._forward_hooks or m._forward_pre_hooks]


@every_case
def test_frozen_tensors_stay_bit_for_bit(name: str, case: str) -> None:
    model = agent(name)
    with reach(model, METHODS[case], total_steps=TRAINED) as seam:
        frozen = {p: p.detach().clone() for p, scale in seam.tuner.scales.items() if scale == 0}
        model.learn(TRAINED)
    moved = [p for p, scale in seam.tuner.scales.items() if scale > 0]
    # A method may let go of some of it as a rollout begins.
    kept = {p: value for p, value in frozen.items() if seam.tuner.scales[p] == 0}
    assert all(torch.equal(p, value) and p.grad is None and not p.requires_grad for p, value in kept.items())
    kept_within = seam.tuner.composition.kept()
    assert seam.trainable_parameters == sum(p.numel() - kept_within.get(p, 0) for p in moved)
    assert bool(frozen) == (case in FREEZES)


@every_case_that_folds
def test_stock_sb3_loads_and_trains_on(name: str, case: str) -> None:
    model = agent(name)
    tuned = train(model, METHODS[case]).fold()
    loaded = reloaded(tuned)
    shown = np.asarray(batch(tuned).observations)
    np.testing.assert_array_equal(
        tuned.predict(shown, deterministic=True)[0], loaded.predict(shown, deterministic=True)[0]
    )
    before = weights(loaded)
    loaded.learn(TRAINED)
    assert not same(before, weights(loaded))
    tuned.learn(TRAINED)


@every_case
def test_same_seed_same_weights(name: str, case: str) -> None:
    first, second = (train(agent(name), METHODS[case]).model for _ in range(2))
    assert same(weights(first), weights(second))


@every_case
def test_a_checkpoint_goes_on_where_it_was(name: str, case: str) -> None:
    """Networks, optimizers, states and signals are the same again on a fresh copy, through a file."""
    model, other = agent(name), agent(name)
    seam = train(model, METHODS[case])
    file = io.BytesIO()
    torch.save(seam.state_dict(), file)
    file.seek(0)
    resumed = reach(other, METHODS[case], total_steps=TRAINED)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert same(weights(model), weights(other))
    assert resumed.signals.updates == seam.signals.updates > 0
    flat = [_flat(s.tuner.composition.state_dict(s.tuner.parameters)) for s in (seam, resumed)]
    assert all(torch.equal(a, b) for a, b in zip(*flat, strict=True))
    moments = [_flat([o.state_dict() for o in s._optimizers.values()]) for s in (seam, resumed)]
    assert moments[0]
    assert all(torch.equal(a, b) for a, b in zip(*moments, strict=True))


def _flat(data: object) -> list[torch.Tensor]:
    if isinstance(data, dict):
        return [tensor for value in data.values() for tensor in _flat(value)]
    if isinstance(data, (list, tuple)):
        return [tensor for value in data for tensor in _flat(value)]
    return [torch.as_tensor(data)] if isinstance(data, (torch.Tensor, int, float)) else []


def optimizers_of(model: BaseAlgorithm) -> list[torch.optim.Optimizer]:
    owners = [model.policy, *(getattr(model.policy, name, None) for name in ("actor", "critic"))]
    return [owner.optimizer for owner in owners if isinstance(getattr(owner, "optimizer", None), torch.optim.Optimizer)]


def test_the_original_is_untouched() -> None:
    model = agent("ppo-mlp")
    before, rollout = weights(model), model.rollout_buffer
    train(reloaded(model), chain(*(METHODS[name] for name in ("l2sp", "kl", "dropout/all", "channel")))).fold()
    assert same(before, weights(model))
    assert model.rollout_buffer is rollout
    assert "get" not in vars(rollout)


@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(AGENTS), st.lists(st.sampled_from(NAMES), min_size=2, max_size=3))
@example("sac-mlp", ["film", "droq"])  # what one computes a weight from is copied to the twin by the other
def test_chains_drawn_at_random_work(name: str, drawn: list[str]) -> None:
    """They train, end as a stock network or in a bundle, or are refused with the name of a culprit."""
    check_chain(name, drawn)


@pytest.mark.parametrize(
    ("name", "case"),
    [(KIN[place % 2], case) for place, case in enumerate(NAMES) if not refused(case, KIN[place % 2])],
)
def test_each_method_works_on_an_agent_that_remembers_or_has_masks(name: str, case: str) -> None:
    """One of the two by day; the laws hold on all agents nightly."""
    check_chain(name, [case])


@pytest.mark.nightly
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from((*AGENTS, *MORE_AGENTS)), st.lists(st.sampled_from(NAMES), min_size=2, max_size=4))
def test_many_chains_drawn_at_random_work(name: str, drawn: list[str]) -> None:
    check_chain(name, drawn)


def check_chain(name: str, drawn: list[str]) -> None:
    method = chain(*(METHODS[case] for case in drawn))
    model = agent(name)
    stock = live.read(model)
    names, shown = list(model.policy.state_dict()), batch(model)
    try:
        seam = train(model, method)
    except SurgeryError as error:
        culprit = str(error).split("`")[1]
        if culprit not in {case.partition("/")[0] for case in drawn}:
            raise
        return
    learnt = responses(seam.tuner.nets, shown)
    observations = np.asarray(shown.observations)
    if not method.foldable:
        with tempfile.TemporaryDirectory() as folder:
            again = bundled(stock, seam.keep(), kept(method), Path(folder))
        assert close(learnt, responses(find(again.model), shown))
        acts = [each.predict(observations, deterministic=True)[0] for each in (model, again)]
        np.testing.assert_array_equal(*acts)
        return
    tuned = seam.fold()
    assert close(learnt, responses(seam.tuner.nets, shown))
    assert list(tuned.policy.state_dict()) == names
    np.testing.assert_array_equal(
        tuned.predict(observations, deterministic=True)[0],
        reloaded(tuned).predict(observations, deterministic=True)[0],
    )


@pytest.mark.parametrize("name", [*AGENTS[:1], *AGENTS[4:5], *AGENTS[8:9], *KIN])
@pytest.mark.parametrize("method", [chain(), METHODS["full"]], ids=["empty", "full"])
def test_the_identity_trains_as_sb3_does(name: str, method: Method) -> None:
    plain = agent(name)
    plain.learn(TRAINED)
    assert same(weights(plain), weights(train(agent(name), method).fold()))
