"""An agent's weights put back into the file of Keras whose structure it has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from acclimate.errors import MisfitError
from acclimate.formats.foreign import keras
from acclimate.formats.foreign.assembling import WEIGHTS
from acclimate.formats.foreign.keras_file import Weight
from acclimate.formats.foreign.keras_layers import Source
from acclimate.formats.foreign.layers import Array, Layer, Stack
from acclimate.formats.foreign.network import Foreign

State = Mapping[str, Array]
"""A policy's weights by the names of SB3's modules."""
Names = Mapping[int, str]
"""Those names, by the identity of an array of the file that goes there."""


def replaced(data: bytes, state: State, where: str) -> tuple[bytes, bool]:
    """Return a file with an agent's weights in the place of its own, and whether it is a value network alone.

    Args:
        data: the bytes of the file whose structure it is: a policy, a policy and its value, or a value.
        state: the agent's.
        where: how an error names that file.

    Raises:
        MisfitError: The agent has another structure, or learned what this one cannot hold.
        SourceError: As the reader does.
    """
    found = keras.model(data, where)
    chains = [found.policy] if found.value is None else [found.policy, found.value]
    names = _names(found.networks)
    alone = _names_of_value(found.policy.stack)
    of_value = (
        found.value is None
        and _fits(found.policy.stack, alone, state)
        and (keras.names_a_value(found.policy.sources[-1].node.name) or not _fits(found.policy.stack, names, state))
    )
    new: dict[Weight, Array] = {}
    for chain in chains:
        for layer, source in zip(chain.stack, chain.sources, strict=True):
            for weight, array in _weights(layer, source, alone if of_value else names, state, where).items():
                if not np.array_equal(new.setdefault(weight, array), array):
                    raise MisfitError(
                        f"{where}: its policy and its value share `{source.node.name}`, which the agent has twice and "
                        "has changed apart; give a file of each with `like`, whose layers are not shared"
                    )
    return found.file.replaced(new), of_value


def _names(found: Foreign) -> Names:
    """Return the names of what an agent acts by; the copy of a target comes last among those of one array."""
    return {id(array): name for name, array in reversed(WEIGHTS[found.algorithm](found).items())}


def _names_of_value(stack: Stack) -> Names:
    names = WEIGHTS["ppo"](Foreign(kind="", algorithm="ppo", actor=stack, critics=(stack,)))
    return {id(array): name for name, array in names.items() if "value" in name}


def _fits(stack: Stack, names: Names, state: State) -> bool:
    arrays = [array for layer in stack for array in (layer.weight, layer.bias) if id(array) in names]
    return all(names[id(array)] in state and state[names[id(array)]].shape == array.shape for array in arrays)


def _weights(layer: Layer, source: Source, names: Names, state: State, where: str) -> dict[Weight, Array]:
    """Return a layer's new weights as Keras has them; none where the agent does not act by it."""
    if id(layer.weight) not in names:
        return {}
    if not _fits((layer,), names, state):
        raise MisfitError(
            f"{where}: its layer `{source.node.name}` has {layer.units} units of {layer.weight.shape[1]} inputs, and "
            "the agent has none such there; give the file that the agent was loaded from"
        )
    weight, bias = (state[names[id(array)]] for array in (layer.weight, layer.bias))
    if bias.any() and not source.node.config.get("use_bias", True):
        raise MisfitError(f"{where}: its layer `{source.node.name}` has no bias, and the agent learned one")
    return source.weights(weight, bias)
