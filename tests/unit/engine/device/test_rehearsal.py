"""What is used is proven first: a rehearsal against SB3, after which all is as it was."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC
from torch.utils._pytree import tree_leaves

from acclimate.engine.choice import attach
from acclimate.engine.device import algorithms, engine, learner, on_policy, rehearsal
from acclimate.engine.device.steps import AdamStep
from acclimate.methods.full import Full
from acclimate.methods.l2 import L2
from acclimate.nets.net import Net
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, Signals
from tests.cases import METHODS, agent, context
from tests.unit.engine.device.emulation import EmulatedGraph, Emulation, Waits

AGENTS = ["ppo-mlp", "ppo-mlp-discrete", "ppo-cnn", "a2c-mlp", "sac-mlp", "sac-cnn", "td3-mlp", "ddpg-mlp", "dqn-mlp"]
TIMEOUTS = {"handle_timeout_termination": False}


def reached(name: str, method: Method | None = None, **more: Any) -> Seam:
    model = agent(name, **more)
    return Seam(model, method or Full(), context=context(model), total_steps=100)


def rehearse(seam: Seam, kind: Callable[[], Any] = Emulation) -> tuple[Any, str]:
    return engine.proven(seam, type(seam.model), kind)


@pytest.mark.parametrize("name", AGENTS)
def test_single_precision_ends_where_sb3_does(name: str) -> None:
    seam = reached(name)
    train = engine.DeviceEngine(seam, type(seam.model), None).train
    assert rehearsal.distance(seam, type(seam.model), train) < 1e-5


@pytest.mark.parametrize("name", AGENTS)
def test_captured_updates_are_proven_and_nothing_is_left_of_it(name: str) -> None:
    seam = reached(name)
    model, chance = seam.model, (torch.get_rng_state(), np.random.get_state()[1].copy())
    before, numbers = copy.deepcopy(seam.state_dict()), dict(vars(model))
    found, why = rehearse(seam)
    assert found is not None
    assert why.startswith("updates captured as CUDA graphs, in a rehearsal")
    now = seam.state_dict()
    assert torch.equal(torch.get_rng_state(), chance[0])
    assert np.array_equal(np.random.get_state()[1], chance[1])
    assert vars(model) == numbers
    assert now["tuner"]["signals"] == before["tuner"]["signals"]
    for one, other in zip(tree_leaves(now), tree_leaves(before), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_what_is_not_finite_is_not_near() -> None:
    seam = reached("dqn-mlp")

    def train(*args: Any) -> None:
        with torch.no_grad():
            next(iter(seam.model.policy.parameters())).fill_(torch.nan)

    assert rehearsal.distance(seam, type(seam.model), train) == np.inf


def step_without_correction(self: Any, run: Any, gradients: Any, group: Any) -> None:
    run.count.add_(1000.0)
    usual_step(self, run, gradients, group)
    run.count.sub_(1000.0)


usual_step = AdamStep._advance
usual_follow, usual_least = algorithms.follow, algorithms.least


@pytest.mark.parametrize(
    ("name", "where", "attribute", "wrong"),
    [
        ("ppo-mlp", AdamStep, "_advance", step_without_correction),
        ("sac-mlp", AdamStep, "_advance", step_without_correction),
        ("sac-mlp", algorithms, "follow", lambda ours, theirs, tau: usual_follow(ours, theirs, 1.1 * tau)),
        ("td3-mlp", algorithms, "least", lambda values: values[0]),
        ("ppo-mlp", on_policy, "standardised", lambda advantages: advantages),
        ("dqn-mlp", learner.nn.utils, "clip_grad_norm_", lambda *args: None),
    ],
)
def test_updates_that_are_not_those_of_sb3_are_not_used(
    name: str, where: Any, attribute: str, wrong: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seam = reached(name, **({"max_grad_norm": 1e-3} if name == "dqn-mlp" else {}))
    distance, right = rehearsal.distance, getattr(where, attribute)

    def measured(seam: Any, stock: Any, train: Any) -> float:
        def ours(*args: Any) -> None:
            # SB3's own code stays right.
            with monkeypatch.context() as patch:
                patch.setattr(where, attribute, wrong)
                train(*args)

        return distance(seam, stock, ours)

    monkeypatch.setattr(engine, "distance", measured)
    found, why = rehearse(seam)
    assert found is None
    assert why.startswith("captured updates that end")
    assert getattr(where, attribute) is right


class Waiting(EmulatedGraph):
    def __enter__(self) -> Any:
        raise Waits("the host waits")


class Idle(EmulatedGraph):
    def replay(self) -> None:
        pass


def recording(kind: type[EmulatedGraph]) -> Any:
    made = Emulation()
    made.graph = kind  # type: ignore[method-assign]
    return made


def broken() -> Any:
    raise RuntimeError("no driver\nand more of it")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (lambda: recording(Idle), "did something else when it was replayed (1)"),
        (lambda: recording(Waiting), "could not be captured (the host waits)"),
        (broken, "no driver"),
    ],
)
@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp"])
def test_a_capture_that_fails_hands_over_with_the_reason(name: str, kind: Any, why: str) -> None:
    assert rehearse(reached(name), kind) == (None, f"updates that cannot be captured ({why})")


@dataclass(frozen=True, kw_only=True)
class Late(L2):
    """A penalty that grows as the run goes on."""

    name: ClassVar[str] = "late"

    def weight_penalty(self, net: Net, state: Any, signals: Signals) -> torch.Tensor:
        return signals.progress * super().weight_penalty(net, state, signals)


@pytest.mark.parametrize(
    ("name", "method", "more", "why"),
    [
        ("ppo-mlp", Late(), {}, "a penalty that depends on the `progress` of the run"),
        ("sac-mlp", METHODS["kl/source"], {}, "a penalty that depends on the `updates` of the run"),
        ("ppo-mlp", METHODS["smooth"], {}, "a penalty that depends on the `updates` of the run"),
        ("sac-mlp", METHODS["jump-start"], {}, "a method that decides what is done"),
        ("sac-mlp", METHODS["hold"], {}, "`hold`, which acts around each step"),
        ("ppo-mlp", METHODS["l2sp/decoupled"], {}, "`l2sp`, which acts around each step"),
        ("ppo-mlp", Full(), {"use_sde": True}, "gSDE"),
        ("crossq-mlp", Full(), {}, "the algorithm CrossQ"),
        ("dqn-mlp", Full(), {"optimize_memory_usage": True, "replay_buffer_kwargs": TIMEOUTS}, "no next observations"),
        ("sac-cnn-shared", Full(), {}, "a features extractor with weights that actor and critics share"),
        ("ppo-mlp", METHODS["l2sp"], {}, None),
    ],
)
def test_what_is_left_to_sb3_is_said(name: str, method: Method, more: Any, why: str | None) -> None:
    found, said = rehearse(reached(name, method, **more))
    assert (found is None) == (why is not None)
    assert why is None or why in said


@pytest.mark.parametrize(("device", "why"), [("meta", "parameters on `meta`"), ("cuda", "a torch without CUDA")])
def test_without_a_gpu_sb3_trains(device: str, why: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    seam = reached("ppo-mlp")
    seam.model.device = torch.device(device)
    engine, said = attach(seam, type(seam.model), "device")
    assert (engine, seam.engine) == ("sb3", None)
    assert said.startswith(why)
    assert said.endswith("left to Stable-Baselines3 itself")


def test_on_a_gpu_sb3_trains_unless_the_experiment_is_asked_for() -> None:
    seam = reached("ppo-mlp")
    seam.model.device = torch.device("cuda")
    engine, said = attach(seam, type(seam.model), "auto")
    assert (engine, seam.engine) == ("sb3", None)
    assert said == "networks on `cuda` (`engine: device` is experimental there)"


def test_the_choice_says_how_near_a_rehearsal_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(engine, "Cuda", lambda device: Emulation())
    seam = reached("sac-mlp")
    seam.model.device = torch.device("cuda")
    monkeypatch.setattr(engine, "proven", lambda seam, stock, record: (record(), "said"))
    assert attach(seam, type(seam.model), "device") == ("acclimate", "said")
    assert isinstance(seam.engine, Emulation)


def test_an_agent_trained_by_it_is_trained_on_by_stock_sb3() -> None:
    for name, stock in (("ppo-mlp", PPO), ("sac-mlp", SAC)):
        seam = reached(name)
        model = seam.model
        seam.engine, _ = rehearse(seam)
        with seam:
            model.learn(48)
        file = io.BytesIO()
        model.save(file)
        file.seek(0)
        later = stock.load(file, env=model.get_env(), device="cpu")
        own, loaded = (m.policy.optimizer if name == "ppo-mlp" else m.actor.optimizer for m in (model, later))
        for one, other in zip(own.state.values(), loaded.state.values(), strict=True):
            assert one["step"] == other["step"] > 12
            assert torch.equal(one["exp_avg_sq"], other["exp_avg_sq"])
        later.learn(48)
