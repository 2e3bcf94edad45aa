"""Policies and values of Keras: Sequential and Functional models that are chains with one output or two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from acclimate.errors import SourceError
from acclimate.formats.foreign.keras_file import KerasFile
from acclimate.formats.foreign.keras_graph import Chain, heads
from acclimate.formats.foreign.keras_layers import WEIGHTED, Read, layers_of
from acclimate.formats.foreign.layers import Stack, convolutions
from acclimate.formats.foreign.network import Foreign

EXTRACTOR = 4
"""Layers that SB3's actor and critic share where they see images: three convolutions, and a dense one above."""
_VALUE = ("value", "critic", "baseline")


@dataclass(frozen=True, eq=False)
class Model:
    """A model, as it lies in its file and as ours."""

    file: KerasFile
    policy: Read
    value: Read | None
    networks: Foreign


def read(data: bytes, where: str) -> Foreign:
    """Return the networks of a file, as `model` has them."""
    return model(data, where).networks


def model(data: bytes, where: str) -> Model:
    """Return the model of a file.

    An actor that ends with a tanh goes on as TD3's, each other one as PPO's: the odds of a softmax and the numbers
    before it choose the same actions.

    Raises:
        UnsafeFileError: It asks for more than Keras writes.
        SourceError: It is broken, or no SB3 policy can be this model.
    """
    with _telling(where):
        file = KerasFile(data, where)
        policy, value = _roles(heads(file.config, where), where)
        actor = layers_of(policy, file, where)
        critic = None if value is None else layers_of(value, file, where)
        shared = _extractor(policy, value, actor.stack, where)
        return Model(file, actor, critic, _foreign(actor, critic, shared, where))


def value(data: bytes, where: str) -> Stack:
    """Return a value network that is alone in a file.

    Raises:
        UnsafeFileError: It asks for more than Keras writes.
        SourceError: It is broken, or gives something other than one number.
    """
    with _telling(where):
        file = KerasFile(data, where)
        found = [layers_of(chain, file, where) for chain in heads(file.config, where).values()]
    if len(found) != 1:
        raise SourceError(f"{where}: has {len(found)} outputs, and a value network one")
    stack = _value(found[0], where)
    if convolutions(stack):
        raise SourceError(f"{where}: sees images, which SB3's policy and value do as one; save both as one model")
    return stack


def _value(found: Read, where: str) -> Stack:
    """Return the layers of a value, if they are those of one."""
    last = found.stack[-1]
    if last.units != 1 or last.activation:
        raise SourceError(
            f"{where}: `{found.sources[-1].node.name}` is no value, which is one number without an activation"
        )
    return found.stack


@contextmanager
def _telling(where: str) -> Iterator[None]:
    """Word what a config that Keras did not write leads to."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SourceError(
            f"{where}: its config is none that Keras writes ({type(error).__name__}); save it again in Keras"
        ) from error


def names_a_value(name: str) -> bool:
    """Tell whether an output is called as a value."""
    return any(word in name.lower() for word in _VALUE)


def _roles(found: dict[str, Chain], where: str) -> tuple[Chain, Chain | None]:
    """Return the policy's chain, and the value's where there is one."""
    if len(found) == 1:
        return next(iter(found.values())), None
    names = [name for name in found if names_a_value(name)]
    if len(names) != 1:
        names = [name for name, chain in found.items() if chain[-1].config.get("units") == 1]
    if len(found) != 2 or len(names) != 1:
        raise SourceError(
            f"{where}: has the outputs {', '.join(found)}, and an SB3 policy has one for actions and one for a value "
            "of one number; call that one `value`, and leave the spread of actions out: PPO has one for all states"
        )
    policy = next(chain for name, chain in found.items() if name != names[0])
    return policy, found[names[0]]


def _extractor(policy: Chain, value: Chain | None, actor: Stack, where: str) -> Stack:
    """Return what both read first where they see images."""
    if not convolutions(actor):
        return ()
    if len(actor) <= EXTRACTOR:
        raise SourceError(
            f"{where}: sees images by {len(actor)} layers; SB3's own extractor has three convolutions and a dense "
            "layer, and the actor one above"
        )
    common = policy if value is None else [one for one, other in zip(policy, value, strict=False) if one is other]
    if sum(node.kind in WEIGHTED for node in common) < EXTRACTOR:
        raise SourceError(f"{where}: its policy and its value see images apart, and SB3's share what sees them")
    return actor[:EXTRACTOR]


def _foreign(actor: Read, critic: Read | None, shared: Stack, where: str) -> Foreign:
    stack, notes = actor.stack[len(shared) :], actor.notes
    last, bounds = stack[-1], actor.bounds
    if last.activation != "tanh":
        odds = last.activation == "softmax"
        critics = () if critic is None else (_value(critic, where)[len(shared) :],)
        if critic is not None and not shared and critic.sources[0].node is actor.sources[0].node:
            notes = (*notes, ("trunk", "the layers that policy and value share are now in both"))
        return Foreign(
            kind="Keras's policy",
            algorithm="ppo",
            actor=(*stack[:-1], replace(last, activation="")) if odds else stack,
            critics=critics,
            shared=shared,
            odds=odds,
            notes=notes,
        )
    if shared:
        raise SourceError(
            f"{where}: sees images and ends with a tanh, which SB3's actors of images do not; leave it out"
        )
    if critic is not None:
        notes = (*notes, ("value", "TD3 learns values of observations and actions: new ones are drawn"))
    low, high = (np.full(last.units, sign, np.float32) for sign in (-1, 1)) if bounds is None else bounds
    return Foreign(kind="Keras's actor", algorithm="td3", actor=stack, bounds=(low, high), notes=notes)
