from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.config import from_dict, parse_spec, to_dict
from acclimate.errors import ConfigError
from acclimate.schedule import Geometric, Linear, Schedule, at, parse, span

ENDS = st.floats(1e-6, 1e6, allow_nan=False)
SHARE = st.floats(0.01, 1.0)


@dataclass(frozen=True)
class Field:
    weight: float | Schedule = 0.5


def test_linear_by_hand() -> None:
    fall = Linear(0.8, 0.2, fraction=0.5)
    assert [round(fall(p), 12) for p in (-1.0, 0.0, 0.25, 0.5, 0.75, 2.0)] == [0.8, 0.8, 0.5, 0.2, 0.2, 0.2]


def test_geometric_by_hand() -> None:
    fall = Geometric(1.0, 0.01)
    assert fall(0.5) == pytest.approx(0.1)
    assert fall(0.75) / fall(0.5) == pytest.approx(fall(1.0) / fall(0.75))


@given(ENDS, ENDS, SHARE, st.floats(0, 1))
def test_stays_between_its_ends(start: float, end: float, fraction: float, progress: float) -> None:
    for kind in (Linear, Geometric):
        low, high = span(kind(start, end, fraction))
        value = kind(start, end, fraction)(progress)
        assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
        assert kind(start, end, fraction)(fraction) == kind(start, end, fraction)(1.0) == end


@given(st.floats(allow_nan=False, allow_infinity=False), ENDS, SHARE)
def test_text_round_trip(start: float, end: float, fraction: float) -> None:
    for schedule in (Linear(start, end, fraction), Geometric(end, end, fraction)):
        assert parse(str(schedule)) == schedule
        assert from_dict(Field, to_dict(Field(schedule))) == Field(schedule)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5->0.0", Linear(0.5, 0.0)),
        (" .5 -> 0 @ 0.5 ", Linear(0.5, 0.0, 0.5)),
        ("1~>1e-2", Geometric(1.0, 0.01)),
        ("0.25", 0.25),
    ],
)
def test_forms(text: str, value: float | Schedule) -> None:
    assert parse(text) == value
    _, fields = parse_spec(f"kl:weight={text}")
    assert from_dict(Field, fields) == Field(value)


@pytest.mark.parametrize("text", ["0.5->", "fast", "0.5->0.1@2", "0.5->0.1@0", "1~>0", "1~>-1", "1>2"])
def test_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^recipe\.weight: "):
        from_dict(Field, {"weight": text})


def test_a_constant_is_worth_itself() -> None:
    assert at(0.3, 0.9) == 0.3
    assert span(0.3) == (0.3, 0.3)
