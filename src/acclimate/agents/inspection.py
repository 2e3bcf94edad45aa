"""What an agent is made of, as data and as text."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from torch import nn

from acclimate.agents.agent import Agent
from acclimate.sb3.normalizer import Normalizer


def describe(agent: Agent) -> dict[str, Any]:
    """Return what an agent is made of, JSON-able.

    The fields: ``algorithm``, ``policy``, ``policy_kwargs``, ``env_id``, ``steps``, ``source`` (path, sha256,
    revision), ``versions``, ``observation_space``, ``action_space``, ``methods`` (those that its networks carry
    because they cannot end as stock ones), ``networks`` (each with its layers and
    number of parameters), ``parameters``, ``normalizer``, ``hindsight``, ``hyperparameters``, ``config`` (hints
    beside the file) and ``unread`` (each with ``field`` and ``reason``).
    """
    origin, blueprint = agent.origin, agent.blueprint
    return _jsonable(
        {
            "algorithm": agent.algorithm,
            "policy": blueprint.policy,
            "policy_kwargs": blueprint.policy_kwargs,
            "env_id": origin.env_id,
            "steps": origin.steps,
            "source": {"path": origin.path, "sha256": origin.sha256, "revision": origin.revision},
            "versions": dict(origin.versions),
            "observation_space": str(agent.observation_space),
            "action_space": str(agent.action_space),
            "methods": [method.to_config() for method in agent.methods],
            "networks": [_network(name, module) for name, module in agent.model.policy.named_children()],
            "parameters": sum(parameter.numel() for parameter in agent.model.policy.parameters()),
            "normalizer": None if agent.normalizer is None else _normalizer(agent.normalizer, origin.normalizer),
            "hindsight": None if blueprint.hindsight is None else str(blueprint.hindsight),
            "hyperparameters": blueprint.hyperparameters,
            "config": dict(origin.config),
            "unread": [{"field": field, "reason": reason} for field, reason in origin.unread],
        }
    )


def _network(name: str, module: nn.Module) -> dict[str, Any]:
    layers = [{"name": path, "layer": str(part)} for path, part in module.named_modules() if not any(part.children())]
    return {
        "name": name,
        "layers": layers,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
    }


def _normalizer(found: Normalizer, file: str | None) -> dict[str, Any]:
    counts = found.obs_count
    return {
        "file": file,
        "observations": found.norm_obs,
        "rewards": found.norm_reward,
        "shape": found.shapes,
        "count": max(counts.values(), default=0) if isinstance(counts, dict) else counts,
        "clip_obs": found.clip_obs,
        "clip_reward": found.clip_reward,
        "gamma": found.gamma,
        "return_std": float(np.sqrt(found.ret_var)),
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def render(description: dict[str, Any]) -> str:
    """Return what `describe` found as text for a terminal."""
    source, environment = description["source"], description["env_id"] or "an unknown environment"
    lines = [
        f"{description['algorithm']} agent ({description['policy']}) of {environment}, "
        f"trained for {description['steps']} steps",
        *_row("file", source["path"]),
        *_row("sha256", source["sha256"]),
        *_row("revision", source["revision"]),
        *_row("saved by", ", ".join(f"{name} {version}" for name, version in description["versions"].items())),
        *_row("observations", description["observation_space"]),
        *_row("actions", description["action_space"]),
        *_row("normaliser", _normalizer_text(description["normalizer"])),
        *_row("hindsight", description["hindsight"]),
        *_row("parameters", f"{description['parameters']:,}"),
    ]
    for network in description["networks"]:
        if network["parameters"]:
            lines.append(f"  {network['name']}: {network['parameters']:,} parameters")
            lines += [f"    {layer['name'] or network['name']}: {layer['layer']}" for layer in network["layers"]]
    carried = [{item: {}} if isinstance(item, str) else item for item in description["methods"]]
    lines += _section("methods in its networks", {name: fields for item in carried for name, fields in item.items()})
    lines += _section("policy arguments", description["policy_kwargs"])
    lines += _section("hyperparameters", description["hyperparameters"])
    lines += _section("said beside the file", description["config"])
    lines += _section("not read", {row["field"]: row["reason"] for row in description["unread"]})
    return "\n".join(lines)


def _row(name: str, value: Any) -> list[str]:
    return [f"{name + ':':<14}{value}"] if value else []


def _section(title: str, rows: dict[str, Any]) -> list[str]:
    shown = [f"  {key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in rows.items()]
    return [f"{title}:", *shown] if rows else []


def _normalizer_text(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none (raw observations)"
    what = [name for name in ("observations", "rewards") if found[name]]
    file = f" ({found['file']})" if found["file"] else ""
    seen = f"from {found['count']:,.0f} observations"
    return f"{' and '.join(what) or 'nothing'}, {seen}, clipped at {found['clip_obs']}{file}"
