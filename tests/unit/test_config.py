from __future__ import annotations

import enum
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from acclimate.config import POSITIONAL, convert, from_dict, parse_scalar, parse_spec, to_dict
from acclimate.errors import ConfigError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    rank: int = 4
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError("`rank` is below 1; give at least 1")


class Fade:
    """Has a form of its own, as schedules do."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fade) and other.start == self.start

    def to_config(self) -> dict[str, float]:
        return {"fade": self.start}

    @classmethod
    def from_config(cls, value: Any, path: str) -> Fade:
        if not isinstance(value, Mapping) or set(value) != {"fade"}:
            raise ConfigError(f"{path}: no fade")
        return cls(value["fade"])


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 0
    ratio: float = 0.5
    on: bool = False
    note: str | None = None
    mode: Literal["fast", "slow"] = "fast"
    colour: Colour = Colour.RED
    place: Path = Path(".")
    pair: tuple[int, str] = (0, "")
    items: tuple[Inner, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    weight: float | Fade = 0.0
    rate: float | Literal["auto"] = "auto"


FULL = Outer(
    name="a",
    count=3,
    ratio=2.0,
    on=True,
    note="b",
    mode="slow",
    colour=Colour.BLUE,
    place=Path("x/y"),
    pair=(1, "c"),
    items=(Inner(8), Inner(alpha=0.25)),
    weights={"w": 1.5},
    weight=Fade(0.3),
    rate=1e-4,
)


@pytest.mark.parametrize("value", [FULL, Outer(name="z")])
def test_dataclasses_survive_yaml(value: Outer) -> None:
    assert from_dict(Outer, yaml.safe_load(yaml.safe_dump(to_dict(value)))) == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "a", "cuont": 1}, "recipe: no field `cuont`. Did you mean `count`?"),
        ({}, "recipe: the field `name` is missing; give it a value"),
        ({"name": 1}, "recipe.name: expected str, not 1"),
        ({"name": "a", "count": True}, "recipe.count: expected int, not True"),
        ({"name": "a", "count": 1.5}, "recipe.count: expected int, not 1.5"),
        ({"name": "a", "ratio": "much"}, "recipe.ratio: expected float, not 'much'"),
        ({"name": "a", "on": 1}, "recipe.on: expected bool, not 1"),
        ({"name": "a", "mode": "fsat"}, "recipe.mode: 'fsat' is no choice. Did you mean `fast`?"),
        ({"name": "a", "colour": "green"}, "recipe.colour: 'green' is no choice. Known: blue, red."),
        ({"name": "a", "pair": [1]}, "recipe.pair: expected 2 values, not 1"),
        ({"name": "a", "pair": 1}, "recipe.pair: expected a list, not 1"),
        ({"name": "a", "items": [{}, {"rnak": 2}]}, "recipe.items[1]: no field `rnak`. Did you mean `rank`?"),
        ({"name": "a", "items": [{"rank": 0}]}, "recipe.items[0]: `rank` is below 1; give at least 1"),
        ({"name": "a", "weights": {"w": "x"}}, "recipe.weights.w: expected float, not 'x'"),
        ({"name": "a", "weights": [1]}, "recipe.weights: expected a mapping, not [1]"),
        ({"name": "a", "weight": {"fdae": 1}}, "recipe.weight: no fade"),
        ({"name": "a", "weight": [1]}, "recipe.weight: expected float or Fade, not [1]"),
        ({"name": "a", "rate": "later"}, "recipe.rate: expected float or `auto`, not 'later'"),
        ({"name": "a", POSITIONAL: "b"}, "recipe: `name` is given twice; give it once"),
    ],
)
def test_errors_name_the_field(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_dict(Outer, data)
    assert str(caught.value) == message


def test_what_is_no_mapping_goes_to_the_first_field() -> None:
    assert from_dict(Outer, "a") == from_dict(Outer, {POSITIONAL: "a"}) == Outer(name="a")


def test_a_class_without_fields_takes_no_value() -> None:
    @dataclass(frozen=True)
    class Empty: ...

    assert from_dict(Empty, {}) == Empty()
    with pytest.raises(ConfigError, match="recipe: takes no value, but has 3; leave it out"):
        from_dict(Empty, 3)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(float, "1e-3", 0.001), (float, 2, 2.0), (int, "1e5", 100_000), (int, 1e5, 100_000), (Any, [1], [1])],
)
def test_numbers_as_people_write_them(kind: Any, value: Any, expected: Any) -> None:
    converted = convert(kind, value, "x")
    assert converted == expected
    assert type(converted) is type(expected)


def test_what_no_file_can_hold_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"Outer\.weight: .* cannot be written to a file"):
        to_dict(Outer(name="a", weight=print))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("full", ("full", {})),
        ("gravity=1.5", ("gravity", {"": 1.5})),
        ("gravity=1e-3", ("gravity", {"": 0.001})),
        ("kl:weight=linear(0.5, 0),on=true", ("kl", {"weight": "linear(0.5, 0)", "on": True})),
        ("kl:roles=[a, b]", ("kl", {"roles": ["a", "b"]})),
        ("x:y={a: 1, b: [2, 3]},z=", ("x", {"y": {"a": 1, "b": [2, 3]}, "z": None})),
        ("x=!!python/name:os.system", ("x", {"": "!!python/name:os.system"})),
        ("x=__import__('os')", ("x", {"": "__import__('os')"})),
    ],
)
def test_specs(text: str, expected: tuple[str, dict[str, Any]]) -> None:
    assert parse_spec(text) == expected


@pytest.mark.parametrize("text", ["", "=1", "a b", "kl:weight", "kl:weight=1,", "kl:a=1,a=2", "kl:=1"])
def test_malformed_specs(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^`.*`: "):
        parse_spec(text)


@given(st.text(string.printable))
def test_any_text_is_a_spec_or_a_config_error(text: str) -> None:
    try:
        name, fields = parse_spec(text)
    except ConfigError:
        return
    assert name
    assert isinstance(fields, dict)


@given(st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)))
def test_scalars_survive_their_text(value: float) -> None:
    assert parse_scalar(str(value)) == value
