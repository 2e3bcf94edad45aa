"""Whole runs of the off-policy engine: what is stored and acted, what it refuses, and what SB3 can go on with."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.engine.arrays import products
from acclimate.engine.choice import attach
from acclimate.engine.learning.recall import PATIENCE
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2sp import L2SP
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, Signals, chain
from tests import cases, tiny
from tests.unit.engine.alike import SEEN
from tests.unit.engine.alike_off_policy import ALGORITHMS, CHOICE, REACH


def made(algorithm: type, *, normalize: bool = False, n_envs: int = 1, **arguments: Any) -> Any:
    """Return an agent whose world goes its own way, so that rounding in its actions changes nothing else."""
    space = CHOICE if algorithm is DQN else REACH
    seen = [copy.deepcopy(SEEN) for _ in range(n_envs)]
    for place, one in enumerate(seen):
        one.seed(place)
    env: Any = DummyVecEnv([lambda one=one: tiny.World(one, copy.deepcopy(space)) for one in seen])
    if normalize:
        env = VecNormalize(env, gamma=0.9)
    usual = {"buffer_size": 200, "batch_size": 8, "learning_starts": 10, "policy_kwargs": {"net_arch": [16, 12]}}
    return algorithm("MlpPolicy", env, seed=3, device="cpu", **{**usual, **arguments})


class Seen(BaseCallback):
    """Remembers what callbacks see."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, Any]] = []
        self.names: set[str] = set()

    def _on_step(self) -> bool:
        self.names |= self.locals.keys()
        self.steps.append({k: copy.deepcopy(self.locals[k]) for k in ("actions", "buffer_actions", "rewards", "dones")})
        return True


def learnt(model: Any, engine: str, steps: int = 60, method: Method | None = None) -> tuple[Seam, Seen]:
    """Train a model by an engine, and return what a callback saw."""
    seam, seen = Seam(model, method or Full(), total_steps=steps), Seen()
    assert attach(seam, type(model), engine)[0] == ("sb3" if engine == "sb3" else "acclimate")  # type: ignore[arg-type]
    np.random.seed(1)
    torch.manual_seed(1)
    model.action_space.seed(1)
    with seam:
        model.learn(steps, callback=seen, reset_num_timesteps=False)
    return seam, seen


def noise() -> NormalActionNoise:
    return NormalActionNoise(np.zeros(3), 0.3 * np.ones(3))


RUNS: dict[str, tuple[type, Callable[[], dict[str, Any]]]] = {
    "sac": (SAC, dict),
    "sac-normalised": (SAC, lambda: {"normalize": True}),
    "sac-several-environments": (SAC, lambda: {"n_envs": 3, "train_freq": 2, "gradient_steps": -1}),
    "sac-episodes": (SAC, lambda: {"train_freq": (2, "episode"), "gradient_steps": -1, "action_noise": noise()}),
    "td3": (TD3, lambda: {"action_noise": noise(), "train_freq": (1, "episode"), "gradient_steps": -1}),
    "td3-several-environments": (TD3, lambda: {"action_noise": noise(), "n_envs": 2, "gradient_steps": 3}),
    "ddpg": (DDPG, lambda: {"action_noise": noise()}),
    "dqn": (DQN, lambda: {"exploration_fraction": 0.5, "target_update_interval": 7, "train_freq": 1}),
    "dqn-normalised": (DQN, lambda: {"normalize": True, "n_envs": 2, "gradient_steps": 2, "tau": 0.5}),
}


@pytest.mark.parametrize("run", RUNS)
def test_a_run_is_that_of_sb3(run: str) -> None:
    """The same random actions, noise, epsilon, stored steps, updates, logs and counters, over whole runs."""
    algorithm, arguments = RUNS[run]
    theirs, ours = made(algorithm, **arguments()), made(algorithm, **arguments())
    (_, theirs_seen), (_, ours_seen) = learnt(theirs, "sb3"), learnt(ours, "auto")
    # What the end of an episode leaves behind in SB3's loop is no part of what it shows.
    assert theirs_seen.names - {"idx", "done", "kwargs"} <= ours_seen.names
    assert len(theirs_seen.steps) == len(ours_seen.steps)
    for one, other in zip(theirs_seen.steps, ours_seen.steps, strict=True):
        for name in one:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name)
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        kept = [getattr(model.replay_buffer, name) for model in (theirs, ours)]
        np.testing.assert_allclose(kept[1], kept[0], rtol=1e-4, atol=1e-4, err_msg=name)
    for counter in ("num_timesteps", "_n_updates", "_episode_num", "_n_calls"):
        assert getattr(theirs, counter, 0) == getattr(ours, counter, 0)
    for one, other in zip(theirs.policy.parameters(), ours.policy.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


class Stop(BaseCallback):
    def _on_step(self) -> bool:
        return self.num_timesteps < 25


@pytest.mark.parametrize("engine", ["sb3", "auto"])
def test_a_callback_can_stop_it(engine: str) -> None:
    model = made(SAC)
    seam = Seam(model, Full())
    attach(seam, SAC, engine)  # type: ignore[arg-type]
    with seam:
        model.learn(60, callback=Stop())
    assert model.num_timesteps == 25


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_stock_sb3_goes_on_with_what_it_saved(algorithm: str) -> None:
    """In the middle of a run, moments and counts of steps are those that SB3 itself would have."""
    models = [made(ALGORITHMS[algorithm]) for _ in range(2)]
    for model, engine in zip(models, ("sb3", "auto"), strict=True):
        learnt(model, engine, 40)
    loaded = [_reloaded(model) for model in models]
    for name in ("policy.optimizer", "actor.optimizer", "critic.optimizer", "ent_coef_optimizer"):
        found = [_follow(model, name) for model in loaded]
        if found[0] is None:
            continue
        states = [optimizer.state_dict()["state"] for optimizer in found]
        assert states[0].keys() == states[1].keys()
        for key, one in states[0].items():
            assert float(states[1][key]["step"]) == float(one["step"])
            torch.testing.assert_close(states[1][key]["exp_avg"], one["exp_avg"], rtol=1e-3, atol=1e-5)
    for model in loaded:
        np.random.seed(0)
        torch.manual_seed(0)
        model.gradient_steps = 5
        model.learn(20, reset_num_timesteps=False)
    for one, other in zip(*(model.policy.parameters() for model in loaded), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def _reloaded(model: BaseAlgorithm) -> Any:
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    loaded = type(model).load(file, env=model.get_env(), device="cpu")
    loaded.replay_buffer = copy.deepcopy(model.replay_buffer)  # type: ignore[attr-defined]
    return loaded


def _follow(model: Any, path: str) -> Any:
    for name in path.split("."):
        model = getattr(model, name, None)
    return model


METHODS: dict[str, Method] = {
    "channel": ChannelScale(train_base=True),
    "several": chain(ChannelScale(train_base=True), KLToPrior(weight=0.5), L2SP()),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_goes_on_from_a_checkpoint(algorithm: str, method: str) -> None:
    """Stopping, saving and loading into a fresh model changes nothing of what follows."""
    method_ = METHODS[method]
    through, first, second = (made(ALGORITHMS[algorithm]) for _ in range(3))
    seam, _ = learnt(through, "auto", 40, method_)
    half, _ = learnt(first, "auto", 40, method_)
    state = half.state_dict()
    again = Seam(second, method_, total_steps=40)
    again.load_state_dict(state)
    attach(again, type(second), "auto")
    second.replay_buffer = copy.deepcopy(first.replay_buffer)
    second._n_updates = first._n_updates
    assert isinstance(through, BaseAlgorithm)
    for model, one in ((through, seam), (second, again)):
        model.set_logger(through.logger)
        np.random.seed(0)
        torch.manual_seed(0)
        with one:
            model.train(gradient_steps=5, batch_size=8)
    for one, other in zip(through.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(one, other)


class Halved(Method):
    """Halves the rewards of a minibatch."""

    name, family = "halved", "test"
    vacuous = True

    def minibatch(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Batch:
        return Batch(batch.observations, batch.actions, batch.rewards / 2, batch.next_observations, batch.dones)


class Acting(Method):
    """Decides what is done."""

    name, family = "acting", "test"
    vacuous = True

    def act(self, net: Net, state: Any, decision: Any, signals: Signals) -> Any:
        return decision, state


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_methods_change_minibatches(algorithm: str) -> None:
    models = [made(ALGORITHMS[algorithm]) for _ in range(2)]
    for model, engine in zip(models, ("sb3", "auto"), strict=True):
        seam, _ = learnt(model, engine, 40, Halved())
        assert float(seam.signals.batch.rewards.max()) == 0.5  # type: ignore[union-attr]
    for one, other in zip(*(model.policy.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


REFUSALS: dict[str, tuple[str, Method, dict[str, Any], str]] = {
    "shared": ("sac-cnn-shared", Full(), {}, "policy"),
    "gsde": ("sac-mlp", Full(), {"use_sde": True}, "gSDE"),
    "tqc": ("tqc-mlp", Full(), {}, "TQC"),
    "crossq": ("crossq-mlp", Full(), {}, "CrossQ"),
    "qrdqn": ("qrdqn-mlp", Full(), {}, "QRDQN"),
    "act": ("dqn-mlp", Acting(), {}, "decides what is done"),
    "n-step": ("dqn-mlp", Full(), {"n_steps": 3}, "NStepReplayBuffer"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_it_cannot_run_stays_with_sb3(what: str) -> None:
    name, method, arguments, why = REFUSALS[what]
    model = cases.agent(name, **arguments)
    seam = Seam(model, method)
    engine, reason = attach(seam, type(model), "auto")
    assert engine == "sb3"
    assert seam.engine is None
    assert any(word in reason for word in why.split("|")), reason


@pytest.mark.parametrize(
    ("name", "method", "why"),
    [("sac-cnn", Full(), "CnnPolicy"), ("td3-mlp", Dropout(p=0.1, on="*"), "put into"), ("dqn-cnn", Full(), "kept")],
)
def test_what_is_no_perceptron_runs_through_its_own_modules(name: str, method: Method, why: str) -> None:
    model = cases.agent(name)
    engine, reason = attach(Seam(model, method), type(model), "auto")
    assert engine == "acclimate"
    assert "own modules" in reason
    assert why in reason


def test_what_is_kept_is_said() -> None:
    model = cases.agent("sac-mlp", steps=0)
    assert "kept" not in attach(Seam(model, Full()), type(model), "auto")[1]
    model = cases.agent("dqn-mlp", steps=0)
    assert "in up to 1 MiB" in attach(Seam(model, Full()), type(model), "auto")[1]


def test_what_the_prior_puts_out_of_stored_steps_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer rows go through it, and the agent learns the same."""
    found, counts = [], []
    for patience in (PATIENCE, 10**9):
        monkeypatch.setattr("acclimate.engine.learning.recall.PATIENCE", patience)
        model: Any = made(SAC)
        seam = Seam(model, KLToPrior(weight=1.0))
        with seam:
            assert "what fixed networks put out" in attach(seam, SAC, "auto")[1]
            engine: Any = seam.engine
            recall, rows = engine._update.replay.recalls[0], []

            def counted(x: Any, run: Any = recall._run, rows: Any = rows) -> Any:
                rows.append(len(x))
                return run(x)

            recall._run = counted
            model.learn(120)
        counts.append(sum(rows))
        found.append(torch.cat([p.detach().flatten() for p in model.policy.parameters()]))
    assert torch.allclose(*found, atol=1e-4)
    assert 0 < counts[0] < counts[1]


def test_dict_observations_stay_with_sb3() -> None:
    model = tiny.model("her")
    seam = Seam(model, Full())
    assert "HerReplayBuffer" in attach(seam, type(model), "auto")[1]


@pytest.mark.parametrize("shape", [(256, 256, 256), (192, 300, 400)])
def test_large_products_are_those_of_numpy(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    rows, into, out = shape
    x, weight, bias, gradient = (
        rng.normal(size=size).astype(np.float32) for size in ((rows, into), (out, into), (out,), (rows, out))
    )
    wide = [array.astype(np.float64) for array in (x, weight, bias, gradient)]
    found, done = products.affine(x, weight, bias, np.empty((rows, out), np.float32), "relu")
    expected = wide[0] @ wide[1].T + wide[2]
    np.testing.assert_allclose(found, np.maximum(expected, 0) if done else expected, atol=2e-4)
    np.testing.assert_allclose(
        products.through(gradient, weight, np.empty((rows, into), np.float32)), wide[3] @ wide[1], atol=2e-4
    )
    across = np.empty((out, into), np.float32)
    products.across(gradient, x, across)
    np.testing.assert_allclose(across, wide[3].T @ wide[0], atol=2e-4)
