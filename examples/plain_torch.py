"""Fine-tune a Q-learning agent to a changed pole, in plain PyTorch: no Stable-Baselines3 anywhere.

Two networks learn CartPole together: `Value` by Q-learning, `Policy` by imitating what is best according to
`Value`; the policy acts. Then the pole becomes longer and heavier, and the agent goes on in the new world: as it is
(naive), by each of the three classic techniques (regularised, dropout, channel-wise) through `acclimate.attach`, and
from scratch.

    python examples/plain_torch.py            # some minutes on one core
    python examples/plain_torch.py --quick    # some seconds, to see that it runs
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass, replace
from itertools import pairwise

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

import acclimate as ac
from acclimate.nets.outputs import Categorical
from acclimate.statistics.bootstrap import paired_difference, stratified_bootstrap

SOLVED = 475.0
"""Mean return over 100 episodes at which Gymnasium calls CartPole-v1 solved."""
GAMMA, LEARNING_RATE, BATCH, TARGET_RATE = 0.99, 1e-3, 64, 0.005

METHODS: dict[str, ac.Method] = {
    "regularised: l2sp": ac.L2SP(weight=0.1),
    "regularised: kl": ac.KLToPrior(weight=ac.Linear(2.0, 0.0), on="policy"),
    "dropout": ac.Dropout(p=0.01, on="q"),
    "channel-wise": ac.ChannelScale(rate=10.0),
}


class Network(nn.Module):
    """Two hidden layers between a state and one number for each action."""

    def __init__(self, state_dim: int, action_dim: int, width: int = 64) -> None:
        super().__init__()
        sizes = (state_dim, width, width, action_dim)
        layers = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.ReLU())]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.layers(states)


class Policy(Network):
    """Scores of the actions in a state: the higher, the likelier."""


class Value(Network):
    """The return that each action promises in a state."""


@dataclass(frozen=True)
class World:
    """CartPole with another pole: factors on its length and on its mass."""

    length: float = 1.0
    mass: float = 1.0

    def make(self) -> gym.Env:
        env = gym.make("CartPole-v1")
        physics = env.unwrapped
        physics.length *= self.length
        physics.masspole *= self.mass
        # CartPole derives these two in its constructor, and its physics read them.
        physics.total_mass = physics.masspole + physics.masscart
        physics.polemass_length = physics.masspole * physics.length
        return env


HOME, CHANGED = World(), World(length=2.5, mass=2.5)


class Memory:
    """The transitions seen so far: states, actions, rewards, next states, and whether the pole fell."""

    def __init__(self, size: int, state_dim: int) -> None:
        self.size, self.seen = size, 0
        vector = (size, state_dim)
        self.columns = [np.zeros(shape, np.float32) for shape in (vector, size, size, vector, size)]

    def add(self, *transition: object) -> None:
        for column, item in zip(self.columns, transition, strict=True):
            column[self.seen % self.size] = item
        self.seen += 1

    def sample(self, rng: np.random.Generator) -> list[torch.Tensor]:
        rows = rng.integers(0, min(self.seen, self.size), BATCH)
        return [torch.from_numpy(column[rows]) for column in self.columns]


@dataclass(frozen=True)
class Plan:
    """How long to learn, how much to explore at first, and how often to look."""

    steps: int
    episodes: int = 1_000_000
    epsilon: float = 0.1
    decay: int = 4_000
    until: float = np.inf
    every: int = 1_000
    looks: int = 20
    warm_up: int = 500


def learn(
    policy: Policy, value: Value, world: World, plan: Plan, *, seed: int, method: ac.Method | None = None
) -> list[float]:
    """Q-learning, in place. Ends with the best policy that a look has seen, and returns what the looks saw."""
    torch.manual_seed(seed)
    rng, env = np.random.default_rng(seed), world.make()
    memory = Memory(50_000, env.observation_space.shape[0])
    target = copy.deepcopy(value).eval()
    optimizer = torch.optim.Adam([*policy.parameters(), *value.parameters()], LEARNING_RATE)
    # The lines marked (*) are all that a method needs of a loop; without one they do nothing.
    tuner = ac.attach(  # (*)
        method or ac.chain(),
        {"policy": policy, "q": (value, target)},
        outputs={"policy": Categorical},
        optimizer=optimizer,
        updates=plan.steps // 2,
    )
    seen, best, best_so_far, steps = [], policy.state_dict(), -np.inf, 0
    for _ in range(plan.episodes):
        state, done = env.reset(seed=int(rng.integers(2**31)))[0], False
        while not done and steps < plan.steps:
            epsilon = max(0.02, plan.epsilon * (1 - steps / plan.decay))
            action = int(rng.integers(2)) if rng.random() < epsilon else int(act(policy, state))
            following, reward, fell, late, _ = env.step(action)
            memory.add(state, action, reward, following, fell)
            state, done, steps = following, fell or late, steps + 1
            if steps >= plan.warm_up and steps % 2 == 0:
                states, actions, rewards, nexts, fallen = memory.sample(rng)
                # Only the update of the values drops units; what acts and what is learnt from does not.
                predicted = value.train()(states).gather(1, actions.long()[:, None])[:, 0]
                value.eval()
                with torch.no_grad():
                    promised = rewards + GAMMA * (1 - fallen) * target(nexts).max(1).values
                    greedy = value(states).argmax(1)
                loss = F.smooth_l1_loss(predicted, promised) + F.cross_entropy(policy(states), greedy)
                loss = loss + tuner.penalty(states)  # (*)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(tuner.parameters, 10.0)
                optimizer.step()
                tuner.step()  # (*)
                with torch.no_grad():
                    for slow, fast in zip(target.parameters(), value.parameters(), strict=True):
                        slow.lerp_(fast, TARGET_RATE)
            if steps % plan.every == 0:
                seen.append(float(returns(policy, world, plan.looks, seed=20_000).mean()))
                if seen[-1] > best_so_far:
                    best, best_so_far = copy.deepcopy(policy.state_dict()), seen[-1]
        if steps >= plan.steps or best_so_far >= plan.until:
            break
    policy.load_state_dict(best)
    tuner.fold()  # (*) plain networks again, with what was learnt in their weights
    return seen


def act(policy: Policy, states: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return policy(torch.from_numpy(states)).argmax(-1).numpy()


def returns(policy: Policy, world: World, episodes: int, *, seed: int) -> np.ndarray:
    """Play whole episodes side by side, episode i from `seed + i`, and return what each of them paid."""
    envs = [world.make() for _ in range(episodes)]
    states = np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(envs)])
    paid, alive = np.zeros(episodes), np.arange(episodes)
    while len(alive):
        still = []
        for i, action in zip(alive, act(policy, states[alive]), strict=True):
            states[i], reward, fell, late, _ = envs[i].step(int(action))
            paid[i] += reward
            if not (fell or late):
                still.append(i)
        alive = np.array(still, dtype=int)
    return paid


def show(name: str, columns: list[list[float]], naive: list[float] | None) -> None:
    """Print one row: means over the seeds, and what the first column gains on naive continuing."""
    row = f"{name:<20}" + "".join(f"{interval(column):>21}" for column in columns)
    if naive is not None and len(naive) >= 3:
        gain = paired_difference(columns[0], naive)
        row += f"{gain.value:>+7.0f} [{gain.low:+.0f}, {gain.high:+.0f}]"
    print(row, flush=True)


def interval(scores: list[float]) -> str:
    if len(scores) < 3:
        return f"{np.mean(scores):.0f} (not evidence)"
    estimate = stratified_bootstrap(scores)
    return f"{np.mean(scores):.0f} [{estimate.low:.0f}, {estimate.high:.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="in seconds, to see that it runs")
    parser.add_argument("--seeds", type=int, default=5, help="fine-tuning seeds")
    parser.add_argument("--steps", type=int, default=5_000, help="environment steps in the new world")
    options = parser.parse_args()
    torch.set_num_threads(1)

    first = Plan(
        steps=10**9,
        episodes=1_000,
        epsilon=1.0,
        decay=8_000,
        until=SOLVED,
        every=2_000,
        looks=100,
        warm_up=1_000,
    )
    second, seeds, episodes = Plan(steps=options.steps), options.seeds, 100
    if options.quick:
        first = Plan(steps=300, epsilon=1.0, every=100, looks=2, warm_up=64)
        second, seeds, episodes = Plan(steps=200, every=100, looks=2, warm_up=64), 2, 3

    torch.manual_seed(0)
    policy, value = Policy(4, 2), Value(4, 2)
    learn(policy, value, HOME, first, seed=0)
    home, changed = (returns(policy, world, episodes, seed=10_000).mean() for world in (HOME, CHANGED))
    print(f"pretrained: {home:.0f} on its own pole, {changed:.0f} on the changed one")
    print(f"{CHANGED.length:g} times as long and {CHANGED.mass:g} times as heavy; {second.steps} steps there to learn")
    print(f"mean return [95 % interval over {seeds} seeds of fine-tuning, of one pretrained agent]\n")
    print(f"{'':<20}{'changed pole':>21}{'on the way there':>21}{'own pole':>21}  gain on naive")

    naive: list[float] | None = None
    arms: dict[str, ac.Method | None] = {"naive": None, **METHODS, "from scratch": None}
    for name, method in arms.items():
        scratch = name == "from scratch"
        plan = replace(second, epsilon=1.0) if scratch else second
        columns: list[list[float]] = [[], [], []]
        for seed in range(1, seeds + 1):
            torch.manual_seed(seed)
            nets = (Policy(4, 2), Value(4, 2)) if scratch else (copy.deepcopy(policy), copy.deepcopy(value))
            looks = learn(*nets, CHANGED, plan, seed=seed, method=method)
            columns[0].append(float(returns(nets[0], CHANGED, episodes, seed=10_000).mean()))
            columns[1].append(float(np.mean(looks)))
            columns[2].append(float(returns(nets[0], HOME, episodes, seed=10_000).mean()))
        show(name, columns, naive)
        naive = naive or columns[0]


if __name__ == "__main__":
    main()
