"""An agent's weights alone, by the names of SB3's modules, with the contract that says how they act."""

from __future__ import annotations

import safetensors.torch

from acclimate.agents.agent import Agent
from acclimate.exporting.contract.contract import KEY, Contract
from acclimate.exporting.contract.describing import contract_of
from acclimate.exporting.graph.module import Graph
from acclimate.tasks.task import Task


def safetensors_of(agent: Agent, *, task: Task | None = None, channels_last: bool = True) -> tuple[bytes, Contract]:
    """Return the bytes of the file, and the contract in it.

    It holds the policy's tensors by the names of its state dict, and for each input that is normalised
    `normalization/<input>/mean` and `.../std`.

    Args:
        agent: stays as it is.
        task: as `onnx_of` has it.
        channels_last: as `onnx_of` has it.

    Raises:
        MisfitError: How the policy acts is not known.
        TaskError: The task's environment cannot be made.
    """
    graph = Graph(agent, channels_last=channels_last)
    contract = contract_of(agent, graph, task)
    tensors = {name: tensor.contiguous().clone() for name, tensor in graph.policy.state_dict().items()}
    for name, scaled in graph.scaling.items():
        tensors |= {f"normalization/{name}/{part}": getattr(scaled, part).clone() for part in ("mean", "std")}
    return safetensors.torch.save(tensors, {KEY: contract.to_json()}), contract
