"""The lines of code of a baseline, made of the same settings that its cells ran with."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.noise import ActionNoise

from acclimate.agents.agent import Agent
from acclimate.evaluation.seeds import training_seed
from acclimate.planning.saved import Falling
from acclimate.sb3.noise import NORMAL, Noise
from acclimate.studies.baselines import OPENED, Ways, budget


def lines(agent: Agent, ways: Ways, steps: int, *, zip_name: str = "agent.zip") -> str:
    """Return what a user writes for a row; `task` is the changed world, `seed` the row's.

    Args:
        agent: the pretrained one.
        ways: of the row.
        steps: target steps.
        zip_name: of the agent's file; its normaliser lies beside it as `vecnormalize.pkl`.
    """
    kind, saved, code = agent.blueprint.algorithm_class, agent.normalizer, []
    code.append(f"env = task.vector({ways.n_envs}, seed=seed{', stagger=True' if ways.staggered else ''})")
    if saved is not None and ways.carried:
        code += ['env = VecNormalize.load("vecnormalize.pkl", env)', "env.training = True"]
    elif saved is not None:
        keys = "" if saved.norm_obs_keys is None else f", norm_obs_keys={list(saved.norm_obs_keys)}"
        code.append(
            f"env = VecNormalize(env, norm_obs={saved.norm_obs}, norm_reward={saved.norm_reward}, "
            f"clip_obs={saved.clip_obs}, clip_reward={saved.clip_reward}, gamma={saved.gamma}{keys})"
        )
    settings = "".join(f", {name}={_text(value)}" for name, value in ways.settings.items())
    if ways.weights:
        code.append(f'model = {kind.__name__}.load("{zip_name}", env=env, seed=seed, device="cpu"{settings})')
    else:
        noise = agent.blueprint.noise
        explores = {} if noise is None else {"action_noise": noise.make(agent.action_space.shape or ())}
        own = {**agent.blueprint.hyperparameters, **explores, **ways.settings}
        settings = "".join(f", {name}={_text(value)}" for name, value in own.items())
        policy = agent.blueprint.policy if isinstance(agent.blueprint.policy, str) else agent.blueprint.policy.__name__
        code.append(f"own = {_policy(agent)}")
        code.append(f'model = {kind.__name__}("{policy}", env, seed=seed, device="cpu", policy_kwargs=own{settings})')
    code.append(f"env.seed({training_seed(0)} + 1000 * seed)")
    if ways.opened and hasattr(agent.model.policy, "log_std"):
        code.append(f"model.policy.log_std.data.clamp_(min={OPENED})")
    code.append(f"model.learn({budget(agent, ways, steps):_})")
    return "\n".join(code)


def _policy(agent: Agent) -> str:
    """Return the policy's arguments as they are written; a class by its name, to be imported."""
    parts = (f'"{name}": {_named(value)}' for name, value in agent.blueprint.arguments().items())
    return f"{{{', '.join(parts)}}}"


def _named(value: Any) -> str:
    if isinstance(value, type):
        torch_has = next((face for face in ("torch.nn", "torch.optim") if value.__module__.startswith(face)), None)
        return f"{torch_has or value.__module__}.{value.__name__}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_named(part)}' for key, part in value.items())}}}"
    return repr(value)


def _noise(noise: Noise) -> str:
    given = f"np.array({list(noise.mean)}), np.array({list(noise.std)})"
    if noise.kind == NORMAL:
        return f"NormalActionNoise({given})"
    return f"OrnsteinUhlenbeckActionNoise({given}, theta={noise.theta}, dt={noise.dt})"


def _text(value: Any) -> str:
    if isinstance(value, Falling):
        return f"lambda left: {value.start} * max(left, 0.0)"
    if isinstance(value, ActionNoise):
        noise = Noise.around(value, np.size(value()))
        return "None" if noise is None else _noise(noise)
    if isinstance(value, list):
        return repr(tuple(value))
    return repr(value)
