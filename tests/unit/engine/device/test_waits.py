"""On a device whose numbers nobody can read, an update runs all the same: the host waits for nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acclimate.engine.device import engine
from acclimate.engine.device.numbers import unchecked
from acclimate.engine.device.rehearsal import give_experience
from acclimate.methods.dropout import Dropout
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.lora import LoRA
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests.cases import agent, context
from tests.unit.engine.device.emulation import EmulatedGraph, Waits

METHODS = {"full": Full(), "kl": KLToPrior(), "lora": LoRA(), "dropout": Dropout(p=0.3, on="*")}
AGENTS = ["ppo-mlp", "ppo-mlp-discrete", "ppo-cnn", "a2c-mlp", "sac-mlp", "td3-mlp", "dqn-mlp"]


def moved(model: Any) -> Any:
    """Move an agent to the device `meta`: its tensors have shapes and no numbers."""
    model.policy.to("meta")
    model.device = torch.device("meta")
    for owner in {
        id(o): o for o in (model.policy, getattr(model, "actor", None), getattr(model, "critic", None))
    }.values():
        if getattr(owner, "optimizer", None) is not None:
            owner.optimizer = type(owner.optimizer)(owner.parameters(), lr=1e-3, **model.policy.optimizer_kwargs)
    if getattr(model, "log_ent_coef", None) is not None:
        model.log_ent_coef = torch.zeros(1, device="meta", requires_grad=True)
        model.ent_coef_optimizer = torch.optim.Adam([model.log_ent_coef], lr=1e-3)
    return model


def ready(model: Any, method: Method) -> tuple[Any, Any]:
    """Return the updates of an agent that has a minibatch on its device, and of which kind one is."""
    arguments, _ = give_experience(model)
    seam = Seam(moved(model), method, context=context(model), total_steps=10)
    update = engine.DeviceEngine(seam, type(model), None).update
    if arguments:
        update.draw(arguments[1])
        update.begin(None)
        return update, True
    model.rollout_buffer.device = model.device
    return update, update.load().pop()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", AGENTS)
def test_no_update_reads_numbers_on_the_host(name: str, method: str) -> None:
    update, kind = ready(agent(name), METHODS[method])
    for graph in (torch.enable_grad(), EmulatedGraph()):
        # As in a capture, which comes after an update as it is; the emulation refuses numbers that the host brings.
        with unchecked(), graph:
            assert len(list(update.body(kind))) == 0
    assert update.figures.device.type == "meta"


def test_a_target_kl_is_all_that_is_looked_at() -> None:
    model = agent("ppo-mlp")
    model.target_kl = 0.1
    update, kind = ready(model, Full())
    with unchecked():
        (look,) = list(update.body(kind))
    with pytest.raises(RuntimeError, match="meta"):
        look()


def test_who_reads_a_number_is_found() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros(3, device="meta").sum().item()
    with pytest.raises(Waits), EmulatedGraph():
        torch.zeros(3, device="meta") + torch.tensor([1.0, 2.0, 3.0])
    with pytest.raises(RuntimeError, match="device meta"):
        torch.zeros(3, device="meta") + torch.zeros(3)
