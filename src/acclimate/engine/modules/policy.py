"""The gradient oracle of PPO and A2C whose policy is run by its own modules, with whatever methods put into them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space, preprocess_obs
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from acclimate.engine.arrays.flat import Flat
from acclimate.engine.modules.convolutions import Convolution
from acclimate.engine.modules.lookup import Chosen
from acclimate.engine.modules.prefix import Prefix
from acclimate.engine.modules.stages import Stage, Stages, touched
from acclimate.engine.modules.wide import Wide
from acclimate.engine.on_policy.actor_critic import distribution_of

Array = NDArray[Any]


class Modules:
    """Runs the policy of PPO and A2C by its modules, and lets autograd go back through them into the flat gradient.

    Observations go through `trunk`, which only reads them where actor and critic have features of their own, and what
    it puts out through `actor` and `critic`.
    """

    def __init__(self, policy: ActorCriticPolicy, flat: Flat) -> None:
        """Take the policy apart; `modular.cannot` has said that it can be."""
        self._flat = flat
        self.dtype = flat.values.dtype
        self.distribution = distribution_of(policy, flat)
        self.trunk, self.actor, self.critic = split(policy)
        self.prefix = Prefix(self.trunk, self.actor, self.critic)
        sides = (self.trunk, self.actor, self.critic)
        self.images = any(isinstance(next(iter(stages), None), Convolution) for stages in sides)
        """Whether observations are images that convolutions read by themselves."""
        self.pixels: Any = None
        """Where the images of a rollout lie, (steps, environments, height, width, channels)."""
        self.learned = any(True for stage in self.trunk for m in stage.modules for _ in m.parameters())
        """Whether the trunk has weights."""

    def look(self, rows: int) -> None:
        """See which layers are trained now: autograd does at each pass."""

    def compute(self) -> None:
        """Bring the weights up to date: the modules do so themselves."""

    def forward(self, x: Chosen) -> tuple[Array, Array]:
        """Return what actor and critic put out, (rows, out) and (rows, 1)."""
        self._out, self._values = self.prefix.outputs(x)
        return self._out.detach().numpy(), self._values.detach().numpy()

    def backward(self, x: Chosen, at_out: Array, at_value: Array) -> None:
        """Add the gradients, given those at what `forward` put out."""
        self._flat.show_gradients()
        tensors, gradients = [], []
        for tensor, gradient in ((self._out, at_out), (self._values, at_value)):
            if tensor.requires_grad:
                tensors.append(tensor)
                gradients.append(torch.from_numpy(np.ascontiguousarray(gradient, self.dtype)))
        if tensors:
            torch.autograd.backward(tensors, gradients)
        del self._out, self._values


class Read(Stage):
    """Turns observations into what a features extractor takes, as SB3 does."""

    looks_up = True

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self._policy = policy
        self._dtype = next(policy.parameters()).dtype

    @classmethod
    def run(cls, stages: Sequence[Read], x: Any) -> Any:
        """Return an input for the features extractor."""
        (stage,) = stages
        policy, observations = stage._policy, x.read() if isinstance(x, Chosen) else x
        space, images = policy.observation_space, policy.normalize_images
        if isinstance(space, spaces.Box):
            numbers = observations.to(stage._dtype)
            return numbers / 255.0 if images and is_image_space(space) else numbers
        read = preprocess_obs(observations, space, normalize_images=images)
        if isinstance(read, dict):
            return {key: part.to(stage._dtype) for key, part in read.items()}
        return read.to(stage._dtype)


def split(policy: ActorCriticPolicy) -> tuple[Stages, Stages, Stages]:
    """Return a policy's trunk, actor and critic."""
    heads = policy.mlp_extractor
    actor = [*_children(heads.policy_net), Stage(policy.action_net)]
    critic = [*_children(heads.value_net), Stage(policy.value_net)]
    if policy.share_features_extractor:
        return Stages(_extractor(policy, policy.features_extractor)), Stages(actor), Stages(critic)
    sides = ((policy.pi_features_extractor, actor), (policy.vf_features_extractor, critic))
    return (Stages(()), *(Stages([*_extractor(policy, extractor), *head]) for extractor, head in sides))  # type: ignore[return-value]


def _extractor(policy: Any, extractor: Any) -> list[Stage]:
    if type(extractor) is not NatureCNN or touched(extractor):
        return [Read(policy), Stage(extractor)]
    modules = [*_modules(extractor.cnn), *_modules(extractor.linear)]
    scale = 1.0 / 255.0 if policy.normalize_images and is_image_space(policy.observation_space) else 1.0
    stages = list(_grouped(modules, scale))
    # The first convolution reads bytes by itself.
    return stages if isinstance(stages[0], Convolution) else [Read(policy), *stages]


def _modules(container: nn.Module) -> Iterable[nn.Module]:
    """Return the modules of a sequence, or itself where something listens to it."""
    return [container] if touched(container) else container.children()


def _children(container: nn.Module) -> list[Stage]:
    return [Stage(module) for module in _modules(container)]


def _grouped(modules: Sequence[nn.Module], scale: float) -> Iterator[Stage]:
    """Yield modules as stages, with the ReLU of a convolution or of a wide layer in one with it."""
    place = 0
    while place < len(modules):
        pair = modules[place : place + 2]
        kind = next((kind for kind in (Convolution, Wide) if len(pair) == 2 and kind.fits(*pair)), None)
        if kind is None:
            yield Stage(modules[place])
        else:
            yield kind(*pair, scale) if kind is Convolution else kind(*pair)
        place += 1 if kind is None else 2
