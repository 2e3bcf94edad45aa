"""The whole way: what is left alone, what is refused, what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.errors import ConfigError, SurgeryError, TaskError
from acclimate.evaluation.seeds import DIAGNOSIS_SEED, METHOD_SEED, PROBE_SEED, TRAINING_SEED
from acclimate.methods.batchnorm import BatchNorm
from acclimate.methods.ewc import EWC
from acclimate.methods.freeze import Freeze
from acclimate.methods.policy_expansion import PolicyExpansion
from acclimate.methods.prior_replay import PriorReplay
from acclimate.runs.finetune import finetune
from tests.world import TUNABLE, Dot, agent, linear, observations, recipe, same, task, weights


@pytest.mark.parametrize("name", TUNABLE)
def test_the_given_agent_is_left_as_it_is(name: str) -> None:
    given = agent(name, normalize=name != "dqn")
    before, acts = weights(given), given.predict(observations(), deterministic=True)[0]
    statistics = None if given.normalizer is None else given.normalizer.copy()
    run = finetune(given, task(name, offset=0.5), recipe(averaging=0.5, steps=400))
    assert same(before, weights(given))
    assert np.array_equal(acts, given.predict(observations(), deterministic=True)[0])
    if statistics is not None:
        assert np.array_equal(statistics.obs_mean, given.normalizer.obs_mean)
        assert np.array_equal(statistics.obs_var, given.normalizer.obs_var)
        assert (statistics.obs_count, statistics.ret_var) == (given.normalizer.obs_count, given.normalizer.ret_var)
    assert given.model.get_env() is None
    assert run.agent is not given
    assert run.agent.model is not given.model
    assert run.agent.algorithm == name
    assert run.report.steps_charged <= 400


@pytest.mark.parametrize("folder", [True, False])
def test_what_no_report_can_hold_is_refused_before_anything_is_played(folder: bool, tmp_path: Path) -> None:
    played: list[tuple[int | None, list[Any]]] = []
    asked = recipe(algorithm={"replay_buffer_class": type("Own", (), {})})
    with pytest.raises(ConfigError, match=r"replay_buffer_class: .*Own.* cannot be written to a file"):
        finetune(agent("sac"), task("sac", trace=played), asked, out=tmp_path / "run" if folder else None)
    assert [actions for _, actions in played if actions] == []
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("methods", [(), (EWC(stored=24),)], ids=["none", "ewc"])
@pytest.mark.parametrize("name", ["ppo", "sac", "dqn"])
def test_every_step_that_is_charged_was_taken(name: str, methods: tuple[Any, ...]) -> None:
    """Steps are counted in the environments themselves: by their seeds the probe's, the methods' and the training's."""
    taken: list[tuple[int | None, list[Any]]] = []
    at_home: list[tuple[int | None, list[Any]]] = []
    asked = recipe(methods=methods, vec_env="dummy", warm_start={"probe_episodes": 2})
    run = finetune(agent(name), task(name, offset=0.5, trace=taken), asked, source=task(name, trace=at_home))

    def count(envs: list[tuple[int | None, list[Any]]], first: int, last: int) -> int:
        return sum(len(actions) for seed, actions in envs if seed is not None and first <= seed < last)

    assert run.report.steps_home == count(at_home, METHOD_SEED, DIAGNOSIS_SEED) == (24 if methods else 0)
    assert run.report.steps_charged == count(taken, PROBE_SEED, DIAGNOSIS_SEED) + count(taken, TRAINING_SEED, 10**9)


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_training_on_leaves_the_given_moments(name: str) -> None:
    given = agent(name, steps=48)
    optimizer = given.model.policy.optimizer if name == "ppo" else given.model.actor.optimizer
    held = [value.clone() for state in optimizer.state.values() for value in state.values()]
    assert held
    finetune(given, task(name, offset=0.5), recipe(mode="continue"))
    now = [value for state in optimizer.state.values() for value in state.values()]
    assert all(torch.equal(a, b) for a, b in zip(held, now, strict=True))


def test_what_cannot_be_tuned_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    given, out = agent("ars", steps=0), tmp_path / "run"
    with pytest.raises(ConfigError, match="random search"):
        finetune(given, task("ars"), recipe(), out=out)
    assert not out.exists()


STEPS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ppo", {"n_envs": 3}, {}),
    ("ppo", {"mode": "continue"}, {}),
    ("a2c", {"n_envs": 1}, {}),
    ("dqn", {"algorithm": {"train_freq": 7}}, {}),
    ("td3", {}, {"train_freq": (1, "episode"), "gradient_steps": -1}),
    ("sac", {"n_envs": 2}, {}),
]


@pytest.mark.parametrize(("name", "changes", "saved"), STEPS)
def test_the_steps_are_never_exceeded(name: str, changes: dict[str, Any], saved: dict[str, Any]) -> None:
    trace: list[Any] = []
    asked = recipe(steps=101, **changes)
    run = finetune(agent(name, **saved), task(name, trace=trace), asked)
    trained = sum(len(actions) for seed, actions in trace if seed >= 40_000)
    probed = 0 if asked.mode == "continue" else 8
    assert run.report.steps_charged == trained + probed
    assert 101 - 24 < trained + probed <= 101


def test_a_world_that_can_be_learnt_is_and_the_report_says_so() -> None:
    """The dot starts to run away to the right; the best that can be is about -0.7."""
    given = linear(0.0, 0.6)
    run = finetune(
        given,
        task(),
        recipe(
            steps=3_000,
            n_envs=4,
            algorithm={"learning_rate": 0.02, "gamma": 0.8, "n_steps": 32},
            evaluation={"final_episodes": 20},
        ),
    )
    assert run.report.kept == "tuned"
    assert run.report.target.after.returns.mean() > run.report.target.before.returns.mean() + 2
    found = run.agent.predict(np.array([[1.0, 1.0], [-1.0, 1.0]], np.float32), deterministic=True)[0]
    assert found[0] < found[1]
    assert "kept: tuned" in str(run.report)


def test_where_training_only_hurts_the_pretrained_agent_is_kept() -> None:
    given = linear(-4.0, 0.0)
    run = finetune(
        given, task(), recipe(warm_start={"learning_rate": 3.0}, averaging=0, algorithm={"n_steps": 16}, n_envs=1)
    )
    assert run.report.kept == "pretrained"
    assert same(weights(given), weights(run.agent))
    assert run.report.target.last.returns.mean() < run.report.target.before.returns.mean()
    assert np.array_equal(run.report.target.after.returns, run.report.target.before.returns)
    assert "kept: pretrained" in str(run.report)


class Poison(BaseCallback):
    """Make a weight no number, as a step that was far too large does."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.at:
            with torch.no_grad():
                next(self.model.policy.parameters()).fill_(torch.nan)
        return True


class Wrong:
    """A reward that is no number after 44 steps of an environment, until it is mended."""

    mended = False

    def __call__(self, dot: Dot) -> float:
        return float("nan") if dot.total > 44 and not Wrong.mended else 0.0


@pytest.mark.parametrize("name", ["ppo", "trpo", "sac", "td3", "dqn"])
def test_weights_that_are_no_numbers_end_a_run_with_the_last_good_agent(name: str, tmp_path: Path) -> None:
    run = finetune(agent(name), task(name), recipe(n_envs=1), out=tmp_path / "run", callback=Poison(60))
    assert all(bool(torch.isfinite(value).all()) for value in weights(run.agent).values())
    (said,) = [note for note in run.report.notes if "diverged" in note]
    assert "no longer a finite number" in said
    assert "learning_rate" in said
    assert run.report.steps_charged <= 120
    assert (tmp_path / "run" / "agent.zip").exists()
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("name", ["ppo", "sac", "td3", "dqn"])
def test_a_reward_that_is_no_number_is_told_of_the_world_and_the_run_goes_on_once_it_is_mended(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acclimate.training.watch.CHECKPOINT_SECONDS", 0.0)
    short = {"algorithm": {"n_steps": 16, "batch_size": 16}} if name == "ppo" else {}
    asked, out = recipe(n_envs=1, **short), tmp_path / "run"
    monkeypatch.setattr(Wrong, "mended", False)
    with pytest.raises(TaskError, match=r"Dot, episode 5 \(since .* 40000\), step 5, gave the reward nan"):
        finetune(agent(name), task(name, wrong=Wrong()), asked, out=out)
    Wrong.mended = True
    run = finetune(agent(name), task(name, wrong=Wrong()), asked, out=out, resume=True)
    assert not any("diverged" in note for note in run.report.notes)
    assert any("resumed at training step" in note for note in run.report.notes)


def test_tracking_needs_a_folder() -> None:
    from acclimate.runs.tracking import Tracking

    with pytest.raises(ConfigError, match="folder"):
        finetune(agent("ppo"), task(), recipe(), track=Tracking())


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("recurrent_ppo", BatchNorm(), "`batchnorm` on `critic`: a recurrent agent is trained on sequences"),
        ("ppo", PolicyExpansion(), "`policy-expansion` on `actor`: no critic rates its actions"),
        ("maskable_ppo", PriorReplay(), "`prior-replay` changes the minibatches of a replay buffer"),
        ("sac", Freeze(on="actor:no_such_layer"), "no_such_layer"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_method_that_cannot_work_is_refused_before_anything_is_played(
    name: str, method: Any, said: str, tmp_path: Path
) -> None:
    played: list[Any] = []
    out = tmp_path / "run"
    with pytest.raises(SurgeryError, match=said):
        finetune(agent(name), task(name, trace=played), recipe(methods=(method,)), out=out)
    assert not played
    assert not out.exists()
