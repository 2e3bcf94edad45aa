"""The two forms in which Keras saves a model: a `.keras` zip, and a whole model in HDF5 (`.h5`)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, Literal

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.formats.foreign.hdf5 import Hdf5
from acclimate.formats.foreign.keras_graph import Node
from acclimate.formats.foreign.layers import Array

Part = Literal["kernel", "bias"]
Weight = tuple[Node, Part]
_NUMBERS: Mapping[Part, int] = {"kernel": 0, "bias": 1}
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


class KerasFile:
    """One file.

    Raises:
        UnsafeFileError: It asks for more than Keras writes.
        SourceError: It is broken, or has weights and no structure.
    """

    config: Mapping[str, Any]
    """Of the model."""

    def __init__(self, data: bytes, where: str) -> None:
        """Open the file whose bytes are `data`; `where` is how an error names it."""
        self._members = _members(data, where) if data.startswith(b"PK") else {}
        self._file = Hdf5(self._members.get(_WEIGHTS, data), where)
        self._known: dict[Weight, Array] = {}
        told = self._members.get(_CONFIG) or self._file.text("model_config")
        if told is None:
            raise SourceError(
                f"{where}: holds weights and no structure; save the whole model in Keras: `model.save('policy.keras')`"
            )
        try:
            self.config = json.loads(told)
        except (ValueError, RecursionError) as error:
            raise SourceError(
                f"{where}: its config is no JSON ({type(error).__name__}); save it again in Keras"
            ) from error

    def weights(self, node: Node, part: Part) -> Array:
        """Return a layer's weights, the same array where they are asked for again."""
        if (node, part) not in self._known:
            self._known[node, part] = self._file.array(self._path(node, part))
        return self._known[node, part]

    def replaced(self, weights: Mapping[Weight, Array]) -> bytes:
        """Return the file with other weights in the place of its own, and all else as it is."""
        inner = self._file.replaced({self._path(*weight): array for weight, array in weights.items()})
        if not self._members:
            return inner
        whole = io.BytesIO()
        with zipfile.ZipFile(whole, "w") as archive:
            for name, held in self._members.items():
                archive.writestr(name, inner if name == _WEIGHTS else held)
        return whole.getvalue()

    def _path(self, node: Node, part: Part) -> str:
        if self._members:
            return f"layers/{node.place}/vars/{_NUMBERS[part]}"
        path = f"model_weights/{node.name}"
        names = self._file.names(path)
        while len(names) == 1 and not names[0].startswith("kernel"):  # by the names of models around it
            path = f"{path}/{names[0]}"
            names = self._file.names(path)
        return f"{path}/{part}" if part in names else f"{path}/{part}:0"


def _members(data: bytes, where: str) -> dict[str, bytes]:
    """Return what is in a zip, which Keras does not compress: all of it together is no more than the file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            told = archive.infolist()
            if sum(each.file_size for each in told) > len(data) or any(each.compress_type for each in told):
                raise UnsafeFileError(f"{where}: is compressed, which Keras does not do; give the file that it saved")
            found = {each.filename: archive.read(each) for each in told}
    except (zipfile.BadZipFile, LookupError, ValueError, RuntimeError, EOFError, OSError) as error:
        raise SourceError(f"{where}: is a broken zip ({type(error).__name__}); copy or download it again") from error
    lacks = [name for name in (_CONFIG, _WEIGHTS) if not found.get(name)]
    if lacks:
        raise SourceError(f"{where}: lacks {' and '.join(lacks)}, which a model of Keras has; save it again")
    return found
