"""An agent as one file of ONNX, which is held to the agent before it is written."""

from __future__ import annotations

import dataclasses
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.errors import ExportError
from acclimate.exporting.contract.contract import KEY, Contract
from acclimate.exporting.contract.describing import contract_of, guarding, robot_keys
from acclimate.exporting.extras import needed
from acclimate.exporting.graph import guarded_parity, parity
from acclimate.exporting.graph.guarding import GuardedGraph
from acclimate.exporting.graph.module import Graph
from acclimate.exporting.graph.samples import Rows, drawn, seen
from acclimate.exporting.graph.tracing import traced
from acclimate.exporting.policy.sessions import session_of
from acclimate.guard.guarded import Guarded
from acclimate.tasks.task import Task

SEED = 0


def onnx_of(
    agent: Agent, *, task: Task | None = None, guarded: Guarded | None = None, channels_last: bool = True
) -> tuple[bytes, Contract]:
    """Return the bytes of the file, and the contract in it.

    Args:
        agent: stays as it is.
        task: in which it acts. It tells rates and names, and shows what the graph is held to beside drawn observations.
        guarded: the agent behind its guard, which is part of the graph then.
        channels_last: whether images come as most environments give them, (height, width, channels).

    Raises:
        MisfitError: The agent cannot be written as a graph.
        ConfigError: The guard cannot be in this graph.
        ExportError: The graph does not act as the agent, or the extra is not installed.
        TaskError: The task's environment cannot be made or stepped.
    """
    (protobuf,) = needed("onnx", "google.protobuf.message")
    graph = Graph(agent, channels_last=channels_last)
    model, observations = traced(graph), _observations(agent, graph, task)
    held = parity.held(session_of(model.SerializeToString()), graph, agent, observations, seed=SEED)
    contract = dataclasses.replace(contract_of(agent, graph, task), parity=held)
    if guarded is not None:
        model, contract = _behind(guarded, observations, contract, channels_last)
    model.producer_name, model.producer_version = "acclimate", contract.versions.get("acclimate", "")
    for key, value in {KEY: contract.to_json(), **robot_keys(contract)}.items():
        model.metadata_props.add(key=key, value=value)
    try:
        return model.SerializeToString(), contract
    except (ValueError, protobuf.EncodeError) as error:
        raise ExportError(f"the graph cannot be written as one file ({error}); save the bundle") from error


def _observations(agent: Agent, graph: Graph, task: Task | None) -> dict[str, Rows]:
    found = {"drawn": drawn(agent, graph.ports, parity.ROWS, seed=SEED)}
    if task is not None:
        found["seen"] = seen(agent, graph.ports, task, parity.ROWS, seed=SEED)
    return found


def _behind(
    guarded: Guarded, observations: dict[str, Rows], contract: Contract, channels_last: bool
) -> tuple[Any, Contract]:
    """Return the model of the agent behind its guard, and its contract."""
    graph = GuardedGraph(guarded, channels_last=channels_last)
    model = traced(graph)
    found = guarded_parity.held(session_of(model.SerializeToString()), graph, guarded, observations, seed=SEED)
    told = guarding(guarded, found.parity, found.raised)
    return model, dataclasses.replace(contract, inputs=graph.ports.inputs, outputs=graph.ports.outputs, guard=told)
