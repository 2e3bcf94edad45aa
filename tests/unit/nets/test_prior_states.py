"""Stored states of a recurrent agent are drawn in stretches, through which the network remembers by itself."""

from __future__ import annotations

import torch

from acclimate.evaluation.rollouts import collect
from acclimate.nets.prior_states import draw, keep
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests import world


def test_a_draw_of_a_recurrent_agent_is_made_of_stretches() -> None:
    given = world.agent("recurrent_ppo")
    steps = collect(given, world.task("recurrent_ppo"), 40, seed=0)
    (actor, *_) = Seam(given.copy().model, chain()).tuner.nets
    kept = keep(actor, steps, temperature=1.0, std=0.2, seed=3)
    assert set(kept) == {"observations", "memory", "policy", "seed"}
    assert "prior" not in kept["memory"]
    seen: list[torch.Tensor] = []
    handle = actor.module.lstm_actor.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    now, prior = draw(actor, kept, 40, update=1, temperature=1.0, std=0.2)
    handle.remove()
    assert len(now.mean) == len(prior.mean) == 40
    torch.testing.assert_close(now.mean, prior.mean, atol=1e-6, rtol=1e-5)  # nothing has moved
    # Episodes of eight steps cut stretches of sixteen: rows are run as sequences, none of them alone.
    assert 1 < len(seen[0]) <= 8
    again, _ = draw(actor, kept, 40, update=1, temperature=1.0, std=0.2)
    other, _ = draw(actor, kept, 40, update=2, temperature=1.0, std=0.2)
    assert torch.equal(now.mean, again.mean)
    assert not torch.equal(now.mean, other.mean)
    few, _ = draw(actor, kept, 3, update=1, temperature=1.0, std=0.2)
    assert len(few.mean) == 3


def test_a_draw_of_a_masked_agent_has_its_masks() -> None:
    given = world.agent("maskable_ppo")
    steps = collect(given, world.task("maskable_ppo"), 40, seed=0)
    (actor, *_) = Seam(given.copy().model, chain()).tuner.nets
    kept = keep(actor, steps, temperature=1.0, std=0.2, seed=3)
    now, prior = draw(actor, kept, 64, update=1, temperature=1.0, std=0.2)
    assert not bool(now.allowed.all())
    assert torch.equal(now.allowed, prior.allowed)
    torch.testing.assert_close(now.logits, prior.logits)
