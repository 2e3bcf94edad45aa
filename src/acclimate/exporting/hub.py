"""A folder that is ready to be uploaded to the Hugging Face Hub: the agent, its graph, its contract and its card."""

from __future__ import annotations

import contextlib
from pathlib import Path

from acclimate.agents.agent import Agent
from acclimate.errors import ConfigError, ExportError, MisfitError
from acclimate.exporting.card import card_of
from acclimate.exporting.contract.contract import BESIDE, Contract
from acclimate.exporting.contract.describing import contract_of
from acclimate.exporting.extras import needed
from acclimate.exporting.graph.module import Graph
from acclimate.exporting.graph.writing import onnx_of
from acclimate.files.atomic import atomic_folder, write_atomic
from acclimate.formats import writers
from acclimate.guard.guarded import Guarded
from acclimate.tasks.task import Task

ZIP, BUNDLE, POLICY, CARD = "agent.zip", "bundle", "policy.onnx", "README.md"


def write(
    agent: Agent,
    folder: Path,
    *,
    task: Task | None,
    guarded: Guarded | None,
    channels_last: bool,
    license: str | None,
) -> Path:
    """Write the folder whole or not at all, and return it.

    It holds the zip, or the bundle of an agent that no zip can hold, and the graph where the extra `onnx` is installed.

    Args:
        agent: stays as it is.
        folder: what is in one of that name is not replaced.
        task: in which the agent acts.
        guarded: the agent behind its guard, which is part of the graph then.
        channels_last: how images come into the graph.
        license: of the model, as the Hub names it.

    Raises:
        ConfigError: There is no licence, or the folder is there.
        ExportError: It cannot be written, the graph does not act as the agent, or the extra `hub` is not installed.
        TaskError: The task's environment cannot be made or stepped.
    """
    needed("hub", "huggingface_hub")
    if not license:
        raise ConfigError("the Hub asks for the licence of a model: give it (`license`, --license), such as apache-2.0")
    if folder.exists():
        raise ExportError(f"{folder}: is there already; choose another folder, or remove it")
    graph = _graph(agent, task, guarded, channels_last)
    try:
        with atomic_folder(folder) as temporary:
            held = _agent(agent, temporary)
            if graph is None:
                contract = contract_of(agent, Graph(agent, channels_last=channels_last), task)
            else:
                data, contract = graph
                write_atomic(temporary / POLICY, data)
            write_atomic(temporary / BESIDE, contract.to_json())
            card = card_of(agent, contract, name=folder.name, license=license, held=held, graph=graph is not None)
            write_atomic(temporary / CARD, card)
    except (ConfigError, OSError) as error:
        raise ExportError(str(error)) from error
    return folder


def _agent(agent: Agent, folder: Path) -> str:
    """Write the agent in the form that holds it, and return the form's name."""
    with contextlib.suppress(MisfitError):
        writers.save(agent, folder / ZIP)
        return ZIP
    writers.save(agent, folder / BUNDLE)
    return BUNDLE


def _graph(
    agent: Agent, task: Task | None, guarded: Guarded | None, channels_last: bool
) -> tuple[bytes, Contract] | None:
    """Return the graph and its contract; None where the extra is not installed, as the folder is whole without."""
    try:
        needed("onnx", "onnx", "onnxscript", "onnxruntime")
    except ExportError:
        if guarded is not None:
            raise
        return None
    return onnx_of(agent, task=task, guarded=guarded, channels_last=channels_last)
