"""The contract of an agent: what its parts, its file and its run tell."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.exporting.contract.contract import Contract, Guarding, History, Parity, Reasoned, Scaling
from acclimate.exporting.contract.run import tuning_of
from acclimate.exporting.contract.worlds import facts
from acclimate.exporting.graph.module import Graph
from acclimate.files.spaces import to_json
from acclimate.guard.guarded import Guarded
from acclimate.guard.tiers.reasons import Reason
from acclimate.tasks.task import Task

LISTED = 4096
"""Statistics of an input up to this many are listed in a contract."""
PACKAGES = ("acclimate", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "numpy", "onnx", "onnxruntime")


def contract_of(agent: Agent, graph: Graph, task: Task | None) -> Contract:
    """Return the contract of an agent, without its parity.

    Args:
        agent: it.
        graph: all that decides in it.
        task: in which it acts; None where that is not known.

    Raises:
        TaskError: The task's environment cannot be made.
    """
    return Contract(
        algorithm=agent.algorithm,
        inputs=graph.ports.inputs,
        outputs=graph.ports.outputs,
        observation_space=to_json(agent.observation_space),
        action_space=to_json(agent.action_space),
        normalization=tuple(_scaling(name, scaled) for name, scaled in graph.scaling.items()),
        squashed=graph.squashed,
        world=None if task is None else facts(task),
        history=_history(agent),
        versions=_versions(),
    )


def guarding(guarded: Guarded, parity: Parity, raised: Mapping[Reason, int]) -> Guarding:
    """Return what a contract tells of a guard.

    Args:
        guarded: the agent behind it.
        parity: how closely the graph does what it does.
        raised: how often each flag was raised meanwhile.
    """
    guard, release = guarded.guard, guarded.guard.release
    limits = zip(guard.filter.reasons, guard.filter.limits.tolist(), strict=True)
    return Guarding(
        reasons=tuple(
            Reasoned(name=reason.word, code=int(reason), limit=limit, raised=raised[reason]) for reason, limit in limits
        ),
        fallback=release.fallback,
        other=None if guarded.other is None else "inside" if isinstance(guarded.other, Agent) else "input",
        safe=tuple(release.safe.tolist()),
        largest_step=_steps(release.step.tolist()) if release.slowed else None,
        **dataclasses.asdict(guard.filter.hysteresis),
        task=guard.calibration.task,
        episodes=guard.calibration.episodes,
        alarms=guard.calibration.alarms,
        seed=guard.calibration.seed,
        parity=parity,
    )


def _steps(largest: list[float]) -> tuple[float | None, ...]:
    return tuple(step if math.isfinite(step) else None for step in largest)


def robot_keys(contract: Contract) -> dict[str, str]:
    """Return the metadata by the names under which robots' controllers read them, lists with commas between.

    `action_scale` is what is left to do outside of the file: to multiply by one.
    """
    world, keys = contract.world, {}
    if world is not None and world.observation_names is not None:
        keys["observation_names"] = ",".join(world.observation_names)
    if world is not None and world.joint_names is not None:
        keys["joint_names"] = ",".join(world.joint_names)
        keys["action_scale"] = ",".join("1.0" for _ in world.joint_names)
    return keys


def _scaling(name: str, scaled: Any) -> Scaling:
    listed = scaled.mean.numel() <= LISTED
    return Scaling(
        input=name,
        mean=tuple(scaled.mean.reshape(-1).tolist()) if listed else None,
        std=tuple(scaled.std.reshape(-1).tolist()) if listed else None,
        clip=scaled.clip if math.isfinite(scaled.clip) else None,
    )


def _history(agent: Agent) -> History:
    origin, run = agent.origin, tuning_of(agent)
    return History(
        source=None if origin.path is None else Path(origin.path).name,
        sha256=origin.sha256,
        revision=origin.revision,
        env_id=origin.env_id,
        steps=origin.steps,
        methods=tuple(method.to_config() for method in agent.methods),
        run=None if run is None else run.facts(),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
