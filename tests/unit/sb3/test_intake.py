"""What environments give is scaled as SB3 itself scales what it samples from a replay buffer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from acclimate.nets.experience import Batch
from acclimate.sb3.networks import find
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.prior_view import prior_view
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests import tiny
from tests.cases import agent, batch


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", ["sac", "td3", "dqn", "her"])
def test_raw_transitions_become_those_of_a_minibatch(name: str, normalize: bool) -> None:
    model = tiny.model(name, steps=16, normalize=normalize)
    buffer, normalizer = model.replay_buffer, model.get_vec_normalize_env()
    intake = find(model)[0].intake
    raw = buffer.observations
    raw = {key: part[:10, 0] for key, part in raw.items()} if isinstance(raw, dict) else raw[:10, 0]
    sampled = buffer._get_samples(np.arange(10), normalizer)
    torch.testing.assert_close(intake.rewards(torch.as_tensor(buffer.rewards[:10])), sampled.rewards)
    torch.testing.assert_close(intake.observations(raw), sampled.observations)
    stored = buffer.actions[:10, 0]
    taken = stored.ravel() if name == "dqn" else model.policy.unscale_action(stored)
    torch.testing.assert_close(
        intake.actions(taken).reshape(sampled.actions.shape).to(sampled.actions), sampled.actions, atol=1e-6, rtol=0
    )
    assert intake.action_space is model.action_space
    assert intake.observation_space is model.observation_space


def test_the_normaliser_is_asked_anew() -> None:
    model = tiny.model("sac", normalize=True)
    intake, rewards = find(model)[0].intake, torch.tensor([1.0, -100.0])
    model.get_vec_normalize_env().ret_rms.var = np.array(4.0)
    torch.testing.assert_close(intake.rewards(rewards), torch.tensor([0.5, -10.0]))
    model.get_vec_normalize_env().ret_rms.var = np.array(16.0)
    torch.testing.assert_close(intake.rewards(rewards), torch.tensor([0.25, -10.0]))


def test_actions_out_of_bounds_are_put_on_them() -> None:
    intake = find(agent("sac-mlp", steps=0))[0].intake
    torch.testing.assert_close(
        intake.actions(np.array([[2.0, 0.25], [-3.0, -0.5]], np.float32)), torch.tensor([[1.0, 0.5], [-1.0, -1.0]])
    )


def test_stored_rewards_are_scaled_with_the_observations() -> None:
    """`Net.now`: what `Context` holds is raw in its rewards and normalised as in pretraining."""
    model = tiny.model("sac", normalize=True)
    now = model.get_vec_normalize_env()
    file = Normalizer.from_vec_normalize(now)
    seam = Seam(model, chain(), seen_as=prior_view(file, now))
    now.obs_rms.mean, now.ret_rms.var = now.obs_rms.mean + 1.0, np.array(25.0)
    raw = np.zeros((2, 3), np.float32)
    stored = Batch(torch.as_tensor(file.normalize_obs(raw)), rewards=torch.tensor([1.0, 2.0]))
    read = seam.tuner.nets[0].now(stored)
    torch.testing.assert_close(read.observations, torch.as_tensor(now.normalize_obs(raw)))
    torch.testing.assert_close(read.rewards, torch.tensor([0.2, 0.4]))


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "ddpg-mlp", "tqc-mlp", "crossq-mlp", "sac-cnn-shared"])
def test_critics_rate_actions(name: str) -> None:
    model = agent(name)
    model.policy.set_training_mode(False)
    shown = batch(model)
    actor, critic, *_ = find(model)
    values = model.critic(shown.observations, shown.actions)
    expected = values.mean(-1) if name == "tqc-mlp" else torch.cat(values, -1)
    assert expected.shape == (6, 1 if name == "ddpg-mlp" else 2)
    torch.testing.assert_close(actor.rates(shown), expected)
    assert critic.rates is None


@pytest.mark.parametrize("name", ["ppo-mlp", "a2c-mlp", "dqn-mlp", "qrdqn-mlp"])
def test_elsewhere_no_critic_rates_actions(name: str) -> None:
    assert {net.rates for net in find(agent(name, steps=0))} == {None}
