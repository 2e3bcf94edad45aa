"""Updates on a device: SB3's, as they are and replayed; CUDA graphs are emulated here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from stable_baselines3 import A2C, PPO

from acclimate.engine.choice import attach
from acclimate.engine.device import algorithms, engine, on_policy
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.methods.lora import LoRA
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests.cases import agent as tuned
from tests.unit.engine.alike import both as on
from tests.unit.engine.alike_off_policy import ALGORITHMS
from tests.unit.engine.alike_off_policy import both as off
from tests.unit.engine.device.emulation import EmulatedGraph, Emulation, Waits

CLOSE = 1e-8
ON: dict[str, tuple[Any, dict[str, Any]]] = {
    "ppo": (PPO, {"rollouts": 15}),
    "ppo, clipped values, rests": (PPO, {"rollouts": 5, "clip_range_vf": 0.1, "batch_size": 40}),
    "ppo, target KL": (PPO, {"rollouts": 8, "target_kl": 0.001}),
    "a2c": (A2C, {"rollouts": 300}),
}
METHOD: dict[str, Method] = {
    "kl": KLToPrior(weight=Linear(1.0, 0.0, 0.5)),
    "l2sp": L2SP(weight=1.0),
    "channel": ChannelScale(),
    "lora": LoRA(),
    "dropout": Dropout(p=0.2, on="*"),
    "freeze": Freeze(on="*:*.bias"),
}
SHORT = {("a2c", "dropout"), ("a2c", "kl")}
"""Where a few updates are too few: what was captured holds for a rollout or until the penalty ends."""


def by(made: list[Any], recorder: Any, stock: type) -> Callable[[Any, Seam], Any]:
    """Return what trains a model on a device, as it is or with captures."""

    def train(model: Any, seam: Seam) -> Any:
        if stock in (PPO, A2C):
            made.append(on_policy.update_of(model, seam.tuner, recorder))
        else:
            made.append(algorithms.update_of(model, stock, seam.tuner, recorder))
        return made[-1].train

    return train


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("captures", [False, True])
@pytest.mark.parametrize("case", ON)
def test_on_policy_updates_are_those_of_sb3(case: str, captures: bool) -> None:
    stock, arguments = ON[case]
    made: list[Any] = []
    if not captures:
        arguments = {**arguments, "rollouts": 5}
    found = on(stock, "box", by=by(made, Emulation() if captures else None, stock), **arguments)
    assert found.distance < CLOSE
    assert found.logged[0].keys() == found.logged[1].keys()
    for name, value in found.logged[0].items():
        assert found.logged[1][name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    assert (made[0].runner.replays > 0) == captures


@pytest.mark.parametrize("actions", ["discrete", "multi-discrete", "multi-binary"])
def test_actions_of_each_kind(actions: str) -> None:
    for stock in (PPO, A2C):
        assert on(stock, actions, rollouts=4, by=by([], Emulation(), stock)).distance < CLOSE


@pytest.mark.parametrize("captures", [False, True])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_off_policy_updates_are_those_of_sb3(name: str, captures: bool) -> None:
    made: list[Any] = []
    recorder, calls = (Emulation(), 30) if captures else (None, 5)
    found = off(ALGORITHMS[name], calls=calls, by=by(made, recorder, ALGORITHMS[name]))
    assert found.distance < CLOSE
    assert found.updates >= 10 * calls
    assert (made[0].runner.replays > 250) == captures


@pytest.mark.parametrize("name", [*ALGORITHMS, "ppo", "a2c"])
@pytest.mark.parametrize("method", METHOD)
def test_methods_train_as_under_sb3(method: str, name: str) -> None:
    made: list[Any] = []
    if name in ALGORITHMS:
        stock = ALGORITHMS[name]
        found = off(stock, METHOD[method], calls=8, by=by(made, Emulation(), stock))
    else:
        stock = {"ppo": PPO, "a2c": A2C}[name]
        found = on(stock, "box", METHOD[method], rollouts=5, by=by(made, Emulation(), stock))
    assert found.distance < CLOSE
    assert (made[0].runner.replays == 0) == ((name, method) in SHORT)


class Forgetful(EmulatedGraph):
    """Leaves out the last things that it was shown."""

    def replay(self) -> None:
        del self._notes[-8:]
        super().replay()


class Waiting(EmulatedGraph):
    def __enter__(self) -> Any:
        raise Waits("the host waits")


class Broken(Emulation):
    def __init__(self, kind: type[EmulatedGraph]) -> None:
        super().__init__()
        self._kind = kind

    def graph(self) -> EmulatedGraph:
        return self._kind()


@pytest.mark.parametrize(("kind", "said"), [(Forgetful, "something else"), (Waiting, "could not be captured")])
@pytest.mark.parametrize("name", ["sac", "ppo"])
def test_a_capture_that_is_wrong_is_not_used(kind: type[EmulatedGraph], said: str, name: str) -> None:
    made: list[Any] = []
    stock = PPO if name == "ppo" else ALGORITHMS[name]
    train: Any = partial(on, PPO, "box", rollouts=4) if name == "ppo" else partial(off, stock, calls=4)
    with pytest.warns(UserWarning, match=said):
        found = train(by=by(made, Broken(kind), stock))
    assert found.distance < CLOSE
    assert made[0].runner.replays == 0


def waits(x: torch.Tensor) -> None:
    with EmulatedGraph():
        x.sum().item()


def test_the_emulation_sees_a_host_that_waits() -> None:
    with pytest.raises(Waits):
        waits(torch.ones(3))


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "dqn-mlp", "td3-mlp", "a2c-mlp", "ppo-cnn"])
def test_an_agent_is_trained_by_it_in_a_run(name: str) -> None:
    model = tuned(name)
    seam = Seam(model, Full(), total_steps=48)
    stock = type(model)
    before = [parameter.clone() for parameter in model.policy.parameters()]
    seam.engine = made = engine.DeviceEngine(seam, stock, Emulation())
    with seam, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.learn(48)
    assert made.update.runner.replays > 0 or name.startswith("a2c")
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))


def test_agents_on_the_cpu_are_not_given_to_it() -> None:
    model = tuned("sac-mlp")
    seam = Seam(model, Full(), total_steps=48)
    attach(seam, type(model), "auto")
    assert type(seam.engine).__name__ == "OffPolicyEngine"
