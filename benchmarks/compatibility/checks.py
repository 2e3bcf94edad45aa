"""What is promised of a cell, tried: equal to stock SB3, tuned to a report, and on with stock SB3 from there."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import evaluate
from acclimate.planning.arguments import trainable_algorithm
from acclimate.planning.recipe import EvaluationPlan, Recipe, WarmStart
from acclimate.runs.finetune import finetune
from acclimate.sb3 import settings
from acclimate.sb3.vocabulary import ALGORITHMS
from benchmarks.compatibility.cells import Cell

EPISODES = 2
SEED = 100
FURTHER = 256
"""Steps that stock SB3 trains on for."""


def play(model: BaseAlgorithm, venv: VecEnv) -> list[float]:
    """Return what stock SB3's `predict` comes to in each episode, every one reset by its seed."""
    if isinstance(normalize := model.get_vec_normalize_env(), VecNormalize):
        normalize.training = normalize.norm_reward = False
    returns = []
    for seed in range(SEED, SEED + EPISODES):
        venv.seed(seed)
        seen, state, start, done, total = venv.reset(), None, np.ones(1, bool), False, 0.0
        while not done:
            masks = {"action_masks": np.stack(venv.env_method("action_masks"))} if _masked(model) else {}
            action, state = model.predict(seen, state, start, deterministic=True, **masks)
            seen, reward, start, _ = venv.step(action)
            done, total = bool(start[0]), total + float(reward[0])
        returns.append(total)
    return returns


def _masked(model: BaseAlgorithm) -> bool:
    return type(model).__name__ == "MaskablePPO"


def equals_stock(cell: Cell, model: BaseAlgorithm) -> Agent:
    """Check that `evaluate` gives what stock SB3 does, episode by episode, and return the agent.

    Raises:
        AssertionError: It does not.
    """
    venv = model.get_env()
    stock = play(model, venv)
    agent = load(model)
    ours = evaluate(agent, cell.task(), episodes=EPISODES, seed=SEED, n_envs=1).returns
    if not np.allclose(ours, stock, rtol=1e-6, atol=1e-6):
        raise AssertionError(f"evaluate gives {ours.tolist()}, stock SB3 {stock}")
    return agent


def tunable(agent: Agent) -> str:
    """Return why `finetune` does not take the agent's algorithm, in its own words; empty if it does."""
    try:
        trainable_algorithm(agent, Recipe())
    except ConfigError as error:
        return str(error)
    return ""


def tuned(cell: Cell, agent: Agent, out: Path, **recipe: Any) -> None:
    """Tune the agent to a changed world, from which a report and an agent have to come.

    Raises:
        AssertionError: A file is missing.
        AcclimateError: `finetune` refuses or fails.
    """
    short = {"evaluation": EvaluationPlan(points=1, episodes=2, judging_episodes=2, final_episodes=2, n_envs=2),
             "warm_start": WarmStart(probe_episodes=1), "steps": 320, "n_envs": 2,
             "algorithm": {"n_epochs": 1} if "n_epochs" in settings.defaults(agent.algorithm) else {}}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = finetune(agent, cell.task(shift=0.5), Recipe(**{**short, **recipe}), source=cell.task(), out=out,
                       progress=False)  # fmt: skip
    files = ["report.json", "report.html", "agent.zip"] + ["vecnormalize.pkl"] * (agent.normalizer is not None)
    missing = [name for name in files if not (out / name).exists()]
    if missing or run.folder != out:
        raise AssertionError(f"the run wrote no {', '.join(missing)}")


def goes_on(cell: Cell, out: Path) -> None:
    """Let stock SB3 load what the run wrote, in the changed world, and train on.

    Raises:
        AssertionError: It took fewer steps than it was to.
    """
    venv: Any = cell.vector(shift=0.5)
    if isinstance(venv, VecNormalize):
        venv = VecNormalize.load(str(out / "vecnormalize.pkl"), venv.venv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ALGORITHMS[cell.algorithm].load(out / "agent.zip", env=venv, device="cpu")
        begun = model.num_timesteps
        model.learn(FURTHER, reset_num_timesteps=False)
    if model.num_timesteps < begun + FURTHER:
        raise AssertionError(f"stock SB3 stopped at {model.num_timesteps} steps")
