"""A TRPO agent in a whole run: trained by sb3-contrib's TRPO, or as PPO and for a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import TRPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecNormalize

from acclimate.agents.load import load
from acclimate.evaluation.seeds import training_seed
from acclimate.methods.freeze import Freeze
from acclimate.methods.kl import KLToPrior
from acclimate.methods.l2_init import L2Init
from acclimate.methods.lora import LoRA
from acclimate.methods.warmup import Warmup
from acclimate.runs.finetune import finetune
from tests.world import agent, recipe, same, task, weights

SEARCH = {"n_critic_updates": 3, "cg_max_steps": 7, "cg_damping": 0.2, "target_kl": 0.02}
SEARCH |= {"line_search_max_iter": 12, "line_search_shrinking_factor": 0.7, "sub_sampling_factor": 2}


class Begin(BaseCallback):
    """Draw from the same random numbers from the first step on, and keep what was learnt in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.learnt: dict[str, torch.Tensor] = {}
        self.seen: Any = None
        self.algorithm = ""

    def _on_training_start(self) -> None:
        set_random_seed(7)
        self.algorithm = type(self.model).__name__

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.learnt, self.seen = weights(self.model), self.model.get_vec_normalize_env()


@pytest.mark.parametrize("discrete", [False, True])
def test_a_run_without_methods_is_sb3_contribs_own(discrete: bool, tmp_path: Path) -> None:
    """The zip and the normaliser given to stock TRPO, in the same episodes, end with the same weights bit for bit."""
    given = agent("trpo", normalize=True, discrete=discrete, learning_rate=2e-3, **SEARCH)
    given.save(tmp_path / "agent.zip")
    world, ours, theirs = task("trpo", offset=0.5, discrete=discrete), Begin(), Begin()
    asked = recipe(mode="continue", steps=96, n_envs=2, seed=5, vec_env="dummy")
    finetune(given, world, asked, callback=ours, progress=False)

    venv = world.vector(2, seed=training_seed(5), kind="dummy")
    stock = TRPO.load(tmp_path / "agent.zip", VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), venv), device="cpu")
    venv.seed(training_seed(5))
    stock.learn(96, callback=theirs, reset_num_timesteps=False)
    assert not same(ours.learnt, weights(given)), "nothing was learnt"
    assert same(ours.learnt, theirs.learnt)
    assert np.array_equal(ours.seen.obs_rms.mean, theirs.seen.obs_rms.mean)
    assert ours.seen.ret_rms.var == theirs.seen.ret_rms.var


def test_what_the_agent_had_is_carried_on(tmp_path: Path) -> None:
    given, seen, said = agent("trpo", normalize=True, learning_rate=2e-3, **SEARCH), [], []

    def look(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        seen.append(scope["self"])
        return True

    asked = recipe(steps=400, n_envs=2, algorithm={"n_steps": 16}, warm_start={"std": 0.9}, averaging=0.8)
    run = finetune(given, task("trpo", offset=0.5), asked, out=tmp_path / "run", callback=look, say=said.append)
    model = seen[0]
    assert isinstance(model, TRPO)
    assert {name: getattr(model, name) for name in SEARCH} == SEARCH
    assert (model.lr_schedule(1.0), model.n_steps, model.batch_size, model.n_envs) == (2e-3, 16, 16, 2)
    report = run.report
    assert (report.algorithm, report.steps_charged) == ("trpo", 8 + 384)
    engine = next(choice for choice in report.choices if choice[0] == "engine")
    assert engine[1:] == ("sb3", "the algorithm TRPO: left to Stable-Baselines3 itself")
    assert any(row[0] == "averaging of weights" and row[1] == "0.8" for row in report.choices)
    assert report.signals["training/explained_variance"][-1] is not None
    assert report.signals["training/approx_kl"][-1] is not None
    stock = TRPO.load(tmp_path / "run" / "agent.zip", env=task("trpo").vector(2, seed=0), device="cpu")
    before = weights(stock)
    assert {name: getattr(stock, name) for name in SEARCH} == SEARCH
    stock.learn(64)
    assert not same(before, weights(stock))
    assert load(tmp_path / "run").algorithm == "trpo"


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"methods": (KLToPrior(),)}, "`kl` adds to the actor's loss"),
        ({"methods": (Freeze(on="critic:value_net"), Warmup())}, "`warmup` sets the actor's learning rates"),
        ({"warm_start": {"tie": 0.3}}, "`bc` adds to the actor's loss"),
        ({"warm_start": {"critic_warmup": 30}}, "`hold` edits the actor's gradients"),
        ({"methods": (Freeze(on="actor"),)}, "all of the actor is frozen"),
    ],
    ids=["kl", "warmup", "tie", "critic-warmup", "frozen"],
)
def test_as_ppo_where_a_method_needs_it_and_the_run_says_why(asked: dict[str, Any], why: str) -> None:
    said: list[str] = []
    begun = Begin()
    home = task("trpo")
    finetune(agent("trpo"), task("trpo", offset=0.5), recipe(**asked), source=home, say=said.append, callback=begun)
    (line,) = [line for line in said if line.startswith("  algorithm")]
    assert why in line
    assert "tuned as PPO" in line
    assert begun.algorithm == "PPO"


@pytest.mark.parametrize("method", [LoRA(rank=2), Freeze(on="*:mlp_extractor"), L2Init()], ids=lambda m: m.name)
def test_by_trpo_where_no_method_needs_more(method: Any) -> None:
    given, begun = agent("trpo"), Begin()
    before = weights(given)
    run = finetune(given, task("trpo", offset=0.5), recipe(methods=(method,)), callback=begun)
    assert begun.algorithm == "TRPO"
    assert not any(choice[0] == "algorithm" for choice in run.report.choices)
    assert same(before, weights(given)), "the agent that was given was changed by looking whether it works"
