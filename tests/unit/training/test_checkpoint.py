"""A checkpoint holds all that is needed, and is read without unpickling."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from acclimate.errors import SourceError
from acclimate.sb3.moving import normalizer_state, read_normalizer, restore_normalizer
from acclimate.sb3.normalizer import Normalizer
from acclimate.training import checkpoint
from acclimate.training.checkpoint import Checkpoint
from acclimate.training.replay import replay_state, restore_replay
from tests.world import agent, model, task


def test_it_round_trips(tmp_path: Path) -> None:
    checkpoint.write(Checkpoint({"steps": 1}, {"a": torch.ones(2)}), tmp_path)
    checkpoint.write(Checkpoint({"steps": 2}, {"a": torch.zeros(2)}, {"rewards": np.arange(3)}), tmp_path)
    back = checkpoint.read(tmp_path)
    assert back.progress == {"steps": 2}
    assert torch.equal(back.tensors["a"], torch.zeros(2))
    assert back.replay["rewards"].tolist() == [0, 1, 2]
    assert checkpoint.read(tmp_path / "elsewhere") is None
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("name", ["progress.json", "state.pt", "replay.npz"])
@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_damage_is_a_clear_error(name: str, damage: str, tmp_path: Path) -> None:
    checkpoint.write(Checkpoint({"steps": 1}, {"a": torch.ones(200)}, {"rewards": np.arange(300)}), tmp_path)
    path = tmp_path / "checkpoint" / name
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"\x80\x04K\x01." * 40}[damage])
    with pytest.raises(SourceError, match="remove that folder") as caught:
        checkpoint.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_part_is_damage_too(tmp_path: Path) -> None:
    checkpoint.write(Checkpoint({"steps": 1}, {}), tmp_path)
    (tmp_path / "checkpoint" / "state.pt").unlink()
    with pytest.raises(SourceError):
        checkpoint.read(tmp_path)


def test_nothing_that_needs_unpickling_gets_in_or_out(tmp_path: Path) -> None:
    checkpoint.write(Checkpoint({}, {"a": task}), tmp_path)
    with pytest.raises(SourceError):
        checkpoint.read(tmp_path)


def test_an_interrupted_replacement_is_put_back(tmp_path: Path) -> None:
    checkpoint.write(Checkpoint({"steps": 1}, {}), tmp_path)
    (tmp_path / "checkpoint").rename(tmp_path / ".checkpoint.old")
    assert checkpoint.read(tmp_path).progress == {"steps": 1}


@pytest.mark.parametrize("steps", [40, 240])
def test_a_replay_buffer_is_refilled(steps: int) -> None:
    """Of 200 places, partly filled, or full and begun anew."""
    old, new = model("sac", steps=steps), model("sac", steps=0)
    restore_replay(new, replay_state(old))
    ours, theirs = new.replay_buffer, old.replay_buffer
    assert (ours.pos, ours.full, ours.size()) == (theirs.pos, theirs.full, min(steps, 200))
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        assert np.array_equal(getattr(ours, name)[: ours.size()], getattr(theirs, name)[: ours.size()])
    assert replay_state(model("ppo", steps=0)) is None


def test_normalisers_round_trip(tmp_path: Path) -> None:
    known = agent("ppo", normalize=True).normalizer
    state = normalizer_state(known)
    back = read_normalizer(state, Normalizer.identity(task().observation_space))
    assert np.array_equal(back.obs_mean, known.obs_mean)
    assert (back.obs_count, back.ret_var, back.clip_obs) == (known.obs_count, known.ret_var, 10.0)
    fresh = model("ppo", normalize=True, steps=0).get_vec_normalize_env()
    restore_normalizer(fresh, state)
    assert np.array_equal(fresh.obs_rms.var, known.obs_var)
    assert (fresh.obs_rms.count, float(fresh.ret_rms.var)) == (known.obs_count, known.ret_var)
    assert normalizer_state(None) is None
    assert read_normalizer(None, known) is None


def test_random_states_go_on(tmp_path: Path) -> None:
    np.random.normal()
    checkpoint.write(Checkpoint({}, {"random": checkpoint.random_state()}), tmp_path)
    expected = np.random.normal(), np.random.rand(), torch.rand(3).tolist()
    checkpoint.restore_random(checkpoint.read(tmp_path).tensors["random"])
    assert expected == (np.random.normal(), np.random.rand(), torch.rand(3).tolist())
    assert json.loads((tmp_path / "checkpoint" / "progress.json").read_text()) == {}
