"""The short way to actions against SB3's own `predict`: the same actions and draws, whatever became of the weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO, SAC, TD3
from torch import nn

import acclimate as ac
from acclimate.agents.agent import Agent
from acclimate.agents.predict import choices as choosing
from acclimate.agents.predict.layers import Layers
from acclimate.agents.predict.shortcut import Shortcut
from tests import tiny

ROUNDING = {"rtol": 1e-5, "atol": 1e-6}
DRAWN = {"rtol": 3e-5, "atol": 3e-6}
"""The same of a drawn action: the rounding of the spread's logarithm is multiplied by the noise and the spread."""

AXES = spaces.Box(np.array([[-1.0, -2.0], [0.0, -0.1]], np.float32), np.array([[1.0, 2.0], [3.0, 0.1]], np.float32))
ACTIONS = {
    "one axis": spaces.Box(-1.0, 1.0, (1,)),
    "a grid of axes": AXES,
    "choice": spaces.Discrete(4),
    "choices": spaces.MultiDiscrete([2, 3]),
    "coins": spaces.MultiBinary(3),
}


def ppo(action_space: spaces.Space, observation_space: spaces.Space = tiny.BOX, **kwargs: Any) -> Agent:
    arguments = {"net_arch": [16, 8], **kwargs}
    env = tiny.World(observation_space, action_space)
    return ac.load(PPO("MlpPolicy", env, n_steps=8, batch_size=4, seed=0, device="cpu", policy_kwargs=arguments))


def louder(agent: Agent) -> Agent:
    """A fresh policy hardly acts: with larger weights its actions differ, and reach their bounds."""
    with torch.no_grad():
        for parameter in agent.model.policy.parameters():
            parameter.mul_(2.0)
    return agent


def both(agent: Agent, obs: np.ndarray, deterministic: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return our actions and SB3's, each drawn from the same state of every generator."""
    acts = []
    for predict in (agent.predict, agent.model.predict):
        scaled = obs if predict == agent.predict or agent.normalizer is None else agent.normalizer.normalize_obs(obs)
        torch.manual_seed(3)
        np.random.seed(3)
        agent.model.action_space.seed(3)
        acts.append(predict(scaled, deterministic=deterministic)[0])
        acts.append((torch.rand(1).item(), np.random.rand()))  # both have drawn as much
    ours, after, theirs, after_theirs = acts
    assert after == after_theirs
    return ours, theirs


def same(agent: Agent, obs: np.ndarray) -> None:
    """Batches bit for bit; single observations but for rounding."""
    for deterministic in (True, False):
        for rows in (1, 2, 8, len(obs)):
            ours, theirs = both(agent, obs[:rows], deterministic)
            np.testing.assert_array_equal(ours, theirs, strict=True)
        for one in obs[:16]:
            ours, theirs = both(agent, one, deterministic)
            assert type(ours) is type(theirs)
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_allclose(ours, theirs, **(ROUNDING if deterministic else DRAWN))
            if not isinstance(agent.action_space, spaces.Box):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.ELU, nn.Identity, nn.PReLU])
@pytest.mark.parametrize("actions", ACTIONS)
def test_on_policy(actions: str, activation: type[nn.Module]) -> None:
    agent = louder(ppo(ACTIONS[actions], activation_fn=activation))
    same(agent, tiny.observations(agent.observation_space, n=30))


@pytest.mark.parametrize("net_arch", [[], [5], {"pi": [7], "vf": []}, {"pi": [], "vf": [3]}])
def test_any_depth(net_arch: Any) -> None:
    for space in (tiny.REACH, tiny.CHOICE):
        agent = louder(ppo(space, net_arch=net_arch))
        same(agent, tiny.observations(agent.observation_space, n=9))


def test_observations_of_any_shape_and_type() -> None:
    agent = louder(ppo(tiny.REACH, spaces.Box(-5.0, 5.0, (2, 3))))
    obs = tiny.observations(agent.observation_space, n=9)
    same(agent, obs)
    for other in (obs.astype(np.float64), obs.astype(np.float16), obs.astype(int), np.asfortranarray(obs), obs[::-1]):
        same(agent, other)
    fixed = obs.copy()
    fixed.flags.writeable = False
    same(agent, fixed)
    with pytest.raises(ValueError, match="Unexpected observation shape"):
        agent.predict(np.zeros((3, 2), np.float32))


@pytest.mark.parametrize("name", [name for name, model in tiny.MODELS.items() if model[0] != "recurrent_ppo"])
@pytest.mark.parametrize("normalize", [False, True])
def test_every_algorithm(name: str, normalize: bool) -> None:
    observation_space = tiny.MODELS[name][2]
    if normalize and (not isinstance(observation_space, spaces.Box) or len(observation_space.shape) == 3):
        pytest.skip("only numbers are normalised")
    agent = ac.load(tiny.model(name, normalize=normalize))
    obs = tiny.observations(observation_space, n=8)
    for deterministic in (True, False):
        np.testing.assert_array_equal(*both(agent, obs, deterministic))


@pytest.mark.parametrize("algorithm", [SAC, TD3, DQN])
def test_off_policy_of_one_observation(algorithm: Any) -> None:
    env = tiny.World(tiny.BOX, tiny.CHOICE if algorithm is DQN else tiny.REACH)
    agent = louder(ac.load(algorithm("MlpPolicy", env, buffer_size=10, seed=0, device="cpu")))
    for rate in (0.0, 0.5, 1.0) if algorithm is DQN else (0.0,):
        agent.model.exploration_rate = rate
        same(agent, tiny.observations(agent.observation_space, n=40))


@pytest.mark.parametrize("path", tiny.zoo_params())
def test_agents_of_the_zoo(path: Path) -> None:
    agent = ac.load(path)
    if not isinstance(agent.observation_space, spaces.Box):
        pytest.skip("observations of several parts are left to SB3")
    same(agent, tiny.observations(agent.observation_space, n=64))


def test_what_changes_the_weights_is_seen() -> None:
    agent = louder(ppo(tiny.REACH))
    layer, obs = agent.model.policy.mlp_extractor.policy_net[0], tiny.observations(tiny.BOX, n=5)
    before = agent.predict(obs[0], deterministic=True)[0]
    changes = [
        lambda: layer.weight.data.mul_(0.5),  # an optimizer's step
        lambda: setattr(layer.weight, "data", layer.weight.data * 2.0),  # other memory
        lambda: setattr(layer, "bias", nn.Parameter(layer.bias.detach() + 1.0)),  # another parameter
        lambda: layer.weight.detach().numpy().__imul__(0.25),  # behind torch's back
        lambda: agent.model.policy.load_state_dict({n: t * 1.5 for n, t in agent.model.policy.state_dict().items()}),
        lambda: agent.model.policy.log_std.data.add_(0.5),
    ]
    for change in changes:
        change()
        same(agent, obs)
    assert not np.allclose(before, agent.predict(obs[0], deterministic=True)[0])


def test_what_is_put_into_the_layers_is_run() -> None:
    """As methods put it there, or a user does."""
    agent = louder(ppo(tiny.REACH))
    policy, obs = agent.model.policy, tiny.observations(tiny.BOX, n=5)
    net = policy.mlp_extractor.policy_net
    same(agent, obs)
    handle = net[0].register_forward_hook(lambda module, args, out: 2.0 * out)
    same(agent, obs)
    handle.remove()
    handle = net.register_forward_pre_hook(lambda module, args: (args[0] - 1.0,))
    same(agent, obs)
    handle.remove()
    net[2].forward = lambda x: 3.0 * nn.functional.linear(x, net[2].weight)
    same(agent, obs)
    del net[2].forward
    net.append(nn.Softsign())
    same(agent, obs)
    policy.action_net = nn.Linear(8, 2)
    same(agent, obs)
    net[3] = nn.Dropout(0.5)
    policy.set_training_mode(True)
    same(agent, obs)
    assert not policy.training


def test_another_policy_or_model_is_asked_itself() -> None:
    agent, other = louder(ppo(tiny.REACH)), louder(ppo(tiny.REACH, net_arch=[4]))
    obs = tiny.observations(tiny.BOX, n=4)
    agent.predict(obs)
    agent.model.policy = other.model.policy
    same(agent, obs)
    agent.model = other.model
    same(agent, obs)
    agent.model.predict = lambda *args: ("mine", None)
    assert agent.predict(obs) == ("mine", None)


@pytest.mark.parametrize("gap", [0.0, 1e-8, 1e-6, 1e-3])
@pytest.mark.parametrize("choice", [choosing.OPTION, choosing.HIGHEST])
def test_near_ties_are_decided_as_a_batch_decides_them(choice: choosing.Choice, gap: float) -> None:
    asked = []
    for scale in (1e-3, 1.0, 50.0):
        out = torch.tensor([[0.3, 0.3 + gap, -1.0, 0.3]]) * scale

        def exact(out: torch.Tensor = out) -> torch.Tensor:
            asked.append(out)
            return out

        for deterministic in (True, False):
            torch.manual_seed(1)
            expected = choice.rows(out, deterministic)
            torch.manual_seed(1)
            assert choice.one(out.numpy()[0].copy(), deterministic, exact) == expected
    assert len(asked) >= (3 if gap < 1e-5 else 0)


def test_draws_are_those_of_torchs_categorical() -> None:
    out = torch.randn(500, 7, generator=torch.Generator().manual_seed(0)) * 3.0
    for rows in (out, out[:1]):
        torch.manual_seed(2)
        expected = torch.distributions.Categorical(logits=rows).sample().numpy()
        torch.manual_seed(2)
        np.testing.assert_array_equal(choosing.OPTION.rows(rows, False), expected)


@pytest.mark.parametrize("actions", ["choice", "one axis"])
@pytest.mark.parametrize("worth", [torch.nan, torch.inf])
def test_outputs_that_are_no_numbers_are_for_sb3(actions: str, worth: float) -> None:
    agent = ppo(ACTIONS[actions])
    with torch.no_grad():
        agent.model.policy.action_net.bias[0] = worth
    for obs in (np.zeros(3, np.float32), np.zeros((2, 3), np.float32)):
        for deterministic in (True, False):
            try:
                expected, error = agent.model.predict(obs, deterministic=deterministic)[0], None
            except (ValueError, RuntimeError) as raised:
                expected, error = None, raised
            if error is None:
                np.testing.assert_array_equal(agent.predict(obs, deterministic=deterministic)[0], expected)
            else:
                with pytest.raises(type(error), match=re.escape(str(error)[:30])):
                    agent.predict(obs, deterministic=deterministic)


def test_layers_of_other_kinds_are_refused() -> None:
    assert Layers.of([nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))]) is None
    assert Layers.of([nn.Sequential(nn.Linear(2, 2), nn.RReLU())]) is None
    assert Layers.of([nn.Linear(2, 2).double()]).ready() is False


def test_a_layer_without_bias() -> None:
    modules = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 2, bias=False))
    layers, x = Layers.of([modules]), torch.randn(1, 3)
    assert layers.ready()
    np.testing.assert_array_equal(layers.rows(x).numpy(), modules(x).detach().numpy())
    np.testing.assert_allclose(layers.one(x.numpy()[0]), layers.rows(x).numpy()[0], **ROUNDING)


def test_an_agent_with_a_shortcut_is_copied() -> None:
    agent = ac.load(PPO("MlpPolicy", gym.make("CartPole-v1"), device="cpu"))
    obs = np.full(4, 0.1, np.float32)
    expected = agent.predict(obs, deterministic=True)[0]
    assert agent.copy().predict(obs, deterministic=True)[0] == expected
    assert Shortcut(agent.model).act(obs, True) == expected
