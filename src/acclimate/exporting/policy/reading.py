"""A file of ONNX read with care: it may come from anywhere, and is to bring nothing but arithmetic of known size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acclimate.errors import SourceError, UnsafeFileError, shown
from acclimate.exporting.contract.contract import KEY, Contract
from acclimate.exporting.contract.ports import BATCH, Port
from acclimate.exporting.extras import needed
from acclimate.files import bounded

LARGEST = (1 << 30) + (1 << 24)
"""Bytes of a file: weights as large as any that are exported, and the rest."""
MOST_NODES = 10_000
MOST_NUMBERS = 1 << 26
"""Of any value that is computed on the way, for one row."""
_NAMES = """
Abs Add And ArgMax AveragePool BatchNormalization Cast Celu Clip Concat Constant Conv Div Elu Equal Erf
Exp Expand Flatten Gather GatherElements Gelu Gemm GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish
Identity LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mish Mul Neg Not Or
PRelu Pow Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Selu Sigmoid Sign Slice Softmax Softplus
Softsign Split Sqrt Squeeze Sub Sum Tanh Tile TopK Transpose Unsqueeze Where
"""
OPERATORS = frozenset(_NAMES.split())
"""What a policy is computed with: no loops, no branches, no functions of the file's own."""


def read(path: Path) -> tuple[bytes, Contract]:
    """Return the bytes of a policy's file and its contract, both looked through.

    Raises:
        UnsafeFileError: It is too large, keeps weights elsewhere, or holds more than arithmetic.
        SourceError: It cannot be read, or is no policy of this library's.
        ExportError: The extra is not installed.
    """
    onnx, message = needed("onnx", "onnx", "google.protobuf.message")
    data = _bytes(path)
    try:
        model = onnx.load_model_from_string(data)
    except (message.DecodeError, ValueError) as error:
        raise SourceError(f"{path}: is no ONNX file, or was cut short; copy it again") from error
    for reason in _unsafe(onnx, model):
        raise UnsafeFileError(f"{path}: {reason}; refused.")
    texts = [prop.value for prop in model.metadata_props if prop.key == KEY]
    if len(texts) != 1:
        raise SourceError(f"{path}: has no contract of a policy in it; write it with `acclimate export --to onnx`")
    contract = Contract.from_json(texts[0], str(path))
    _check_shapes(onnx, model, contract, path)
    return data, contract


def _bytes(path: Path) -> bytes:
    try:
        return bounded.read(path, LARGEST)
    except ValueError as error:
        raise UnsafeFileError(f"{path}: {error}; refused.") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check the path.") from error


def _unsafe(onnx: Any, model: Any) -> Iterator[str]:
    """Yield what a policy has no need of."""
    if len(model.graph.node) > MOST_NODES:
        yield f"has {len(model.graph.node)} operators, and at most {MOST_NODES} are read"
    if model.functions or model.graph.sparse_initializer or model.training_info:
        yield "brings functions, sparse weights or a training graph"
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            yield f"computes with `{shown(f'{node.domain}:{node.op_type}'.lstrip(':'))}`, which no policy does"
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                yield f"has a graph within `{shown(node.op_type)}`"
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
            yield f"keeps `{tensor.name[:60]}` in another file"
        if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > LARGEST:
            yield f"says that `{tensor.name[:60]}` has the shape {shown(list(tensor.dims))}"


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_shapes(onnx: Any, model: Any, contract: Contract, path: Path) -> None:
    """Refuse a graph that is none, takes other inputs than the contract says, or makes values of any size."""
    try:
        onnx.checker.check_model(model)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["invalid"])[0][:160]
        raise SourceError(f"{path}: its graph is broken ({reason}); export the agent again") from error
    sides = ((contract.inputs, inferred.input), (contract.outputs, inferred.output))
    for ports, values in sides:
        theirs = tuple(_port(onnx, value) for value in values)
        if theirs != ports:
            ours, found = (", ".join(map(str, side)) for side in (ports, theirs))
            raise SourceError(f"{path}: its contract tells of {ours}, and the graph has {found}; export it again")
    known = {value.name: _port(onnx, value) for value in (*inferred.value_info, *inferred.output)}
    for name in (name for node in model.graph.node for name in node.output if name):
        port = known.get(name)
        if port is None or math.prod(port.sized(1)) > MOST_NUMBERS:
            raise UnsafeFileError(f"{path}: what it computes as `{name[:60]}` has no known, small size; refused.")


def _port(onnx: Any, value: Any) -> Port:
    kind = value.type.tensor_type
    sizes = tuple(axis.dim_value if axis.HasField("dim_value") else BATCH for axis in kind.shape.dim)
    return Port(value.name, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, sizes)
