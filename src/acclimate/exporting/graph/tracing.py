"""A graph as an ONNX model, by torch's own exporter."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from acclimate.errors import ExportError, MisfitError
from acclimate.exporting.contract.ports import BATCH, Port
from acclimate.exporting.extras import needed
from acclimate.exporting.graph.guarding import GuardedGraph
from acclimate.exporting.graph.module import Graph

LARGEST = 1 << 30
"""Bytes of a model. All weights lie in it, and protobuf ends at twice as much."""
_FAILS = (RuntimeError, TypeError, ValueError, NotImplementedError, AttributeError, IndexError, KeyError)


def traced(graph: Graph | GuardedGraph) -> Any:
    """Return the `onnx.ModelProto` of a graph, whose inputs and outputs have the names of its ports.

    Raises:
        MisfitError: torch cannot write it as a graph, or it is too large for one file.
        ExportError: The extra is not installed.
    """
    onnx, *_ = needed("onnx", "onnx", "onnxscript", "onnxruntime")
    inputs, outputs = graph.ports.inputs, graph.ports.outputs
    batch = torch.export.Dim(BATCH)
    weights = sum(held.numel() * held.element_size() for held in (*graph.parameters(), *graph.buffers()))
    if weights > LARGEST:
        raise MisfitError(f"its weights take {weights} bytes, and an ONNX file at most {LARGEST}; save the bundle")
    try:
        with _quiet():
            program = torch.onnx.export(
                graph,
                examples(inputs),
                input_names=[port.name for port in inputs],
                output_names=[port.name for port in outputs],
                dynamic_shapes=(tuple({port.rows: batch} for port in inputs),),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
            model = program.model_proto  # type: ignore[union-attr]
    except _FAILS as error:
        cause = error.__cause__ or error  # torch's own error is advice on how to call it
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
        raise MisfitError(f"torch cannot write this agent as a graph ({reason}); save the zip or the bundle") from error
    _anonymous(model)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ExportError(f"the graph that torch wrote is no valid one ({str(error)[:200]}); save the zip") from error
    _same_ports(model, graph)
    return model


def examples(inputs: tuple[Port, ...]) -> tuple[Tensor, ...]:
    """Return an example of each input.

    Each is a tensor of its own and its number of rows no other axis' size: the exporter takes what is equal for the
    same, and an input that was merged into another is not read any more.
    """
    taken = {size for port in inputs for size in port.shape}
    rows = next(count for count in range(3, 3 + len(taken) + 1) if count not in taken)
    return tuple(torch.zeros(port.sized(rows), dtype=getattr(torch, port.dtype)) for port in inputs)


def _same_ports(model: Any, graph: Graph | GuardedGraph) -> None:
    """Refuse a graph that does not read each of its inputs."""
    read = {name for node in model.graph.node for name in node.input}
    names = [port.name for port in graph.ports.inputs]
    if [each.name for each in model.graph.input] != names or not read.issuperset(names):
        unread = ", ".join(f"`{name}`" for name in names if name not in read)
        raise MisfitError(f"the graph that torch wrote does not read {unread or 'its inputs in their order'}")


def _anonymous(model: Any) -> None:
    """Take out what tells of the machine that the file was written on: the lines of code behind each node."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for held in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        del held.metadata_props[:]
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    model.graph.name, model.graph.doc_string, model.doc_string = "policy", "", ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice on how it was called from the user, who did not call it."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
