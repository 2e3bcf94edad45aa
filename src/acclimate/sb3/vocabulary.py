"""The names that an agent's file may use, and what they mean here.

A file names classes; nothing is imported because a file says so. Every class that Acclimate is ready to build
is in one of these tables, and the reverse tables name the classes of a live model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sb3_contrib
import stable_baselines3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import nn

from acclimate.errors import SourceError, suggest
from acclimate.files.pickles import Token

ALGORITHMS: Mapping[str, type[BaseAlgorithm]] = {
    "ppo": stable_baselines3.PPO,
    "a2c": stable_baselines3.A2C,
    "dqn": stable_baselines3.DQN,
    "sac": stable_baselines3.SAC,
    "td3": stable_baselines3.TD3,
    "ddpg": stable_baselines3.DDPG,
    "tqc": sb3_contrib.TQC,
    "qrdqn": sb3_contrib.QRDQN,
    "trpo": sb3_contrib.TRPO,
    "crossq": sb3_contrib.CrossQ,
    "ars": sb3_contrib.ARS,
    "recurrent_ppo": sb3_contrib.RecurrentPPO,
    "maskable_ppo": sb3_contrib.MaskablePPO,
}

_ACTIVATIONS = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]
_OPTIMIZERS = ["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD"]

# The keyword arguments of SB3's policies whose value is a class, and the classes that it may be.
CLASSES: Mapping[str, Mapping[str, type]] = {
    "activation_fn": {name.lower(): getattr(nn, name) for name in [*_ACTIVATIONS, "Identity"]},
    "optimizer_class": {
        **{name.lower(): getattr(torch.optim, name) for name in _OPTIMIZERS},
        "rmsprop_tf_like": RMSpropTFLike,
    },
    "features_extractor_class": {
        "flatten": FlattenExtractor,
        "nature_cnn": NatureCNN,
        "combined": CombinedExtractor,
    },
}

_SB3_LAYERS = "stable_baselines3.common.torch_layers"
# Where a file may say that such a class lives: (module, name) -> (keyword argument, our name).
_CLASS_NAMES: Mapping[tuple[str, str], tuple[str, str]] = {
    **{("torch.nn.modules.activation", n): ("activation_fn", n.lower()) for n in _ACTIVATIONS},
    ("torch.nn.modules.linear", "Identity"): ("activation_fn", "identity"),
    **{(f"torch.optim.{n.lower()}", n): ("optimizer_class", n.lower()) for n in _OPTIMIZERS},
    ("stable_baselines3.common.sb2_compat.rmsprop_tf_like", "RMSpropTFLike"): (
        "optimizer_class",
        "rmsprop_tf_like",
    ),
    (_SB3_LAYERS, "FlattenExtractor"): ("features_extractor_class", "flatten"),
    (_SB3_LAYERS, "NatureCNN"): ("features_extractor_class", "nature_cnn"),
    (_SB3_LAYERS, "CombinedExtractor"): ("features_extractor_class", "combined"),
}


def _policies() -> dict[tuple[str, str], tuple[tuple[str, ...], str]]:
    """Return (module, class) -> (the algorithms that use it, SB3's alias for it)."""
    names: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {}
    owners: dict[type, list[str]] = {}
    for algorithm, cls in ALGORITHMS.items():
        for policy in cls.policy_aliases.values():
            owners.setdefault(policy, []).append(algorithm)
    for cls in ALGORITHMS.values():
        for alias, policy in cls.policy_aliases.items():
            names[policy.__module__, policy.__name__] = (tuple(owners[policy]), alias)
    return names


POLICIES = _policies()


def policy_of(token: Token, where: str) -> tuple[tuple[str, ...], str]:
    """Return the algorithms that a policy class belongs to, and SB3's alias for it.

    Raises:
        SourceError: It is not one of SB3's own.
    """
    known = POLICIES.get((token.module, token.name))
    if known is None:
        raise SourceError(
            f"{where}: its policy is `{token}`, not one of SB3's own; pass trust=True to let SB3 import and run it."
        )
    return known


def class_name(token: Token, argument: str, where: str) -> str:
    """Return our name for the class that a file gives as `argument` (`activation_fn` ...).

    Raises:
        SourceError: It is not one that we build, or another argument's.
    """
    kind, name = _CLASS_NAMES.get((token.module, token.name), (None, ""))
    if kind != argument:
        raise SourceError(
            f"{where}: `{argument}` is `{token}`, which Acclimate does not build; "
            "pass trust=True to let SB3 import and run it."
        )
    return name


def resolve(policy_kwargs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return policy arguments with our names replaced by their classes; classes stay as they are."""
    resolved = dict(policy_kwargs)
    for argument, table in CLASSES.items():
        name = resolved.get(argument)
        if isinstance(name, str):
            if name not in table:
                raise SourceError(f"{where}: no {argument} `{name}`. {suggest(name, table)}")
            resolved[argument] = table[name]
    return resolved


def name_of(argument: str, cls: type) -> str | type:
    """Return our name of a class, or the class itself where it is none of ours."""
    return next((name for name, known in CLASSES.get(argument, {}).items() if known is cls), cls)


ON_POLICY = frozenset({"ppo", "a2c", "trpo", "recurrent_ppo", "maskable_ppo"})


OFF_POLICY = frozenset({"sac", "td3", "ddpg", "tqc", "crossq", "dqn", "qrdqn"})


VALUE_BASED = frozenset({"dqn", "qrdqn"})


NOISY = frozenset({"td3", "ddpg"})
"""Their policies put out one action, and explore only by noise that is added to it."""
