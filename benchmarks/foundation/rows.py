"""The rows of the foundation benchmark: what each kind of user does with the agent."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

import acclimate as ac
from acclimate.agents.agent import Agent
from acclimate.evaluation.evaluate import evaluate
from acclimate.evaluation.seeds import FINAL_SEED, SELECTION_SEED
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.sb3.normalizer import Normalizer
from acclimate.tasks.task import Task
from benchmarks.foundation.cases import Case

POINTS = 5
POINT_EPISODES = 5
FINAL_EPISODES = 50
TRAINING_SEED = 90_000


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
    curve: list[tuple[int, float]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def load(case: Case, zoo: Path) -> tuple[Agent, Task, Task]:
    """Return the agent, its source task and its target task."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent = ac.load(zoo / case.zip)
    source = Task(case.env)
    return agent, source, source.shifted(*(ac.shifts.parse(text) for text in case.shifts))


def zero_shot(case: Case, seed: int, zoo: Path) -> Cell:
    """The agent as it is."""
    agent, source, target = load(case, zoo)
    begun = time.perf_counter()
    cell = Cell(case.name, "zero-shot", seed)
    _measure(cell, agent, target, source)
    cell.seconds = time.perf_counter() - begun
    return cell


def naive(case: Case, seed: int, zoo: Path) -> Cell:
    """Stock SB3 with the saved hyperparameters and a new normaliser."""
    return _stock(case, seed, zoo, "naive", carry=False)


def naive_carried(case: Case, seed: int, zoo: Path) -> Cell:
    """The same with the normaliser carried over."""
    return _stock(case, seed, zoo, "naive, normaliser carried", carry=True)


def _stock(case: Case, seed: int, zoo: Path, row: str, *, carry: bool) -> Cell:
    agent, source, target = load(case, zoo)
    model = continued(case, seed, agent, target, carry=carry)
    return _learn(Cell(case.name, row, seed), agent, model, case.steps, target, source)


def continued(case: Case, seed: int, agent: Agent, target: Task, *, carry: bool) -> BaseAlgorithm:
    """Return a stock model with the agent's weights and hyperparameters, and its normaliser where it is carried."""
    venv = target.vector(case.n_envs, seed=TRAINING_SEED + seed)
    env = _normalised(agent, venv, carry)
    model = agent.blueprint.build(env=env, seed=seed, verbose=0, **_own_schedules(case))
    model.policy.load_state_dict(agent.model.policy.state_dict())
    for name in model._get_torch_save_params()[1]:
        getattr(model, name).data.copy_(getattr(agent.model, name).data)
    return model


def scratch(case: Case, seed: int, zoo: Path) -> Cell:
    """Fresh networks of the same shape, with the hyperparameters that ours uses (off-policy: the agent's own)."""
    agent, source, target = load(case, zoo)
    model, steps = fresh(case, seed, agent, target)
    return _learn(Cell(case.name, "scratch", seed), agent, model, steps, target, source)


def fresh(case: Case, seed: int, agent: Agent, target: Task) -> tuple[BaseAlgorithm, int]:
    """Return a stock model with fresh networks, and how many steps of it make ours of the case."""
    plan = make_plan(agent, Recipe(steps=case.steps, seed=seed), Situation())
    venv = target.vector(plan.n_envs, seed=TRAINING_SEED + seed)
    env = _normalised(agent, venv, False)
    hyper = dict(plan.hyperparameters)
    if plan.prior_steps:
        hyper["learning_starts"] = 1_000
    if "exploration_initial_eps" in hyper:
        hyper |= {"exploration_initial_eps": 1.0, "exploration_fraction": 0.12}
    return agent.blueprint.build(env=env, seed=seed, verbose=0, **hyper), plan.steps


def ours(case: Case, seed: int, zoo: Path, folder: Path) -> Cell:
    """`acclimate finetune` with its defaults."""
    agent, source, target = load(case, zoo)
    run = ac.finetune(agent, target, Recipe(steps=case.steps, seed=seed), source=source, out=folder, progress=False)
    report = run.report
    cell = Cell(case.name, "acclimate", seed, report.steps_charged, report.wall_seconds)
    cell.target, cell.source = report.target.after.returns.tolist(), report.source.after.returns.tolist()
    cell.curve = [(p.steps, float(p.evaluation.returns.mean())) for p in report.curve if p.steps]
    last, last_source = report.target.last, report.source.last
    cell.extra = {
        "kept": report.kept,
        "verdict": report.verdict,
        "last_target": last.returns.tolist() if last else None,
        "last_source": last_source.returns.tolist() if last_source else None,
        "choices": report.choices,
        "situation": dict(report.situation),
        "stock": _stock_takes_it(run, target, folder),
    }
    return cell


def _stock_takes_it(run: Any, target: Task, folder: Path) -> dict[str, Any]:
    """Load the tuned zip by stock SB3, compare its actions, and train on for 1,000 steps."""
    cls = type(run.agent.model)
    venv = target.vector(1, seed=TRAINING_SEED)
    pickle = folder / "vecnormalize.pkl"
    env: VecEnv = VecNormalize.load(str(pickle), venv) if pickle.exists() else venv
    model = cls.load(folder / "agent.zip", env=env, device="cpu")
    probe = target.make()
    raw = [probe.reset(seed=0)[0]]
    for _ in range(63):
        observation, _, over, cut, _ = probe.step(probe.action_space.sample())
        raw.append(probe.reset()[0] if over or cut else observation)
    seen = np.stack(raw)
    scaled = env.normalize_obs(seen) if isinstance(env, VecNormalize) else seen
    same = np.array_equal(model.predict(scaled, deterministic=True)[0], run.agent.predict(seen, deterministic=True)[0])
    model.learn(1_000)  # counts from zero
    return {"identical": bool(same), "trained_on": int(model.num_timesteps)}


def _normalised(agent: Agent, venv: VecEnv, carry: bool) -> VecEnv:
    saved = agent.normalizer
    if saved is None:
        return venv
    if not carry:
        return VecNormalize(venv, gamma=saved.gamma, clip_obs=saved.clip_obs, norm_reward=saved.norm_reward)
    env = saved.vec_normalize(venv, training=True, norm_reward=saved.norm_reward)
    env.ret_rms = RunningMeanStd(shape=())
    return env


def _own_schedules(case: Case) -> dict[str, Any]:
    return {name: _schedule(value) for name, value in case.saved.items()}


def _schedule(value: Any) -> float | Callable[[float], float]:
    if isinstance(value, str):
        start = float(value.removeprefix("lin_"))
        return lambda remaining: start * max(remaining, 0.0)
    return value


class _Curve(BaseCallback):
    def __init__(self, due: list[int], measure: Callable[[], float]) -> None:
        super().__init__()
        self.due, self.measure, self.rows = due, measure, []

    def _on_step(self) -> bool:
        if self.due and self.num_timesteps >= self.due[0]:
            self.due.pop(0)
            self.rows.append((self.num_timesteps, self.measure()))
        return True


def now(agent: Agent, model: BaseAlgorithm) -> Agent:
    """Return the model in training as an agent, with its normaliser as it stands."""
    vec = model.get_vec_normalize_env()
    return Agent(agent.blueprint, model, None if vec is None else Normalizer.from_vec_normalize(vec), agent.origin)


def _learn(cell: Cell, agent: Agent, model: BaseAlgorithm, steps: int, target: Task, source: Task) -> Cell:
    def measure() -> float:
        return float(evaluate(now(agent, model), target, episodes=POINT_EPISODES, seed=SELECTION_SEED).returns.mean())

    begun = time.perf_counter()
    due = [round(steps * i / POINTS) for i in range(1, POINTS)]
    curve = _Curve(due, measure)
    model.learn(steps, callback=curve)
    cell.steps, cell.seconds = model.num_timesteps, time.perf_counter() - begun
    tuned = now(agent, model)
    cell.curve = [*curve.rows, (model.num_timesteps, measure())]
    _measure(cell, tuned, target, source)
    model.env.close()
    return cell


def _measure(cell: Cell, agent: Agent, target: Task, source: Task) -> None:
    cell.target = evaluate(agent, target, episodes=FINAL_EPISODES, seed=FINAL_SEED).returns.tolist()
    cell.source = evaluate(agent, source, episodes=FINAL_EPISODES, seed=FINAL_SEED).returns.tolist()
