"""What methods do in a rollout, and which of it an update is computed from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.nets.experience import Decision
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.seam.seam import Seam
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals, chain
from tests.cases import agent

WIDE = spaces.Box(np.array([-3.0, 1.0], np.float32), np.array([3.0, 2.0], np.float32))


class Counting(gym.Env):
    """Shows (step, episode), pays the step's number, ends after `length` steps; keeps what was done."""

    def __init__(self, length: int, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = spaces.Box(-100.0, 100.0, (2,), np.float32), action_space
        self.length, self.step_of, self.episode, self.done = length, 0, -1, []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.step_of, self.episode = 0, self.episode + 1
        return self._seen(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.done.append(np.array(action))
        self.step_of += 1
        return self._seen(), float(self.step_of), self.step_of == self.length, False, {}

    def _seen(self) -> np.ndarray:
        return np.array([self.step_of, self.episode], np.float32)


def worlds(lengths: tuple[int, ...], action_space: spaces.Space) -> DummyVecEnv:
    return DummyVecEnv([lambda n=n: Counting(n, action_space) for n in lengths])


@dataclass(frozen=True, kw_only=True)
class Steer(Method):
    """Acts by a constant in the first steps of each episode, and remembers what it was asked."""

    name: ClassVar[str] = "steer"
    family: ClassVar[str] = "data"
    asked: ClassVar[list[Decision]] = []

    first: int = 2
    value: float = 0.5
    own: bool = False
    on: Select = Select("actor|q")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        return {"taken": torch.zeros(0)}

    def act(self, net: Net, state: Any, decision: Decision, signals: Signals) -> tuple[Decision, Any]:
        self.asked.append(decision)
        taken = state["taken"] if len(state["taken"]) else torch.zeros(len(decision.starts))
        taken = torch.where(decision.starts, 0.0, taken)
        steers = taken < self.first
        shape = (-1,) + (1,) * (decision.actions.dim() - 1)
        actions = torch.where(steers.reshape(shape), torch.full_like(decision.actions, self.value), decision.actions)
        own = decision.own if self.own else decision.own & ~steers
        return Decision(decision.observations, actions, decision.starts, own), {"taken": taken + 1}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Steer.asked.clear()


def ppo(lengths: tuple[int, ...] = (4, 3), space: spaces.Space = WIDE, cls: Any = PPO, **more: Any) -> BaseAlgorithm:
    arguments = {"n_steps": 8, "policy_kwargs": {"net_arch": [4]}, "device": "cpu", "seed": 0, **more}
    if cls is PPO:
        arguments = {"batch_size": 4, "n_epochs": 2, **arguments}
    return cls("MlpPolicy", worlds(lengths, space), **arguments)


def minibatches(model: BaseAlgorithm, method: Method, steps: int) -> tuple[Seam, list[torch.Tensor]]:
    """Train, and return the observations of each minibatch."""
    seen: list[torch.Tensor] = []
    with Seam(model, method) as seam:
        see = seam._see
        seam._see = lambda batch: (seen.append(batch.observations), see(batch))  # type: ignore[method-assign]
        model.learn(steps)
    return seam, seen


@pytest.mark.parametrize("cls", [PPO, A2C])
@pytest.mark.parametrize("space", [WIDE, spaces.Discrete(3)], ids=["box", "discrete"])
def test_only_own_rows_reach_the_update(cls: Any, space: spaces.Space) -> None:
    model = ppo(cls=cls, space=space)
    _, seen = minibatches(model, Steer(first=2, value=1.0), 16)
    rows = torch.cat(seen)
    # Episodes of 4 and 3 steps: of 8 steps each, 4 are left of the one and 2 of the other (0 1 2 | 0 1 2 | 0 1).
    assert len(rows) == (2 * 6 if cls is PPO else 6)
    assert (rows[:, 0] >= 2).all()
    done = [np.stack(env.done) for env in model.env.envs]
    for taken, length in zip(done, (4, 3), strict=True):
        steered = np.arange(8) % length < 2
        assert (taken[steered] == 1.0).all()


def test_minibatches_of_own_rows_are_of_nearly_one_size() -> None:
    """9 rows of 16 in minibatches of 4 are 3, 3, 3: not 4, 4 and a step on a single row."""
    _, seen = minibatches(ppo((4, 8), n_epochs=1), Steer(first=2), 16)
    assert [len(part) for part in seen] == [4, 3, 3]


def test_advantages_of_own_rows_are_those_of_sb3() -> None:
    """The roll-in comes first in an episode, and what follows it decides the advantage: the sums by hand."""
    model = ppo((4, 3))
    with Seam(model, Steer(first=2)):
        model.learn(16)
    buffer, gamma, decay = model.rollout_buffer, 0.99, 0.95
    values, advantages = _unflattened(buffer.values), _unflattened(buffer.advantages)
    for env, length in ((0, 4), (1, 3)):
        for begin in range(0, 9 - length, length):
            steps = range(begin, begin + length)
            ahead = {t: values[t + 1, env] if t + 1 in steps else 0.0 for t in steps}
            errors = {t: (t - begin + 1) + gamma * ahead[t] - values[t, env] for t in steps}
            for t in list(steps)[2:]:
                expected = sum((gamma * decay) ** (later - t) * errors[later] for later in steps if later >= t)
                assert advantages[t, env] == pytest.approx(expected, rel=1e-4)


def _unflattened(flat: np.ndarray) -> np.ndarray:
    return flat.reshape(2, 8).T


def weights(model: BaseAlgorithm) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


@pytest.mark.parametrize(
    "make",
    [
        ppo,
        lambda: ppo(cls=A2C),
        lambda: agent("sac-mlp", steps=0),
        lambda: agent("td3-mlp", steps=0),
        lambda: agent("dqn-mlp", steps=0),
    ],
    ids=["ppo", "a2c", "sac", "td3", "dqn"],
)
def test_a_method_that_changes_nothing_trains_as_sb3_does(make: Any) -> None:
    """Bit for bit: the same draws of actions, the same permutation of rows."""
    plain = make()
    plain.learn(32)
    asked = make()
    with Seam(asked, Steer(first=0)):
        asked.learn(32)
    assert Steer.asked
    assert torch.equal(weights(plain), weights(asked))


@pytest.mark.parametrize("own", [False, True])
def test_an_action_that_was_not_sampled_is_never_own(own: bool) -> None:
    """A method may forget to say so; the likelihood in the buffer is of another action all the same."""
    model = ppo(n_epochs=1)
    _, seen = minibatches(model, Steer(first=2, own=own), 16)
    assert (torch.cat(seen)[:, 0] >= 2).all()


@pytest.mark.parametrize("cls", [PPO, A2C])
@pytest.mark.parametrize("lengths", [(8,), (4,)])
def test_an_update_without_own_rows_is_skipped(cls: Any, lengths: tuple[int, ...]) -> None:
    """Nothing own, or a single row, whose advantage cannot be normalised: the weights stay, and stay finite."""
    model = ppo(lengths, cls=cls, normalize_advantage=True)
    before = weights(model)
    first = 9 if lengths == (8,) else 99
    with Seam(model, Steer(first=first)) as seam:
        model.learn(16)
    assert torch.equal(before, weights(model))
    assert (seam.signals.env_steps, seam.signals.updates) == (16, 0)
    model = ppo((8,), cls=cls, normalize_advantage=True)
    with Seam(model, Steer(first=7)) as seam:
        model.learn(8)
    assert seam.signals.updates == 0
    model = ppo((8,), cls=cls, normalize_advantage=True)
    with Seam(model, Steer(first=6)) as seam:
        model.learn(8)
    assert seam.signals.updates > 0
    assert torch.isfinite(weights(model)).all()


@pytest.mark.parametrize("cls", [SAC, TD3, DQN])
def test_what_is_stored_off_policy_is_what_was_decided(cls: Any) -> None:
    """In the buffer in [-1, 1], in the environments within their own bounds."""
    space = spaces.Discrete(3) if cls is DQN else WIDE
    model = cls(
        "MlpPolicy",
        worlds((3, 5), space),
        buffer_size=100,
        learning_starts=4,
        batch_size=4,
        train_freq=1,
        policy_kwargs={"net_arch": [4]},
        device="cpu",
    )
    with Seam(model, Steer(first=2, value=1.0 if cls is DQN else 0.5)):
        model.learn(32)
    stored, steps = model.replay_buffer.actions[:16], model.replay_buffer.observations[:16, :, 0]
    for env in range(2):
        steered = steps[:, env] < 2
        assert steered.any()
        assert (stored[steered, env] == (1 if cls is DQN else 0.5)).all()
        done = np.stack(model.env.envs[env].done)
        if cls is DQN:
            np.testing.assert_array_equal(done, stored[:, env, 0])
        else:
            # Halfway from the middle of each axis to its upper bound.
            np.testing.assert_allclose(done[steered], np.tile([1.5, 1.75], (steered.sum(), 1)), rtol=1e-6)


@pytest.mark.parametrize("name", ["sac", "dqn", "ppo"])
def test_starts_are_those_of_each_environment(name: str) -> None:
    """Over several environments and episodes, and over a second `learn`, which resets them."""
    cls: Any = {"sac": SAC, "dqn": DQN, "ppo": PPO}[name]
    space = spaces.Discrete(3) if name == "dqn" else WIDE
    more: dict[str, Any] = {"learning_starts": 4, "buffer_size": 100} if name != "ppo" else {"n_steps": 8}
    model = cls("MlpPolicy", worlds((3, 4), space), policy_kwargs={"net_arch": [4]}, device="cpu", **more)
    with Seam(model, Steer()):
        model.learn(16)
        model.learn(16)
    assert len(Steer.asked) == 16
    for decision in Steer.asked:
        assert torch.equal(decision.starts, decision.observations[:, 0] == 0)
    assert Steer.asked[8].starts.all()
    assert Steer.asked[8].observations[:, 1].max() > Steer.asked[0].observations[:, 1].max()


def test_the_sampled_actions_stay_as_they_are() -> None:
    """A method that writes into what it was given does not hide that it changed it."""

    @dataclass(frozen=True, kw_only=True)
    class Scribble(Method):
        name: ClassVar[str] = "scribble"
        family: ClassVar[str] = "data"
        on: Select = Select("actor")

        def act(self, net: Net, state: Any, decision: Decision, signals: Signals) -> tuple[Decision, Any]:
            decision.actions[:1] = 0.25
            return decision, state

    _, seen = minibatches(ppo(n_epochs=1), Scribble(), 16)
    assert len(torch.cat(seen)) == 8, "the rows of the second environment"


def test_states_of_acting_methods_go_through_a_checkpoint() -> None:
    first = Seam(ppo(), Steer(), total_steps=32)
    with first:
        first.model.learn(16)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = Seam(ppo(), Steer(), total_steps=32)
    second.load_state_dict(torch.load(file, weights_only=True))
    before, after = (seam.tuner.composition.parts[0].states["actor"]["taken"] for seam in (first, second))
    assert before.tolist() == after.tolist() == [4.0, 2.0]
    assert torch.equal(weights(first.model), weights(second.model))
    Steer.asked.clear()
    with second:
        second.model.learn(16)
    assert Steer.asked[0].starts.all(), "the environments start new episodes"


def test_methods_act_one_after_the_other() -> None:
    """The second sees what the first decided; the last word is its."""
    model = ppo((4,))
    with Seam(model, chain(Steer(first=4, value=0.5), Steer(first=1, value=-0.5))):
        model.learn(8)
    second = Steer.asked[1::2]
    assert all((decision.actions == 0.5).all() and not decision.own.any() for decision in second)
    done = np.stack(model.env.envs[0].done)
    np.testing.assert_allclose(done[[0, 4]], np.clip(-0.5, WIDE.low, WIDE.high)[None].repeat(2, 0))
