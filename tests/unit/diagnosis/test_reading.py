"""A glance at a model in training, and the callback that takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import configure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from acclimate.diagnosis.gradients import trunk_cosine
from acclimate.diagnosis.history import History
from acclimate.diagnosis.reading import Fixed, Glance
from acclimate.methods.l2sp import L2SP
from acclimate.runs.finetune import finetune
from acclimate.sb3.networks import find
from acclimate.seam.seam import Seam
from acclimate.training.callbacks.diagnosing import SECONDS, Diagnosing
from acclimate.tuning.method import chain
from tests.cases import AGENTS, MORE_AGENTS, batch
from tests.cases import agent as tiny
from tests.world import agent, linear, recipe, same, task, weights


def glance(model, seam: Seam) -> Glance:
    decides = next(net for net in find(model) if net.decides)
    near, far = batch(model), batch(model, seed=5)
    with torch.no_grad():
        saved = decides.apply(decides.module, near)
    return Glance(model, seam, Fixed(near, far, saved), None)


@pytest.mark.parametrize("name", [*AGENTS, *MORE_AGENTS])
def test_looking_changes_nothing(name: str) -> None:
    """Two runs of one seed, with and without looks between: the same weights."""
    looked, plain = tiny(name), tiny(name)
    seams = [Seam(model, chain(), total_steps=32) for model in (looked, plain)]
    history = History()
    for model, seam in zip((looked, plain), seams, strict=True):
        model.set_random_seed(1)
        with seam:
            callbacks = []
            if model is looked:
                model.set_logger(configure(None, []))
                diagnosing = Diagnosing(seam, glance(model, seam), history, {}, lambda: len(history))
                callbacks = [diagnosing]
            model.learn(16, callback=callbacks, reset_num_timesteps=False)
            if model is looked:
                diagnosing.look()
            model.learn(16, callback=callbacks, reset_num_timesteps=False)
    first, second = (model.policy.state_dict() for model in (looked, plain))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert history.first("policy/step_zero") == 0.0
    assert history.first("policy/kl") == pytest.approx(0.0, abs=1e-6)
    assert history.last("policy/kl") != 0.0
    assert list(history.names("training/gradient"))
    assert diagnosing.seconds > 0
    assert not [
        groups for groups in seams[0].optimizers.values() if len(groups.optimizer._optimizer_step_pre_hooks) > 1
    ]


def test_the_return_that_followed_is_that_of_the_buffer() -> None:
    """Rewards of 1, a terminal state each fourth step, discount a half: 1.875, 1.75, 1.5 and 1 in turn."""
    model = tiny("sac-mlp", gamma=0.5, buffer_size=60, learning_starts=1_000)
    buffer = model.replay_buffer
    buffer.rewards[:], buffer.dones[:], buffer.timeouts[:] = 1.0, 0.0, 0.0
    buffer.dones[3::4] = 1.0
    buffer.full, buffer.pos = True, 20
    seam = Seam(model, chain())
    found = glance(model, seam).take(first=False)
    assert found["values/return"] == pytest.approx((1.875 + 1.75 + 1.5 + 1.0) / 4)
    assert found["values/bias"] == pytest.approx(found["values/mean"] - found["values/return"], abs=1e-6)
    assert found["values/spread"] > 0
    assert found["policy/alpha"] == pytest.approx(float(model.log_ent_coef.exp()))
    buffer.pos, buffer.full = 20, False
    assert "values/bias" not in glance(model, seam).take(first=False), "too few"


def test_the_cosine_on_a_shared_trunk() -> None:
    """Against two backward passes over the whole rollout, with the likelihood of torch's own distribution."""
    model = tiny("ppo-cnn")
    seam = Seam(model, chain())
    model.learn(8)
    buffer = model.rollout_buffer
    buffer.reset()
    shape = buffer.observations.shape
    rng = np.random.default_rng(0)
    buffer.observations[:] = rng.integers(0, 256, shape)
    buffer.actions[:], buffer.advantages[:] = rng.normal(size=buffer.actions.shape), rng.normal(size=(8, 1))
    buffer.returns[:] = rng.normal(size=(8, 1))
    rows = np.linspace(0, 7, 256).astype(int)
    seen = torch.as_tensor(buffer.observations[rows, 0])
    advantages = torch.as_tensor(buffer.advantages[rows, 0])
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy, gradients = model.policy, []
    policy.set_training_mode(False)
    likelihood = policy.get_distribution(seen).distribution.log_prob(torch.as_tensor(buffer.actions[rows, 0])).sum(1)
    errors = policy.predict_values(seen)[:, 0] - torch.as_tensor(buffer.returns[rows, 0])
    for loss in (-(advantages * likelihood).mean(), errors.square().mean()):
        policy.zero_grad()
        loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in policy.features_extractor.parameters()]))
    expected = torch.cosine_similarity(*gradients, dim=0)
    assert trunk_cosine(model, seam) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-cnn-shared", "ppo-cnn-separate", "trpo-cnn"])
def test_without_a_trunk_of_both_there_is_no_cosine(name: str) -> None:
    model = tiny(name)
    assert trunk_cosine(model, Seam(model, chain())) is None


def test_a_run_is_the_same_when_its_source_is_not_there(tmp_path: Path) -> None:
    found = [finetune(agent("sac"), task(), recipe(warm_start={"tie": 0}), source=one) for one in (task(), None)]
    assert same(weights(found[0].agent), weights(found[1].agent))
    assert found[0].report.signals["policy/kl_source"]
    assert "policy/kl_source" not in found[1].report.signals


def test_readings_are_in_the_report_and_in_tensorboard(tmp_path: Path) -> None:
    given = linear(0.0, 0.6, normalize=True)
    run = finetune(given, task(offset=0.5), recipe(steps=300, methods=(L2SP(),)), source=task(), out=tmp_path / "run")
    signals = run.report.signals
    assert signals["steps"] == [8, *(point.steps for point in run.report.curve[1:])]
    assert all(len(column) == len(signals["steps"]) for column in signals.values())
    assert signals["policy/step_zero"][0] == 0.0
    assert signals["cost/trainable"] == [1.0] * len(signals["steps"])
    assert signals[SECONDS][-1] < run.report.wall_seconds
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    for name in ("policy/kl", "networks/actor/action_net/change", "cost/steps"):
        logged = [event.value for event in events.Scalars(f"diagnosis/{name}")]
        assert logged == pytest.approx([value for value in signals[name] if value is not None], rel=1e-5), name
    page = (tmp_path / "run" / "report.html").read_text()
    assert "networks/actor/action_net/change" in page
    assert "| policy/kl |" in (tmp_path / "run" / "report.md").read_text().replace("\\_", "_")
