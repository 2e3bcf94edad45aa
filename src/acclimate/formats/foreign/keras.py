"""Policies and values of Keras: Sequential and Functional models that are chains with one output or two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

import numpy as np

from acclimate.errors import SourceError
from acclimate.formats.foreign.keras_file import Weights, opened
from acclimate.formats.foreign.keras_graph import Chain, heads
from acclimate.formats.foreign.keras_layers import Read, layers_of
from acclimate.formats.foreign.layers import Stack, convolutions
from acclimate.formats.foreign.network import Foreign

EXTRACTOR = 4
"""Layers that SB3's actor and critic share where they see images: three convolutions, and a dense one above."""
_VALUE = ("value", "critic", "baseline")


def read(data: bytes, where: str) -> Foreign:
    """Return the networks of a file.

    An actor that ends with a tanh goes on as TD3's, each other one as PPO's: the odds of a softmax and the numbers
    before it choose the same actions.

    Raises:
        UnsafeFileError: It asks for more than Keras writes.
        SourceError: It is broken, or no SB3 policy can be this model.
    """
    with _telling(where):
        model, weights = opened(data, where)
        policy, value = _roles(heads(model, where), where)
        actor = layers_of(policy, weights, where)
        critic = None if value is None else layers_of(value, weights, where)
        shared = _extractor(policy, value, actor, weights, where)
    return _foreign(actor, critic, shared, where)


def value(data: bytes, where: str) -> Stack:
    """Return a value network that is alone in a file.

    Raises:
        UnsafeFileError: It asks for more than Keras writes.
        SourceError: It is broken, or gives something other than one number.
    """
    with _telling(where):
        model, weights = opened(data, where)
        found = [layers_of(chain, weights, where).stack for chain in heads(model, where).values()]
    if len(found) != 1 or found[0][-1].units != 1 or found[0][-1].activation:
        raise SourceError(f"{where}: is no value network, which gives one number without an activation")
    if convolutions(found[0]):
        raise SourceError(
            f"{where}: a value network that sees images shares them with its policy; save both as one model"
        )
    return found[0]


@contextmanager
def _telling(where: str) -> Iterator[None]:
    """Word what a config that Keras did not write leads to."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SourceError(
            f"{where}: its config is none that Keras writes ({type(error).__name__}); save it again in Keras"
        ) from error


def _roles(found: dict[str, Chain], where: str) -> tuple[Chain, Chain | None]:
    """Return the policy's chain, and the value's where there is one."""
    if len(found) == 1:
        return next(iter(found.values())), None
    names = [name for name in found if any(word in name.lower() for word in _VALUE)]
    if len(names) != 1:
        names = [name for name, chain in found.items() if chain[-1].config.get("units") == 1]
    if len(found) != 2 or len(names) != 1:
        raise SourceError(
            f"{where}: has the outputs {', '.join(found)}, and an SB3 policy has one for actions and one for a value "
            "of one number; call that one `value`, and leave the spread of actions out: PPO has one for all states"
        )
    policy = next(chain for name, chain in found.items() if name != names[0])
    return policy, found[names[0]]


def _extractor(policy: Chain, value: Chain | None, actor: Read, weights: Weights, where: str) -> Stack:
    """Return what both read first where they see images."""
    if not convolutions(actor.stack):
        return ()
    if len(actor.stack) <= EXTRACTOR:
        raise SourceError(
            f"{where}: sees images by {len(actor.stack)} layers; SB3's own extractor has three convolutions and a "
            "dense layer, and the actor one above"
        )
    if value is None:
        return actor.stack[:EXTRACTOR]
    common = tuple(one for one, _ in takewhile(lambda pair: pair[0] is pair[1], zip(policy, value, strict=False)))
    trunk = layers_of(common, weights, where).stack
    if len(trunk) < EXTRACTOR:
        raise SourceError(f"{where}: its policy and its value see images apart, and SB3's share what sees them")
    return trunk[:EXTRACTOR]


def _foreign(actor: Read, critic: Read | None, shared: Stack, where: str) -> Foreign:
    stack, notes = actor.stack[len(shared) :], actor.notes
    last, bounds = stack[-1], actor.bounds
    if last.activation != "tanh":
        odds = last.activation == "softmax"
        critics = () if critic is None else (critic.stack[len(shared) :],)
        if critics and not shared:
            notes = (*notes, ("trunk", "what actor and critic may have shared is now in both"))
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
