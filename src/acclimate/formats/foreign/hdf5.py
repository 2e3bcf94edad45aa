"""HDF5 as Keras writes it: arrays in one piece behind hard links, and nothing else of that format.

What HDF5 can do beyond that reads other files, or grows without end: links of other kinds, raw data and virtual
datasets elsewhere, chunks and their filters, object references. None of it is followed. pyfive reads the headers, from
a file that gives so much and no more; arrays are cut from the bytes at hand, so that none is larger than what is there.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from acclimate.errors import SourceError, UnsafeFileError
from acclimate.formats.foreign.layers import Array

HEADERS = 2 * 2**20
"""Bytes of headers that are read of a file; Keras writes some thousand for each layer."""
READS = 20_000
"""How often it is read from."""
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS, _ATTRIBUTE = 1, 2, 3, 6, 7, 8, 11, 12
"""Messages of an object's header that are looked at (HDF5 File Format Specification 3.0, IV.A.2)."""
_NOWHERE = 2**64 - 1
_FLOAT = 1
_CONTIGUOUS = 1
_LAYOUTS = {0: "in its header", 2: "in chunks, which filters may blow up", 3: "in other datasets (a virtual one)"}
_LINKS = {1: "a soft link", 64: "a link to another file"}
_AGAIN = "save the model again in Keras"
_BROKEN = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NameError, RuntimeError),
    *(TypeError, ValueError, Warning, struct.error),
)
"""What pyfive raises, beside its own error, where a header is not what it should be."""


class Hdf5:
    """One file, open for as long as it is asked.

    Raises:
        UnsafeFileError: By each question, where the answer asks for more than a plain array.
        SourceError: By each question, where it is broken or not there.
    """

    def __init__(self, data: bytes, where: str) -> None:
        """Open the file whose bytes are `data`; `where` is how an error names it."""
        self._data, self._where = data, where
        self._file, self._left = _Metered(data, where), len(data)
        self._objects: dict[int, Any] = {}
        try:
            from pyfive.core import InvalidHDF5File
            from pyfive.dataobjects import DataObjects
            from pyfive.misc_low_level import SuperBlock
        except ImportError as error:
            missing = (error.name or "pyfive").split(".")[0]
            raise SourceError(
                f"{where}: a file of Keras needs `{missing}`, which is not installed; pip install 'acclimate[keras]'"
            ) from None
        self._parse, self._broken = DataObjects, (*_BROKEN, InvalidHDF5File)
        with self._read("its beginning"):
            self._root = SuperBlock(self._file, 0).offset_to_dataobjects

    def names(self, path: str) -> tuple[str, ...]:
        """Return what a group holds."""
        return tuple(self._links(self._at(path), path))

    def array(self, path: str) -> Array:
        """Return a dataset of floating-point numbers."""
        start, shape, dtype = self._found(path)
        held = np.frombuffer(self._data, dtype, math.prod(shape), start).reshape(shape)
        self._left -= held.nbytes
        if self._left < 0:
            raise self._unsafe(path, "shares its bytes with another array")
        return np.array(held, np.float32, order="C")

    def replaced(self, arrays: Mapping[str, Array]) -> bytes:
        """Return the file with other numbers in datasets that it has, and all else as it is.

        Args:
            arrays: by the paths of the datasets, and of their shapes.
        """
        data = bytearray(self._data)
        for path, numbers in arrays.items():
            start, shape, dtype = self._found(path)
            data[start : start + math.prod(shape) * dtype.itemsize] = numbers.reshape(shape).astype(dtype).tobytes()
        return bytes(data)

    def _found(self, path: str) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
        """Return where the numbers of a dataset begin, their shape and their type."""
        found = self._at(path)
        if _messages(found, _EXTERNAL):
            raise self._unsafe(path, "lies in another file")
        if _messages(found, _FILTERS):
            raise self._unsafe(path, "goes through filters")
        with self._read(path):
            shape, dtype = self._form(found, path)
            start, size = self._place(found, path)
        if math.prod(shape) * dtype.itemsize != size:
            raise self._unsafe(path, f"declares {' x '.join(map(str, shape))} numbers, and has {size} bytes")
        if start + size > len(self._data):
            raise SourceError(f"{self._where}: `{path}` ends beyond the file; copy or download it again")
        return start, shape, dtype

    def text(self, name: str) -> str | None:
        """Return an attribute of the whole file that is a text, None where it has none of that name."""
        with self._read(f"the attribute {name}"):
            root = self._object(self._root)
            for message in _messages(root, _ATTRIBUTE):
                if _is_one(root.msg_data, message["offset_to_message"], name):
                    _, value = root.unpack_attribute(message["offset_to_message"])
                    return value if isinstance(value, str) else bytes(value).decode()
        return None

    def _form(self, found: Any, path: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and type."""
        (kind,) = (found.msg_data[each["offset_to_message"]] & 15 for each in _messages(found, _DATATYPE))
        if kind != _FLOAT:
            raise SourceError(f"{self._where}: `{path}` holds no floating-point numbers; {_AGAIN} as float32")
        (_,) = _messages(found, _DATASPACE)
        return tuple(found.shape), np.dtype(found.ptype.dtype)

    def _place(self, found: Any, path: str) -> tuple[int, int]:
        """Return where the numbers begin, and how many bytes they have."""
        (message,) = _messages(found, _LAYOUT)
        version, kind, start, size = struct.unpack_from("<BBQQ", found.msg_data, message["offset_to_message"])
        if kind != _CONTIGUOUS or version not in (3, 4):
            raise self._unsafe(path, f"lies {_LAYOUTS.get(kind, 'elsewhere')}")
        return start, size

    def _at(self, path: str) -> Any:
        """Return the object at a path, each part of which is a hard link."""
        found, seen = self._object(self._root), ""
        for name in filter(None, path.split("/")):
            links = self._links(found, seen or "/")
            seen = f"{seen}/{name}"
            if name not in links:
                raise SourceError(f"{self._where}: has no `{path}`; {_AGAIN}")
            found = self._object(links[name])
        return found

    def _links(self, found: Any, path: str) -> Mapping[str, int]:
        """Return the links of a group, if they are hard ones."""
        with self._read(path):
            for message in _messages(found, _LINK_INFO):
                if _heap(found.msg_data, message["offset_to_message"]) != _NOWHERE:
                    raise self._unsafe(path, "keeps its links in a heap")
            for message in _messages(found, _LINK):
                kind = _kind_of_link(found.msg_data, message["offset_to_message"])
                if kind:
                    raise self._unsafe(path, f"holds {_LINKS.get(kind, 'a link of a kind of its own')}")
            links = found.get_links()
        if any(not isinstance(target, int) for target in links.values()):
            raise self._unsafe(path, f"holds {_LINKS[1]}")
        return links

    def _object(self, address: int) -> Any:
        if address not in self._objects:
            with self._read("an object"):
                self._objects[address] = self._parse(self._file, address)
        return self._objects[address]

    def _unsafe(self, path: str, does: str) -> UnsafeFileError:
        return UnsafeFileError(f"{self._where}: `{path}` {does}, which Keras does not write; {_AGAIN}")

    @contextmanager
    def _read(self, what: str) -> Iterator[None]:
        """Word what pyfive says of a broken file: it asserts, indexes, unpacks and recurses."""
        try:
            yield
        except SourceError:
            raise
        except self._broken as error:
            raise SourceError(
                f"{self._where}: `{what}` cannot be read ({type(error).__name__}); copy or download it again"
            ) from error


class _Metered(io.BytesIO):
    """Bytes that are given out a limited number of times: a header may send its reader round for ever."""

    def __init__(self, data: bytes, where: str) -> None:
        super().__init__(data)
        self._where, self._bytes, self._reads = where, HEADERS, READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            UnsafeFileError: They are more than a file of Keras has.
        """
        given = super().read(size)
        self._bytes, self._reads = self._bytes - len(given), self._reads - 1
        if min(self._bytes, self._reads) < 0:
            raise UnsafeFileError(f"{self._where}: its headers have no end, or more than Keras writes; {_AGAIN}")
        return given


def _messages(found: Any, kind: int) -> list[Any]:
    return found.find_msg_type(kind)


def _kind_of_link(data: bytes, start: int) -> int:
    """Return the kind of link that a message holds, 0 for a hard one."""
    return data[start + 2] if data[start + 1] & 8 else 0


def _heap(data: bytes, start: int) -> int:
    """Return the address of a group's heap of links."""
    return struct.unpack_from("<Q", data, start + (10 if data[start + 1] & 1 else 2))[0]


def _is_one(data: bytes, start: int, name: str) -> bool:
    """Tell whether an attribute is called so and is one value: of many, each may be as long as the file."""
    version, _, length, kind, _ = struct.unpack_from("<BBHHH", data, start)
    if version not in (1, 3):
        return False
    first, step = (start + 8, 8) if version == 1 else (start + 9, 1)
    if data[first : first + length].rstrip(b"\0") != name.encode():
        return False
    space = first + sum(-(-size // step) * step for size in (length, kind))
    return data[space + 1] == 0
