"""Checkpoints of real rsl_rl act here as its own models did (`python -m tests.references`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import acclimate as ac
from acclimate.formats import writers
from tests.unit.formats.foreign.test_cleanrl import Spaces

FILES = Path(__file__).parents[3] / "references" / "files"
FAR = spaces.Box(-1e3, 1e3, (3,), np.float32)
WORLD = Spaces(spaces.Box(-np.inf, np.inf, (6,), np.float32), FAR)
CASES = [f"rsl_rl_2/{name}" for name in ("plain", "normalised")]
CASES += [f"rsl_rl_5/{name}" for name in ("plain", "normalised", "privileged")]


@pytest.mark.parametrize("case", CASES)
def test_it_acts_as_there(case: str, tmp_path: Path) -> None:
    """Also once it went through SB3's zip, with the normaliser beside it."""
    agent, told = ac.load(FILES / f"{case}.pt", world=WORLD), np.load(FILES / f"{case}.npz")
    assert (agent.normalizer is not None) == ("plain" not in case)
    again = ac.load(writers.save(agent, tmp_path / "again.zip"), normalizer="auto" if agent.normalizer else None)
    for each in (agent, again):
        actions, _ = each.predict(told["seen"], deterministic=True)
        np.testing.assert_allclose(actions, told["actions"], atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(each.model.policy.log_std.detach().exp(), told["std"], rtol=1e-5)
        if "privileged" not in case:
            np.testing.assert_allclose(each.values(told["seen"]), told["values"], atol=1e-4, rtol=1e-4)
    assert any("not shown" in why for _, why in agent.origin.unread) == ("privileged" in case)
    assert any("ELU, rsl_rl's default, is taken" in why for _, why in agent.origin.unread)


def checkpoint(**changed: Any) -> dict[str, Any]:
    held = torch.load(FILES / "rsl_rl_5" / "plain.pt", weights_only=True)
    return {**held, **changed}


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (checkpoint(actor_state_dict={"mlp.0.weight": torch.zeros(3, 6)}), "tells no spread"),
        (checkpoint(actor_state_dict={"rnn.weight_ih_l0": torch.zeros(3, 6)}), "has a memory"),
        (checkpoint(critic_state_dict=None), "is no state dict"),
        (checkpoint(actor_state_dict={"std": torch.ones(3)}), "has no layers of that name"),
        (checkpoint(actor_state_dict={"mlp.0.weight": torch.zeros(3, 6), "std": torch.tensor(0)}), "bias|spread|std"),
    ],
)
def test_what_is_none_is_one_line(held: dict[str, Any], words: str, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "model_7.pt")
    with pytest.raises(ac.AcclimateError, match=words):
        ac.load(tmp_path / "model_7.pt", world=WORLD)
