"""HDF5: plain arrays are read, and no trick of that format is followed."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.formats.foreign import hdf5
from acclimate.formats.foreign.hdf5 import Hdf5

pytest.importorskip("pyfive")
WHERE = "model.keras"
AT = "layers/dense/vars/0"
NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
SECRET = np.full((3, 4), 7, np.float32)


def made(fill: Callable[[h5py.File], None], **options: str) -> bytes:
    held = io.BytesIO()
    with h5py.File(held, "w", **options) as file:
        fill(file)
    return held.getvalue()


def plain(file: h5py.File) -> None:
    file[AT] = NUMBERS
    file["layers/dense/vars/1"] = NUMBERS[0].astype(np.float64)
    file.attrs["model_config"] = '{"class_name": "Sequential"}'
    file.attrs["fixed"] = np.bytes_("of a fixed length")
    file.attrs["several"] = ["one", "two"]


PLAIN = made(plain)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_plain_arrays_names_and_texts(libver: str) -> None:
    file = Hdf5(made(plain, libver=libver), WHERE)
    np.testing.assert_array_equal(file.array(AT), NUMBERS)
    np.testing.assert_array_equal(file.array("layers/dense/vars/1"), NUMBERS[0])
    assert file.array(AT).dtype == file.array("layers/dense/vars/1").dtype == np.float32
    assert file.names("layers/dense/vars") == ("0", "1")
    assert file.text("model_config") == '{"class_name": "Sequential"}'
    assert file.text("fixed") == "of a fixed length"
    assert file.text("several") is None
    assert file.text("model") is None


def elsewhere(folder: Path) -> Path:
    """Return a file with numbers that nobody may see."""
    with h5py.File(folder / "other.h5", "w") as file:
        file[AT] = SECRET
        file["vars/0"] = SECRET
    (folder / "raw").write_bytes(SECRET.tobytes())
    return folder / "other.h5"


def external_link(file: h5py.File, folder: Path) -> None:
    file["layers/dense/vars"] = h5py.ExternalLink(elsewhere(folder), "layers/dense/vars")


def external_link_at_the_end(file: h5py.File, folder: Path) -> None:
    file[AT] = h5py.ExternalLink(elsewhere(folder), AT)


def soft_link(file: h5py.File, folder: Path) -> None:
    file["real/0"] = SECRET
    file["layers/dense/vars"] = h5py.SoftLink("/real")


def soft_link_at_the_end(file: h5py.File, folder: Path) -> None:
    file["real"] = SECRET
    file[AT] = h5py.SoftLink("/real")


def raw_data_elsewhere(file: h5py.File, folder: Path) -> None:
    elsewhere(folder)
    file.create_dataset(AT, (3, 4), "f4", external=[(str(folder / "raw"), 0, SECRET.nbytes)])


def virtual_dataset(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource(str(elsewhere(folder)), AT, (3, 4))
    file.create_virtual_dataset(AT, layout)


def bomb_of_filters(file: h5py.File, folder: Path) -> None:
    file.create_dataset(AT, data=np.zeros((1000, 1000), np.float32), compression="gzip")


def chunks(file: h5py.File, folder: Path) -> None:
    file.create_dataset(AT, data=SECRET, chunks=(1, 4))


def declared_and_not_there(file: h5py.File, folder: Path) -> None:
    file.create_dataset(AT, (2**20, 2**20), "f4")


def object_reference(file: h5py.File, folder: Path) -> None:
    file["real"] = SECRET
    file.create_dataset(AT, data=file["real"].ref)


def heap_of_links(file: h5py.File, folder: Path) -> None:
    group = file.create_group("layers/dense/vars", track_order=True)
    for place in range(20):
        group[str(place)] = SECRET


def external_link_in_a_heap(file: h5py.File, folder: Path) -> None:
    group = file.create_group("layers/dense/vars", track_order=True)
    for place in range(20):
        group[str(place)] = h5py.ExternalLink(elsewhere(folder), AT)


TRICKS = {
    external_link: "a link to another file",
    external_link_at_the_end: "a link to another file",
    soft_link: "a soft link",
    soft_link_at_the_end: "a soft link",
    raw_data_elsewhere: "lies in another file",
    virtual_dataset: "a virtual one",
    bomb_of_filters: "goes through filters",
    chunks: "in chunks",
    declared_and_not_there: "ends beyond the file",
    object_reference: "no floating-point numbers",
    heap_of_links: "in a heap",
    external_link_in_a_heap: "in a heap",
}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_no_trick_is_followed(trick: Callable[[h5py.File, Path], None], libver: str, tmp_path: Path) -> None:
    data = made(lambda file: trick(file, tmp_path), libver=libver)
    with pytest.raises(SourceError, match=TRICKS[trick]) as refused:
        Hdf5(data, WHERE).array(AT)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(WHERE)


def test_a_link_of_a_kind_of_its_own(tmp_path: Path) -> None:
    """A library may register one that does anything; its number is all that tells it from a link to a file."""
    data = bytearray(made(lambda file: external_link(file, tmp_path), libver="latest"))
    place = data.index(b"\x04vars") - 1  # version, flags, kind, length, name
    assert data[place] == 64
    data[place] = 65
    with pytest.raises(UnsafeFileError, match="of a kind of its own"):
        Hdf5(bytes(data), WHERE).array(AT)


def test_more_numbers_than_bytes() -> None:
    dimensions = struct.pack("<QQ", 3, 4)
    assert dimensions in PLAIN
    with pytest.raises(UnsafeFileError, match="declares 1099511627776 x 4 numbers, and has 48 bytes"):
        Hdf5(PLAIN.replace(dimensions, struct.pack("<QQ", 2**40, 4)), WHERE).array(AT)


def test_arrays_that_share_their_bytes_are_no_way_to_more_memory() -> None:
    def fill(file: h5py.File) -> None:
        file["0"] = np.zeros(2**16, np.float32)
        for place in range(1, 4):
            file[str(place)] = file["0"]

    file = Hdf5(made(fill), WHERE)
    file.array("0")
    with pytest.raises(UnsafeFileError, match="shares its bytes"):
        file.array("1")


def test_a_group_in_itself_is_no_way_on() -> None:
    def fill(file: h5py.File) -> None:
        file["layers/round"] = file.create_group("layers")

    file = Hdf5(made(fill), WHERE)
    assert file.names("layers" + "/round" * 50) == ("round",)
    with pytest.raises(SourceError, match="has no `layers/round/dense`"):
        file.array("layers/round/dense")


def test_a_header_without_an_end() -> None:
    """One whose continuation is itself: pyfive alone reads it until the memory is full."""
    beginning = b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + struct.pack("<QQQQI", 0, 2**64 - 1, 200, 48, 0)
    message = struct.pack("<BHBQQ", 0x10, 16, 0, 100, 28)
    header = b"OHDR" + bytes([2, 0, len(message)]) + message
    again = b"OCHK" + message + bytes(4)
    data = (beginning + header).ljust(100, b"\0") + again + bytes(100)
    with pytest.raises(UnsafeFileError, match="have no end"):
        Hdf5(data, WHERE).names("/")


@pytest.mark.parametrize("limit", ["HEADERS", "READS"])
def test_headers_are_read_within_limits(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, limit, 20)
    with pytest.raises(UnsafeFileError, match="more than Keras writes"):
        Hdf5(PLAIN, WHERE).array(AT)


def asked(data: bytes) -> None:
    """Ask for everything; what is broken is one clear line."""
    try:
        file = Hdf5(data, WHERE)
        assert file.array(AT).size == 12
        file.text("model_config")
        file.names("layers/dense/vars")
        said = WHERE
    except SourceError as error:
        said = str(error)
    assert said.startswith(WHERE)
    assert "\n" not in said


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_random_damage_is_one_clear_line(libver: str) -> None:
    drawn, whole = random.Random(0), made(plain, libver=libver)
    used = [place for place, byte in enumerate(whole) if byte]
    for _ in range(200):
        data = bytearray(whole)
        for place in drawn.sample(used, drawn.randint(1, 8)):
            data[place] = drawn.choice([0, 1, 127, 128, 255, drawn.randrange(256)])
        asked(bytes(data))


@given(st.integers(0, len(PLAIN) - 1))
def test_cut_short_is_one_clear_line(length: int) -> None:
    asked(PLAIN[:length])
