from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.files import tensors
from acclimate.files.atomic import atomic_folder, recover_folder, write_atomic


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "a.txt"
    write_atomic(place, "ä")
    write_atomic(place, b"two")
    assert place.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_unwritable_place_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*choose a folder that can be written"):
        write_atomic(tmp_path / "file" / "a.txt", "x")
    with pytest.raises(ConfigError, match="cannot write"), atomic_folder(tmp_path / "file" / "b"):
        pass


def test_a_folder_gets_its_name_only_at_the_end(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "run") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "a").read_text() == "1"


def test_a_failed_folder_leaves_the_earlier_one(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "run") as folder:
        (folder / "a").write_text("1")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "run") as folder:  # noqa: PT012
        (folder / "a").write_text("2")
        raise ZeroDivisionError
    assert (tmp_path / "run" / "a").read_text() == "1"
    assert os.listdir(tmp_path) == ["run"]


def test_a_second_folder_replaces_the_first(tmp_path: Path) -> None:
    for text in "12":
        with atomic_folder(tmp_path / "run") as folder:
            (folder / text).write_text(text)
    assert os.listdir(tmp_path / "run") == ["2"]
    assert os.listdir(tmp_path) == ["run"]


def test_recovery_after_a_kill_between_the_renames(tmp_path: Path) -> None:
    (tmp_path / ".run.old").mkdir()
    (tmp_path / ".run.old" / "a").write_text("1")
    recover_folder(tmp_path / "run")
    assert (tmp_path / "run" / "a").read_text() == "1"
    recover_folder(tmp_path / "run")
    assert os.listdir(tmp_path) == ["run"]


def test_a_kill_after_the_exchange_does_not_stand_in_the_way_of_the_next(tmp_path: Path) -> None:
    for name in ("run", ".run.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with atomic_folder(tmp_path / "run") as folder:
        (folder / "a").write_text("2")
    assert (tmp_path / "run" / "a").read_text() == "2"
    assert os.listdir(tmp_path) == ["run"]


def test_a_disk_that_is_full_half_way_is_a_config_error_and_leaves_nothing(tmp_path: Path) -> None:
    said = r"cannot write .*run \(No space left on device\)"
    with pytest.raises(ConfigError, match=said), atomic_folder(tmp_path / "run") as folder:  # noqa: PT012
        (folder / "a").write_text("1")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_what_torch_says_of_a_full_disk_is_what_the_system_says() -> None:
    with pytest.raises(OSError, match="No space left"):
        tensors.write({"a": torch.zeros(100_000)}, Path("/dev/full"))
    with pytest.raises(RuntimeError, match="cannot be saved"):
        tensors.write({"a": Unsaved()}, Path(os.devnull))


class Unsaved:
    def __reduce__(self) -> tuple[object, ...]:
        raise RuntimeError("cannot be saved")
