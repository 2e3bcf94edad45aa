"""Attacks against closed forms, within their radius, on agents of every kind."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.attacks.attack import ATTACKS, Attack, Attacker
from acclimate.attacks.playing import attacked, strongest
from acclimate.errors import AcclimateError, ConfigError, SurgeryError
from acclimate.evaluation.evaluate import Evaluation, evaluate
from acclimate.nets.experience import Batch
from tests import tiny
from tests.unit.guard.world import random_world

FEEDFORWARD = [name for name in tiny.MODELS if name not in ("recurrent_ppo", "ars", "ars-linear", "ppo-multi", "a2c")]
RATES = ("dqn", "qrdqn", "sac", "sac-gsde", "her", "td3", "ddpg", "tqc", "crossq")
RADIUS = 0.1


def linear(action_space: spaces.Space, weights: Any, *, observation: spaces.Space | None = None) -> Agent:
    """Return a PPO agent whose means or logits are W x."""
    seen = observation or spaces.Box(-np.inf, np.inf, (len(weights[0]),), np.float32)
    model = PPO("MlpPolicy", tiny.World(seen, action_space), n_steps=8, policy_kwargs={"net_arch": []}, device="cpu")
    with torch.no_grad():
        model.policy.action_net.weight.copy_(torch.tensor(weights))
        model.policy.action_net.bias.zero_()
    return load(model)


def read(agent: Agent, raw: Any) -> Any:
    return raw if agent.normalizer is None else agent.normalizer.normalize_obs(raw)


def seen_by(agent: Agent, attack: Attack, raw: Any) -> Any:
    masks = np.ones((8, 3), bool) if agent.masked else None
    return Attacker(agent, attack)(raw, np.zeros(8, bool), masks)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_of_a_linear_policy_of_two_choices_the_worst_is_known(name: str) -> None:
    """The lead of the chosen one falls fastest against the sign of the difference of their weights."""
    weights = [[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]]
    agent, raw = linear(spaces.Discrete(2), weights), np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    chosen = (raw @ np.array(weights).T).argmax(1)
    apart = np.sign(np.subtract(*weights))
    expected = raw - RADIUS * np.where(chosen[:, None] == 0, apart, -apart)
    np.testing.assert_allclose(seen_by(agent, Attack(name, RADIUS), raw), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "mad"])
def test_of_a_linear_policy_of_one_axis_the_mean_moves_as_far_as_it_can(name: str) -> None:
    agent, raw = linear(spaces.Box(-1, 1, (1,)), [[2.0, -0.5]]), np.zeros((8, 2), np.float32)
    shown = seen_by(agent, Attack(name, RADIUS), raw)
    np.testing.assert_allclose(np.abs(shown @ [2.0, -0.5]), 2.5 * RADIUS, rtol=1e-5)


def test_random_fills_the_radius_and_seeks_nothing() -> None:
    agent = linear(spaces.Discrete(2), [[1.0], [0.0]])
    attacker = Attacker(agent, Attack("random", RADIUS))
    drawn = np.concatenate([attacker(np.zeros((8, 1), np.float32), None) for _ in range(200)])
    assert np.abs(drawn).max() == pytest.approx(RADIUS, rel=0.02)
    assert abs(drawn.mean()) < 0.005
    assert drawn.std() == pytest.approx(RADIUS / np.sqrt(3), rel=0.05)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", FEEDFORWARD)
def test_every_agent_sees_what_lies_within_the_radius(name: str, normalize: bool) -> None:
    if normalize and name == "ppo-cnn":
        pytest.skip("its pixels are not normalised")
    agent = load(tiny.model(name, normalize=normalize, steps=8 if normalize else 0))
    raw = tiny.observations(tiny.MODELS[name][2])
    for kind in ATTACKS:
        if kind == "critic" and name not in RATES:
            continue
        shown, pairs = seen_by(agent, Attack(kind, RADIUS, steps=3), raw), []
        before, after = read(agent, raw), read(agent, shown)
        pairs = [(before[key], after[key]) for key in before] if isinstance(before, dict) else [(before, after)]
        for one, other in pairs:
            unit = 255.0 if one.dtype == np.uint8 else 1.0
            apart = np.abs(one.astype(np.float64) - other.astype(np.float64)) / unit
            # A number beyond the normaliser's range is read as its end.
            assert apart.max() <= RADIUS * (1 + 1e-4) + 1e-5 * np.abs(one).max() / unit
            assert apart.max() > 0.5 * RADIUS
            assert other.dtype == one.dtype
    assert all(parameter.grad is None for parameter in agent.model.policy.parameters())


@pytest.mark.parametrize("name", ["ppo", "maskable_ppo", "dqn", "sac", "td3", "tqc", "her", "ppo-cnn"])
def test_each_step_of_a_search_does_more_harm(name: str) -> None:
    agent, _ = random_world(name)
    raw = tiny.observations(tiny.MODELS[name][2], n=32)
    for kind in ("pgd", "mad", *(("critic",) if name in RATES else ())):
        attacker = Attacker(agent, Attack(kind, RADIUS))
        moment = attacker.moment(raw)
        with torch.no_grad():
            harms = [float(attacker.harm(moment, point).mean()) for point in attacker.neighbours(moment)]
        assert harms[-1] > harms[0], kind


def test_the_critic_attack_asks_what_the_critic_says_of_the_true_observation() -> None:
    agent, _ = random_world("td3")
    raw = tiny.observations(tiny.MODELS["td3"][2])
    attacker = Attacker(agent, Attack("critic", RADIUS))
    moment = attacker.moment(raw)
    moved = moment.seen.observations + RADIUS
    policy = agent.model.policy
    with torch.no_grad():
        expected = -torch.cat(policy.critic(moment.seen.observations, policy.actor(moved)), 1).mean(1)
        torch.testing.assert_close(attacker.harm(moment, moved), expected)


def test_parts_that_have_no_neighbours_stay_to_the_bit() -> None:
    space = spaces.Dict(seen=spaces.Box(-1, 1, (2,), np.float64), gear=spaces.Discrete(3), bits=spaces.MultiBinary(2))
    world = tiny.World(space, spaces.Discrete(2))
    agent = load(PPO("MultiInputPolicy", world, n_steps=8, policy_kwargs={"net_arch": [4]}, device="cpu"))
    raw = tiny.observations(space)
    shown = seen_by(agent, Attack("pgd", RADIUS), raw)
    assert all(shown[key] is raw[key] for key in ("gear", "bits"))
    assert shown["seen"].dtype == np.float64
    assert not np.array_equal(shown["seen"], raw["seen"])


def test_what_is_not_allowed_is_no_other_choice() -> None:
    agent, _ = random_world("maskable_ppo")
    raw = tiny.observations(tiny.MODELS["maskable_ppo"][2])
    attacker = Attacker(agent, Attack("pgd", RADIUS))
    alone = np.zeros((8, 3), bool)
    alone[:, 1] = True
    moment = attacker.moment(raw, alone)
    assert float(attacker.harm(moment, moment.seen.observations).max()) < -1e7
    free = attacker.moment(raw, np.ones((8, 3), bool))
    assert float(attacker.harm(free, free.seen.observations).min()) > -100.0


@pytest.mark.parametrize("name", ["ppo-gsde", "dqn", "sac", "ppo-cnn", "her", "maskable_ppo"])
def test_without_a_radius_it_is_an_ordinary_evaluation(name: str) -> None:
    agent, task = random_world(name)
    for kind in ("random", "pgd"):
        ours = attacked(agent, task, Attack(kind, 0.0), episodes=3, n_envs=2)
        assert np.array_equal(ours.returns, evaluate(agent, task, episodes=3, n_envs=2).returns)


class Steer(gym.Env):
    """Steer towards zero: the action is where to go, and the return what is missed."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-5.0, 5.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.x, self.left = self.np_random.normal(size=1).astype(np.float32), 10
        return self.x, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        missed = -float(abs(self.x + action)[0])
        self.x = self.np_random.normal(size=1).astype(np.float32)
        return self.x, missed, False, self.left == 0, {}


def test_episodes_go_on_from_the_true_state_and_repeat() -> None:
    """The perfect steerer misses by its gain times the radius at each of ten steps, and by nothing else."""
    from acclimate.tasks.task import Task

    agent, task = linear(Steer.action_space, [[-1.0]], observation=Steer.observation_space), Task(Steer)
    clean = evaluate(agent, task, episodes=4)
    assert np.abs(clean.returns).max() < 1e-4
    found = {name: attacked(agent, task, Attack(name, RADIUS), episodes=4) for name in ("random", "fgsm", "pgd")}
    np.testing.assert_allclose(found["pgd"].returns, -10 * RADIUS, rtol=1e-4)
    assert -10 * RADIUS < found["random"].returns.mean() < -3 * RADIUS
    again = attacked(agent, task, Attack("random", RADIUS), episodes=4)
    assert np.array_equal(found["random"].returns, again.returns)
    assert strongest({"clean": clean, "random": found["random"], "pgd": found["pgd"]}) == "pgd"


def test_strongest_is_the_least_mean() -> None:
    def of(*returns: float) -> Evaluation:
        return Evaluation(np.array(returns), np.ones(len(returns), int), np.arange(len(returns)))

    assert strongest({"a": of(1.0, 9.0), "b": of(4.0, 4.0), "c": of(-9.0, 99.0)}) == "b"


def refusal(name: str, attack: str = "pgd") -> AcclimateError:
    agent = load(tiny.model(name, steps=0))
    with pytest.raises(AcclimateError) as error:
        Attacker(agent, Attack(attack)).moment(tiny.observations(tiny.MODELS[name][2]))
    return error.value


def test_what_cannot_be_attacked_is_refused_in_a_line() -> None:
    assert isinstance(found := refusal("recurrent_ppo"), ConfigError)
    assert "depends on what it remembers" in str(found)
    for name in ("ppo-multi", "a2c"):
        assert isinstance(found := refusal(name), SurgeryError)
        assert "cannot be moved a little" in str(found)
    for name in ("ppo", "trpo", "maskable_ppo"):
        assert "only rates states" in str(refusal(name, "critic"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pdg=0.1", "Did you mean `pgd`"),
        ("pgd=-0.1", "attack.radius is -0.1"),
        ("pgd=nan", "attack.radius"),
        ("pgd=inf", "attack.radius"),
        ("pgd:steps=0", "attack.steps is 0"),
        ("pgd:steps=1000000", "attack.steps is 1000000"),
        ("pgd:stps=3", "no field `stps`"),
        ("pgd=a", "expected float"),
        ("", "expected `name`"),
    ],
)
def test_an_attack_is_read_from_a_line(text: str, said: str) -> None:
    assert Attack.from_spec("mad:radius=0.2,steps=5") == Attack("mad", 0.2, 5)
    assert Attack.from_spec("critic") == Attack("critic")
    with pytest.raises(ConfigError, match=said):
        Attack.from_spec(text)


def test_a_batch_is_read_as_the_agent_reads_it() -> None:
    agent, _ = random_world("ppo-cnn")
    raw = tiny.observations(tiny.MODELS["ppo-cnn"][2])
    seen: Batch = Attacker(agent, Attack()).moment(raw).seen
    assert seen.observations.shape[1:] == (3, 36, 36), "channels first, as its network has them"
