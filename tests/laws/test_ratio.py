"""What makes training differ from acting must not reach the probability ratio of an on-policy update."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from acclimate.methods.batchnorm import BatchNorm
from acclimate.methods.dropout import Dropout
from acclimate.methods.mixout import Mixout
from acclimate.nets.masks import Masked
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests.cases import agent, context

METHODS: dict[str, Method] = {
    "dropout": Dropout(p=0.5, on="*"),
    "dropout-channels": Dropout(p=0.5, channels=True, on="*"),
    "mixout": Mixout(p=0.5, on="*"),
    "batchnorm": BatchNorm(states=40, momentum=0.5, on="*"),
}


GIVEN = ("lstm_states", "episode_starts", "action_masks")
"""What recurrent and masked policies are told besides."""
AGENTS = (
    "ppo-mlp",
    "ppo-mlp-discrete",
    "a2c-mlp",
    "ppo-cnn",
    "ppo-cnn-separate",
    "recurrent_ppo-mlp",
    "maskable_ppo-mlp",
)
# `batchnorm` refuses recurrent agents.
PAIRS = [(case, name) for case in METHODS for name in AGENTS if (case, name) != ("batchnorm", "recurrent_ppo-mlp")]


@pytest.mark.parametrize(("case", "name"), PAIRS)
def test_before_the_first_gradient_step_of_an_update_the_ratio_is_1(
    case: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An action is as likely when its update begins, in training mode, as it was when it was taken."""
    model = agent(name)
    ratios: list[float] = []
    with Seam(model, METHODS[case], context=context(model)) as seam:
        train = type(model).train

        def look(self: OnPolicyAlgorithm, *args: object, **kwargs: object) -> None:
            policy, buffer = self.policy, self.rollout_buffer
            policy.set_training_mode(True)
            for data in buffer.get(buffer.buffer_size * buffer.n_envs):
                discrete = isinstance(self.action_space, Discrete)
                actions = data.actions.long().flatten() if discrete else data.actions
                known = [getattr(data, given) for given in GIVEN if hasattr(data, given)]
                _, log_prob, _ = policy.evaluate_actions(data.observations, actions, *known)
                rows = getattr(data, "mask", torch.ones_like(log_prob)) > 0.5
                ratios.append(float((log_prob - data.old_log_prob)[rows].exp().sub(1).abs().max().detach()))
            train(self, *args, **kwargs)

        monkeypatch.setattr(type(model), "train", look)
        model.learn(24)
        masks = [part for net in seam.tuner.nets if net.on_policy for part in _masks(seam, net.role)]
    assert len(ratios) == seam.signals.rollout >= 2
    assert np.max(ratios) < 1e-5
    if case != "batchnorm":
        assert masks
        assert all(mask.mask is not None for mask in masks)
        assert any(float(mask.mask.min()) == 0.0 for mask in masks)


def _masks(seam: Seam, role: str) -> list[Masked]:
    (net,) = (net for net in seam.tuner.nets if net.role == role)
    parts = [module for layer in net.layers() for module in (layer.module, *layer.outlets)]
    return list({id(m): m for part in parts for m in part.modules() if isinstance(m, Masked) and m.acting}.values())
