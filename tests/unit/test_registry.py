from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar

import pytest

from acclimate.errors import ConfigError
from acclimate.registry import SHIFTS, WRAPPERS, Registry


@dataclass(frozen=True)
class Lora:
    rank: int = 4
    alpha: float = 1.0
    name: ClassVar[str] = "lora"


@dataclass(frozen=True)
class Full:
    name: ClassVar[str] = "full"


METHODS = Registry("method", {"lora": f"{__name__}:Lora", "full": f"{__name__}:Full"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("full", Full()),
        ({"full": None}, Full()),
        ("lora", Lora()),
        ({"lora": 8}, Lora(8)),
        ({"lora": {"alpha": 2}}, Lora(alpha=2.0)),
        ({"lora": {"": 8, "alpha": 2}}, Lora(8, 2.0)),
    ],
)
def test_every_form_of_a_configuration(value: Any, expected: Any) -> None:
    assert METHODS.build(value, "recipe.methods[0]") == expected


@pytest.mark.parametrize("instance", [Full(), Lora(), Lora(8, 0.5)])
def test_what_is_written_is_read(instance: Any) -> None:
    assert METHODS.build(METHODS.config(instance), "x") == instance


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"lora": {"rnak": 8}}, "recipe.methods[0].lora: no field `rnak`. Did you mean `rank`?"),
        ({"lroa": {}}, "recipe.methods[0]: no method `lroa`. Did you mean `lora`?"),
        ("os:system", "recipe.methods[0]: no method `os:system`. Known: full, lora."),
        (3, "recipe.methods[0]: expected a method as `name` or `{name: {field: value}}`, not 3"),
        ([], "recipe.methods[0]: expected a method as `name` or `{name: {field: value}}`, not []"),
    ],
)
def test_errors_name_the_place(value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        METHODS.build(value, "recipe.methods[0]")
    assert str(caught.value) == message


def test_third_parties_register_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {
        "g": [
            metadata.EntryPoint("theirs", f"{__name__}:Lora", "g"),
            metadata.EntryPoint("full", "nowhere:Full", "g"),
            metadata.EntryPoint("broken", "nowhere:Broken", "g"),
        ]
    }
    monkeypatch.setattr(metadata, "entry_points", lambda group: points[group])
    registry = Registry("method", {"full": f"{__name__}:Full"}, entry_points="g")
    assert registry.names() == ("full", "broken", "theirs")
    assert registry.get("theirs") is Lora
    assert registry.get("full") is Full
    with pytest.raises(ConfigError, match=r"the method `broken` of nowhere:Broken does not import"):
        registry.get("broken")
    with pytest.raises(ConfigError, match=r"no method `thiers`\. Did you mean `theirs`"):
        registry.get("thiers")


@pytest.mark.parametrize("registry", [SHIFTS, WRAPPERS], ids=lambda registry: registry.kind)
def test_our_tables_name_their_classes(registry: Registry) -> None:
    for name in registry:
        assert registry.get(name).name == name
