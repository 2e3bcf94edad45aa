"""Plain data in text, YAML and JSON: numbers, text, lists and mappings, read under limits.

YAML alone can do more: aliases let a few hundred bytes unfold into billions of items, tags make other objects. Here it
has no more than JSON has. Nesting is bounded for both, as whoever walks through the data uses the stack.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

MAX_YAML = 128 * 1024
"""Characters of a YAML text, of up to four bytes each: PyYAML takes half a minute for a million."""
MAX_DEPTH = 32
MAX_NUMBER = 64
"""Characters of a number; a longer one could not even be printed in an error."""
_TAG = "tag:yaml.org,2002:"
_NUMBERS = (f"{_TAG}int", f"{_TAG}float")


def read_yaml(text: str, loader: type[Loader] | None = None) -> Any:
    """Return the data of a YAML text.

    Args:
        text: all of it.
        loader: what reads it, where some tags are known.

    Raises:
        ValueError: It is no YAML, or more than plain data of bounded size and depth; the message is one line.
    """
    if len(text) > MAX_YAML:
        raise ValueError(f"{len(text)} characters are more than the {MAX_YAML} that are read")
    try:
        # An instance of its own loader class: nothing is registered globally.
        return yaml.load(text, Loader=loader or Loader)
    except (yaml.YAMLError, TypeError, LookupError, RecursionError) as error:
        raise ValueError((str(error).splitlines() or ["unreadable"])[0][:200]) from error


def read_json(text: str) -> Any:
    """Return the data of a JSON text.

    Raises:
        ValueError: It is no JSON, or nested too deep; the message is one line.
    """
    try:
        data = json.loads(text)
    except RecursionError:  # its own scanner uses the stack too
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [part for whole in level for part in _parts(whole) if isinstance(part, (dict, list))]
        if not level:
            return data
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def _parts(whole: Any) -> Any:
    return whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else ()


class Loader(yaml.SafeLoader):
    """A safe loader without aliases, dates and tags, which counts how deep it is."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, unless it is an alias, may become one or lies too deep."""
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.YAMLError("it has aliases or anchors (& and *), which are not read: write the values out")
        if self._depth > MAX_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node.tag in _NUMBERS and len(node.value) > MAX_NUMBER:
            raise yaml.YAMLError(f"a number of {len(node.value)} characters")
        return node


_CORE = [None, *(_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map"))]
Loader.yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in _CORE}
# JSON has no dates: they stay text. So do `on`, `off`, `yes` and `no`, as in YAML 1.2: methods have a field `on`.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag not in (f"{_TAG}timestamp", f"{_TAG}bool")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
# YAML 1.1 reads `1e-3` as text, because it wants a dot; people write it all the time.
Loader.add_implicit_resolver(f"{_TAG}float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))
