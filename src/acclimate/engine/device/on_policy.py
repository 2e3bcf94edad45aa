"""The updates of PPO (arXiv:1707.06347) and A2C (arXiv:1602.01783) on a device, in the form that SB3 computes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.engine.device.captured import Host, Recorder
from acclimate.engine.device.inputs import Rollout
from acclimate.engine.device.numbers import Number
from acclimate.engine.device.update import DeviceUpdate, read
from acclimate.engine.on_policy.rows import minibatches
from acclimate.engine.on_policy.update import log
from acclimate.nets.experience import Batch
from acclimate.tuning.tuner import Tuner


class OnPolicy(DeviceUpdate):
    """What they have in common: minibatches gathered on the device from a rollout that was moved there once."""

    figure_names: tuple[str, ...]
    hyperparameters = ("ent_coef", "vf_coef", "max_grad_norm", "normalize_advantage")

    def __init__(self, model: Any, tuner: Tuner, recorder: Recorder | None = None) -> None:
        """Prepare; see `DeviceUpdate`."""
        super().__init__(model, tuner, [model.policy.optimizer], recorder)
        self._rollout = Rollout()
        self._index: dict[int, Tensor] = {}

    def train(self) -> None:
        """Update on the rollout buffer and log, as the algorithm's own `train` does."""
        model = self.model
        model.policy.set_training_mode(True)
        model._update_learning_rate(model.policy.optimizer)
        self.load()
        logged = self.updates()
        self.end()
        log(model, logged)

    def load(self) -> set[int]:
        """Take the rollout to the device and begin updates; return how many rows minibatches have."""
        self._rollout.load(self.model.rollout_buffer)
        self.write()
        sizes = {place.stop - place.start for place in minibatches(self._rows, self.size)}
        for size in sizes - set(self._index):
            self._index[size] = torch.zeros(size, dtype=torch.int64, device=self.device)
        self.begin((self._rollout.key, tuple(index.data_ptr() for index in self._index.values())))
        return sizes

    @property
    def _rows(self) -> int:
        return len(self._rollout.tensors["values"])

    @property
    def size(self) -> int | None:
        """Rows of a minibatch; None for all."""
        return None

    def write(self) -> None:
        """Write the numbers that change from update to update."""

    @abstractmethod
    def updates(self) -> dict[str, Any]:
        """Make all updates, and return what is logged."""

    def epoch(self) -> tuple[list[Tensor], bool]:
        """Update on each minibatch; return the figures of each, and whether training goes on."""
        order = torch.from_numpy(np.random.permutation(self._rows)).to(self.device)
        seen = []
        for place in minibatches(self._rows, self.size):
            size = place.stop - place.start
            self._index[size].copy_(order[place])
            figures, going = self.runner(size)
            seen.append(figures)
            if not going:
                return seen, False
        return seen, True

    def gather(self, size: int) -> tuple[dict[str, Any], Tensor, Tensor, Tensor]:
        """Return a minibatch, and what the policy says of it: values, log-likelihoods and entropy, (rows,) each."""
        rows, policy = self._rollout.rows(self._index[size]), self.model.policy
        self.batch = Batch(rows["observations"], rows["actions"])
        actions = rows["actions"]
        if isinstance(self.model.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, likelihood, entropy = policy.evaluate_actions(rows["observations"], actions)
        # Where there is no closed form it is estimated from the actions at hand.
        return rows, values.flatten(), likelihood, -likelihood if entropy is None else entropy

    def step(self, loss: Tensor) -> None:
        """Step along the gradient of a loss."""
        clip = list(self.model.policy.parameters()), self.model.max_grad_norm
        self.learners[0].learn(loss, self.batch, clip)


def standardised(advantages: Tensor) -> Tensor:
    """Return advantages of mean 0 and standard deviation 1."""
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8)


class DevicePPO(OnPolicy):
    """Updates a PPO model."""

    figure_names = ("entropy_loss", "policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "loss")
    hyperparameters = (*OnPolicy.hyperparameters, "target_kl", "clip_range_vf")

    def __init__(self, model: Any, tuner: Tuner, recorder: Recorder | None = None) -> None:
        """Prepare; see `DeviceUpdate`."""
        super().__init__(model, tuner, recorder)
        self._clip, self._value_clip = Number(self.device), Number(self.device)

    @property
    def size(self) -> int:
        """Rows of a minibatch."""
        return self.model.batch_size

    def write(self) -> None:
        """Write the clip ranges as they are now."""
        model = self.model
        self._range = model.clip_range(model._current_progress_remaining)
        self._clip.write(self._range)
        self._value_range = None
        if model.clip_range_vf is not None:
            self._value_range = model.clip_range_vf(model._current_progress_remaining)
            self._value_clip.write(self._value_range)

    def updates(self) -> dict[str, Any]:
        """Make all updates, and return what SB3 logs."""
        model, seen, last = self.model, [], []
        for _ in range(model.n_epochs):
            last, going = self.epoch()
            seen += last
            model._n_updates += 1
            if not going:
                break
        figures = dict(zip(self.figure_names, read(seen).T, strict=True))
        logged: dict[str, Any] = {name: values.mean() for name, values in figures.items()}
        logged["approx_kl"] = figures["approx_kl"][-len(last) :].mean()
        logged["loss"] = figures["loss"][-1]
        logged["clip_range"] = self._range
        if self._value_range is not None:
            logged["clip_range_vf"] = self._value_range
        return logged

    def body(self, kind: Any) -> Iterator[Host]:
        """Update on one minibatch of so many rows; see `DeviceUpdate`."""
        model = self.model
        rows, values, likelihood, entropy = self.gather(kind)
        advantages = rows["advantages"]
        if model.normalize_advantage and len(advantages) > 1:
            advantages = standardised(advantages)
        clip, log_ratio = self._clip.tensor.to(values.dtype), likelihood - rows["log_probs"]
        ratio = torch.exp(log_ratio)
        clipped = advantages * torch.clamp(ratio, 1 - clip, 1 + clip)
        policy_loss = -torch.min(advantages * ratio, clipped).mean()
        value_loss = F.mse_loss(rows["returns"], self._told(values, rows["values"]))
        entropy_loss = -torch.mean(entropy)
        loss = policy_loss + model.ent_coef * entropy_loss + model.vf_coef * value_loss
        with torch.no_grad():
            kl = torch.mean((torch.exp(log_ratio) - 1) - log_ratio)
            outside = torch.mean((torch.abs(ratio - 1) > clip).float())
            self.figures = torch.stack([entropy_loss, policy_loss, value_loss, kl, outside.to(kl.dtype), loss])
        if model.target_kl is not None:
            yield lambda: kl.item() <= 1.5 * model.target_kl
        self.step(loss)

    def _told(self, values: Tensor, before: Tensor) -> Tensor:
        """Return what the critic says, held near to what it said in the rollout if SB3 is asked to do so."""
        if self.model.clip_range_vf is None:
            return values
        most = self._value_clip.tensor.to(values.dtype)
        return before + torch.clamp(values - before, -most, most)


class DeviceA2C(OnPolicy):
    """Updates an A2C model."""

    figure_names = ("entropy_loss", "policy_loss", "value_loss")

    def updates(self) -> dict[str, Any]:
        """Update once, and return what SB3 logs."""
        seen, _ = self.epoch()
        self.model._n_updates += 1
        return dict(zip(self.figure_names, read(seen)[0], strict=True))

    def body(self, kind: Any) -> Iterator[Host]:
        """Update on all rows; see `DeviceUpdate`."""
        model = self.model
        rows, values, likelihood, entropy = self.gather(kind)
        advantages = standardised(rows["advantages"]) if model.normalize_advantage else rows["advantages"]
        policy_loss = -(advantages * likelihood).mean()
        value_loss = F.mse_loss(rows["returns"], values)
        entropy_loss = -torch.mean(entropy)
        self.figures = torch.stack([entropy_loss, policy_loss, value_loss]).detach()
        self.step(policy_loss + model.ent_coef * entropy_loss + model.vf_coef * value_loss)
        yield from ()


def update_of(model: Any, tuner: Tuner, recorder: Recorder | None = None) -> OnPolicy:
    """Return what updates a model."""
    return (DevicePPO if isinstance(model, PPO) else DeviceA2C)(model, tuner, recorder)
