from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.errors import TrainingError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, Signals, chain
from tests.cases import agent


@dataclass(frozen=True, kw_only=True)
class Watch(Method):
    """Keeps what it sees at each step."""

    name: ClassVar[str] = "watch"
    family: ClassVar[str] = "layer"
    seen: ClassVar[list[Any]] = []

    on: Select = Select("*")

    def gradient(self, net: Net, state: Any, signals: Signals) -> None:
        norm = torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm()
        self.seen.append((net.role, signals.progress, signals.env_steps, float(norm), signals.rollout))


@pytest.fixture
def watch() -> Watch:
    Watch.seen.clear()
    return Watch()


def test_sb3s_clipping_covers_the_penalty(watch: Watch) -> None:
    """A pull far larger than the loss leaves the gradient at the norm that PPO clips to, before the edits."""
    model = agent("ppo-mlp", max_grad_norm=0.5)
    with Seam(model, chain(L2SP(weight=1e6), watch), total_steps=16) as seam:
        with torch.no_grad():
            for parameter in seam.tuner.parameters:
                parameter += 1.0
        model.learn(16)
    by_role = {role: norm for role, _, _, norm, _ in watch.seen[:2]}
    assert sum(norm**2 for norm in by_role.values()) ** 0.5 == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "dqn-mlp"])
def test_the_gradient_is_that_of_the_loss_and_the_penalty(name: str) -> None:
    """One step with a penalty against one without: with plain descent they differ by the penalty's gradient."""
    moved = []
    for method in (chain(), L2SP(weight=0.3)):
        model = agent(name)
        optimizer = model.actor.optimizer if name == "sac-mlp" else model.policy.optimizer
        owner = model.actor if name == "sac-mlp" else model.policy
        owner.optimizer = torch.optim.SGD(optimizer.param_groups[0]["params"], lr=1e-2)
        if hasattr(model, "max_grad_norm"):
            model.max_grad_norm = 1e9
        model.lr_schedule = lambda _: 1e-2
        seam = Seam(model, method)
        pretrained = [p.detach().clone() for p in owner.optimizer.param_groups[0]["params"]]
        with torch.no_grad():
            for parameter in owner.optimizer.param_groups[0]["params"]:
                parameter += 0.05
        steps: list[list[torch.Tensor]] = []
        owner.optimizer.register_step_post_hook(
            lambda o, a, k, s=steps: s.append([p.detach().clone() for p in o.param_groups[0]["params"]])
        )
        torch.manual_seed(3)
        with seam, seam.update():
            batch_size = {} if name == "ppo-mlp" else {"batch_size": 4, "gradient_steps": 1}
            np.random.seed(0)
            seam._stock.train(model, **batch_size)
        moved.append((steps[0], pretrained))
    (plain, _), (pulled, _) = moved
    for a, b in zip(plain, pulled, strict=True):
        torch.testing.assert_close(b, a - 1e-2 * 0.3 * 0.05 * torch.ones_like(a), atol=2e-7, rtol=0)


@pytest.mark.parametrize("name", ["ppo-mlp", "a2c-mlp", "sac-mlp", "td3-mlp", "dqn-mlp"])
def test_signals(name: str, watch: Watch) -> None:
    model = agent(name)
    with Seam(model, watch, total_steps=32) as seam:
        model.learn(16, reset_num_timesteps=False)
        assert (seam.signals.env_steps, seam.signals.progress) == (16, 0.5)
        model.learn(16)
    assert (seam.signals.env_steps, seam.signals.progress) == (32, 1.0)
    assert seam.signals.updates > 0
    progress = [p for _, p, *_ in watch.seen]
    assert progress == sorted(progress)
    assert progress[0] < 0.6
    if name == "ppo-mlp":
        assert seam.signals.approx_kl is not None


def test_schedules_follow_learn_where_no_total_is_given(watch: Watch) -> None:
    model = agent("ppo-mlp")
    with Seam(model, chain(KLToPrior(weight=Linear(1.0, 0.0)), watch)):
        model.learn(32)
    assert [p for role, p, *_ in watch.seen if role == "actor"][-1] == 1.0


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "dqn-cnn"])
def test_it_leaves_no_trace(name: str) -> None:
    model = agent(name)
    kind, attributes = type(model), set(vars(model))
    with Seam(
        model, chain(Dropout(on="*"), ChannelScale(), L2SP(on="*")) if name == "ppo-mlp" else Dropout(on="*")
    ) as seam:
        model.learn(16)
        assert isinstance(model, kind)
        assert type(model) is not kind
    seam.fold()
    assert type(model) is kind
    assert set(vars(model)) == attributes
    for owner in (model.policy, getattr(model, "actor", None), getattr(model, "critic", None)):
        optimizer = getattr(owner, "optimizer", None)
        if optimizer is not None:
            assert not optimizer._optimizer_step_pre_hooks
            assert not optimizer._optimizer_step_post_hooks
            assert "zero_grad" not in vars(optimizer)
            assert "scale" not in optimizer.param_groups[0]
            assert not optimizer.state
    buffers = [getattr(model, name, None) for name in ("rollout_buffer", "replay_buffer")]
    assert not [vars(buffer) for buffer in buffers if buffer is not None and {"get", "sample"} & set(vars(buffer))]


def test_an_error_in_training_leaves_no_trace_either() -> None:
    model = agent("ppo-mlp")

    class Stop(BaseCallback):
        def _on_step(self) -> bool:
            raise KeyError("stop")

    with pytest.raises(KeyError), Seam(model, L2SP()):
        model.learn(16, callback=Stop())
    assert type(model) is PPO
    model.learn(16)


def test_zips_and_buffers_written_in_the_middle_hold_nothing_of_ours() -> None:
    model = agent("sac-mlp")
    sizes: list[int] = []

    class Save(BaseCallback):
        def _on_step(self) -> bool:
            file = io.BytesIO()
            self.model.save(file)
            pickle.dumps(self.model.replay_buffer)
            assert b"acclimate" not in file.getvalue()
            sizes.append(len(file.getvalue()))
            return True

    with Seam(model, KLToPrior()):
        model.learn(8, callback=Save())
    assert len(sizes) == 8


def test_it_can_be_entered_again() -> None:
    model = agent("ppo-mlp")
    seam = Seam(model, L2SP(weight=0.5))
    for _ in range(2):
        with seam:
            model.learn(8, reset_num_timesteps=False)
    assert seam.signals.env_steps == 16
    assert seam.signals.rollout == 2
    assert seam.drift() > 0


def test_outside_of_the_seam_training_is_sb3s() -> None:
    model = agent("ppo-mlp")
    seam = Seam(model, KLToPrior())
    model.learn(8)
    assert seam.signals.updates == 0
    assert seam.drift() is None


def test_a_checkpoint_of_another_agent_is_refused() -> None:
    data = Seam(agent("ppo-mlp"), L2SP()).state_dict()
    with pytest.raises(TrainingError, match="of another agent or recipe"):
        Seam(agent("ppo-cnn"), L2SP()).load_state_dict(data)


def test_a_resumed_run_goes_the_same_way() -> None:
    """Stopped and resumed between two updates, the next update is the same as without the stop."""

    def start() -> tuple[Any, Seam]:
        model = agent("ppo-mlp")
        return model, Seam(model, chain(Dropout(p=0.5, on="*"), KLToPrior(), ChannelScale()), total_steps=16)

    straight, seam = start()
    with seam:
        straight.learn(8, reset_num_timesteps=False)
    data, buffer = seam.state_dict(), straight.rollout_buffer
    stopped, resumed = start()
    resumed.load_state_dict(data)
    stopped.rollout_buffer, stopped._logger = buffer, straight.logger
    weights = []
    for model, which in ((straight, seam), (stopped, resumed)):
        torch.manual_seed(0)
        np.random.seed(0)
        with which:
            which.tuner.rollout()
            buffer.generator_ready = True
            model.train()
        weights.append(torch.cat([p.detach().flatten() for p in model.policy.parameters()]))
    assert torch.equal(*weights)
    assert resumed.signals.rollout == seam.signals.rollout == 2
