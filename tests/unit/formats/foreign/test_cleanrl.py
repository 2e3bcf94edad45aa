"""What CleanRL saved acts here as it did there: its networks, written down once more, are asked beside the agent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import acclimate as ac
from acclimate.formats import writers

SEEN = spaces.Box(-np.inf, np.inf, (5,), np.float32)
REACH = spaces.Box(np.float32([-1.0, -0.3]), np.float32([1.0, 0.7]))
IMAGE = spaces.Box(0, 255, (4, 84, 84), np.uint8)


class Spaces:
    """A world that is nothing but its spaces."""

    def __init__(self, seen: gym.Space, acted: gym.Space) -> None:
        self.observation_space, self.action_space = seen, acted


def mlp(*sizes: int, between: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    layers: list[nn.Module] = []
    for below, above in pairwise(sizes):
        layers += [nn.Linear(below, above), between()]
    return nn.Sequential(*layers[:-1])


class Ppo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.critic, self.actor = mlp(5, 8, 8, 1), mlp(5, 8, 8, 3)


class ContinuousPpo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.critic, self.actor_mean = mlp(5, 8, 6, 1), mlp(5, 8, 6, 2)
        self.actor_logstd = nn.Parameter(torch.tensor([[-0.5, 0.25]]))


class AtariPpo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(*nature(), nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU())
        self.actor, self.critic = nn.Linear(512, 3), nn.Linear(512, 1)


def nature() -> nn.Sequential:
    shapes = ((4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1))
    return nn.Sequential(*(part for a, b, k, s in shapes for part in (nn.Conv2d(a, b, k, s), nn.ReLU())))


class QNetwork(nn.Module):
    def __init__(self, image: bool = False) -> None:
        super().__init__()
        self.network = mlp(5, 12, 8, 3, between=nn.ReLU)
        if image:
            above = (nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Linear(512, 3))
            self.network = nn.Sequential(*nature(), *above)


class Actor(nn.Module):
    """Of TD3 and DDPG (`fc_mu`) and of SAC (`fc_mean`)."""

    def __init__(self, squashed: bool = False) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(5, 8), nn.Linear(8, 8)
        setattr(self, "fc_mean" if squashed else "fc_mu", nn.Linear(8, 2))
        if squashed:
            self.fc_logstd = nn.Linear(8, 2)
        self.register_buffer("action_scale", torch.tensor((REACH.high - REACH.low) / 2))
        self.register_buffer("action_bias", torch.tensor((REACH.high + REACH.low) / 2))

    def forward(self, seen: Tensor) -> Tensor:
        head = self.fc_mean if hasattr(self, "fc_mean") else self.fc_mu
        units = torch.relu(self.fc2(torch.relu(self.fc1(seen))))
        return torch.tanh(head(units)) * self.action_scale + self.action_bias


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(7, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, seen: Tensor, acted: Tensor) -> Tensor:
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(torch.cat([seen, acted], 1))))))


def saved(path: Path, *modules: nn.Module) -> Path:
    states = tuple(module.state_dict() for module in modules)
    torch.save(states[0] if len(states) == 1 else states, path)
    return path


def grown(module: Any) -> Any:
    """Make weights large enough for choices to differ."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2.0)
    return module.requires_grad_(False)


def rows(space: spaces.Box, number: int = 256) -> np.ndarray:
    rng = np.random.default_rng(0)
    if space.dtype == np.uint8:
        return rng.integers(0, 256, (8, *space.shape), dtype=np.uint8)
    return rng.normal(size=(number, *space.shape)).astype(np.float32) * 2


def through_a_zip(agent: ac.Agent, folder: Path) -> ac.Agent:
    """Return the agent as SB3's format brings it back."""
    return ac.load(writers.save(agent, folder / "again.zip"), normalizer=None)


def test_ppo_of_discrete_actions(tmp_path: Path) -> None:
    theirs = grown(Ppo())
    agent = ac.load(saved(tmp_path / "ppo.cleanrl_model", theirs), world=Spaces(SEEN, spaces.Discrete(3)))
    seen = torch.from_numpy(rows(SEEN))
    for each in (agent, through_a_zip(agent, tmp_path)):
        np.testing.assert_array_equal(each.predict(seen.numpy(), deterministic=True)[0], theirs.actor(seen).argmax(1))
        np.testing.assert_allclose(each.values(seen.numpy()), theirs.critic(seen)[:, 0], atol=1e-5)
    assert len(np.unique(theirs.actor(seen).argmax(1))) > 1


def test_ppo_of_continuous_actions_with_its_spread(tmp_path: Path) -> None:
    theirs = grown(ContinuousPpo())
    agent = ac.load(saved(tmp_path / "ppo.pt", theirs), world=Spaces(SEEN, REACH))
    seen = torch.from_numpy(rows(SEEN))
    wanted = theirs.actor_mean(seen).clamp(torch.tensor(REACH.low), torch.tensor(REACH.high))
    for each in (agent, through_a_zip(agent, tmp_path)):
        np.testing.assert_allclose(each.predict(seen.numpy(), deterministic=True)[0], wanted, atol=1e-5)
        np.testing.assert_allclose(each.values(seen.numpy()), theirs.critic(seen)[:, 0], atol=1e-5)
        np.testing.assert_allclose(each.model.policy.log_std.detach(), theirs.actor_logstd[0])
    assert any("do not save how" in why for _, why in agent.origin.unread)


@pytest.mark.parametrize("image", [False, True])
def test_dqn(image: bool, tmp_path: Path) -> None:
    theirs, space = grown(QNetwork(image)), IMAGE if image else SEEN
    agent = ac.load(saved(tmp_path / "dqn.cleanrl_model", theirs), world=Spaces(space, spaces.Discrete(3)))
    seen = rows(space)
    values = theirs.network(torch.from_numpy(seen).float() / (255.0 if image else 1.0))
    np.testing.assert_array_equal(agent.predict(seen, deterministic=True)[0], values.argmax(1))
    np.testing.assert_allclose(agent.values(seen), values.amax(1), rtol=1e-4, atol=1e-4)
    target = agent.model.policy.q_net_target.state_dict()
    for name, value in agent.model.policy.q_net.state_dict().items():
        assert torch.equal(value, target[name])


def test_ppo_of_atari(tmp_path: Path) -> None:
    theirs = grown(AtariPpo())
    agent = ac.load(saved(tmp_path / "atari.cleanrl_model", theirs), world=Spaces(IMAGE, spaces.Discrete(3)))
    seen = rows(IMAGE)
    units = theirs.network(torch.from_numpy(seen).float() / 255.0)
    np.testing.assert_array_equal(agent.predict(seen, deterministic=True)[0], theirs.actor(units).argmax(1))
    np.testing.assert_allclose(agent.values(seen), theirs.critic(units)[:, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("critics", [1, 2])
def test_td3_and_ddpg_with_critics_that_read_actions_of_the_environment(critics: int, tmp_path: Path) -> None:
    actor, values = grown(Actor()), [grown(Critic()) for _ in range(critics)]
    agent = ac.load(saved(tmp_path / "td3.cleanrl_model", actor, *values), world=Spaces(SEEN, REACH))
    assert agent.algorithm == ("ddpg" if critics == 1 else "td3")
    seen = torch.from_numpy(rows(SEEN))
    acted = actor(seen)
    np.testing.assert_allclose(agent.predict(seen.numpy(), deterministic=True)[0], acted, atol=1e-5)
    scaled = torch.as_tensor(agent.model.policy.scale_action(acted.numpy()))
    for policy_critic in (agent.model.policy.critic, agent.model.policy.critic_target):
        for ours, theirs in zip(policy_critic(seen, scaled), values, strict=True):
            torch.testing.assert_close(ours, theirs(seen, acted), atol=1e-4, rtol=1e-4)


def test_sac_with_one_spread_for_all_states(tmp_path: Path) -> None:
    actor, values = grown(Actor(squashed=True)), [grown(Critic()), grown(Critic())]
    agent = ac.load(saved(tmp_path / "sac.cleanrl_model", actor, *values), world=Spaces(SEEN, REACH))
    seen = torch.from_numpy(rows(SEEN))
    np.testing.assert_allclose(agent.predict(seen.numpy(), deterministic=True)[0], actor(seen), atol=1e-5)
    _, spread, _ = agent.model.policy.actor.get_action_dist_params(seen)
    middle = -5 + 3.5 * (torch.tanh(actor.fc_logstd.bias) + 1)
    torch.testing.assert_close(spread, middle.expand_as(spread))
    assert any("a tanh, which SB3 has not" in why for _, why in agent.origin.unread)


def test_an_actor_alone_has_new_critics(tmp_path: Path) -> None:
    agent = ac.load(saved(tmp_path / "sac.cleanrl_model", grown(Actor(squashed=True))), world=Spaces(SEEN, REACH))
    assert any("critic" in why and "newly drawn" in why for _, why in agent.origin.unread)


SMALL = spaces.Box(0, 255, (3, 64, 64), np.uint8)


@pytest.mark.parametrize(
    ("modules", "world", "error", "words"),
    [
        ((ContinuousPpo(),), Spaces(SEEN, spaces.Discrete(3)), ac.SpaceMismatchError, "puts out 2 numbers"),
        ((Ppo(),), Spaces(REACH, spaces.Discrete(3)), ac.SpaceMismatchError, "reads 5 numbers"),
        ((Ppo(),), Spaces(spaces.Discrete(5), spaces.Discrete(3)), ac.SpaceMismatchError, "reads a Box of numbers"),
        ((Actor(), Critic()), Spaces(SEEN, spaces.Box(-1, 1, (2,))), ac.SpaceMismatchError, "go from .* RescaleAction"),
        ((nn.Linear(2, 2),), Spaces(SEEN, REACH), ac.SourceError, "is none of CleanRL's PPO"),
        ((AtariPpo(),), Spaces(SMALL, spaces.Discrete(3)), ac.SpaceMismatchError, "channels"),
    ],
)
def test_what_does_not_fit_is_named(
    modules: tuple[nn.Module, ...], world: Any, error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        ac.load(saved(tmp_path / "agent.cleanrl_model", *modules), world=world)


def test_without_a_world_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ac.SourceError, match="it tells no spaces: name its environment, by --env"):
        ac.load(saved(tmp_path / "ppo.cleanrl_model", Ppo()))


def test_numbers_that_are_none_and_shapes_that_do_not_fit(tmp_path: Path) -> None:
    broken = Ppo()
    broken.actor[0].weight.data[0, 0] = float("nan")
    with pytest.raises(ac.SourceError, match=r"`actor\.0\.weight` holds numbers that are not finite"):
        ac.load(saved(tmp_path / "a.cleanrl_model", broken), world=Spaces(SEEN, spaces.Discrete(3)))
    odd = Ppo()
    odd.actor[2] = nn.Linear(7, 8)
    with pytest.raises(ac.SourceError, match="a layer of 8 units is followed by one that reads 7"):
        ac.load(saved(tmp_path / "b.cleanrl_model", odd), world=Spaces(SEEN, spaces.Discrete(3)))
