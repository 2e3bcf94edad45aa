"""ONNX Runtime, as a policy is run in it: one thread, as more only slow small networks down."""

from __future__ import annotations

from typing import Any

from acclimate.errors import SourceError
from acclimate.exporting.extras import needed


def session_of(data: bytes) -> Any:
    """Return a session on the CPU.

    Raises:
        SourceError: ONNX Runtime does not take the graph.
        ExportError: It is not installed.
    """
    runtime, errors = needed("onnx", "onnxruntime", "onnxruntime.capi.onnxruntime_pybind11_state")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    refusals = (
        errors.Fail,
        errors.InvalidGraph,
        errors.InvalidArgument,
        errors.NotImplemented,
        errors.RuntimeException,
    )
    try:
        return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        reason = (str(error).strip().splitlines() or ["refused"])[0][:200]
        raise SourceError(f"ONNX Runtime does not take the graph ({reason}); export the agent again") from error
