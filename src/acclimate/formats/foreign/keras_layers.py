"""Layers of Keras as ours: kernels turned, images channels first, activations by our names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acclimate.errors import SourceError
from acclimate.formats.foreign.keras_file import KerasFile, Part, Weight
from acclimate.formats.foreign.keras_graph import Chain, Node, word
from acclimate.formats.foreign.layers import Array, Conv, Dense, Stack, channels_first, channels_last

ACTIVATIONS: Mapping[str, str] = {
    **{
        name: name
        for name in ("relu", "relu6", "tanh", "sigmoid", "elu", "selu", "gelu", "silu", "softplus", "softsign", "mish")
    },
    "celu": "celu",
    "swish": "silu",
    "linear": "",
    "softmax": "softmax",
}
"""Keras' names of activations that are torch's to the number."""
WEIGHTED = ("Dense", "Conv2D")
"""Layers that have weights."""
_INACTIVE = ("Dropout", "GaussianDropout", "GaussianNoise", "SpatialDropout2D")
"""Layers that do nothing but in training."""


@dataclass(frozen=True, eq=False)
class Source:
    """Where a layer is from."""

    node: Node
    image: tuple[int, int, int] | None
    """Height, width and channels of the image that it reads, flattened; None where it reads none, or a whole one."""

    def weights(self, weight: Array, bias: Array) -> dict[Weight, Array]:
        """Return a layer's weights as Keras has them, where it was given ours.

        Args:
            weight: (units, inputs), or (filters, channels, height, width).
            bias: (units,).
        """
        if weight.ndim == 4:
            kernel = weight.transpose(2, 3, 1, 0)
        else:
            kernel = (weight if self.image is None else channels_last(weight, self.image)).T
        biased = self.node.config.get("use_bias", True)
        return {(self.node, "kernel"): kernel, **({(self.node, "bias"): bias} if biased else {})}


@dataclass(frozen=True, eq=False)
class Read:
    """A chain as it was read."""

    stack: Stack
    bounds: tuple[Array, Array] | None
    """Lowest and highest action where the chain ends with a tanh times a number."""
    notes: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]
    """Where the layers of the stack are from, in their order."""


def layers_of(chain: Chain, file: KerasFile, where: str) -> Read:
    """Return a chain's layers, the first one first.

    Raises:
        SourceError: A layer is none that an SB3 policy has.
    """
    way = _Way(file, where)
    for node in chain:
        way.take(node)
    if not way.stack:
        raise SourceError(f"{where}: has no Dense layer")
    return Read(tuple(way.stack), way.bounds, tuple(way.notes), tuple(way.sources))


class _Way:
    """What flows from layer to layer, and the layers that were passed."""

    def __init__(self, file: KerasFile, where: str) -> None:
        self.stack: list[Dense | Conv] = []
        self.sources: list[Source] = []
        self.bounds: tuple[Array, Array] | None = None
        self.notes: list[tuple[str, str]] = []
        self._file, self._where = file, where
        self._shape: tuple[int, ...] | None = None
        self._image: tuple[int, int, int] | None = None
        self._pixels = False

    def take(self, node: Node) -> None:
        """Pass one layer."""
        if node.kind not in _STEPS:
            raise self._refused(
                node, f"no SB3 policy has; there are {', '.join(sorted(set(_STEPS) - {*_INACTIVE, 'InputLayer'}))}"
            )
        if self.bounds is not None:
            raise self._refused(node, "stands above the scale of the actions")
        if self._shape is None:
            if node.shape is None or None in node.shape:
                raise SourceError(f"{self._where}: does not tell of which shape its input is; save it again once built")
            self._shape = tuple(int(each or 0) for each in node.shape)
        _STEPS[node.kind](self, node)

    def _refused(self, node: Node, why: str) -> SourceError:
        return SourceError(f"{self._where}: its layer `{node.name}` ({node.kind}) is one that {why}")

    def _started(self, node: Node) -> None:
        """Pass an input."""

    def _nothing(self, node: Node) -> None:
        self.notes.append((node.name, f"{node.kind} acts in Keras' training alone: left out"))

    def _dense(self, node: Node) -> None:
        if self._shape is None or len(self._shape) != 1:
            raise self._refused(node, "reads rows; put a Flatten below it")
        weight = self._numbers(node, "kernel", (self._shape[0], node.config["units"]))
        layer = Dense(weight.T.copy(), self._bias(node, weight.shape[1]))
        if self._image is not None:
            layer = channels_first(layer, self._image)
        self._add(node, layer)
        self._image = None
        self._shape = (layer.units,)

    def _conv(self, node: Node) -> None:
        shape, told = self._shape or (), node.config
        plain = told["padding"] == "valid" and told.get("data_format") in (None, "channels_last")
        if not plain or told.get("groups", 1) != 1 or list(told.get("dilation_rate", (1, 1))) != [1, 1]:
            raise self._refused(node, "has padding, groups, dilation or its channels first, as SB3's have not")
        if len(shape) != 3 or not self._pixels:
            raise self._refused(node, "reads pixels from 0 to 1, as SB3's do; put Rescaling(1 / 255) below it")
        size, stride = tuple(told["kernel_size"]), tuple(told["strides"])
        weight = self._numbers(node, "kernel", (*size, shape[2], told["filters"]))
        turned = np.ascontiguousarray(weight.transpose(3, 2, 0, 1))
        self._add(node, Conv(turned, self._bias(node, len(turned)), stride))
        high, wide = ((shape[axis] - size[axis]) // stride[axis] + 1 for axis in (0, 1))
        self._shape = (high, wide, len(turned))

    def _flatten(self, node: Node) -> None:
        if node.config.get("data_format") == "channels_first":
            raise self._refused(node, "has its channels first; leave the image as it is")
        if self.stack and self._shape is not None and len(self._shape) == 3:
            self._image = (self._shape[0], self._shape[1], self._shape[2])
        self._shape = (int(np.prod(self._shape or ())),)

    def _rescaling(self, node: Node) -> None:
        scale, offset = node.config["scale"], node.config["offset"]
        if self.stack or self._pixels or len(self._shape or ()) != 3 or offset or abs(scale * 255 - 1) > 1e-6:
            raise self._refused(node, "SB3 has for images alone, first of all, as Rescaling(1 / 255)")
        self._pixels = True

    def _activation(self, node: Node) -> None:
        self._bend(node, self._activation_of(node, node.config["activation"]))

    def _relu(self, node: Node) -> None:
        most, slope, threshold = (node.config.get(name) for name in ("max_value", "negative_slope", "threshold"))
        if slope or threshold or most not in (None, 6.0):
            raise self._refused(node, "bends as none of torch's does")
        self._bend(node, "relu6" if most else "relu")

    def _leaky(self, node: Node) -> None:
        slope = node.config.get("negative_slope", node.config.get("alpha"))
        if abs(slope - 0.01) > 1e-7:
            raise self._refused(node, f"has the slope {slope}, and SB3's 0.01")
        self._bend(node, "leakyrelu")

    def _elu(self, node: Node) -> None:
        if node.config.get("alpha", 1.0) != 1.0:
            raise self._refused(node, "has an alpha other than 1, which SB3's has not")
        self._bend(node, "elu")

    def _softmax(self, node: Node) -> None:
        self._bend(node, "softmax")

    def _multiply(self, node: Node) -> None:
        if not self.stack or self.stack[-1].activation != "tanh" or len(node.constants) != 1:
            raise self._refused(node, "SB3 has above the tanh of an actor alone, by the highest action")
        highest = np.broadcast_to(np.asarray(node.constants[0], np.float32).ravel(), (self.stack[-1].units,))
        if not (highest > 0).all():
            raise self._refused(node, "turns actions round")
        self.bounds = (-highest, highest)

    def _add(self, node: Node, layer: Dense | Conv) -> None:
        if self.stack and self.stack[-1].activation == "softmax":
            raise self._refused(node, "stands above a softmax, which SB3 has at the end alone")
        self.sources.append(Source(node, self._image))
        self.stack.append(replace(layer, activation=self._activation_of(node, node.config.get("activation"))))

    def _bend(self, node: Node, activation: str) -> None:
        if not self.stack or (activation and self.stack[-1].activation):
            raise self._refused(node, "stands above no layer of weights, and an SB3 policy has one activation for each")
        if activation:
            self.stack[-1] = replace(self.stack[-1], activation=activation)

    def _activation_of(self, node: Node, told: Any) -> str:
        name = "linear" if told is None else told
        if not isinstance(name, str) or name not in ACTIVATIONS:
            shown = word(name) if isinstance(name, str) else "one of your own"
            raise self._refused(node, f"has the activation {shown}; SB3 has {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[name]

    def _bias(self, node: Node, units: int) -> Array:
        if not node.config.get("use_bias", True):
            return np.zeros(units, np.float32)
        return self._numbers(node, "bias", (units,))

    def _numbers(self, node: Node, part: Part, shape: tuple[int, ...]) -> Array:
        found = self._file.weights(node, part)
        if found.shape != shape:
            raise SourceError(
                f"{self._where}: the {part} of `{node.name}` is of shape {found.shape}, and its config tells {shape}"
            )
        if not np.isfinite(found).all():
            raise SourceError(f"{self._where}: the {part} of `{node.name}` holds numbers that are not finite")
        return found


_STEPS: Mapping[str, Callable[[_Way, Node], None]] = {
    "InputLayer": _Way._started,
    "Dense": _Way._dense,
    "Conv2D": _Way._conv,
    "Flatten": _Way._flatten,
    "Rescaling": _Way._rescaling,
    "Activation": _Way._activation,
    "ReLU": _Way._relu,
    "LeakyReLU": _Way._leaky,
    "ELU": _Way._elu,
    "Softmax": _Way._softmax,
    "Multiply": _Way._multiply,
    **dict.fromkeys(_INACTIVE, _Way._nothing),
}
"""What is done at a layer of each class."""
