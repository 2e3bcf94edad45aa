"""A glance at a model in training: all that is measured of it at one time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.diagnosis import networks, observations, policy, values
from acclimate.nets.experience import Batch
from acclimate.nets.modes import still
from acclimate.nets.net import Net
from acclimate.nets.outputs import Outputs, apart, as_policy
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.policies.intake import tensors
from acclimate.seam.seam import Seam

STATES = 256
"""States of each task on which networks are compared."""
WINDOW = 4_000
"""Latest transitions of a replay buffer in which the returns of a critic's own actions are looked up."""
FEW = 32
Reading = dict[str, float | None]


@dataclass(frozen=True)
class Fixed:
    """What a run is compared on throughout, played by the pretrained agent, normalised as in pretraining."""

    target: Batch
    source: Batch | None
    saved: Outputs | None
    """What its policy puts out on the target's states, before the warm start opens any exploration."""
    temperature: float = 1.0
    """By which the warm start divided its logits."""


class Glance:
    """Measures a model in training; it steps no environment and draws nothing at random."""

    def __init__(self, model: BaseAlgorithm, seam: Seam, fixed: Fixed, prior: Normalizer | None) -> None:
        """Hold what is looked at.

        Args:
            model: the model in training.
            seam: its methods and networks.
            fixed: the states it is compared on.
            prior: the statistics of pretraining.
        """
        self.model, self.seam, self.fixed, self.prior = model, seam, fixed, prior
        self.nets = {net.role: net for net in seam.tuner.nets}
        self._decides = next((net for net in seam.tuner.nets if net.decides), None)

    def take(self, *, first: bool) -> Reading:
        """Return what is seen now.

        Args:
            first: whether nothing has been trained yet; then the policy is compared with the file's.
        """
        found = {**self._policy(first), **self._observations(first), **self._networks()}
        return {**found, **(self._values() if getattr(self.model, "replay_buffer", None) is not None else {})}

    # The policy

    @torch.no_grad()
    def _policy(self, first: bool) -> Reading:
        net = self._decides
        if net is None:
            return {}
        near, far = self.fixed.target, self.fixed.source
        seen = self.seam.batch
        now = self._apply(net, net.now(near) if seen is None else seen)
        found: Reading = {
            "policy/kl": self._kl(net, near) if seen is None else self.seam.drift(),
            "policy/kl_source": None if far is None else self._kl(net, far),
            "policy/std": policy.std(now),
            "policy/entropy": policy.entropy_share(now),
            "policy/alpha": _alpha(self.model),
        }
        if first and self.fixed.saved is not None:
            # Both read the very same numbers: what the normaliser has moved since is the drift's to tell.
            same = self._apply(net, near)
            found["policy/step_zero"] = policy.step_zero_gap(same, self.fixed.saved, temperature=self.fixed.temperature)
            found["policy/std_saved"] = policy.std(self.fixed.saved)
            found["policy/entropy_saved"] = policy.entropy_share(self.fixed.saved)
        return found

    def _apply(self, net: Net, batch: Batch) -> Outputs:
        with still(tuple(net.module.modules())):
            return net.apply(net.module, batch)

    def _kl(self, net: Net, stored: Batch) -> float | None:
        """Return the mean KL(prior || policy) on stored states."""
        pair = net.apply(net.reference, stored), self._apply(net, net.now(stored))  # type: ignore[arg-type]
        prior, now = (as_policy(one, temperature=policy.TEMPERATURE, std=policy.STD) for one in pair)
        return apart(prior, now)

    # What it sees and is paid

    def _observations(self, first: bool) -> Reading:
        near, far, found = self.fixed.target, self.fixed.source, {}
        vec = self.model.get_vec_normalize_env()
        if first and far is not None:
            moved = observations.shift(near.observations, far.observations)
            if moved is not None:
                found["observations/shifted_feature"], found["observations/shift"] = float(moved[0]), moved[1]
            found["observations/reward_scale"] = observations.reward_scale(near.rewards, far.rewards)  # type: ignore[arg-type]
        if self.prior is not None and self.prior.norm_obs:
            if first:
                saved = observations.clipped(near.observations, self.prior.clip_obs, self.prior.obs_mean)
                found["observations/clipped_saved"] = saved
            if vec is not None and self.seam.batch is not None:
                seen = self.seam.batch.observations
                found["observations/clipped"] = observations.clipped(seen, vec.clip_obs, self.prior.obs_mean)
            if vec is not None:
                drift = self.prior.drift(Normalizer.from_vec_normalize(vec))
                worst = int(np.abs(drift.mean_shift).argmax())
                found["observations/drifted_feature"] = float(worst)
                found["observations/drift"] = float(np.abs(drift.mean_shift[worst]))
        return found

    # The networks

    def _networks(self) -> Reading:
        near, found = self.fixed.target, {}
        for role, net in self.nets.items():
            found[f"distance/{role}"] = networks.distance(net)
            for name, value in networks.examine(net, net.now(near), near).items():
                found[f"networks/{role}/{name}"] = value
        return found

    # The values

    @torch.no_grad()
    def _values(self) -> Reading:
        found, discount = {}, float(self.model.gamma)  # type: ignore[attr-defined]
        net = self.nets.get("q") or self.nets["critic"]
        seen, far = self.seam.batch, self.fixed.source
        with still(tuple(module for one in self.nets.values() for module in one.module.modules())):
            if seen is not None:
                found["values/td_error"] = values.temporal_difference(self.nets, seen, discount)
            if far is not None:
                stored = self._paid(net.now(far))
                found["values/td_error_source"] = values.temporal_difference(self.nets, stored, discount)
            played = self._played(discount)
            if played is not None:
                batch, returns = played
                each = values.each_critic(net, net.apply(net.module, batch), batch.actions)  # type: ignore[arg-type]
                found["values/mean"], found["values/return"] = float(each.mean()), float(returns.mean())
                found["values/return_size"] = float(returns.abs().mean())
                found["values/bias"] = values.bias(each, returns)
                found["values/spread"] = values.spread(each) if each.shape[1] > 1 else None
        return found

    def _paid(self, stored: Batch) -> Batch:
        """Scale raw rewards as the critic knows them."""
        vec = self.model.get_vec_normalize_env()
        if vec is None or not vec.norm_reward or stored.rewards is None:
            return stored
        scaled = torch.as_tensor(vec.normalize_reward(stored.rewards.cpu().numpy())).to(stored.rewards)
        return Batch(stored.observations, stored.actions, scaled, stored.next_observations, stored.dones)

    def _played(self, discount: float) -> tuple[Batch, torch.Tensor] | None:
        """Return recent steps of the replay buffer and the discounted returns that followed them, where known."""
        buffer, vec = self.model.replay_buffer, self.model.get_vec_normalize_env()  # type: ignore[attr-defined]
        size = buffer.buffer_size if buffer.full else buffer.pos
        order = np.arange(buffer.pos - min(size, max(WINDOW // buffer.n_envs, 1)), buffer.pos) % buffer.buffer_size
        rows = list(_known(buffer, vec, order, discount))
        if len(rows) < FEW:
            return None
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), STATES)).astype(int)]
        at, env, returns = (np.array(part) for part in zip(*rows, strict=True))
        stored = buffer.observations
        raw = {k: v[at, env] for k, v in stored.items()} if isinstance(stored, dict) else stored[at, env]
        seen = tensors(self.model.policy, raw if vec is None else vec.normalize_obs(raw))
        actions = torch.as_tensor(buffer.actions[at, env], device=self.model.device)
        return Batch(seen, actions), torch.as_tensor(returns, dtype=torch.float32, device=self.model.device)


def _known(buffer: Any, vec: Any, order: np.ndarray, discount: float) -> Iterator[tuple[int, int, float]]:
    """Yield row, environment and return of each step whose return is known."""
    timeouts = getattr(buffer, "timeouts", None)
    for env in range(buffer.n_envs):
        rewards = buffer.rewards[order, env].astype(np.float64)
        if vec is not None:
            rewards = vec.normalize_reward(rewards).astype(np.float32)
        ended = buffer.dones[order, env].astype(bool)
        cut = timeouts[order, env].astype(bool) if timeouts is not None else np.zeros_like(ended)
        totals, known = values.returns_to_go(rewards, ended & ~cut, ended, discount)
        for place in np.flatnonzero(known):
            yield int(order[place]), env, float(totals[place])


def _alpha(model: Any) -> float | None:
    """Return SAC's entropy coefficient, None where there is none."""
    learnt, fixed = getattr(model, "log_ent_coef", None), getattr(model, "ent_coef_tensor", None)
    if isinstance(learnt, torch.Tensor):
        return math.exp(float(learnt.detach()))
    return float(fixed) if isinstance(fixed, torch.Tensor) else None
