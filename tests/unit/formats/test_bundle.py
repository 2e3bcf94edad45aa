"""The folder without pickles: complete, and verified when it is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import acclimate as ac
from acclimate.formats import bundle
from tests import tiny


@pytest.mark.parametrize("name", tiny.MODELS)
def test_everything_comes_back(name: str, tmp_path: Path) -> None:
    agent = ac.load(tiny.model(name, normalize=name in ("ppo", "her")))
    bundle.save(agent, tmp_path / "bundle")
    again = ac.load(tmp_path)
    assert again.blueprint == agent.blueprint
    ours, theirs = agent.parts(), again.parts()
    for mapping in ("weights", "variables"):
        first, second = getattr(ours, mapping), getattr(theirs, mapping)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)
    assert ours.counters == theirs.counters
    for key, state in ours.optimizers.items():
        assert _flat(state) == _flat(theirs.optimizers[key])
    if agent.normalizer is not None:
        obs = tiny.observations(agent.observation_space)
        first, second = agent.normalizer.normalize_obs(obs), again.normalizer.normalize_obs(obs)
        for key in obs if isinstance(obs, dict) else [...]:
            np.testing.assert_array_equal(first[key], second[key], strict=True)
        for field in ("ret_mean", "ret_var", "ret_count", "obs_count", "gamma", "norm_obs_keys", "clip_obs"):
            assert getattr(agent.normalizer, field) == getattr(again.normalizer, field)


def _flat(state: dict) -> dict:
    return {(i, k): np.asarray(v).tolist() for i, entries in state["state"].items() for k, v in entries.items()}


@pytest.mark.parametrize("file", [bundle.WEIGHTS, bundle.STATE, bundle.STATISTICS])
def test_a_changed_file_is_noticed(file: str, tmp_path: Path) -> None:
    bundle.save(ac.load(tiny.model("ppo", normalize=True)), tmp_path / "bundle")
    path = tmp_path / "bundle" / file
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ac.UnsafeFileError, match="its hash differs"):
        ac.load(tmp_path)
    path.unlink()
    with pytest.raises(ac.SourceError, match="cannot be read"):
        ac.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"version": 99}, {"blueprint": None}, {"files": {}}, {"counters": 3}, {"optimizers": []},
        {"normalizer": 5}, {"origin": {"unread": [1]}},
    ],
)  # fmt: skip
def test_a_broken_manifest(change: dict[str, object], tmp_path: Path) -> None:
    bundle.save(ac.load(tiny.model("ppo", steps=0)), tmp_path / "bundle")
    path = tmp_path / "bundle" / bundle.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ac.SourceError):
        ac.load(tmp_path)


def test_a_bundle_replaces_an_older_one_whole(tmp_path: Path) -> None:
    bundle.save(ac.load(tiny.model("ppo", normalize=True)), tmp_path / "bundle")
    bundle.save(ac.load(tiny.model("dqn")), tmp_path / "bundle")
    assert ac.load(tmp_path).algorithm == "dqn"
    assert sorted(p.name for p in (tmp_path / "bundle").iterdir()) == [bundle.MANIFEST, bundle.STATE, bundle.WEIGHTS]
    (tmp_path / "file").write_text("")
    with pytest.raises(ac.AcclimateError):
        bundle.save(ac.load(tiny.model("dqn", steps=0)), tmp_path / "file" / "bundle")
