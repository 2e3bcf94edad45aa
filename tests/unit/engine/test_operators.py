"""Operators that torch does not promise are tried before use; without one, training is what it was, and is said so."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO, SAC
from torch import nn

from acclimate.engine.arrays import operators, products
from acclimate.engine.arrays.operators import (
    ADAM,
    ARRAYS,
    CONVOLUTION,
    CONVOLUTION_BACK,
    CONVOLUTIONS,
    LINEAR,
    LISTS,
    RELU_BACK,
)
from acclimate.engine.choice import attach
from acclimate.engine.device import algorithms, engine, on_policy
from acclimate.methods.full import Full
from acclimate.parallel.threads import torch_threads
from acclimate.seam.seam import Seam
from tests.cases import agent
from tests.unit.engine.alike import both as on
from tests.unit.engine.alike_off_policy import both as off
from tests.unit.engine.device.emulation import Emulation

SAID = {"absent": "absent", "raising": "it raised RuntimeError: not today", "wrong": "off in a trial"}


class Faulty:
    """Stands in the place of an operator, and counts how often it was asked."""

    def __init__(self, fault: str, right: Any) -> None:
        self._fault, self._right = fault, right
        self.asked = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.asked += 1
        if self._fault == "raising":
            raise RuntimeError("not today\nnor tomorrow")
        answer = self._right(*args, **kwargs)
        for changed in (args[0] if answer is None else answer, *(args[:1] if isinstance(args[0], list) else ())):
            for tensor in changed if isinstance(changed, (list, tuple)) else (changed,):
                if isinstance(tensor, torch.Tensor):
                    tensor.mul_(1.001)
        return answer


ALL = (*ARRAYS, LINEAR, *CONVOLUTIONS)


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Faulty]]]:
    """Spoil operators as a process finds them; what was found before and is found meanwhile is forgotten."""

    def spoiled(fault: str, *names: str) -> list[Faulty]:
        usual = operators._found
        if fault == "wrong" and None in map(usual, names):
            pytest.skip("this torch has none that could be wrong")
        made = {name: Faulty(fault, usual(name)) for name in names}
        absent = {} if fault == "absent" else made
        monkeypatch.setattr(operators, "_found", lambda name: absent.get(name) if name in made else usual(name))
        for name in set(names) & set(operators.WANTED):
            monkeypatch.setitem(operators.WANTED, name, True)
        operators._tried.cache_clear()
        return list(made.values())

    yield spoiled
    monkeypatch.undo()
    operators._tried.cache_clear()


def attached(name: str) -> str:
    model = agent(name)
    engine, reason = attach(Seam(model, Full(), total_steps=64), type(model), "auto")
    assert engine == "acclimate"
    return reason


def one_update(name: str) -> float:
    """Return how far one update in single precision, by a plain step along the gradient, ends from SB3's."""
    kwargs = {"optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": 1e3}}
    images = name in (CONVOLUTION, CONVOLUTION_BACK)
    more: dict[str, Any] = {"modular": True, "policy": "CnnPolicy"} if images else {}
    kwargs |= {"features_extractor_kwargs": {"features_dim": 9}} if images else {"net_arch": [256, 256]}
    kwargs |= {"activation_fn": nn.ReLU}
    outcome = on(
        PPO, rollouts=1, dtype=torch.float32, batch_size=64, n_epochs=1, policy_kwargs=kwargs, max_grad_norm=1e6, **more
    )
    assert outcome.updates == 1
    return outcome.distance


@pytest.mark.parametrize("fault", SAID)
@pytest.mark.parametrize("name", ALL)
def test_training_goes_the_public_way_and_the_reason_is_told(name: str, fault: str, spoil: Any) -> None:
    (spoiled,) = spoil(fault, name)
    with torch_threads(2):  # large products are oneDNN's where torch has several
        told_and_trained(name, fault, spoiled)


def told_and_trained(name: str, fault: str, spoiled: Any) -> None:
    reason = attached("ppo-cnn" if name in (CONVOLUTION, CONVOLUTION_BACK) else "ppo-mlp")
    assert re.search(re.escape(f"; without `torch.{name}` (") + ".*" + re.escape(SAID[fault]) + r"\)$", reason)
    asked = spoiled.asked
    assert one_update(name) < 1e-5
    assert spoiled.asked == asked <= 1
    assert operators.operator(name) is None


@pytest.mark.parametrize("fault", SAID)
def test_many_steps_of_adam_without_torchs_own(fault: str, spoil: Any) -> None:
    spoil(fault, ADAM)
    assert on(PPO, rollouts=5).distance < 1e-8
    assert off(SAC, calls=3).distance < 1e-8


@pytest.mark.parametrize("fault", SAID)
@pytest.mark.parametrize("images", [False, True])
def test_modules_without_any_of_them(images: bool, fault: str, spoil: Any) -> None:
    spoil(fault, *ALL)
    kwargs: dict[str, Any] = {"features_extractor_kwargs": {"features_dim": 2100}} if images else {}
    more: dict[str, Any] = {"policy": "CnnPolicy", "policy_kwargs": kwargs} if images else {}
    assert on(PPO, rollouts=2, modular=True, **more).distance < 1e-8


@pytest.mark.parametrize("fault", SAID)
@pytest.mark.parametrize("stock", [PPO, A2C, SAC])
def test_updates_on_a_device_without_any_of_theirs(stock: Any, fault: str, spoil: Any) -> None:
    made = spoil(fault, *LISTS)

    def by(model: Any, seam: Seam) -> Any:
        if stock is SAC:
            return algorithms.update_of(model, stock, seam.tuner, Emulation()).train
        return on_policy.update_of(model, seam.tuner, Emulation()).train

    found = off(stock, calls=3, by=by) if stock is SAC else on(stock, rollouts=5, by=by)
    assert found.distance < 1e-8
    assert all(faulty.asked <= 1 for faulty in made)


def test_a_device_tells_what_it_goes_without(spoil: Any) -> None:
    spoil("absent", "_foreach_lerp_")
    model = agent("ppo-mlp")
    found, why = engine.proven(Seam(model, Full(), total_steps=64), PPO, Emulation)
    assert found is not None
    assert why.endswith("; without `torch._foreach_lerp_` (absent)")


def test_large_products_go_to_numpy(spoil: Any) -> None:
    (spoiled,) = spoil("wrong", LINEAR)
    x = np.linspace(-1, 1, 256 * 256, dtype=np.float32).reshape(256, 256)
    with torch_threads(2):
        found, done = products.affine(x, x, x[0], np.empty_like(x), "relu")
    assert not done
    np.testing.assert_array_equal(found, np.matmul(x, x.T) + x[0])
    assert spoiled.asked == 1
    assert not products.narrow()


def test_this_torch_has_all_of_them() -> None:
    """Nothing would be wrong without, but slower: whoever takes another torch is to know."""
    assert operators.without((*ALL, *LISTS)) == ""
    assert None not in [operators.operator(name) for name in (ADAM, RELU_BACK, CONVOLUTION_BACK, *LISTS)]


def test_they_are_tried_once_and_leave_chance_alone(spoil: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil("absent")
    looked, usual = [], operators._found
    monkeypatch.setattr(operators, "_found", lambda name: looked.append(name) or usual(name))
    chance = torch.get_rng_state(), np.random.get_state()[1].copy()
    operators.without((*ALL, *LISTS))
    assert torch.equal(torch.get_rng_state(), chance[0])
    assert np.array_equal(np.random.get_state()[1], chance[1])
    attached("ppo-cnn")
    attached("sac-mlp")
    assert sorted(looked) == sorted(set(looked))


def test_what_torch_does_not_have_is_absent() -> None:
    assert operators._found("ops.mkldnn._no_such") is None
    assert operators._found("_no_such.either") is None
    assert operators._found(ADAM) is torch._fused_adam_


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_public_step_is_that_of_torchs_adam(dtype: torch.dtype, decay: float) -> None:
    draw = functools.partial(torch.randn, 33, dtype=dtype, generator=torch.Generator().manual_seed(0))
    theirs = nn.Parameter(draw())
    values, first, second = theirs.detach().clone(), torch.zeros(33, dtype=dtype), torch.zeros(33, dtype=dtype)
    optimizer = torch.optim.Adam([theirs], lr=0.01, betas=(0.8, 0.95), eps=1e-5, weight_decay=decay, foreach=False)
    options = {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "eps": 1e-5, "weight_decay": decay}
    for step in range(1, 8):
        theirs.grad = draw()
        operators.adam(values, theirs.grad.clone(), first, second, step, **options)
        optimizer.step()
    assert torch.equal(values, theirs.detach())
