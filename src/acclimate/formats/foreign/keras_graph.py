"""The structure that Keras writes beside its weights, as chains of layers from what is seen to each output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.errors import SourceError

MOST = 200
"""Layers of a policy."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A layer as the file tells it."""

    name: str
    """Its own."""
    kind: str
    """Its class: `Dense`."""
    place: str
    """Its name among the weights of a `.keras` file, which counts the layers of a class: `dense_1`."""
    config: Mapping[str, Any]
    shape: tuple[int | None, ...] | None
    """Of what it reads, without the batch; None where the file does not tell."""
    below: tuple[str, ...]
    """The layers that it reads."""
    constants: tuple[Any, ...] = ()
    """What else it is given, as the 2 in `layer(seen) * 2`."""


Chain = tuple[Node, ...]


def heads(model: Mapping[str, Any], where: str) -> dict[str, Chain]:
    """Return the chain of layers of each output, by the name of the output.

    Args:
        model: the config of a Sequential or Functional model.
        where: how an error names the file.

    Raises:
        SourceError: It is another model, or no chain.
    """
    kind = word(model["class_name"])
    if kind not in ("Sequential", "Functional", "Model"):
        raise SourceError(
            f"{where}: its model is of the class `{kind}`, whose code is not in the file; build it again of Keras' own "
            "layers as a Sequential or Functional model, copy the weights and save that"
        )
    told = model["config"]["layers"]
    if not 0 < len(told) <= MOST:
        raise SourceError(f"{where}: has {len(told)} layers, and a policy 1 to {MOST}")
    nodes = _nodes(told, kind == "Sequential", where)
    if kind == "Sequential":
        return {nodes[-1].name: tuple(nodes)}
    known = {node.name: node for node in nodes}
    return {name: _chain(known, last, where) for name, last in _outputs(model["config"]["output_layers"])}


def word(told: Any) -> str:
    """Return a name, if it can stand in a message.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(told, str) or not told.isprintable() or len(told) > 200:
        raise ValueError(f"no name: {ascii(told)[:40]}")
    return told


def _nodes(told: list[Any], in_a_row: bool, where: str) -> list[Node]:
    found: list[Node] = []
    seen: dict[str, int] = {}
    for each in told:
        kind, config = word(each["class_name"]), each["config"]
        _check_own(each, where)
        calls = each.get("inbound_nodes") or []
        if len(calls) > 1:
            raise SourceError(
                f"{where}: its layer `{config['name']}` is used {len(calls)} times, which no SB3 policy does"
            )
        before = tuple(node.name for node in found[-1:])
        count = seen[kind] = seen.get(kind, -1) + 1
        found.append(
            Node(
                name=word(config["name"]),
                kind=kind,
                place=kind.lower() + (f"_{count}" if count else ""),
                config=config,
                shape=_shape(each),
                below=before if in_a_row else tuple(_sources(calls)),
                constants=() if in_a_row else tuple(_constants(calls)),
            )
        )
    return found


def _check_own(layer: Mapping[str, Any], where: str) -> None:
    """Check that a layer is one of Keras' own."""
    kind, *told = layer["class_name"], layer.get("module"), layer.get("registered_name")
    module, registered = (None if each is None else word(each) for each in told)
    if (module and module.split(".")[0] != "keras") or registered not in (None, kind):
        raise SourceError(
            f"{where}: its layer `{registered or kind}` is of {module or 'a package of its own'}, whose "
            "code is not in the file; build the model again of Keras' own layers and save that"
        )


def _shape(layer: Mapping[str, Any]) -> tuple[int | None, ...] | None:
    config, built = layer["config"], layer.get("build_config") or {}
    told = config.get("batch_shape") or config.get("batch_input_shape") or built.get("input_shape")
    return None if told is None else tuple(told[1:])


def _sources(held: Any) -> Iterator[str]:
    """Yield the layers whose outputs are in the arguments of a call, as Keras 3 and Keras 2 write them."""
    if isinstance(held, Mapping):
        if held.get("class_name") == "__keras_tensor__":
            yield held["config"]["keras_history"][0]
            return
        held = list(held.values())
    if isinstance(held, list):
        if len(held) in (3, 4) and isinstance(held[0], str):
            yield held[0]
            return
        for each in held:
            yield from _sources(each)


def _constants(calls: list[Any]) -> Iterator[Any]:
    """Yield the arguments of a call that are no outputs of a layer: numbers, or lists of them."""
    call = calls[0] if calls and isinstance(calls[0], Mapping) else {}
    for each in call.get("args", []):
        if isinstance(each, Mapping) and each.get("class_name") == "__numpy__":
            yield each["config"]["value"]
        elif not (isinstance(each, list) or list(_sources(each))):
            yield each


def _outputs(told: Any) -> list[tuple[str, str]]:
    """Return the name of each output, and the layer that gives it."""
    if isinstance(told, Mapping):
        return [(word(name), layer[0]) for name, layer in told.items()]
    listed = [told] if isinstance(told[0], str) else told
    return [(layer[0], layer[0]) for layer in listed]


def _chain(known: Mapping[str, Node], last: str, where: str) -> Chain:
    """Return the layers below one, the first one first."""
    found = [known[last]]
    while found[-1].below:
        node = found[-1]
        if len(node.below) > 1:
            raise SourceError(
                f"{where}: its layer `{node.name}` ({node.kind}) reads {' and '.join(node.below)}, and an SB3 policy "
                "is a chain; give one input with all that it sees, or build it as a policy class of your own"
            )
        if len(found) > MOST:
            raise SourceError(f"{where}: its layers run in a circle")
        found.append(known[node.below[0]])
    return tuple(reversed(found))
