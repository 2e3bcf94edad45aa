"""The reader that makes nothing but data."""

from __future__ import annotations

import contextlib
import datetime
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.files import numbers
from acclimate.files import pickles as inert
from acclimate.files.pickles import Made, Token

DATA = (Made, Token, type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
"""What may come of any bytes."""
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(value=plain, protocol=st.sampled_from([3, 4, 5]))
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    assert inert.read(pickle.dumps(value, protocol), where="here") == value


@given(
    shape=st.lists(st.integers(0, 4), max_size=3),
    kind=st.sampled_from(["f4", ">f8", "u1", "i8", "?", "f2"]),
    order=st.sampled_from("CF"),
    protocol=st.sampled_from([3, 4, 5]),
)
def test_arrays_are_read_to_the_bit(shape: list[int], kind: str, order: str, protocol: int) -> None:
    drawn = np.random.default_rng(0).integers(0, 100, size=shape).astype(kind)
    array = np.asarray(drawn, order=order)
    found = numbers.array(inert.read(pickle.dumps(array, protocol), where="here"), "here")
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array)
    scalar = inert.read(pickle.dumps(np.float32(0.1), protocol), where="here")
    assert numbers.scalar(scalar, "here") == float(np.float32(0.1))


def test_calls_are_only_written_down() -> None:
    made = inert.read(pickle.dumps(OrderedDict(a=1), 4), where="here")
    assert isinstance(made, Made)
    assert (str(made.what), made.args, made.items) == ("collections.OrderedDict", (), {"a": 1})
    assert inert.read(pickle.dumps(np.float32, 4), where="here") == Token("numpy", "float32")
    with pytest.raises(UnsafeFileError, match=r"asks for `datetime\.date`"):
        inert.read(pickle.dumps(datetime.date(2020, 1, 1), 4), where="here")


@given(raw=st.binary(max_size=200))
def test_noise_gives_our_errors(raw: bytes) -> None:
    for data in (raw, b"\x80\x04" + raw + b"."):
        with contextlib.suppress(SourceError):
            assert isinstance(inert.read(data, where="here"), DATA)
