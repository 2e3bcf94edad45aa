"""Mix the pretrained weights in at random while the network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.masks import Masked, acting_of, redraw
from acclimate.nets.net import Acting, Net
from acclimate.nets.select import Select
from acclimate.nets.surgery import reparameterise, stop_computing
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


class Mixing(Masked):
    """Puts the pretrained value in the place of some entries, and keeps the mean."""

    def __init__(self, p: float, pretrained: Tensor, acting: Acting | None = None) -> None:
        super().__init__(p, acting)
        # No buffer: it is no running statistic, and the pretrained agent has it for whoever resumes.
        self.pretrained = pretrained

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the weight or bias with some entries of before; in evaluation mode the tensor itself."""
        if not self.works:
            return tensor
        kept = self.kept(tensor.shape, tensor)
        return (kept * tensor + (1.0 - kept) * self.pretrained - self.p * self.pretrained) / (1.0 - self.p)


@dataclass(frozen=True, kw_only=True)
class Mixout(Method):
    """Put the pretrained value theta0 in the place of each weight with probability p, in training.

    w_i = (m_i * theta_i + (1 - m_i) * theta0_i - p * theta0_i) / (1 - p), where m_i = 0 with probability p, else 1;
    the mean of w is theta, its variance p / (1 - p) * (theta_i - theta0_i)^2. Acting and evaluating use theta itself.
    It begins without effect, as theta = theta0 then, and grows with the way gone: to second order it adds
    1/2 * p / (1 - p) * sum_i H_ii * (theta_i - theta0_i)^2 to the loss, an L2-SP whose strength is the curvature H of
    each weight.

    Weights and biases of layers are mixed element by element, as in the paper. Masks are fresh at each pass on critics
    and Q-networks; on actors of PPO and A2C they stay through a rollout and its updates, as those of `dropout`.

    Source: Lee, Cho and Kang 2020, "Mixout: Effective Regularization to Finetune Large-scale Pretrained Language
    Models" (arXiv:1909.11299). There p is large; a critic learns from values of its own, which such noise would drown,
    so the default is small. No value for reinforcement learning is published.

    Use it in the place of `l2sp` where a few data should not carry weights far away. It loses where the new task needs
    far weights: the noise grows with the distance.
    """

    name: ClassVar[str] = "mixout"
    family: ClassVar[str] = "dropout"
    by_layer: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    p: float = 0.1
    """Probability that a weight is the pretrained one in a pass. Higher: closer to the pretrained weights, noisier
    gradients; 0.9 multiplies the way gone by 10 in the few weights that keep theirs."""
    on: Select = Select("critic|q")
    """Which networks or layers, their heads included. On actors it also makes rollouts noisier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.p < 1.0:
            raise ConfigError(f"mixout.p is {self.p}; give a probability between 0 and 1, 0.1 for example")

    def inject(self, net: Net, context: Context) -> None:
        """Mix every layer's weight and bias, and those of its twin."""
        for layer in net.layers():
            for module in layer.pair:
                for name in ("weight", "bias"):
                    now = getattr(module, name)
                    if now is not None:
                        reparameterise(module, name, Mixing(self.p, now.detach().clone(), acting_of(net)))

    def init(self, net: Net, context: Context) -> int:
        """Return the seed of the masks."""
        return context.seed

    def rollout(self, net: Net, state: int, signals: Signals) -> int:
        """Draw new masks for the rollout and its updates."""
        redraw(_layers(net), Mixing, seed=state, role=net.role, rollout=signals.rollout)
        return state

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of the layers, and what other methods added to them."""
        return [parameter for layer in net.layers() for parameter in layer.module.parameters()]

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Stop mixing: the weights are as they were evaluated, whatever else is computed in them."""
        for module in _layers(net):
            stop_computing(module, Mixing)


def _layers(net: Net) -> list[nn.Module]:
    return [module for layer in net.layers() for module in layer.pair]
