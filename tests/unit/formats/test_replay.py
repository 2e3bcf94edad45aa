"""Replay buffers are read as data, whoever wrote them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.save_util import save_to_pkl

from acclimate.errors import AcclimateError, SourceError, UnsafeFileError
from acclimate.formats.sb3 import replay

BOX = spaces.Box(-9, 9, (3,), np.float32)


def filled(steps: int, *, size: int = 10, cls: type[BaseBuffer] = ReplayBuffer, **more: Any) -> Any:
    """Return a buffer of two environments in which step i saw `[i, i, i]` and was paid i."""
    space = spaces.Dict(far=BOX, near=BOX) if cls is DictReplayBuffer else BOX
    buffer = cls(2 * size, space, spaces.Discrete(4), n_envs=2, device="cpu", **more)
    for step in range(steps):
        seen: Any = np.full((2, 3), step, np.float32)
        after: Any = seen + 1
        if isinstance(space, spaces.Dict):
            seen, after = {"far": seen, "near": -seen}, {"far": after, "near": -after}
        infos = [{"TimeLimit.truncated": step == 4}] * 2
        buffer.add(seen, after, np.array([step % 4, 0]), np.full(2, step), np.full(2, step == 4), infos)
    return buffer


def saved(buffer: Any, path: Path) -> Path:
    save_to_pkl(path, buffer)
    return path


@pytest.mark.parametrize(("steps", "kept"), [(7, range(7)), (10, range(10)), (13, range(3, 13))])
def test_a_buffer_is_read_oldest_first(steps: int, kept: range, tmp_path: Path) -> None:
    found = replay.read(saved(filled(steps), tmp_path / "buffer.pkl"))
    assert set(found) == set(replay.NAMES)
    assert np.array_equal(found["rewards"], np.column_stack([kept, kept]))
    assert np.array_equal(found["observations"][:, 1, 2], kept)
    assert np.array_equal(found["next_observations"], found["observations"] + 1)
    assert np.array_equal(found["actions"][:, 0, 0], np.array(kept) % 4)
    assert np.array_equal(found["timeouts"], found["dones"])
    assert found["dones"].sum() == 2


def test_an_older_pickle_and_one_without_timeouts(tmp_path: Path) -> None:
    buffer = filled(7)
    del buffer.timeouts
    path = tmp_path / "buffer.pkl"
    path.write_bytes(pickle.dumps(buffer, protocol=4))
    found = replay.read(path)
    assert np.array_equal(found["rewards"][:, 0], range(7))
    assert np.array_equal(found["timeouts"], np.zeros((7, 2)))


def test_dict_observations_have_a_name_each(tmp_path: Path) -> None:
    found = replay.read(saved(filled(7, cls=DictReplayBuffer), tmp_path / "buffer.pkl"))
    assert np.array_equal(found["observations/far"][:, 0, 0], range(7))
    assert np.array_equal(found["next_observations/near"], -1 - found["observations/far"])


class Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("field", [None, "observations", "pos", "device"])
def test_code_in_a_pickle_never_runs(field: str | None, tmp_path: Path) -> None:
    marker, thing = tmp_path / "marker", filled(7)
    if field is None:
        thing = Bomb(marker)
    else:
        setattr(thing, field, Bomb(marker))
    with pytest.raises(UnsafeFileError, match="system"):
        replay.read(saved(thing, tmp_path / "buffer.pkl"))
    assert not marker.exists()


def test_bytes_named_many_times_over_do_not_fill_the_memory(tmp_path: Path) -> None:
    buffer = filled(7, cls=DictReplayBuffer)
    large = np.zeros((10, 2, 5000), np.float32)
    buffer.observations = {str(i): large for i in range(100)}
    with pytest.raises(UnsafeFileError, match="larger than the file"):
        replay.read(saved(buffer, tmp_path / "buffer.pkl"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("pos", 99, "not of one length"),
        ("rewards", np.zeros((3, 2), np.float32), "not of one length"),
        ("rewards", np.full((10, 2), np.nan, np.float32), "rewards are not finite"),
        ("dones", None, "broken"),
        ("actions", np.array([None]), "only plain numbers"),
    ],
)
def test_what_is_broken_is_said(name: str, value: Any, said: str, tmp_path: Path) -> None:
    buffer = filled(7)
    setattr(buffer, name, value)
    with pytest.raises(AcclimateError, match=said) as caught:
        replay.read(saved(buffer, tmp_path / "buffer.pkl"))
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    whole = saved(filled(7), tmp_path / "buffer.pkl").read_bytes()
    path = tmp_path / "cut.pkl"
    for end in range(0, len(whole), 41):
        path.write_bytes(whole[:end])
        with pytest.raises(SourceError):
            replay.read(path)


def test_kinds_that_are_not_carried_over(tmp_path: Path) -> None:
    one = filled(7, optimize_memory_usage=True, handle_timeout_termination=False)
    with pytest.raises(SourceError, match="optimize_memory_usage"):
        replay.read(saved(one, tmp_path / "optimized.pkl"))
    with pytest.raises(SourceError, match="no transitions"):
        replay.read(saved(filled(0), tmp_path / "empty.pkl"))
    with pytest.raises(SourceError, match="check the path"):
        replay.read(tmp_path / "absent.pkl")


def npz(path: Path, *, full: bool = False, **changed: Any) -> Path:
    arrays = {name: np.ones((5, 1, 2) if "obs" in name else (5, 1), np.float32) for name in replay.NAMES}
    arrays["rewards"] = np.arange(5, dtype=np.float32)[:, None]
    np.savez(path, pos=2 if full else 5, full=full, **{**arrays, **changed})
    return path


def test_the_buffer_of_a_checkpoint(tmp_path: Path) -> None:
    assert replay.read(npz(tmp_path / "a.npz"))["rewards"][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert replay.read(npz(tmp_path / "b.npz", full=True))["rewards"][:, 0].tolist() == [2, 3, 4, 0, 1]


def test_zips_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match="plain numbers"):
        replay.read(npz(tmp_path / "object.npz", rewards=np.array([{}], dtype=object)))
    with pytest.raises(UnsafeFileError, match="code"):
        replay.read(npz(tmp_path / "other.npz", code=np.zeros(1)))
    np.savez_compressed(tmp_path / "packed.npz", observations=np.zeros(10**6))
    with pytest.raises(UnsafeFileError, match="refused"):
        replay.read(tmp_path / "packed.npz")
    whole = npz(tmp_path / "whole.npz").read_bytes()
    claims = tmp_path / "claims.npz"
    claims.write_bytes(whole.replace(b"(5, 1)", b"(9, 1)"))
    with pytest.raises(SourceError, match="broken"):
        replay.read(claims)
