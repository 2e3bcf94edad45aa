"""The two forms in which Keras saves a model: a `.keras` zip, and a whole model in HDF5 (`.h5`)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.formats.foreign.hdf5 import Hdf5
from acclimate.formats.foreign.keras_graph import Node
from acclimate.formats.foreign.layers import Array

Part = Literal["kernel", "bias"]
Weights = Callable[[Node, Part], Array]
"""What returns a layer's weights, the same where it is asked again."""
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


def opened(data: bytes, where: str) -> tuple[Mapping[str, Any], Weights]:
    """Return a model's config, and what reads its weights.

    Raises:
        UnsafeFileError: It asks for more than Keras writes.
        SourceError: It is broken, or has weights and no structure.
    """
    if data.startswith(b"PK"):
        members = _members(data, where)
        return _json(members[_CONFIG], where), _of_zip(Hdf5(members[_WEIGHTS], where))
    file = Hdf5(data, where)
    config = file.text("model_config")
    if config is None:
        raise SourceError(
            f"{where}: holds weights and no structure; save the whole model in Keras: `model.save('policy.keras')`"
        )
    return _json(config, where), _of_hdf5(file)


def _members(data: bytes, where: str) -> dict[str, bytes]:
    """Return what is read of a zip, which Keras does not compress."""
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in (_CONFIG, _WEIGHTS):
                if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
                    raise UnsafeFileError(
                        f"{where}: `{name}` is compressed, which Keras does not do; give its own file"
                    )
                found[name] = archive.read(name)
    except KeyError as error:
        raise SourceError(f"{where}: lacks a part of a model of Keras ({error.args[0]}); save it again") from error
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError, OSError) as error:
        raise SourceError(f"{where}: is a broken zip ({error}); copy or download it again") from error
    return found


def _json(text: str | bytes, where: str) -> Mapping[str, Any]:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: its config is no JSON ({type(error).__name__}); save it again in Keras") from error


def _of_zip(file: Hdf5) -> Weights:
    numbers = {"kernel": 0, "bias": 1}

    @cache
    def weights(node: Node, part: Part) -> Array:
        return file.array(f"layers/{node.place}/vars/{numbers[part]}")

    return weights


def _of_hdf5(file: Hdf5) -> Weights:
    @cache
    def weights(node: Node, part: Part) -> Array:
        path = f"model_weights/{node.name}"
        names = file.names(path)
        while len(names) == 1 and not names[0].startswith("kernel"):  # by the names of models around it
            path = f"{path}/{names[0]}"
            names = file.names(path)
        return file.array(f"{path}/{part}" if part in names else f"{path}/{part}:0")

    return weights
