"""Compares updates with SB3's own before they are used: on this machine, on this agent, with these methods.

A few minibatches of random experience are trained on twice from the same state and with the same random numbers, by SB3
and by the updates at hand, of which all but the first of a kind are captured. Afterwards everything is as it was.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from torch import Tensor

from acclimate.seam.seam import Seam

TIMES = 3
"""How many updates of a kind are made: one as it is, one that is captured, and one that is only replayed."""
STEPS = 64
"""How many steps of experience off-policy minibatches are drawn from."""
FARTHEST = 10.0
"""Random observations stay within this, whatever their space allows: many declare huge bounds in the place of none."""


def distance(seam: Seam, stock: type, train: Callable[..., None]) -> float:
    """Return how far apart two trainings end, as a share of the way that SB3's went; all is put back as it was.

    Weights, targets and the moments of each optimizer are compared each by themselves, and the largest share counts.

    Args:
        seam: of the model, not entered.
        stock: the model's class.
        train: in the place of the model's own `train`, with its arguments.
    """
    begin, ends = _places(seam), []
    for run in (lambda *args: _by_sb3(seam, stock, *args), train):
        with _restored(seam):
            arguments, calls = give_experience(seam.model)
            np.random.seed(0)
            torch.manual_seed(0)
            with seam:
                for _ in range(calls):
                    run(*arguments)
            ends.append(_places(seam))
    shares = [_share(begin.get(name), ends[1].get(name), theirs) for name, theirs in ends[0].items()]
    return max(shares) if ends[0].keys() == ends[1].keys() else math.inf


def _share(begin: Tensor | None, ours: Tensor | None, theirs: Tensor) -> float:
    if ours is None or ours.shape != theirs.shape:
        return math.inf
    way = float((theirs if begin is None or begin.shape != theirs.shape else theirs - begin).norm())
    apart = float((theirs - ours).norm())
    if apart == 0.0:
        return 0.0
    # What is not finite must not pass for near.
    return apart / way if way > 0.0 and math.isfinite(apart) else math.inf


def _places(seam: Seam) -> dict[str, Tensor]:
    """Return what training changes: weights and buffers, what is trained beside them, and moments by optimizer."""
    model: Any = seam.model
    found = {"policy": [*model.policy.parameters(), *model.policy.buffers()]}
    held = {name: groups.optimizer for name, groups in seam.optimizers.items()}
    if getattr(model, "ent_coef_optimizer", None) is not None:
        held["temperature"] = model.ent_coef_optimizer
        found["coefficient"] = [model.log_ent_coef]
    for name, optimizer in held.items():
        # In the order of the groups: what has not stepped is the same as what has no moments yet.
        states = [optimizer.state.get(p, {}) for group in optimizer.param_groups for p in group["params"]]
        stepped = [state for state in states if int(state.get("step", 0))]
        for key in {key for state in stepped for key in state}:
            found[f"{name}, {key}"] = [torch.as_tensor(state[key]) for state in stepped]
    return {name: torch.cat([t.detach().double().flatten().cpu() for t in parts]) for name, parts in found.items()}


def _by_sb3(seam: Seam, stock: Any, *arguments: Any) -> None:
    with seam.update():
        stock.train(seam.model, *arguments)


@contextmanager
def _restored(seam: Seam) -> Iterator[None]:
    """Put weights, moments, states of methods, attributes of the model and chance back afterwards."""
    model: Any = seam.model
    saved, attributes = seam.state_dict(), dict(vars(model))
    signals, penalties = dict(vars(seam.signals)), dict(seam.signals.penalties)
    chance = np.random.get_state()
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        model._logger = Logger(None, [])
        try:
            yield
        finally:
            vars(model).clear()
            vars(model).update(attributes)
            seam.load_state_dict(saved)
            vars(seam.signals).update(signals)
            seam.signals.penalties.clear()
            seam.signals.penalties.update(penalties)
            np.random.set_state(chance)


def give_experience(model: Any) -> tuple[tuple[int, ...], int]:
    """Give a model a buffer of random experience; return what `train` is called with, and how often."""
    rng = np.random.default_rng(0)
    if isinstance(model, OffPolicyAlgorithm):
        model.replay_buffer = _replay(model, rng)
        return (max(2, getattr(model, "policy_delay", 1)), model.batch_size), TIMES
    model.rollout_buffer = _rollout(model, rng)
    if not isinstance(model, PPO):
        return (), TIMES
    model.n_epochs = TIMES
    # It is looked at, and never stops.
    model.target_kl = None if model.target_kl is None else math.inf
    return (), 1


def _drawn(space: Any, rng: np.random.Generator, count: int) -> Any:
    """Return samples of a space, (count, ...), or a dict of them."""
    space = copy.deepcopy(space)
    space.seed(int(rng.integers(2**31)))
    samples = [space.sample() for _ in range(count)]
    if isinstance(samples[0], dict):
        return {key: _near(np.stack([sample[key] for sample in samples])) for key in samples[0]}
    return _near(np.stack(samples))


def _near(samples: Any) -> Any:
    return np.clip(samples, -FARTHEST, FARTHEST) if samples.dtype.kind == "f" else samples


def _replay(model: Any, rng: np.random.Generator) -> Any:
    """Return a replay buffer of random steps."""
    buffer = type(model.replay_buffer)(STEPS, model.observation_space, model.action_space, device=model.device)
    for _ in range(STEPS):
        seen, after = (_drawn(model.observation_space, rng, 1) for _ in range(2))
        action = _drawn(model.action_space, rng, 1)
        if action.dtype.kind == "f":
            action = model.policy.scale_action(action)
        ended = np.array([rng.uniform() < 0.2])
        buffer.add(seen, after, action.reshape(1, -1), rng.normal(size=1), ended, [{}])
    return buffer


def _rollout(model: Any, rng: np.random.Generator) -> Any:
    """Return a rollout by the policy on random observations, of one minibatch or a little more."""
    known, beside = model.rollout_buffer, model.n_envs
    size = min(known.buffer_size, -(-getattr(model, "batch_size", known.buffer_size * beside) // beside))
    buffer = type(known)(size, model.observation_space, model.action_space, model.device, n_envs=beside)
    torch.manual_seed(1)
    for _ in range(size):
        seen = _drawn(model.observation_space, rng, beside)
        with torch.no_grad():
            actions, values, likelihood = model.policy(model.policy.obs_to_tensor(seen)[0])
        starts = rng.uniform(size=beside) < 0.1
        buffer.add(seen, actions.cpu().numpy(), rng.normal(size=beside), starts, values, likelihood)
    buffer.compute_returns_and_advantage(values, np.zeros(beside, bool))
    return buffer
