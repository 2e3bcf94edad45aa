"""Two copies of one agent, trained by Stable-Baselines3 and by the engine on the same rollouts and minibatches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import stable_baselines3.common.policies
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.engine.modules import on_policy as modules
from acclimate.engine.modules.on_policy import ModularUpdate
from acclimate.engine.on_policy import update as on_policy
from acclimate.engine.on_policy.update import OnPolicyUpdate
from acclimate.methods.full import Full
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests.tiny import World

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)
SEEN = spaces.Box(-1.0, 1.0, (5,), np.float32)
IMAGES = spaces.Box(0, 255, (2, 36, 36), np.uint8)
ACTIONS: dict[str, spaces.Space] = {
    "box": BOX,
    "discrete": spaces.Discrete(3),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(3),
}
PPO_ARGUMENTS = {"batch_size": 16, "n_epochs": 5, "ent_coef": 0.01}
A2C_ARGUMENTS = {"ent_coef": 0.01}


@dataclass
class Outcome:
    """What two trainings came to."""

    distance: float
    """The largest difference of a weight, over the largest way that a weight has gone."""
    logged: tuple[dict[str, Any], dict[str, Any]]
    updates: int
    """Optimizer steps of each."""
    share: float
    """The length of all differences together, over that of the way."""


def agent(algorithm: type, actions: str, dtype: torch.dtype, **arguments: Any) -> Any:
    # SB3 writes into it.
    arguments["policy_kwargs"] = copy.deepcopy(arguments.get("policy_kwargs", {"net_arch": [16, 12]}))
    policy = arguments.pop("policy", "MlpPolicy")
    seen = SEEN if policy == "MlpPolicy" else IMAGES
    env = DummyVecEnv([lambda: World(copy.deepcopy(seen), copy.deepcopy(ACTIONS[actions]))])
    model = algorithm(policy, env, seed=0, device="cpu", n_steps=64, **arguments)
    model.set_logger(configure(None, []))
    model._total_timesteps = 10_000
    policy = model.policy.to(dtype)
    policy.optimizer = type(policy.optimizer)(policy.parameters(), lr=model.lr_schedule(1), **policy.optimizer_kwargs)
    return model


def fill(model: Any, seed: int) -> None:
    """Fill the rollout buffer by the policy, with random observations and rewards."""
    rng, buffer = np.random.default_rng(seed), model.rollout_buffer
    torch.manual_seed(seed)
    buffer.reset()
    model.policy.set_training_mode(False)
    for _ in range(buffer.buffer_size):
        observations = _observations(rng, model.observation_space)
        with torch.no_grad():
            actions, values, log_probs = model.policy(torch.as_tensor(observations))
        start = np.array([rng.uniform() < 0.1])
        buffer.add(observations, actions.numpy(), rng.normal(size=1), start, values, log_probs)
    buffer.compute_returns_and_advantage(values, np.array([False]))


def _observations(rng: np.random.Generator, space: Any) -> Any:
    if space.dtype == np.uint8:
        return rng.integers(0, 256, (1, *space.shape), np.uint8)
    return rng.uniform(-1, 1, (1, *space.shape)).astype(np.float32)


def cast(buffer: Any, dtype: type) -> None:
    """Let a buffer hold and hand out numbers of another type, images left alone; SB3's own is float32."""

    def of_type(array: np.ndarray) -> np.ndarray:
        return array if array.dtype == np.uint8 else array.astype(dtype)

    for name in ("observations", "actions", "values", "log_probs", "advantages", "returns"):
        setattr(buffer, name, of_type(getattr(buffer, name)))
    buffer.to_torch = lambda array, copy=True: torch.as_tensor(of_type(array))


@contextmanager
def reading(dtype: torch.dtype) -> Iterator[None]:
    """Let SB3's policies read observations in this type, where they always take float32."""
    usual = stable_baselines3.common.policies.preprocess_obs

    def preprocess(obs: Any, space: Any, normalize_images: bool = True) -> Any:
        return obs.to(dtype) / 255.0 if obs.dtype == torch.uint8 and normalize_images else obs.to(dtype)

    stable_baselines3.common.policies.preprocess_obs = preprocess
    try:
        yield
    finally:
        stable_baselines3.common.policies.preprocess_obs = usual


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()]).clone()


def both(
    algorithm: type,
    actions: str = "box",
    method: Method | None = None,
    *,
    rollouts: int = 15,
    dtype: torch.dtype = torch.float64,
    disturb: Callable[[Any], None] | None = None,
    modular: bool = False,
    by: Callable[[Any, Seam], Callable[[], None]] | None = None,
    **arguments: Any,
) -> Outcome:
    """Train both on the same data.

    Args:
        algorithm: PPO or A2C.
        actions: a name in `ACTIONS`.
        method: of both.
        rollouts: how many, each with an update.
        dtype: of weights and data.
        disturb: disturbs weights of SB3 itself, which then takes the place of the engine.
        modular: whether the engine runs the policy's own modules.
        by: returns what trains a model in the place of the engines of the CPU.
        arguments: of the algorithm, and `policy`.
    """
    arguments = {**(PPO_ARGUMENTS if algorithm is PPO else A2C_ARGUMENTS), **arguments}
    with reading(dtype):
        theirs, ours = (agent(algorithm, actions, dtype, **arguments) for _ in range(2))
        seams = [Seam(model, method or Full(), total_steps=rollouts * 64) for model in (theirs, ours)]
        if by is not None:
            train: Callable[[], None] = by(ours, seams[1])
        elif disturb is None:
            assert (modules if modular else on_policy).cannot(ours, algorithm, seams[1].tuner) is None
            train = (
                ModularUpdate(ours, seams[1].tuner, seams[1].decisions).train
                if modular
                else OnPolicyUpdate(ours, seams[1].tuner).train
            )
        else:
            disturb(ours)
            train = lambda: _by_sb3(seams[1], algorithm)  # noqa: E731
        start = weights(theirs)
        for rollout in range(rollouts):
            fill(theirs, rollout)
            ours.rollout_buffer = copy.deepcopy(theirs.rollout_buffer)
            for model, seam, run in ((theirs, seams[0], lambda: _by_sb3(seams[0], algorithm)), (ours, seams[1], train)):
                cast(model.rollout_buffer, np.float64 if dtype is torch.float64 else np.float32)
                model.num_timesteps = (rollout + 1) * 64
                with seam, seam.rollout():
                    pass
                np.random.seed(rollout)
                torch.manual_seed(rollout)
                with seam, seam.counted():
                    run()
                theirs_buffer = model.rollout_buffer
                del theirs_buffer.to_torch
    apart, moved = weights(theirs) - weights(ours), weights(theirs) - start
    assert seams[0].signals.updates == seams[1].signals.updates
    logged = dict(theirs.logger.name_to_value), dict(ours.logger.name_to_value)
    far, share = float(apart.abs().max() / moved.abs().max()), float(apart.norm() / moved.norm())
    return Outcome(far, logged, seams[0].signals.updates, share)


def _by_sb3(seam: Seam, algorithm: type) -> None:
    with seam.update():
        algorithm.train(seam.model)  # type: ignore[attr-defined]


__all__ = ["A2C", "ACTIONS", "PPO", "both"]
