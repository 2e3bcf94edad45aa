"""Two copies of one off-policy agent, trained by Stable-Baselines3 and by the engine on the same minibatches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from acclimate.engine.modules import off_policy as modular_off
from acclimate.engine.off_policy import perceptrons
from acclimate.methods.full import Full
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests.cases import context
from tests.tiny import World
from tests.unit.engine.alike import SEEN, Outcome, reading, weights

ALGORITHMS: dict[str, type] = {"sac": SAC, "td3": TD3, "ddpg": DDPG, "dqn": DQN}
REACH = spaces.Box(np.array([-1.0, -0.5, -2.0], np.float32), np.array([1.0, 0.5, 3.0], np.float32))
CHOICE = spaces.Discrete(4)


def agent(algorithm: type, dtype: torch.dtype, *, normalize: bool = False, n_envs: int = 2, **arguments: Any) -> Any:
    """Return an agent with a filled replay buffer, not trained yet."""
    space = CHOICE if algorithm is DQN else REACH
    env: Any = DummyVecEnv([lambda: World(copy.deepcopy(SEEN), copy.deepcopy(space)) for _ in range(n_envs)])
    if normalize:
        env = VecNormalize(env, gamma=0.9)
    arguments = {"buffer_size": 400, "batch_size": 16, "learning_rate": 1e-3, **arguments}
    arguments.setdefault("policy_kwargs", {"net_arch": [16, 12]})
    model = algorithm("MlpPolicy", env, seed=0, device="cpu", **arguments)
    model.set_logger(configure(None, []))
    model._total_timesteps = 10_000
    policy = model.policy.to(dtype)
    for owner in (policy,) if algorithm is DQN else (model.actor, model.critic):
        old = owner.optimizer
        held = [p for group in old.param_groups for p in group["params"]]
        owner.optimizer = type(old)(held, lr=model.lr_schedule(1), **policy.optimizer_kwargs)
    if getattr(model, "log_ent_coef", None) is not None:
        model.log_ent_coef = model.log_ent_coef.detach().to(dtype).requires_grad_()
        model.ent_coef_optimizer = torch.optim.Adam([model.log_ent_coef], lr=model.lr_schedule(1))
    fill(model, env)
    return model


def fill(model: Any, env: Any) -> None:
    """Fill the replay buffer with random steps: ends, cut ends, and rewards of some size."""
    rng, buffer, n = np.random.default_rng(0), model.replay_buffer, env.num_envs
    for _ in range(150):
        seen, after = (rng.uniform(-1, 1, (n, 5)).astype(np.float32) for _ in range(2))
        actions = rng.integers(0, 4, (n, 1)) if isinstance(model, DQN) else rng.uniform(-1, 1, (n, 3))
        ended = rng.uniform(size=n) < 0.2
        infos = [{"TimeLimit.truncated": bool(rng.uniform() < 0.5)} for _ in range(n)]
        buffer.add(seen, after, actions, rng.normal(size=n), ended, infos)
    if isinstance(env, VecNormalize):
        env.obs_rms.update(rng.uniform(-3, 5, (50, 5)))
        env.ret_rms.update(rng.normal(0, 4, 50))


def both(
    algorithm: type,
    method: Method | None = None,
    *,
    calls: int = 30,
    each: int = 10,
    dtype: torch.dtype = torch.float64,
    disturb: Callable[[Any], None] | None = None,
    models: list[Any] | None = None,
    modules: bool = False,
    by: Callable[[Any, Seam], Callable[..., None]] | None = None,
    **arguments: Any,
) -> Outcome:
    """Train both on the same data; with `disturb`, SB3 itself on disturbed weights takes the place of the engine.

    `models` receives the two; with `modules`, the engine runs the policy's own modules; what `by`
    returns trains in the place of either.
    """
    with reading(dtype):
        theirs, ours = (agent(algorithm, dtype, **arguments) for _ in range(2))
        seams = [
            Seam(model, method or Full(), total_steps=calls * each, context=context(model)) for model in (theirs, ours)
        ]
        if by is not None:
            train: Callable[..., None] = by(ours, seams[1])
        elif disturb is None:
            tier = modular_off if modules else perceptrons
            assert tier.cannot(ours, algorithm, seams[1].tuner) is None
            train = tier.update_of(ours, algorithm, seams[1].tuner).train
        else:
            disturb(ours)
            train = lambda *args: by_sb3(seams[1], algorithm, *args)  # noqa: E731
        start = weights(theirs)
        for call in range(calls):
            for model, seam, run in (
                (theirs, seams[0], lambda *args: by_sb3(seams[0], algorithm, *args)),
                (ours, seams[1], train),
            ):
                model.num_timesteps = call * each
                with seam, seam.rollout():
                    pass
                if algorithm is DQN:
                    model._on_step()
                np.random.seed(call)
                torch.manual_seed(call)
                with seam, seam.counted():
                    run(each, model.batch_size)
    apart, moved = weights(theirs) - weights(ours), weights(theirs) - start
    assert seams[0].signals.updates == seams[1].signals.updates
    if getattr(theirs, "log_ent_coef", None) is not None:
        assert torch.allclose(theirs.log_ent_coef, ours.log_ent_coef, atol=1e-3)
    if models is not None:
        models += [theirs, ours]
    logged = dict(theirs.logger.name_to_value), dict(ours.logger.name_to_value)
    far, share = float(apart.abs().max() / moved.abs().max()), float(apart.norm() / moved.norm())
    return Outcome(far, logged, seams[0].signals.updates, share)


def by_sb3(seam: Seam, algorithm: type, gradient_steps: int, batch_size: int) -> None:
    """Update by SB3's own `train`, the methods in place."""
    with seam.update():
        algorithm.train(seam.model, gradient_steps, batch_size)  # type: ignore[attr-defined]
