"""Which networks, and which parts of them, a method acts on.

A selection is one pattern or several. A pattern is `roles` or `roles:parts`:

* `roles` names networks by role, with shell wildcards; `|` separates alternatives: `actor`, `*`, `critic|q`.
* `parts` is a shell wildcard over the paths inside the network, as `named_parameters` writes them. It matches
  a parameter or any module above it: `actor:mlp_extractor` takes all below that module, `*:*.bias` every
  bias.
* `!` in front takes away what the others chose: `("*", "!*:log_std")`. Exclusions alone begin from
  everything.

Each pattern must match something, so that a mistyped one is an error and not a method without effect.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from acclimate.errors import ConfigError, SurgeryError, suggest

_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Pattern:
    """One pattern of a selection, taken apart."""

    text: str
    roles: tuple[str, ...]
    parts: str | None
    excludes: bool

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Take a pattern apart.

        Raises:
            ConfigError: if it is empty, or has nothing before or after its colon.
        """
        excludes = text.startswith("!")
        head, colon, parts = text.removeprefix("!").partition(":")
        roles = tuple(role.strip() for role in head.split("|"))
        if not all(roles) or (colon and not parts):
            raise ConfigError(f"on: `{text}` is no pattern; write `role` or `role:part`, such as `actor:*.bias`")
        return cls(text, roles, parts if colon else None, excludes)

    def takes_role(self, role: str) -> bool:
        """Tell whether the pattern speaks of the network with this role."""
        return any(fnmatchcase(role, glob) for glob in self.roles)

    def takes(self, role: str, path: str) -> bool:
        """Tell whether the pattern matches what stands at `path` in the network, or a module above it."""
        if not self.takes_role(role):
            return False
        if self.parts is None:
            return True
        steps = path.split(".")
        return any(fnmatchcase(".".join(steps[: end + 1]), self.parts) for end in range(len(steps)))


@dataclasses.dataclass(frozen=True, init=False)
class Select:
    """A selection of networks and of their parts.

    Example:
        >>> Select("*", "!*:log_std").takes("actor", "log_std")
        False
    """

    patterns: tuple[str, ...]

    def __init__(self, *patterns: str) -> None:
        """Hold patterns as the module describes them; none stands for everything.

        Raises:
            ConfigError: if one of them cannot be read.
        """
        object.__setattr__(self, "patterns", patterns or ("*",))
        object.__setattr__(self, "_parsed", tuple(Pattern.parse(text) for text in self.patterns))

    @property
    def parsed(self) -> tuple[Pattern, ...]:
        """The patterns, taken apart."""
        return self._parsed  # type: ignore[attr-defined]

    @property
    def narrows(self) -> bool:
        """Whether it chooses inside networks, and not only among them."""
        return any(pattern.parts is not None for pattern in self.parsed)

    def takes_role(self, role: str) -> bool:
        """Tell whether anything of the network with this role can be chosen."""
        included = [pattern for pattern in self.parsed if not pattern.excludes]
        dropped = any(p.excludes and p.parts is None and p.takes_role(role) for p in self.parsed)
        return not dropped and (not included or any(p.takes_role(role) for p in included))

    def takes(self, role: str, path: str) -> bool:
        """Tell whether what stands at `path` in the network with this role is chosen."""
        included = [pattern for pattern in self.parsed if not pattern.excludes]
        if any(pattern.excludes and pattern.takes(role, path) for pattern in self.parsed):
            return False
        return not included or any(pattern.takes(role, path) for pattern in included)

    def check(self, paths: Mapping[str, Iterable[str]], culprit: str) -> None:
        """Refuse a pattern that matches nothing.

        Args:
            paths: what there is: the paths of each role.
            culprit: the name of the method, for the error.

        Raises:
            SurgeryError: naming the pattern and what exists.
        """
        for pattern in self.parsed:
            roles = [role for role in paths if pattern.takes_role(role)]
            if not roles:
                hint = suggest(pattern.roles[0], paths) if len(pattern.roles) == 1 else _listed(list(paths))
                raise SurgeryError(f"`{culprit}` on `{pattern.text}`: there is no such network. {hint}")
            there = {path: None for role in roles for path in paths[role]}
            if not any(pattern.takes(role, path) for role in roles for path in paths[role]):
                modules = list({path.rpartition(".")[0] or path: None for path in there})
                raise SurgeryError(
                    f"`{culprit}` on `{pattern.text}`: nothing in {', '.join(roles)} has that path. {_listed(modules)}"
                )

    def __str__(self) -> str:
        return ", ".join(self.patterns)

    def to_config(self) -> str | list[str]:
        """Return the pattern, or the list of them."""
        return self.patterns[0] if len(self.patterns) == 1 else list(self.patterns)

    @classmethod
    def from_config(cls, value: Any, path: str) -> Select:
        """Read a pattern or a list of patterns; a selection passes through.

        Raises:
            ConfigError: if the value is neither; the message begins with `path`.
        """
        if isinstance(value, Select):
            return value
        patterns = [value] if isinstance(value, str) else value
        if not isinstance(patterns, Sequence) or not all(isinstance(item, str) for item in patterns):
            raise ConfigError(f"{path}: expected a pattern such as `actor`, or a list of them, not {value!r}")
        try:
            return cls(*patterns)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"There are {shown}{' and more' if len(names) > _SHOWN else ''}."
