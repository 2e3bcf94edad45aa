"""What the engine takes and what it leaves to Stable-Baselines3, and what is left behind."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

import acclimate as ac
from acclimate.engine.choice import attach
from acclimate.engine.threads import are_small
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.mixout import Mixout
from acclimate.runs.finetune import finetune
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method
from tests import world
from tests.cases import agent


def attached(name: str, method: Method | None = None, **more: object) -> tuple[str, str]:
    model = agent(name, **more)
    return attach(Seam(model, method or Full(), total_steps=64), type(model), "auto")


def test_perceptrons_are_taken() -> None:
    assert attached("ppo-mlp")[0] == attached("a2c-mlp")[0] == attached("ppo-mlp-discrete")[0] == "acclimate"
    assert attached("ppo-mlp", ChannelScale())[0] == "acclimate"
    assert attached("sac-mlp", ChannelScale())[0] == "acclimate"


@pytest.mark.parametrize(
    ("name", "method", "why"),
    [
        ("ppo-cnn", Full(), "policy ActorCriticCnnPolicy"),
        ("a2c-cnn", Full(), "policy ActorCriticCnnPolicy"),
        ("ppo-mlp", Dropout(p=0.3, on="critic"), "put into a Tanh"),
    ],
    ids=str,
)
def test_what_autograd_has_to_go_through_is_taken_by_its_modules(name: str, method: Method, why: str) -> None:
    engine, reason = attached(name, method)
    assert engine == "acclimate"
    assert "its own modules" in reason
    assert why in reason
    assert "kept" not in reason


def test_what_is_kept_of_frozen_layers_is_told() -> None:
    """Features of 7 numbers, of 8 steps."""
    assert attached("ppo-cnn", Freeze(on="trunk"))[1].endswith("kept through a rollout, 0.000224 MB")


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "td3-mlp", "dqn-mlp"])
def test_what_is_drawn_at_each_pass_is_no_perceptron(name: str) -> None:
    engine, reason = attached(name, Mixout(p=0.3, on="critic|q"))
    assert engine == "acclimate"
    assert "drawn at random" in reason


@pytest.mark.parametrize(
    ("name", "more", "why"),
    [
        ("ppo-mlp", {"use_sde": True}, "gSDE"),
        ("crossq-mlp", {}, "algorithm CrossQ"),
    ],
)
def test_the_others_are_left_to_sb3_with_the_reason(name: str, more: dict[str, object], why: str) -> None:
    engine, reason = attached(name, **more)
    assert engine == "sb3"
    assert why in reason


def test_sb3_can_be_asked_for() -> None:
    model = agent("ppo-mlp")
    seam = Seam(model, Full())
    assert attach(seam, PPO, "sb3") == ("sb3", "asked for")
    assert seam.engine is None


def test_what_it_trained_is_a_stock_agent() -> None:
    """Its zip loads in stock SB3, acts the same and trains on with the moments that the engine left."""
    model = agent("ppo-mlp")
    seam = Seam(model, Full(), total_steps=64)
    assert attach(seam, PPO, "auto")[0] == "acclimate"
    with seam:
        model.learn(64)
    file = io.BytesIO()
    model.save(file)
    assert file.tell() < 60_000, "each tensor is saved alone, and not with the array that it is a view of"
    file.seek(0)
    loaded = PPO.load(file, env=model.get_env(), device="cpu")
    moments = loaded.policy.optimizer.state_dict()["state"]
    assert len(moments) == len(list(model.policy.parameters()))
    assert all(float(state["exp_avg_sq"].abs().sum()) > 0 for state in moments.values())
    shown = np.zeros((1, 3), np.float32)
    np.testing.assert_array_equal(
        loaded.predict(shown, deterministic=True)[0], model.predict(shown, deterministic=True)[0]
    )
    loaded.learn(32)
    seam.fold().learn(32)


def test_weights_given_from_outside_are_what_it_trains_on() -> None:
    """Callbacks load weights into the policy, or even put other tensors in their place, between two rollouts."""
    model = agent("ppo-mlp")
    seam = Seam(model, Full(), total_steps=64)
    attach(seam, PPO, "auto")
    with seam:
        model.learn(16)
        with torch.no_grad():
            for parameter in model.policy.parameters():
                parameter.data = torch.full_like(parameter, 0.01)
        model.learn(16)
    weights = torch.cat([p.detach().flatten() for p in model.policy.parameters()])
    assert float((weights - 0.01).abs().max()) < 0.05
    assert float((weights - 0.01).abs().max()) > 0


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_a_run_on_the_engine_ends_as_one_on_sb3(name: str) -> None:
    """The whole of a run, evaluations, averaging and judging included, and its report says what trained."""
    runs = []
    for engine in ("sb3", "auto"):
        recipe = world.recipe(steps=400, engine=engine, warm_start={"critic_warmup": 64})
        runs.append(finetune(world.agent(name, normalize=True), world.task(name), recipe))
    theirs, ours = (run.report for run in runs)
    assert [dict((row[0], row[1]) for row in r.choices)["engine"] for r in (theirs, ours)] == ["sb3", "acclimate"]
    assert ours.steps_charged == theirs.steps_charged
    np.testing.assert_allclose(ours.target.last.returns, theirs.target.last.returns, rtol=1e-3, atol=1e-3)
    for one, other in zip(theirs.curve, ours.curve, strict=True):
        np.testing.assert_allclose(other.evaluation.returns, one.evaluation.returns, rtol=1e-3, atol=1e-3)


def test_a_recipe_names_the_engine() -> None:
    assert ac.Recipe.from_dict({"engine": "sb3"}).engine == "sb3"
    with pytest.raises(ac.ConfigError, match="engine"):
        ac.Recipe.from_dict({"engine": "fast"})


def test_small_modules_leave_the_other_cores_to_the_environments() -> None:
    """Torch has one thread while they train, and all of them again afterwards."""
    seen = []

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            seen.append(torch.get_num_threads())
            return True

    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    model = agent("ppo-mlp", n_steps=16, batch_size=16)
    seam = Seam(model, Dropout(p=0.1))
    try:
        assert "own modules" in attach(seam, type(model), "auto")[1]
        with seam:
            model.learn(32, callback=Look())
        seen.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(usual)
    assert set(seen[:-1]) == {1}
    assert seen[-1] == 2


def test_what_is_small() -> None:
    assert are_small([nn.Linear(64, 64)], 256)
    assert not are_small([nn.Linear(256, 256)], 256)
    assert not are_small([nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(2, 2))], 1)
