from __future__ import annotations

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from tests.cases import agent, batch
from torch import nn

from acclimate.attach import attach
from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.dropout import ConsistentDropout, Dropout, PlainDropout
from acclimate.net import Acting
from acclimate.seam import Seam


def drops(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [part for part in module.modules() if isinstance(part, kind)]


@pytest.mark.parametrize("name", ["ppo-mlp", "ppo-mlp-discrete", "a2c-mlp", "ppo-cnn", "ppo-cnn-separate"])
def test_the_ratio_is_one_before_the_first_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With masks that stay, an action is as likely when its update begins as when it was taken."""
    model = agent(name)
    ratios: list[float] = []
    with Seam(model, Dropout(p=0.5, on="actor|trunk" if name == "ppo-cnn" else "actor")) as seam:
        train = type(model).train

        def look(self: PPO, *args: object, **kwargs: object) -> None:
            policy, buffer = self.policy, self.rollout_buffer
            policy.set_training_mode(True)
            for data in buffer.get(buffer.buffer_size * buffer.n_envs):
                actions = data.actions.long().flatten() if name.endswith("discrete") else data.actions
                _, log_prob, _ = policy.evaluate_actions(data.observations, actions)
                ratios.append(float((log_prob - data.old_log_prob).exp().sub(1).abs().max().detach()))
            buffer.generator_ready = True
            train(self, *args, **kwargs)

        monkeypatch.setattr(type(model), "train", look)
        model.learn(24)
        masks = [module.mask for module in drops(model.policy, ConsistentDropout)]
    assert len(ratios) >= 2
    assert max(ratios) < 1e-5
    assert masks
    assert all(mask is not None for mask in masks)
    assert any(float(mask.min()) == 0.0 for mask in masks)
    assert seam.signals.rollout == len(ratios)


def test_fresh_masks_would_break_the_ratio() -> None:
    """The mistake that consistent masks avoid: evaluation mode in the rollout, another mask in the update."""
    model = agent("ppo-mlp")
    nn.Sequential.append(model.policy.mlp_extractor.policy_net, nn.Dropout(0.5))
    data = next(model.rollout_buffer.get(8))
    model.policy.set_training_mode(False)
    _, before, _ = model.policy.evaluate_actions(data.observations, data.actions)
    model.policy.set_training_mode(True)
    _, after, _ = model.policy.evaluate_actions(data.observations, data.actions)
    assert float((after - before).exp().sub(1).abs().max()) > 1e-3


def test_masks_change_with_the_rollout_and_not_within() -> None:
    layer = ConsistentDropout(0.5, Acting())
    layer.draw(1)
    ones = torch.ones(3, 40)
    first, again = layer(ones), layer(ones)
    layer.draw(2)
    assert torch.equal(first, again)
    assert torch.equal(first[0], first[1])
    assert set(first.unique().tolist()) == {0.0, 2.0}
    assert not torch.equal(first, layer(ones))
    layer.draw(1)
    assert torch.equal(first, layer(ones)), "the same seed gives the same mask"


def test_evaluation_in_the_middle_of_a_rollout_has_no_mask() -> None:
    model = agent("ppo-mlp")
    shown = np.asarray(batch(model).observations)
    plain = model.predict(shown, deterministic=True)[0]
    with Seam(model, Dropout(p=0.5, on="actor")) as seam:
        seam.tuner.rollout()
        np.testing.assert_array_equal(model.predict(shown, deterministic=True)[0], plain)
        acting = model.policy(torch.as_tensor(shown), deterministic=True)[0].detach().numpy()
        np.testing.assert_array_equal(model.predict(shown, deterministic=True)[0], plain)
    assert np.abs(acting.clip(-1, 1) - plain).max() > 1e-4


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "dqn-mlp"])
def test_plain_masks_in_updates_only(name: str) -> None:
    """Hidden units are dropped in training mode, not in evaluation, and those of targets never."""
    model = agent(name)
    seam = Seam(model, Dropout(p=0.25))
    net = seam.tuner.nets[-1]
    heads = 2 if net.role == "critic" else 1
    assert len(drops(net.module, PlainDropout)) == len(drops(net.twin, PlainDropout)) == 2 * heads
    shown = batch(model)
    net.module.eval()
    quiet = next(iter(vars(net.apply(net.module, shown)).values()))
    assert torch.equal(quiet, next(iter(vars(net.apply(net.module, shown)).values())))
    net.module.train()
    assert not torch.equal(quiet, next(iter(vars(net.apply(net.module, shown)).values())))
    assert not any(part.training for part in drops(net.twin, PlainDropout))


def test_kept_units_are_scaled_up() -> None:
    net = nn.Sequential(nn.Linear(1, 50), nn.ReLU(), nn.Linear(50, 50))
    seen: list[torch.Tensor] = []
    tuner = attach(Dropout(p=0.2, on="q"), {"q": net})
    net[2].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    torch.manual_seed(0)
    net(torch.ones(400, 1))
    hidden = net[0](torch.ones(1, 1)).relu()[0]
    alive = hidden > 0
    share = (seen[0] == 0).float().mean(0)[alive]
    assert float(share.mean()) == pytest.approx(0.2, abs=0.01)
    torch.testing.assert_close(seen[0].max(0).values[alive], hidden[alive] / 0.8)
    tuner.fold()
    assert list(net[1].children()) == []


def test_layers_can_be_chosen_and_heads_are_left_out() -> None:
    model = agent("sac-mlp")
    Seam(model, Dropout(on="critic:qf0.2"))
    assert [n for n, m in model.critic.named_modules() if isinstance(m, PlainDropout)] == ["qf0.3.inserted_0"]
    with pytest.raises(SurgeryError, match="it finds nothing there to act on"):
        Seam(agent("sac-mlp"), Dropout(on="critic:qf*.4"))


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1])
def test_a_probability_is_wanted(p: float) -> None:
    with pytest.raises(ConfigError, match=r"dropout\.p is"):
        Dropout(p=p)
