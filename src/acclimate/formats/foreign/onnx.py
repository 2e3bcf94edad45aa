"""Networks in ONNX files: chains of dense layers or convolutions, with one output, or two with layers in common.

Source: the operators of opset 13 and later (https://onnx.ai/onnx/operators). Nothing is run; weights are read where
they stand in the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from acclimate.errors import ExportError, SourceError, UnsafeFileError
from acclimate.formats.foreign.layers import Conv, Dense, Layer, Stack, inputs
from acclimate.formats.foreign.network import Foreign, Scaling

MOST_NODES = 1_000
ACTIVATIONS = {
    "Tanh": "tanh",
    "Relu": "relu",
    "Elu": "elu",
    "Sigmoid": "sigmoid",
    "LeakyRelu": "leakyrelu",
    "Selu": "selu",
    "Softplus": "softplus",
    "Celu": "celu",
    "Mish": "mish",
    "HardSwish": "hardswish",
}
"""Operators with the bends that torch's modules have by default, by our names."""
_BENDS = {"Elu": ("alpha", 1.0), "LeakyRelu": ("alpha", 0.01), "Celu": ("alpha", 1.0)}
_NOTHING = ("Identity", "Cast", "Dropout")
_FLAT = ("Flatten", "Reshape", "Squeeze")


def read(data: bytes, where: str) -> Foreign:
    """Return the networks of a file.

    Args:
        data: of the file.
        where: how an error names it.

    Raises:
        UnsafeFileError: It keeps weights in other files, or is far too large.
        SourceError: It is no such chain; the operator is named.
        ExportError: The extra `onnx` is not installed.
    """
    chain = _Chain.of(data, where)
    names = [each.name for each in chain.graph.output]
    if not 1 <= len(names) <= 2:
        raise SourceError(f"{where}: has {len(names)} outputs, and a policy has one, or two with a value; export it so")
    found = [chain.back(name) for name in names]
    (actor, scaling), *others = found
    critics = tuple(stack for stack, _ in others)
    if critics and critics[0][-1].units != 1:
        raise SourceError(f"{where}: its second output has {critics[0][-1].units} numbers, and a value is one")
    notes = (("shared layers", "SB3 has them twice: they act the same, and are trained apart"),) if critics else ()
    shared: Stack = ()
    if isinstance(actor[0], Conv):
        shared, actor, critics, notes = actor[:-1], actor[-1:], tuple(stack[-1:] for stack in critics), ()
    bent = actor[-1].activation
    return Foreign(
        kind="a network of ONNX",
        algorithm="td3" if bent == "tanh" else "ppo",
        actor=actor,
        critics=critics,
        shared=shared,
        scaling=scaling,
        notes=notes,
    )


@dataclass
class _Chain:
    """A graph that is walked from an output back to its input."""

    graph: Any
    where: str
    onnx: Any
    makers: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, data: bytes, where: str) -> _Chain:
        try:
            import onnx
            from google.protobuf.message import DecodeError
        except ImportError as error:
            raise ExportError("ONNX files are read with the extra `onnx`: pip install 'acclimate[onnx]'") from error
        try:
            graph = onnx.load_model_from_string(data).graph
        except (DecodeError, ValueError) as error:
            raise SourceError(f"{where}: is no ONNX file, or was cut short; copy it again") from error
        if len(graph.node) > MOST_NODES:
            raise UnsafeFileError(f"{where}: has {len(graph.node)} operators, more than the {MOST_NODES} that are read")
        chain = cls(graph, where, onnx)
        for node in graph.node:
            for name in node.output:
                chain.makers[name] = node
        return chain

    def back(self, name: str) -> tuple[Stack, Scaling | None]:
        """Return the layers from the input to an output, and how the input is scaled."""
        given = {each.name for each in self.graph.input} - {each.name for each in self.graph.initializer}
        nodes: list[tuple[Any, str]] = []
        while name not in given:
            node = self.makers.get(name)
            if node is None or len(nodes) > MOST_NODES:
                raise SourceError(f"{self.where}: `{name[:60]}` comes from nowhere; export it again")
            name = self._moving(node)
            nodes.append((node, name))
        return self._layers([node for node, _ in reversed(nodes)])

    def _moving(self, node: Any) -> str:
        """Return the one input of a node that is no constant."""
        moving = [name for name in node.input if name and self.constant(name) is None]
        if len(moving) != 1:
            raise SourceError(
                f"{self.where}: `{node.op_type}` joins {len(moving)} values, and a policy is a chain here"
            )
        return moving[0]

    def constant(self, name: str) -> np.ndarray | None:
        """Return a constant by its name, None where it is none."""
        if name not in self.weights:
            held = next((each for each in self.graph.initializer if each.name == name), None)
            node = self.makers.get(name)
            if held is None and node is not None and node.op_type == "Constant":
                held = next((a.t for a in node.attribute if a.name == "value"), None)
            if held is None:
                return None
            self.weights[name] = self._numbers(held)
        return self.weights[name]

    def _numbers(self, tensor: Any) -> np.ndarray:
        if tensor.data_location != self.onnx.TensorProto.DEFAULT or tensor.external_data:
            raise UnsafeFileError(f"{self.where}: keeps `{tensor.name[:60]}` in another file; refused")
        try:
            return np.asarray(self.onnx.numpy_helper.to_array(tensor))
        except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
            raise SourceError(f"{self.where}: `{tensor.name[:60]}` is broken ({str(error)[:100]})") from error

    def _constants(self, node: Any) -> list[np.ndarray]:
        return [found for name in node.input if name and (found := self.constant(name)) is not None]

    def _layers(self, nodes: list[Any]) -> tuple[Stack, Scaling | None]:
        """Return the layers that nodes make, in order."""
        layers: list[Layer] = []
        mean, deviation, pixels = np.zeros(1), np.ones(1), False
        for node in nodes:
            kind, held = node.op_type, self._constants(node)
            if kind in ("Gemm", "MatMul", "Conv"):
                layers.append(self._layer(node, held))
            elif kind == "Add" and layers and not layers[-1].activation and isinstance(layers[-1], Dense):
                layers[-1] = replace(layers[-1], bias=(layers[-1].bias + held[0].ravel()).astype(np.float32))
            elif kind in ACTIVATIONS and layers and not layers[-1].activation:
                self._bend(node)
                layers[-1] = replace(layers[-1], activation=ACTIVATIONS[kind])
            elif kind == "Softmax" and node is nodes[-1]:
                continue  # the likeliest stays the likeliest
            elif not layers and kind == "Sub" and self.constant(node.input[1]) is not None:
                mean = held[0].ravel()
            elif not layers and kind in ("Div", "Mul") and self.constant(node.input[1]) is not None:
                share = held[0].astype(np.float64).ravel() ** (1 if kind == "Div" else -1)
                pixels = pixels or bool(np.allclose(share, 255.0))
                deviation = deviation if pixels else share
            elif kind not in (*_NOTHING, *_FLAT) and not (kind == "Transpose" and not layers):
                raise SourceError(
                    f"{self.where}: `{kind}` is none of the layers of an SB3 policy; build it there yourself"
                )
        if not layers:
            raise SourceError(f"{self.where}: has no layers with weights; export the network, not its loss")
        return tuple(layers), self._scaling(layers, mean, deviation, pixels)

    def _scaling(self, layers: list[Layer], mean: np.ndarray, deviation: np.ndarray, pixels: bool) -> Scaling | None:
        if isinstance(layers[0], Conv):
            if not pixels or mean.any():
                raise SourceError(f"{self.where}: its images are not divided by 255, as SB3's networks divide them")
            return None
        if not mean.any() and (deviation == 1).all():
            return None
        size = inputs(tuple(layers))
        spread = [np.broadcast_to(each, (size,)).astype(np.float32) for each in (mean, deviation)]
        return Scaling(mean=spread[0], deviation=spread[1])

    def _layer(self, node: Any, held: list[np.ndarray]) -> Layer:
        """Return a layer with weights."""
        attributes = {each.name: self.onnx.helper.get_attribute_value(each) for each in node.attribute}
        if not held or self.constant(node.input[0]) is not None:
            raise SourceError(f"{self.where}: a `{node.op_type}` without weights of its own")
        weight = np.array(held[0], np.float32)
        if not all(np.isfinite(each).all() for each in held):
            raise SourceError(f"{self.where}: the weights of `{node.op_type}` hold numbers that are not finite")
        bias = np.array(held[1], np.float32).ravel() if len(held) > 1 else None
        if node.op_type == "Conv":
            padded = any(attributes.get("pads", [])) or attributes.get("auto_pad", b"NOTSET") not in (
                b"NOTSET",
                b"VALID",
            )
            odd = (
                padded or attributes.get("group", 1) != 1 or any(each != 1 for each in attributes.get("dilations", []))
            )
            if weight.ndim != 4 or odd:
                raise SourceError(
                    f"{self.where}: a convolution with padding, groups or dilation, which SB3's own has not"
                )
            stride = tuple(int(each) for each in attributes.get("strides", (1, 1)))
            return Conv(weight, np.zeros(len(weight), np.float32) if bias is None else bias, stride)  # type: ignore[arg-type]
        if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0 or attributes.get("transA", 0):
            raise SourceError(f"{self.where}: a `Gemm` that scales or turns what it reads; export it again")
        if weight.ndim != 2:
            raise SourceError(f"{self.where}: a `{node.op_type}` with weights of shape {weight.shape}")
        turned = weight if attributes.get("transB", 0) else weight.T
        return Dense(np.ascontiguousarray(turned), np.zeros(len(turned), np.float32) if bias is None else bias)

    def _bend(self, node: Any) -> None:
        """Refuse an activation that bends otherwise than torch's own of that name."""
        name, usual = _BENDS.get(node.op_type, ("", 0.0))
        for each in node.attribute:
            if each.name == name and not np.isclose(each.f, usual):
                raise SourceError(
                    f"{self.where}: `{node.op_type}` with {name} {each.f:g}, and SB3 has it with {usual:g}"
                )
