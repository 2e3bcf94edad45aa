"""PPO as a loop from top to bottom, in the style of CleanRL: everything in torch, nothing around it.

Schulman et al., "Proximal Policy Optimization Algorithms", arXiv:1707.06347; the details that matter are those of
Huang et al., "The 37 Implementation Details of Proximal Policy Optimization" (2022).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical, Normal

from benchmarks.peers.gym_envs import vector
from benchmarks.peers.workload import Workload

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
FEATURES = 512
"""That the convolutions put out."""


def layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """Return a linear layer with orthogonal weights."""
    made = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(made.weight, gain)
    nn.init.zeros_(made.bias)
    return made


def perceptron(sizes: list[int], activation: type[nn.Module], gain: float) -> nn.Sequential:
    """Return layers of these sizes; the gain is that of the last."""
    inner: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes[:-1]):
        inner += [layer(inputs, outputs, 2**0.5), activation()]
    return nn.Sequential(*inner, layer(sizes[-2], sizes[-1], gain))


class Sight(nn.Module):
    """The convolutions of Mnih et al. (Nature 518, 2015) on frames of 84x84 pixels."""

    def __init__(self, frames: int, features: int) -> None:
        super().__init__()
        inner: list[nn.Module] = []
        for inputs, outputs, size, stride in ((frames, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)):
            made = nn.Conv2d(inputs, outputs, size, stride)
            nn.init.orthogonal_(made.weight, 2**0.5)
            nn.init.zeros_(made.bias)
            inner += [made, nn.ReLU()]
        self.layers = nn.Sequential(*inner, nn.Flatten(), layer(64 * 7 * 7, features, 2**0.5), nn.ReLU())

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the features of frames whose pixels go to 255."""
        return self.layers(frames / 255.0)


class Agent(nn.Module):
    """An actor and a critic, which share the layers that see images, and no others."""

    def __init__(self, envs: Any, work: Workload) -> None:
        super().__init__()
        activation = ACTIVATIONS[work.activation]
        shape = envs.single_observation_space.shape
        seen = FEATURES if work.images else int(np.prod(shape))
        self.sight = Sight(shape[0], seen) if work.images else nn.Identity()
        space = envs.single_action_space
        self.continuous = isinstance(space, gym.spaces.Box)
        wide = int(np.prod(space.shape)) if self.continuous else int(space.n)
        self.critic = perceptron([seen, *work.net_arch, 1], activation, 1.0)
        self.actor = perceptron([seen, *work.net_arch, wide], activation, 0.01)
        if self.continuous:
            self.log_std = nn.Parameter(torch.zeros(1, wide))

    def value(self, obs: torch.Tensor) -> torch.Tensor:
        """Return what the critic says."""
        return self.critic(self.sight(obs))

    def act(self, obs: torch.Tensor, action: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """Return actions with their log-likelihood, the entropy and the value."""
        seen = self.sight(obs)
        out, value = self.actor(seen), self.critic(seen)
        if not self.continuous:
            odds = Categorical(logits=out)
            action = odds.sample() if action is None else action
            return action, odds.log_prob(action), odds.entropy(), value
        spread = Normal(out, self.log_std.expand_as(out).exp())
        action = spread.sample() if action is None else action
        return action, spread.log_prob(action).sum(1), spread.entropy().sum(1), value


def train(work: Workload) -> Iterator[int]:
    """Train without end; yields the steps of each iteration."""
    args = work.arguments
    torch.manual_seed(0)
    np.random.seed(0)
    envs = vector(work)
    agent = Agent(envs, work)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args["learning_rate"], eps=1e-5)
    steps, n = args["n_steps"], work.n_envs
    shape = envs.single_observation_space.shape
    obs = torch.zeros((steps, n, *shape))
    actions = torch.zeros((steps, n, *envs.single_action_space.shape))
    logprobs, rewards, dones, values = (torch.zeros((steps, n)) for _ in range(4))
    first, _ = envs.reset(seed=0)
    next_obs, next_done = torch.Tensor(first), torch.zeros(n)
    while True:
        for step in range(steps):
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                action, logprob, _, value = agent.act(next_obs)
            values[step], actions[step], logprobs[step] = value.flatten(), action, logprob
            seen, reward, terminations, truncations, _ = envs.step(action.numpy())
            rewards[step] = torch.tensor(reward).view(-1)
            next_obs, next_done = torch.Tensor(seen), torch.Tensor(np.logical_or(terminations, truncations))
        with torch.no_grad():
            following = agent.value(next_obs).reshape(1, -1)
            advantages = torch.zeros_like(rewards)
            last: Any = 0.0
            for step in reversed(range(steps)):
                going = 1.0 - (next_done if step == steps - 1 else dones[step + 1])
                after = following if step == steps - 1 else values[step + 1]
                delta = rewards[step] + args["gamma"] * after * going - values[step]
                advantages[step] = last = delta + args["gamma"] * args["gae_lambda"] * going * last
        rollout = (obs, actions, logprobs, advantages, advantages + values)
        _update(agent, optimizer, args, [part.reshape(-1, *part.shape[2:]) for part in rollout])
        yield steps * n


def _update(agent: Agent, optimizer: torch.optim.Optimizer, args: Any, rollout: list[torch.Tensor]) -> None:
    obs, actions, logprobs, advantages, returns = rollout
    order = np.arange(len(obs))
    for _ in range(args["n_epochs"]):
        np.random.shuffle(order)
        for start in range(0, len(order), args["batch_size"]):
            rows = order[start : start + args["batch_size"]]
            _, new, entropy, value = agent.act(obs[rows], actions[rows])
            gap = new - logprobs[rows]
            ratio = gap.exp()
            with torch.no_grad():  # figures that a logger would show
                ((ratio - 1) - gap).mean()
                ((ratio - 1.0).abs() > args["clip_range"]).float().mean().item()
            better = advantages[rows]
            better = (better - better.mean()) / (better.std() + 1e-8)
            clipped = torch.clamp(ratio, 1 - args["clip_range"], 1 + args["clip_range"])
            policy_loss = torch.max(-better * ratio, -better * clipped).mean()
            value_loss = 0.5 * ((value.view(-1) - returns[rows]) ** 2).mean()
            loss = policy_loss - args["ent_coef"] * entropy.mean() + args["vf_coef"] * value_loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(agent.parameters(), args["max_grad_norm"])
            optimizer.step()
