"""A recurrent and a masked agent in a whole run: trained by sb3-contrib, as sb3-contrib trains them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecNormalize

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.errors import TaskError
from acclimate.evaluation.seeds import training_seed
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.lora import LoRA
from acclimate.methods.residual import Residual
from acclimate.runs.finetune import finetune
from acclimate.tasks.task import Task
from tests.world import Dot, Fenced, agent, model, observations, recipe, same, task, weights

STOCK: dict[str, Any] = {"recurrent_ppo": RecurrentPPO, "maskable_ppo": MaskablePPO}
KIN = list(STOCK)
BATCHES = {"recurrent_ppo": 32, "maskable_ppo": 16}


class Begin(BaseCallback):
    """Draw from the same random numbers from the first step on, and keep what was learnt in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.learnt: dict[str, torch.Tensor] = {}
        self.seen: Any = None

    def _on_training_start(self) -> None:
        set_random_seed(7)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self.learnt, self.seen = weights(self.model), self.model.get_vec_normalize_env()


@pytest.mark.parametrize("methods", [(), (Full(),)], ids=["none", "full"])
@pytest.mark.parametrize("name", KIN)
def test_a_run_without_methods_is_sb3_contribs_own(name: str, methods: Any, tmp_path: Path) -> None:
    """The zip and the normaliser given to the stock class, in the same episodes, end with the same weights."""
    given = agent(name, normalize=True)
    given.save(tmp_path / "agent.zip")
    world, ours, theirs = task(name, offset=0.5), Begin(), Begin()
    asked = recipe(mode="continue", steps=96, n_envs=2, seed=5, vec_env="dummy", methods=methods)
    finetune(given, world, asked, callback=ours, progress=False)

    venv = world.vector(2, seed=training_seed(5), kind="dummy")
    normal = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), venv)
    stock = STOCK[name].load(tmp_path / "agent.zip", normal, device="cpu")
    venv.seed(training_seed(5))
    stock.learn(96, callback=theirs, reset_num_timesteps=False)
    assert not same(ours.learnt, weights(given)), "nothing was learnt"
    assert same(ours.learnt, theirs.learnt)
    assert np.array_equal(ours.seen.obs_rms.mean, theirs.seen.obs_rms.mean)


@pytest.mark.parametrize("name", KIN)
def test_the_engine_leaves_it_to_sb3_contrib_and_stock_goes_on(name: str, tmp_path: Path) -> None:
    """Another number of environments than in pretraining; the zip loads, acts and trains in stock sb3-contrib."""
    given, seen, said = agent(name, batch_size=BATCHES[name]), [], []

    def look(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        seen.append(scope["self"])
        return True

    asked = recipe(steps=600, n_envs=3, algorithm={"n_steps": 32}, warm_start={"critic_warmup": 60}, averaging=0.8)
    run = finetune(given, task(name, offset=0.5), asked, out=tmp_path / "run", callback=look, say=said.append)
    trained, report = seen[0], run.report
    assert isinstance(trained, STOCK[name])
    assert (trained.n_envs, trained.batch_size) == (3, 48 if name == "maskable_ppo" else 32)
    assert report.algorithm == name
    (engine,) = [choice for choice in report.choices if choice[0] == "engine"]
    assert engine[1:] == ("sb3", f"the algorithm {STOCK[name].__name__}: left to Stable-Baselines3 itself")
    assert ("averaging of weights", "0.8") in [choice[:2] for choice in report.choices]
    assert all(report.signals[f"training/{what}"][-1] is not None for what in ("approx_kl", "explained_variance"))
    assert report.signals["policy/step_zero"][0] < 1e-5
    assert any(line.startswith("  action masks") for line in said) is (name == "maskable_ppo")

    stock = STOCK[name].load(tmp_path / "run" / "agent.zip", env=task(name).vector(2, seed=0), device="cpu")
    shown = observations(5)
    assert np.array_equal(stock.predict(shown, deterministic=True)[0], run.agent.predict(shown, deterministic=True)[0])
    before = weights(stock)
    stock.learn(64)
    assert not same(before, weights(stock))
    assert load(tmp_path / "run").algorithm == name


@pytest.mark.parametrize("kind", ["auto", pytest.param("subproc", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", KIN)
def test_where_environments_are_stepped_changes_no_number(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acclimate.tasks.task.processes", lambda *_: 2)

    def learnt(vec_env: Any) -> dict[str, torch.Tensor]:
        ends = Begin()
        asked = recipe(steps=480, n_envs=3, vec_env=vec_env, methods=(KLToPrior(),))
        finetune(agent(name), task(name, offset=0.5), asked, callback=ends, progress=False)
        return ends.learnt

    assert same(learnt("dummy"), learnt(kind))


@pytest.mark.parametrize("name", KIN)
def test_what_stays_in_the_networks_goes_into_a_bundle(name: str, tmp_path: Path) -> None:
    asked = recipe(steps=480, n_envs=2, methods=(Residual(width=3),))
    run = finetune(agent(name), task(name, offset=0.5), asked, out=tmp_path / "run", progress=False)
    again, shown = load(tmp_path / "run" / "bundle"), observations(5)
    assert again.methods == run.agent.methods
    assert np.array_equal(again.predict(shown, deterministic=True)[0], run.agent.predict(shown, deterministic=True)[0])


def test_what_a_method_leaves_out_is_said() -> None:
    said: list[str] = []
    asked = recipe(methods=(LoRA(rank=1),))
    held: list[Agent] = []

    def look(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        held.append(scope["self"].policy.lstm_actor.weight_hh_l0.requires_grad)
        return True

    finetune(agent("recurrent_ppo"), task("recurrent_ppo", offset=0.5), asked, say=said.append, callback=look)
    assert "note: `lora` acts on linear and convolutional layers, not on lstm_actor and lstm_critic" in said
    assert not any(held), "what it leaves out is trained"


def test_a_world_without_masks_is_trained_in_as_it_is_evaluated() -> None:
    """Among all actions, and it is said so; nothing raises there."""
    said: list[str] = []
    bare = Task(Dot, env_kwargs={"discrete": True, "offset": 0.5})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = finetune(agent("maskable_ppo"), bare, recipe(steps=480), say=said.append)
    assert run.report.steps_charged > 264
    (line,) = [line for line in said if line.startswith("  action masks")]
    assert "tells none: chooses among all actions" in line


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (lambda env: np.ones(2, bool), "gave 2 numbers by `action_masks` for 3 choices"),
        (lambda env: np.zeros(3, bool), "allows no action by `action_masks`, and did not end its episode"),
    ],
    ids=["size", "none"],
)
def test_a_mask_that_is_none_ends_training_and_names_the_step(masks: Any, said: str) -> None:
    class Late(Fenced):
        def action_masks(self) -> np.ndarray:
            return masks(self) if self.trains and self.total > 9 else super().action_masks()

    given = agent("maskable_ppo")
    with pytest.raises(TaskError, match=rf"Late, episode \d+ .*, step \d, {said}"):
        finetune(given, Task(Late, env_kwargs={"discrete": True}), recipe(warm_start={"probe_episodes": 0}))


def test_an_agent_that_has_learnt_its_masks_by_heart_is_opened_among_what_is_allowed() -> None:
    """Its entropy is a share of what its masks leave, and the temperature changes no choice."""
    made = model("maskable_ppo", steps=0)
    with torch.no_grad():
        made.policy.action_net.weight.mul_(1e3)
    given, said = load(made), []
    run = finetune(given, task("maskable_ppo", offset=3.0), recipe(steps=600), say=said.append, progress=False)
    found = run.report.situation
    assert found["entropy"] < 0.2
    assert found["temperature"] > 2
    assert any("softmax temperature" in line for line in said)
    assert run.report.signals["policy/step_zero"][0] < 1e-5
