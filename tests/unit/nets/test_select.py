from __future__ import annotations

import pytest

from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.select import Select

PATHS = {"actor": ["net.0.weight", "net.0.bias", "log_std"], "critic": ["net.0.weight", "head.bias"]}


def chosen(*patterns: str) -> list[str]:
    select = Select(*patterns)
    select.check(PATHS, "kl")
    return [f"{role}:{p}" for role, paths in PATHS.items() for p in paths if select.takes(role, p)]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ((), ["actor:net.0.weight", "actor:net.0.bias", "actor:log_std", "critic:net.0.weight", "critic:head.bias"]),
        (("critic",), ["critic:net.0.weight", "critic:head.bias"]),
        (("critic|q",), ["critic:net.0.weight", "critic:head.bias"]),
        (("act*:net",), ["actor:net.0.weight", "actor:net.0.bias"]),
        (("*:*.bias",), ["actor:net.0.bias", "critic:head.bias"]),
        (("actor", "!*:net"), ["actor:log_std"]),
        (("!actor:net.*", "!critic"), ["actor:log_std"]),
        (("actor:log_std", "critic:head"), ["actor:log_std", "critic:head.bias"]),
    ],
)  # fmt: skip
def test_patterns(patterns: tuple[str, ...], expected: list[str]) -> None:
    assert chosen(*patterns) == expected


def test_roles_as_wholes() -> None:
    assert Select("actor:net").takes_role("actor")
    assert not Select("actor:net").takes_role("critic")
    assert not Select("!critic").takes_role("critic")
    assert Select("!critic:head").takes_role("critic")
    assert Select("actor", "!*:net").narrows
    assert not Select("actor", "!critic").narrows


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("criti", "`kl` on `criti`: there is no such network. Did you mean `critic`?"),
        ("q|policy", "`kl` on `q|policy`: there is no such network. There are actor, critic."),
        ("actor:latent*", "`kl` on `actor:latent*`: nothing in actor has that path. There are net.0, log_std."),
        ("!actor:latent*", "`kl` on `!actor:latent*`: nothing in actor has that path."),
    ],
)
def test_a_pattern_without_a_match_says_what_there_is(pattern: str, message: str) -> None:
    with pytest.raises(SurgeryError) as caught:
        chosen(pattern)
    assert message in str(caught.value)


@pytest.mark.parametrize("pattern", ["", "!", ":net", "actor:", "a||b"])
def test_unreadable_patterns(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is no pattern"):
        Select(pattern)


def test_configuration_forms() -> None:
    for value in ("actor", ["actor", "!*:log_std"]):
        assert Select.from_config(value, "on").to_config() == value
    with pytest.raises(ConfigError, match=r"recipe\.on: expected a pattern"):
        Select.from_config(3, "recipe.on")
    with pytest.raises(ConfigError, match=r"recipe\.on: on: `:` is no pattern"):
        Select.from_config(":", "recipe.on")
