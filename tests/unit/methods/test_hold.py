"""The held weights stay for the first steps, and their moments do not begin."""

from __future__ import annotations

import copy

import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.methods.freeze import Freeze
from acclimate.methods.hold import Hold
from acclimate.methods.kl import KLToPrior
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests.cases import agent


@pytest.mark.parametrize("name", ["ppo-mlp", "ppo-cnn", "sac-mlp", "td3-mlp"])
def test_the_actor_waits_and_the_critic_learns(name: str) -> None:
    model = agent(name, steps=0)
    on_policy = name.startswith("ppo")
    actor = ("action_net", "policy_net", "log_std", "features_extractor") if on_policy else ("actor.",)
    critic = "value_net" if on_policy else "critic.qf0"

    def moved(since: dict[str, torch.Tensor], parts: tuple[str, ...]) -> bool:
        now = model.policy.state_dict()
        names = [key for key in now if any(part in key for part in parts) and not key.startswith("critic_target")]
        return any(not torch.equal(since[key], now[key]) for key in names)

    before = copy.deepcopy(model.policy.state_dict())
    # A tie to the prior puts a gradient on the actor, too; the hold takes that as well.
    with Seam(model, chain(Hold(steps=16), KLToPrior(weight=1.0)), total_steps=24):
        model.learn(16)
        assert not moved(before, actor)
        assert moved(before, (critic,))
        optimizer = model.policy.optimizer if on_policy else model.actor.optimizer
        held = model.policy.action_net.weight if on_policy else next(model.actor.parameters())
        assert held not in optimizer.state, "moments of updates that were not made"
        model.learn(8, reset_num_timesteps=False)
        assert moved(before, actor)


def test_it_may_find_all_of_it_frozen() -> None:
    """The warm start puts it in front of whatever the recipe says."""
    model = agent("ppo-mlp", steps=0)
    before = copy.deepcopy(model.policy.state_dict())
    with Seam(model, chain(Hold(steps=9), Freeze(on="actor"))):
        model.learn(32)
    moved = {key for key, value in model.policy.state_dict().items() if not torch.equal(before[key], value)}
    assert moved
    assert all("value_net" in key for key in moved)


def test_a_time_cannot_be_negative() -> None:
    with pytest.raises(ConfigError, match=r"hold\.steps is -1"):
        Hold(steps=-1)
