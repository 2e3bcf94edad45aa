"""An SB3 agent out of networks from elsewhere, that acts as they did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from acclimate.errors import SourceError, SpaceMismatchError
from acclimate.formats.foreign.layers import Array, Conv, Dense, Stack, convolutions, hidden, inputs, named
from acclimate.formats.foreign.network import Foreign
from acclimate.sb3 import vocabulary
from acclimate.sb3.blueprint import Blueprint
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.parts import Origin, Parts, parts_of

NATURE = (((8, 8), (4, 4), 32), ((4, 4), (2, 2), 64), ((3, 3), (1, 1), 64))
"""Kernel, stride and filters of the convolutions that SB3 has (Mnih et al. 2015); 512 units stand above them."""
_IMAGE = "features_extractor."
UNCLIPPED = 1e9
"""Deviations at which observations are clipped that were not: SB3 always clips, and files hold no infinity."""


def parts(found: Foreign, observed: gym.Space, acting: gym.Space, origin: Origin) -> Parts:
    """Return the parts of an agent.

    Args:
        found: what the file holds.
        observed: what its environment shows.
        acting: what it takes.
        origin: where the file is.

    Raises:
        SourceError: No SB3 policy has such layers.
        SpaceMismatchError: The networks are of other spaces.
    """
    where = origin.path or found.kind
    _check(found, observed, acting, where)
    blueprint = Blueprint(
        algorithm=found.algorithm,
        policy="CnnPolicy" if convolutions(found.shared or found.actor) else "MlpPolicy",
        policy_kwargs=_arguments(found, where),
        observation_space=observed,
        action_space=acting,
        hyperparameters=_buffer(found),
    )
    model = blueprint.build()
    state, weights = model.policy.state_dict(), WEIGHTS[found.algorithm](found)
    for name, value in weights.items():
        if name not in state or tuple(state[name].shape) != value.shape:
            raise SourceError(f"{where}: {found.kind} has `{name}` as {value.shape}, which no SB3 policy has here")
        state[name] = torch.as_tensor(value)
    model.policy.load_state_dict(state)
    fresh = sorted({name.split(".")[0] for name in state if name not in weights})
    notes = [*found.notes, *(() if not fresh else [("weights", f"{', '.join(fresh)}: not in the file, newly drawn")])]
    bare = not found.critics and found.algorithm != "dqn"
    known = replace(origin, unread=(*origin.unread, *notes), fresh=bare)
    return parts_of(model, blueprint, origin=known)


def _buffer(found: Foreign) -> dict[str, Any]:
    """Return how much of the past training is to hold: as SB3 does, of images what a machine has room for."""
    if found.algorithm == "ppo":
        return {}
    return {"buffer_size": 100_000 if convolutions(found.actor) else 1_000_000}


def normalizer(found: Foreign) -> Normalizer | None:
    """Return how its observations are scaled, as SB3 does it."""
    scaling = found.scaling
    if scaling is None:
        return None
    epsilon = 1e-8
    variance = np.maximum((scaling.deviation.astype(np.float64) + scaling.epsilon) ** 2 - epsilon, 0.0)
    return Normalizer(
        obs_mean=scaling.mean.astype(np.float64),
        obs_var=variance,
        obs_count=scaling.count,
        ret_mean=0.0,
        ret_var=1.0,
        ret_count=1e-4,
        clip_obs=UNCLIPPED,
        epsilon=epsilon,
        norm_reward=False,
    )


def _check(found: Foreign, observed: gym.Space, acting: gym.Space, where: str) -> None:
    """Check that the spaces are those of the networks."""
    if not isinstance(observed, spaces.Box):
        raise SpaceMismatchError(f"{where}: {found.kind} reads a Box of numbers, not {observed}; name its environment")
    first = found.shared or found.actor
    wide = inputs(first)
    if isinstance(first[0], Conv):
        if wide not in (observed.shape[0], observed.shape[-1]):
            raise SpaceMismatchError(f"{where}: {found.kind} reads images of {wide} channels, not {observed.shape}")
    elif wide != int(np.prod(observed.shape)):
        raise SpaceMismatchError(
            f"{where}: {found.kind} reads {wide} numbers, and the environment shows {observed.shape}"
        )
    puts_out = found.actor[-1].units
    gives = int(np.prod(acting.shape)) if isinstance(acting, spaces.Box) else getattr(acting, "n", None)
    if gives != puts_out:
        raise SpaceMismatchError(
            f"{where}: {found.kind} puts out {puts_out} numbers, and the environment takes {acting}"
        )
    wanted = spaces.Discrete if found.odds else spaces.Box if found.algorithm in ("td3", "ddpg", "sac") else gym.Space
    if not isinstance(acting, wanted):
        raise SpaceMismatchError(
            f"{where}: {found.kind} puts out {'odds of actions' if found.odds else 'actions as numbers'}, and the "
            f"environment takes {acting}"
        )
    if isinstance(acting, spaces.Box) and found.bounds is not None:
        low, high = (np.broadcast_to(bound.ravel(), (puts_out,)) for bound in found.bounds)
        if not (np.allclose(low, acting.low.ravel()) and np.allclose(high, acting.high.ravel())):
            raise SpaceMismatchError(
                f"{where}: its actions go from {low.tolist()} to {high.tolist()}, those of the environment from "
                f"{acting.low.ravel().tolist()} to {acting.high.ravel().tolist()}; wrap it by RescaleAction"
            )


def _arguments(found: Foreign, where: str) -> dict[str, Any]:
    """Return the arguments of SB3's policy."""
    value = found.critics[0] if found.critics else found.actor
    _check_images(found, where)
    actor, critic = ([layer.units for layer in hidden(_above(found, each))] for each in (found.actor, value))
    several = found.algorithm in ("ppo", "a2c", "trpo")
    shape: Any = {"pi": actor, "vf": critic} if several else {"pi": actor, "qf": critic}
    arguments: dict[str, Any] = {"net_arch": actor if found.algorithm == "dqn" else shape}
    last = "tanh" if found.algorithm in ("td3", "ddpg") else ""
    if found.actor[-1].activation != last:
        raise SourceError(
            f"{where}: its actor ends with {found.actor[-1].activation or 'no activation'}, and that of "
            f"{found.algorithm} with {last or 'none'}; name another algorithm"
        )
    used = {a for each in (found.actor, *found.critics) for a in _hidden_activations(_above(found, each))}
    if len(used) > 1 or not used <= set(vocabulary.CLASSES["activation_fn"]):
        raise SourceError(
            f"{where}: its hidden layers have the activations {', '.join(sorted(used))}, and an SB3 policy one for all "
            "that it knows; build it as a policy class of your own"
        )
    if used:
        arguments["activation_fn"] = used.pop()
    if found.algorithm in ("td3", "ddpg", "sac") and found.critics:
        arguments["n_critics"] = len(found.critics)
    return arguments


def _above(found: Foreign, stack: Stack) -> Stack:
    """Return the layers that stand above SB3's extractor of images, if there is one."""
    if not convolutions(stack):
        return stack
    return stack[4:]  # three convolutions and their dense layer


def _hidden_activations(stack: Stack) -> list[str]:
    return [layer.activation or "identity" for layer in stack[:-1]]


def _check_images(found: Foreign, where: str) -> None:
    """Check that convolutions are those of SB3's own extractor."""
    stack = found.shared or (found.actor if convolutions(found.actor) else ())
    if not stack:
        return
    layers = [(each.weight.shape[2:], each.stride, each.units) for each in convolutions(stack)]
    dense = stack[3] if len(stack) > 3 else None
    wanted = isinstance(dense, Dense) and {each.activation for each in stack[:4]} == {"relu"}
    if tuple(layers) != NATURE or not wanted:
        raise SourceError(
            f"{where}: its convolutions are {layers}, and SB3's own extractor has {list(NATURE)} with ReLU and one "
            "dense layer above; build it as a features extractor of your own"
        )


def _image(prefix: str, stack: Stack) -> dict[str, Array]:
    """Return the weights of SB3's extractor of images."""
    return {**named(f"{prefix}cnn.", stack[:3]), **named(f"{prefix}linear.", stack[3:4])}


def _actor_critic(found: Foreign) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    for branch, head, stacks in (("policy", "action_net", (found.actor,)), ("value", "value_net", found.critics[:1])):
        for stack in stacks:
            weights |= named(f"mlp_extractor.{branch}_net.", stack[:-1])
            weights |= {f"{head}.weight": stack[-1].weight, f"{head}.bias": stack[-1].bias}
    for role in ("", "pi_", "vf_") if found.shared else ():
        weights |= _image(f"{role}{_IMAGE}", found.shared)
    if found.log_std is not None:
        weights["log_std"] = found.log_std
    return weights


def _action_values(found: Foreign) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    for net in ("q_net", "q_net_target"):
        image = bool(convolutions(found.actor))
        weights |= _image(f"{net}.{_IMAGE}", found.actor) if image else {}
        weights |= named(f"{net}.q_net.", found.actor[4:] if image else found.actor)
    return weights


def _deterministic(found: Foreign) -> dict[str, Array]:
    weights: dict[str, Array] = {}
    for twin in ("", "_target"):
        weights |= named(f"actor{twin}.mu.", found.actor)
        for place, stack in enumerate(found.critics):
            weights |= named(f"critic{twin}.qf{place}.", stack)
    return weights


def _squashed(found: Foreign) -> dict[str, Array]:
    weights = named("actor.latent_pi.", found.actor[:-1])
    weights |= {"actor.mu.weight": found.actor[-1].weight, "actor.mu.bias": found.actor[-1].bias}
    if found.log_std is not None:  # one number for all states
        weights["actor.log_std.weight"] = np.zeros_like(found.actor[-1].weight)
        weights["actor.log_std.bias"] = found.log_std
    for twin in ("critic", "critic_target"):
        for place, stack in enumerate(found.critics):
            weights |= named(f"{twin}.qf{place}.", stack)
    return weights


WEIGHTS: Mapping[str, Any] = {
    "ppo": _actor_critic,
    "dqn": _action_values,
    "td3": _deterministic,
    "ddpg": _deterministic,
    "sac": _squashed,
}
