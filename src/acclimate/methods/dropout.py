"""Drop hidden units at random while the network is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch.nn import Parameter

from acclimate.errors import ConfigError
from acclimate.nets.masks import Dropping, acting_of, outlets, redraw
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.nets.surgery import extract, insert
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Signals


@dataclass(frozen=True, kw_only=True)
class Dropout(Method):
    """Mask hidden units h in training: h <- m * h / (1 - p), where m_i = 0 with probability p, else 1.

    Critics and Q-networks draw a mask at each pass of an update, and neither act nor evaluate with one. An
    actor of PPO or A2C (and a trunk that it shares) keeps one mask through a rollout and its updates: with
    fresh masks the probability ratio of the first update would not be 1, since SB3 collects in evaluation
    mode and trains in training mode.

    The mask is on what a layer puts out after its activation. Where the activation is a function that no module tells
    of, or a module that layers share, it is on what goes into it: for a ReLU that is the same, for others nearly, as
    the division by 1 - p comes before the bend. After a convolution single units are dropped, as in the paper below,
    or whole channels.

    Source: Srivastava et al. 2014 (JMLR 15); in deep Q-networks Farebrother, Machado and Bowling 2018,
    "Generalization and Regularization in DQN" (arXiv:1810.00123), with 0.05 after convolutions and 0.1 after
    the first linear layer, in the training before fine-tuning; in critics Hiraoka et al. 2022, "Dropout
    Q-Functions for Doubly Efficient Reinforcement Learning" (arXiv:2110.02034), with 0.01.

    Use it on a critic that is updated often on few data. It loses where the data are many, and on actors, whose
    rollouts it makes noisier. That it helps *while* fine-tuning is not what these papers show: compare.
    """

    name: ClassVar[str] = "dropout"
    family: ClassVar[str] = "dropout"
    by_layer: ClassVar[bool] = True
    lasting: ClassVar[bool] = False

    p: float = 0.05
    """Probability that a unit is dropped. Higher: more regular, less overfitting to few data, noisier values.
    Much less than in supervised learning serves here."""
    channels: bool = False
    """Drop whole channels of convolutions. Neighbours in a channel say much the same, so that a single one that is
    dropped is hardly missed: whole channels are the stronger noise, at the same p."""
    on: Select = Select("critic|q")
    """Which networks or layers; the layers that outputs come from are left out. On actors it also makes
    rollouts noisier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.p < 1.0:
            raise ConfigError(f"dropout.p is {self.p}; give a probability between 0 and 1, 0.05 for example")

    def inject(self, net: Net, context: Context) -> None:
        """Put a mask after every hidden layer, and after its activation where that is known."""
        for outlet, convolves in outlets(net).items():
            insert(outlet, Dropping(self.p, acting_of(net), channels=self.channels and convolves))

    def init(self, net: Net, context: Context) -> int:
        """Return the seed of the masks."""
        return context.seed

    def rollout(self, net: Net, state: int, signals: Signals) -> int:
        """Draw new masks for the rollout and its updates."""
        redraw(outlets(net), Dropping, seed=state, role=net.role, rollout=signals.rollout)
        return state

    def constrains(self, net: Net) -> list[Parameter]:
        """Return the weights of networks that have a hidden layer here."""
        return net.whole().parameters() if outlets(net) else []

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Take the masks out."""
        for outlet in outlets(net):
            extract(outlet, Dropping)
