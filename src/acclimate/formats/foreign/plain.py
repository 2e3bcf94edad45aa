"""Networks of anybody's: a state dict of torch's or a safetensors file, with a few words on which layers are which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from acclimate.config import from_dict
from acclimate.errors import ConfigError, SourceError
from acclimate.files import bounded
from acclimate.files.plain import MAX_YAML, read_yaml
from acclimate.formats.foreign.layers import Stack
from acclimate.formats.foreign.network import Foreign
from acclimate.formats.foreign.torch_layers import State, listed, sequence, vector
from acclimate.sb3 import vocabulary


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Which layers of a file are which, as a file of weights does not tell.

    A network is named by what its layers' names begin with where they are counted (`actor.` for `actor.0.weight`,
    `actor.2.weight`), or by the names of its layers in order (`["fc1", "fc2", "out"]`).

    Example:
        >>> Spec(actor="pi.", critics=("v.",), activation="relu").algorithm
        'ppo'
    """

    actor: str | tuple[str, ...]
    """From observations to means or logits of actions; of `dqn` their values."""
    critics: tuple[str | tuple[str, ...], ...] = ()
    """The value of `ppo`; of `td3`, `ddpg` and `sac` each network of observations and actions, which come last and in
    [-1, 1]. None: they are newly drawn."""
    algorithm: Literal["ppo", "dqn", "td3", "ddpg", "sac"] = "ppo"
    """Which goes on with it. The actor of `td3` and `ddpg` ends with a tanh, that of `sac` has one above its means."""
    activation: str = "tanh"
    """Between the layers, by its name in torch.nn, in small letters."""
    log_std: str | None = None
    """The parameter that holds the log-deviations of a Gaussian; None: they are SB3's, of 1."""

    def __post_init__(self) -> None:
        if self.activation not in vocabulary.CLASSES["activation_fn"]:
            known = ", ".join(sorted(vocabulary.CLASSES["activation_fn"]))
            raise ConfigError(f"spec.activation is `{self.activation[:40]}`; there are {known}")
        if self.algorithm == "dqn" and self.critics:
            raise ConfigError("spec.critics: a Q-network is its own critic; leave them out, or name another algorithm")

    @classmethod
    def load(cls, path: str | Path) -> Spec:
        """Read it from a YAML file.

        Raises:
            ConfigError: The file is missing, is no YAML of plain data, or holds unknown fields.
        """
        try:
            data = read_yaml(bounded.read_text(Path(path), MAX_YAML))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}; give the path of a spec's YAML file.") from error
        except ValueError as error:
            raise ConfigError(
                f"{path} is not YAML of plain data ({error}); write `actor: pi.` and the like."
            ) from error
        return from_dict(cls, data, path="spec")


def read(state: State, spec: Spec, where: str) -> Foreign:
    """Return the networks of a state dict.

    Args:
        state: names and tensors.
        spec: which layers are which.
        where: how an error names the file.

    Raises:
        SourceError: There are no such layers, or they do not fit to one another.
    """
    last = "tanh" if spec.algorithm in ("td3", "ddpg") else ""
    critics = tuple(_stack(state, each, spec.activation, where) for each in spec.critics)
    if any(critic[-1].units != 1 for critic in critics):
        raise SourceError(f"{where}: a critic of `spec.critics` puts out more than one number, and a value is one")
    return Foreign(
        kind="a network of torch",
        algorithm=spec.algorithm,
        actor=_stack(state, spec.actor, spec.activation, where, last),
        critics=critics,
        log_std=None if spec.log_std is None else vector(state, spec.log_std, where).astype(np.float32),
    )


def _stack(state: State, name: str | tuple[str, ...], activation: str, where: str, last: str = "") -> Stack:
    if isinstance(name, str):
        return sequence(state, name, activation, where=where, last=last)
    return listed(state, list(name), activation, where=where, last=last)
