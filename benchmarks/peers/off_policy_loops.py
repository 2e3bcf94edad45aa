"""SAC, TD3 and DQN as loops from top to bottom, in the style of CleanRL: networks and updates in plain torch.

Haarnoja et al., arXiv:1812.05905; Fujimoto et al., arXiv:1802.09477; Mnih et al., Nature 518 (2015). The replay buffer
is Stable-Baselines3's, as it is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from benchmarks.peers.gym_envs import last_observations, vector
from benchmarks.peers.workload import Workload

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0
EXPLORATION_NOISE, POLICY_NOISE, NOISE_CLIP = 0.1, 0.2, 0.5
EPSILON = 0.05
ACTOR_EVERY = 2
"""Updates of the critics between those of SAC's actor, which then gets as many at once."""


class Perceptron(nn.Module):
    """Layers with rectifiers between them."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        inner: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            inner += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*inner, nn.Linear(sizes[-1], outputs))

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the parts side by side."""
        return self.layers(torch.cat(parts, 1) if len(parts) > 1 else parts[0])


class SquashedActor(nn.Module):
    """Draws actions from a squashed normal distribution."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], space: Any) -> None:
        super().__init__()
        axes = int(np.prod(space.shape))
        self.trunk = Perceptron(inputs, hidden[:-1], hidden[-1])
        self.mean, self.log_std = nn.Linear(hidden[-1], axes), nn.Linear(hidden[-1], axes)
        self.register_buffer("scale", torch.tensor((space.high - space.low) / 2.0, dtype=torch.float32))
        self.register_buffer("middle", torch.tensor((space.high + space.low) / 2.0, dtype=torch.float32))

    def act(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return actions and their log-likelihood."""
        latent = F.relu(self.trunk(obs))
        log_std = torch.tanh(self.log_std(latent))
        log_std = LOG_STD_MIN + 0.5 * (LOG_STD_MAX - LOG_STD_MIN) * (log_std + 1)
        normal = torch.distributions.Normal(self.mean(latent), log_std.exp())
        drawn = normal.rsample()
        squashed = torch.tanh(drawn)
        likelihood = normal.log_prob(drawn) - torch.log(self.scale * (1 - squashed.pow(2)) + 1e-6)
        return squashed * self.scale + self.middle, likelihood.sum(1, keepdim=True)


class PointActor(nn.Module):
    """Puts out one action."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], space: Any) -> None:
        super().__init__()
        self.layers = Perceptron(inputs, hidden, int(np.prod(space.shape)))
        self.register_buffer("scale", torch.tensor((space.high - space.low) / 2.0, dtype=torch.float32))
        self.register_buffer("middle", torch.tensor((space.high + space.low) / 2.0, dtype=torch.float32))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the action for each row."""
        return torch.tanh(self.layers(obs)) * self.scale + self.middle


class Setting:
    """Environments, buffer and sizes of a run."""

    def __init__(self, work: Workload) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        self.args = work.arguments
        self.envs = vector(work)
        self.space = self.envs.single_action_space
        seen = self.envs.single_observation_space
        seen.dtype = np.dtype(np.float32)  # of the buffer: MuJoCo's observations have twice the digits
        self.inputs, self.hidden = int(np.prod(seen.shape)), work.net_arch
        self.buffer = ReplayBuffer(
            self.args["buffer_size"], seen, self.space, "cpu", work.n_envs, handle_timeout_termination=False
        )
        self.obs, _ = self.envs.reset(seed=0)

    def random(self) -> Any:
        """Return random actions."""
        return np.array([self.space.sample() for _ in range(self.envs.num_envs)])

    def step(self, actions: Any) -> None:
        """Make a step and keep it."""
        seen, rewards, terminations, truncations, infos = self.envs.step(actions)
        real = last_observations(seen, infos, np.logical_or(terminations, truncations))
        self.buffer.add(self.obs, real, actions, rewards, terminations, [infos])
        self.obs = seen

    def sample(self) -> Any:
        """Return a minibatch."""
        return self.buffer.sample(self.args["batch_size"])


def _follow(target: nn.Module, net: nn.Module, tau: float) -> None:
    for old, new in zip(target.parameters(), net.parameters(), strict=True):
        old.data.copy_(tau * new.data + (1 - tau) * old.data)


def _twins(run: Setting) -> tuple[list[nn.Module], list[nn.Module], torch.optim.Optimizer]:
    inputs = run.inputs + int(np.prod(run.space.shape))
    critics, targets = ([Perceptron(inputs, run.hidden, 1) for _ in range(2)] for _ in range(2))
    for target, critic in zip(targets, critics, strict=True):
        target.load_state_dict(critic.state_dict())
    parameters = [p for critic in critics for p in critic.parameters()]
    return critics, targets, torch.optim.Adam(parameters, lr=run.args["learning_rate"])


def sac(work: Workload) -> Iterator[int]:
    """Train SAC without end; yields at each step."""
    run = Setting(work)
    args = run.args
    actor = SquashedActor(run.inputs, run.hidden, run.space)
    (first, second), (first_target, second_target), critic_optimizer = _twins(run)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=args["learning_rate"])
    wanted = -float(np.prod(run.space.shape))
    log_alpha = torch.zeros(1, requires_grad=True)
    alpha = log_alpha.exp().item()
    alpha_optimizer = torch.optim.Adam([log_alpha], lr=args["learning_rate"])
    step = 0
    while True:
        if step < args["learning_starts"]:
            actions = run.random()
        else:
            actions = actor.act(torch.Tensor(run.obs))[0].detach().numpy()
        run.step(actions)
        step += 1
        if step > args["learning_starts"]:
            data = run.sample()
            with torch.no_grad():
                after, likelihood = actor.act(data.next_observations)
                worse = torch.min(
                    first_target(data.next_observations, after), second_target(data.next_observations, after)
                )
                goal = data.rewards + (1 - data.dones) * args["gamma"] * (worse - alpha * likelihood)
            loss = F.mse_loss(first(data.observations, data.actions), goal)
            loss = loss + F.mse_loss(second(data.observations, data.actions), goal)
            critic_optimizer.zero_grad()
            loss.backward()
            critic_optimizer.step()
            for _ in range(ACTOR_EVERY if step % ACTOR_EVERY == 0 else 0):
                chosen, likelihood = actor.act(data.observations)
                worse = torch.min(first(data.observations, chosen), second(data.observations, chosen))
                actor_loss = (alpha * likelihood - worse).mean()
                actor_optimizer.zero_grad()
                actor_loss.backward()
                actor_optimizer.step()
                with torch.no_grad():
                    _, likelihood = actor.act(data.observations)
                alpha_loss = (-log_alpha.exp() * (likelihood + wanted)).mean()
                alpha_optimizer.zero_grad()
                alpha_loss.backward()
                alpha_optimizer.step()
                alpha = log_alpha.exp().item()
            _follow(first_target, first, args["tau"])
            _follow(second_target, second, args["tau"])
        yield 1


def td3(work: Workload) -> Iterator[int]:
    """Train TD3 without end; yields at each step."""
    run = Setting(work)
    args, space = run.args, run.space
    actor, actor_target = (PointActor(run.inputs, run.hidden, space) for _ in range(2))
    actor_target.load_state_dict(actor.state_dict())
    (first, second), (first_target, second_target), critic_optimizer = _twins(run)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=args["learning_rate"])
    low, high = float(space.low[0]), float(space.high[0])
    step = 0
    while True:
        if step < args["learning_starts"]:
            actions = run.random()
        else:
            with torch.no_grad():
                actions = actor(torch.Tensor(run.obs))
                actions = actions + torch.normal(0, actor.scale.expand_as(actions) * EXPLORATION_NOISE)
                actions = actions.numpy().clip(space.low, space.high)
        run.step(actions)
        step += 1
        if step > args["learning_starts"]:
            data = run.sample()
            with torch.no_grad():
                noise = (torch.randn_like(data.actions) * POLICY_NOISE).clamp(-NOISE_CLIP, NOISE_CLIP)
                after = (actor_target(data.next_observations) + noise * actor_target.scale).clamp(low, high)
                worse = torch.min(
                    first_target(data.next_observations, after), second_target(data.next_observations, after)
                )
                goal = data.rewards + (1 - data.dones) * args["gamma"] * worse
            loss = F.mse_loss(first(data.observations, data.actions), goal)
            loss = loss + F.mse_loss(second(data.observations, data.actions), goal)
            critic_optimizer.zero_grad()
            loss.backward()
            critic_optimizer.step()
            if step % args["policy_delay"] == 0:
                actor_loss = -first(data.observations, actor(data.observations)).mean()
                actor_optimizer.zero_grad()
                actor_loss.backward()
                actor_optimizer.step()
                _follow(actor_target, actor, args["tau"])
                _follow(first_target, first, args["tau"])
                _follow(second_target, second, args["tau"])
        yield 1


def dqn(work: Workload) -> Iterator[int]:
    """Train DQN without end, at the last chance of exploring; yields at each step."""
    run = Setting(work)
    args = run.args
    net, target = (Perceptron(run.inputs, run.hidden, int(run.space.n)) for _ in range(2))
    target.load_state_dict(net.state_dict())
    optimizer = torch.optim.Adam(net.parameters(), lr=args["learning_rate"])
    step = 0
    while True:
        if step < args["learning_starts"] or np.random.rand() < EPSILON:
            actions = run.random()
        else:
            actions = torch.argmax(net(torch.Tensor(run.obs)), dim=1).numpy()
        run.step(actions)
        step += 1
        if step > args["learning_starts"]:
            data = run.sample()
            with torch.no_grad():
                best, _ = target(data.next_observations).max(dim=1)
                goal = data.rewards.flatten() + args["gamma"] * best * (1 - data.dones.flatten())
            values = net(data.observations).gather(1, data.actions).squeeze(1)
            loss = F.mse_loss(goal, values)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % args["target_update_interval"] == 0:
                target.load_state_dict(net.state_dict())
        yield 1
