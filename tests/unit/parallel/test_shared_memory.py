"""Memory that two processes share: what was written is read, and what does not fit is left to messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from acclimate.parallel.shared_memory import Board

SEEN = spaces.Box(-1, 1, (2, 3), np.float32)
DONE = spaces.Discrete(4)

PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False),
    st.floats(allow_nan=False).map(np.float64),
    st.floats(allow_nan=False, width=32).map(np.float32),
    st.integers(-(2**31), 2**31 - 1).map(np.int32),
    st.integers(-(2**53), 2**53).map(np.int64),
    st.booleans().map(np.bool_),
)
INFOS = st.lists(st.dictionaries(st.text(max_size=3), PLAIN, max_size=4), min_size=2, max_size=2)


def board(seen: Any = SEEN, done: Any = DONE) -> Board:
    return Board(2, seen, done)


def stepped(infos: list[dict[str, Any]]) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(2, 2, 3)).astype(np.float32)
    return seen, np.array([1.5, -2.0], np.float32), np.array([False, True]), infos


@given(INFOS)
def test_what_is_written_is_read_with_its_types(infos: list[dict[str, Any]]) -> None:
    there = board()
    there.learn(infos)
    there.ask(np.array([3, 1]))
    assert there.asked
    assert list(there.actions) == [3, 1]
    wrote = stepped(infos)
    assert there.write(*wrote)
    assert not there.asked
    read = there.read()
    assert read is not None
    for one, other in zip(read[:3], wrote[:3], strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert read[3] == infos
    for one, other in zip(read[3], infos, strict=True):
        assert [*one] == [*other]
        assert [type(value) for value in one.values()] == [type(value) for value in other.values()]


def test_what_was_read_stays_when_the_next_step_is_written() -> None:
    there, infos = board(), [{}, {}]
    there.learn(infos)
    there.ask(np.array([0, 0]))
    there.write(*stepped(infos))
    read = there.read()
    assert read is not None
    kept = [part.copy() for part in read[:3]]
    there.ask(np.array([1, 1]))
    there.write(np.zeros((2, 2, 3), np.float32), np.zeros(2, np.float32), np.zeros(2, bool), infos)
    assert all(np.array_equal(one, other) for one, other in zip(read[:3], kept, strict=True))


@pytest.mark.parametrize(
    "infos",
    [
        [{}, {"a": "text"}],
        [{"a": np.arange(2)}, {}],
        [{"a": {"b": 1}}, {}],
        [{"a": None}, {}],
        [{str(i): 0.0 for i in range(200)}, {}],
    ],
)
def test_what_is_no_plain_number_goes_by_message(infos: list[dict[str, Any]]) -> None:
    there = board()
    there.learn(infos)
    there.ask(np.array([0, 0]))
    assert not there.write(*stepped(infos))
    assert there.asked
    there.defer()
    assert not there.asked
    assert there.read() is None


@pytest.mark.parametrize("value", [2**53 + 1, -(2**60), np.int64(2**62)])
def test_an_integer_that_no_float_is_goes_by_message(value: Any) -> None:
    there = board()
    there.learn([{"a": type(value)(1)}, {}])
    there.ask(np.array([0, 0]))
    assert there.write(*stepped([{"a": type(value)(7)}, {}]))
    there.ask(np.array([0, 0]))
    assert not there.write(*stepped([{"a": value}, {}]))


def test_a_form_that_was_not_learnt_goes_by_message() -> None:
    there = board()
    there.learn([{"a": 1.0}, {}])
    there.ask(np.array([0, 0]))
    for unlike in ([{"a": 1}, {}], [{}, {"a": 1.0}], [{"b": 1.0}, {}]):
        assert not there.write(*stepped(unlike))


def test_forms_without_end_are_not_kept() -> None:
    there = board()
    for place in range(100):
        there.learn([{str(place): 1.0}, {}])
    there.ask(np.array([0, 0]))
    assert there.write(*stepped([{"63": 1.0}, {}]))
    assert not there.write(*stepped([{"64": 1.0}, {}]))


def test_which_actions_it_takes() -> None:
    there = board()
    assert there.takes(np.array([0, 1]))
    assert not there.takes(np.array([0, 1], np.int32))
    assert not there.takes(np.array([0, 1, 2]))
    assert not there.takes([0, 1])
    box = board(done=spaces.Box(-1, 1, (3,), np.float32))
    assert box.takes(np.zeros((2, 3), np.float32))
    assert not box.takes(np.zeros((2, 3)))


def test_which_spaces_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert Board.fits(SEEN, DONE)
    assert not Board.fits(spaces.Discrete(3), DONE)
    assert not Board.fits(spaces.Dict({"a": SEEN}), DONE)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not Board.fits(SEEN, DONE)
