"""Each question that decides whether an engine trains an agent, asked by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.buffers import RolloutBuffer
from torch import nn

from acclimate.engine.learning import refusals
from acclimate.engine.learning.steps import flat_step
from acclimate.engine.modules import off_policy as modular_off
from acclimate.engine.modules import on_policy as modular
from acclimate.engine.off_policy import perceptrons
from acclimate.engine.on_policy import update as on_policy
from acclimate.methods.full import Full
from acclimate.methods.jump_start import JumpStart
from acclimate.seam.seam import Seam
from tests.cases import agent, context


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp"])
def test_nothing_stands_against_a_plain_agent(name: str) -> None:
    model = agent(name)
    seam, stock, policy = Seam(model, Full()), type(model), model.policy
    held = model.replay_buffer if stock is SAC else model.rollout_buffer
    answers = [refusals.algorithm(stock, (PPO, SAC)), refusals.buffer(held, type(held))]
    answers += [refusals.policy(policy, type(policy)), refusals.noise_of_states(model), refusals.no_vector(policy)]
    answers += [refusals.elsewhere(policy), refusals.precision(policy), refusals.deciding(seam.tuner)]
    answers += [refusals.stepping(refusals.stepped(model, seam.tuner), flat_step)]
    answers += [refusals.shared_extractor(model, stock) if stock is SAC else refusals.distribution(policy)]
    assert answers == [None] * 10


def test_other_classes_are_named() -> None:
    assert refusals.algorithm(DQN, (PPO, SAC)) == "the algorithm DQN"
    assert refusals.buffer(object(), RolloutBuffer) == "the buffer object"
    assert refusals.policy(nn.Tanh(), nn.ReLU) == "the policy Tanh"
    assert refusals.distribution(SimpleNamespace(action_dist=nn.Tanh())) == "actions from a Tanh"
    assert "gSDE" in str(refusals.noise_of_states(agent("ppo-mlp", use_sde=True)))


@pytest.mark.parametrize(
    ("device", "kind", "against"),
    [
        ("cpu", torch.float64, None),
        ("cpu", torch.bfloat16, "parameters in bfloat16"),
        ("cuda", torch.float32, "parameters that are not on the CPU"),
    ],
    ids=str,
)
def test_parameters_that_arrays_can_share(device: str, kind: Any, against: str | None) -> None:
    parameters = list(nn.Linear(2, 2).to(kind).parameters())
    policy = SimpleNamespace(device=torch.device(device), parameters=lambda: parameters)
    assert (refusals.elsewhere(policy) or refusals.precision(policy)) == against


@pytest.mark.parametrize(
    ("space", "scaled", "fits"),
    [
        (gym.spaces.Box(-1, 1, (3,)), True, True),
        (gym.spaces.Box(0, 255, (8, 8, 3), np.uint8), True, False),
        (gym.spaces.Box(0, 255, (8, 8, 3), np.uint8), False, True),
        (gym.spaces.Discrete(3), True, False),
        (gym.spaces.Dict({"x": gym.spaces.Discrete(3)}), True, False),
    ],
    ids=str,
)
def test_observations_that_a_first_layer_reads_as_they_are(space: Any, scaled: bool, fits: bool) -> None:
    policy = SimpleNamespace(observation_space=space, normalize_images=scaled)
    assert (refusals.no_vector(policy) is None) == fits


@pytest.mark.parametrize(
    ("shares", "weights", "stock", "fits"),
    [(True, True, SAC, False), (True, False, SAC, True), (False, True, SAC, True), (True, True, DQN, True)],
)
def test_weights_that_two_losses_train(shares: bool, weights: bool, stock: type, fits: bool) -> None:
    extractor = nn.Linear(2, 2) if weights else nn.Flatten()
    policy = SimpleNamespace(share_features_extractor=shares, actor=SimpleNamespace(features_extractor=extractor))
    assert (refusals.shared_extractor(SimpleNamespace(policy=policy), stock) is None) == fits


def test_the_optimizer_of_the_entropy_coefficient_counts() -> None:
    model = agent("sac-mlp")
    seam = Seam(model, Full())
    model.ent_coef_optimizer = torch.optim.SGD([model.log_ent_coef], lr=0.1)
    assert refusals.stepping(refusals.stepped(model, seam.tuner), flat_step) == "the optimizer SGD"


@pytest.mark.parametrize(
    ("name", "tiers"), [("ppo-mlp", (on_policy,)), ("sac-mlp", (perceptrons, modular_off))], ids=["ppo", "sac"]
)
def test_a_method_that_acts_is_refused_in_the_same_words(name: str, tiers: Any) -> None:
    """PPO's modules let it act, in rollouts of their own."""
    model = agent(name)
    tuner = Seam(model, JumpStart(horizon=5), context=context(model), total_steps=64).tuner
    assert {tier.cannot(model, type(model), tuner) for tier in tiers} == {"a method that decides what is done"}
    assert name == "sac-mlp" or modular.cannot(model, type(model), tuner) is None
