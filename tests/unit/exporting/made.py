"""Small agents with weights that decide differently here and there, and their exports."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

import acclimate as ac
from acclimate.exporting.contract.contract import Contract
from acclimate.exporting.graph.module import Graph
from acclimate.exporting.graph.samples import drawn
from acclimate.exporting.graph.writing import onnx_of
from acclimate.sb3.normalizer import Normalizer
from tests import tiny

NORMALISED = ("ppo", "her", "td3", "recurrent_ppo")


def restless(model: BaseAlgorithm, seed: int = 0) -> BaseAlgorithm:
    """Return a model whose weights are large enough for its choices to change with what it sees."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def scaled(agent: ac.Agent, seed: int = 0) -> ac.Agent:
    """Return the agent with the normaliser of some world."""
    rng = np.random.default_rng(seed)
    fresh = Normalizer.identity(agent.observation_space)

    def between(moments: Any, low: float, high: float) -> Any:
        if isinstance(moments, dict):
            return {key: rng.uniform(low, high, value.shape) for key, value in moments.items()}
        return rng.uniform(low, high, moments.shape)

    mean, variance = between(fresh.obs_mean, -3, 3), between(fresh.obs_var, 1e-3, 4)
    agent.normalizer = dataclasses.replace(fresh, obs_mean=mean, obs_var=variance, clip_obs=1.5)
    return agent


@functools.cache
def agent(name: str) -> ac.Agent:
    made = ac.load(restless(tiny.model(name, steps=0)))
    if name == "ppo-cnn":
        undecided(made)
    return scaled(made) if name in NORMALISED else made


def undecided(agent: ac.Agent) -> None:
    """Move the logits of a policy so that none of its choices is the best on the whole."""
    graph = Graph(agent)
    seen = drawn(agent, graph.ports, 64, seed=9)
    with torch.no_grad():
        logits = graph.scores(*(torch.as_tensor(each) for each in seen.values()))[0]
        agent.model.policy.action_net.bias.sub_(logits.mean(0))


@functools.cache
def exported(name: str) -> tuple[bytes, Contract]:
    return onnx_of(agent(name))
