"""The rows: the agent as it is, sb3-contrib's own `learn` with our settings, and `acclimate finetune`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.seeds import FINAL_SEED
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.runs.finetune import finetune
from acclimate.sb3.vocabulary import ALGORITHMS
from acclimate.tasks.task import Task
from benchmarks.kin.cases import PRETRAINING_ENVS, Case

EPISODES = 50
PRETRAINING_SEED, TRAINING_SEED = 1_000_000, 90_000


@dataclass
class Cell:
    """What one row brought with one seed; returns are of paired episodes."""

    case: str
    row: str
    seed: int
    steps: int = 0
    seconds: float = 0.0
    target: list[float] = field(default_factory=list)
    source: list[float] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def agent_of(case: Case, folder: Path) -> Agent:
    """Return the agent of a case, trained from scratch where its zip is not in the folder yet."""
    path = folder / f"{case.algorithm}.zip"
    if not path.exists():
        venv = case.source.vector(PRETRAINING_ENVS, seed=PRETRAINING_SEED)
        model = ALGORITHMS[case.algorithm](case.policy, venv, seed=0, device="cpu", **case.arguments)
        model.learn(case.pretraining)
        folder.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return load(path)


def zero_shot(case: Case, agent: Agent, seed: int, folder: Path) -> Cell:
    """The agent as it is, and whether sb3-contrib's own evaluation has the same returns."""
    cell = _measured(Cell(case.name, "zero-shot", seed), case, agent)
    stock = _by_stock(agent, case.target)
    return Cell(**{**vars(cell), "extra": {"stock": stock, "identical": stock == cell.target}})


def stock(case: Case, agent: Agent, seed: int, folder: Path) -> Cell:
    """sb3-contrib's `learn` from the agent's weights, with the settings and the steps that ours has without a probe."""
    plan = make_plan(agent, Recipe(steps=case.steps, seed=seed), Situation(), home=False)
    venv = case.target.vector(plan.n_envs, seed=TRAINING_SEED + seed)
    model = agent.blueprint.build(env=venv, seed=seed, verbose=0, **plan.hyperparameters)
    model.policy.load_state_dict(agent.model.policy.state_dict())
    begun = time.perf_counter()
    model.learn(plan.steps)
    cell = Cell(case.name, "sb3-contrib, same settings", seed, model.num_timesteps, time.perf_counter() - begun)
    venv.close()
    return _measured(cell, case, agent.around(model, normalizer=None))


def ours(case: Case, agent: Agent, seed: int, folder: Path) -> Cell:
    """`acclimate finetune` with its defaults."""
    asked = Recipe(steps=case.steps, seed=seed)
    report = finetune(agent, case.target, asked, source=case.source, out=folder, progress=False).report
    cell = Cell(case.name, "acclimate", seed, report.steps_charged, report.wall_seconds)
    cell.target, cell.source = report.target.after.returns.tolist(), report.source.after.returns.tolist()
    last = report.target.last
    cell.extra = {
        "kept": report.kept,
        "verdict": report.verdict,
        "last_target": None if last is None else last.returns.tolist(),
        "choices": report.choices,
    }
    return cell


ROWS = {"zero-shot": zero_shot, "sb3-contrib, same settings": stock, "acclimate": ours}


def _measured(cell: Cell, case: Case, agent: Agent) -> Cell:
    cell.target = evaluate(agent, case.target, episodes=EPISODES, seed=FINAL_SEED).returns.tolist()
    cell.source = evaluate(agent, case.source, episodes=EPISODES, seed=FINAL_SEED).returns.tolist()
    return cell


class _Seeded(gym.Wrapper):
    """Begins episode after episode by our seeds, as the stock evaluations give none."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._next = FINAL_SEED

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin the next one."""
        self._next += 1
        return self.env.reset(seed=self._next - 1, options=options)


def _by_stock(agent: Agent, task: Task) -> list[float]:
    judge = evaluate_masked if agent.masked else evaluate_policy
    env = Monitor(_Seeded(task.make()))
    returns, _ = judge(agent.model, env, n_eval_episodes=EPISODES, return_episode_rewards=True)
    env.close()
    return np.asarray(returns, dtype=np.float64).tolist()
