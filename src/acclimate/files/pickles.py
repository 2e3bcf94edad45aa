"""A reader of pickles that cannot run anything.

Python's unpickler calls what a file tells it to call, and one with a filtered ``find_class`` still hands real
objects to the file, whose attributes the ``BUILD`` opcode can then write. This reader is another machine. It
walks the opcodes and only ever makes plain containers and two kinds of inert record, a `Token` where a pickle
names a global and a `Made` where it calls one. What a record means is decided afterwards, by code that knows
what it looks for.
"""

from __future__ import annotations

import io
import mmap
import pickletools
from dataclasses import dataclass, field
from typing import Any

from acclimate.errors import SourceError, UnsafeFileError

MAX_BYTES = 64 * 2**20
MAX_OPCODES = 1_000_000
MAX_MEMO = 2**20
# Whose names may be mentioned; none is ever imported or called. Any other shows what the file is up to.
_PACKAGES = frozenset(["numpy", "gym", "gymnasium", "stable_baselines3", "sb3_contrib", "torch", "collections"])
_BUILTINS = frozenset(
    ["set", "frozenset", "list", "dict", "tuple", "bool", "int", "float", "str", "bytes", "bytearray"]
)
_KEYS = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Token:
    """A global that a pickle names: where it says it lives, never the thing itself."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """A call that a pickle asks for, not carried out: what, with which arguments, and the state set after."""

    what: Token
    args: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


def read(data: bytes, *, where: str) -> Any:
    """Return what the pickle `data` describes, as containers, numbers, text, bytes, `Token` and `Made`.

    Args:
        data: The pickle, of protocol 2 to 5.
        where: What is being read, for the messages.

    Raises:
        UnsafeFileError: It is too large, nests globals or uses opcodes that no plain object needs.
        SourceError: It is broken.
    """
    if len(data) > MAX_BYTES:
        raise UnsafeFileError(f"{where}: {len(data)} bytes are more than the {MAX_BYTES} a pickle may have here.")
    return _run(io.BytesIO(data), _Machine(where, storages=False))


def stream(data: mmap.mmap, *, where: str) -> Any:
    """Return what a pickle of any size describes; it may be large, never larger than the file that is mapped.

    Raises:
        UnsafeFileError: As `read` does, but for the size.
        SourceError: As `read` does.
    """
    return _run(data, _Machine(where, storages=False))


def check(stream: io.BytesIO, *, where: str) -> None:
    """Read one pickle of torch's, which may name storages, off a stream, and forget it.

    It is what stands before torch's own reader, which trusts a file not to exhaust memory or the C stack.

    Raises:
        UnsafeFileError: As `read` does.
        SourceError: As `read` does.
    """
    _run(stream, _Machine(where, storages=True))


def _run(stream: io.BytesIO | mmap.mmap, machine: _Machine) -> Any:
    where = machine.where
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_OPCODES:
                raise UnsafeFileError(f"{where}: more than {MAX_OPCODES} opcodes; such a pickle is not read.")
            machine.step(opcode.name, argument)
        return machine.result()
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError) as error:
        raise SourceError(f"{where}: broken pickle ({error}); save the agent again.") from error


class _Mark:
    """Where a pickle began to collect items."""


_MARK = _Mark()


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, where: str, *, storages: bool) -> None:
        self.where = where
        self.storages = storages
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        action = _ACTIONS.get(name)
        if action is not None:
            action(self, argument)
        elif name == "BINPERSID" and self.storages:
            self.stack.append(Made(Token("torch", "storage"), (self.pop(),)))
        else:
            raise UnsafeFileError(f"{self.where}: the pickle uses {name}, which no plain value needs; refused.")

    def result(self) -> Any:
        """Return the one value that is left."""
        if len(self.stack) != 1 or self.stack[0] is _MARK:
            raise ValueError(f"it ends with {len(self.stack)} values instead of one")
        return self.stack[0]

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value is needed")
        return value

    def collect(self) -> list[Any]:
        """Pop everything back to the last mark."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise ValueError("no mark on the stack")

    def top(self, kind: type | tuple[type, ...]) -> Any:
        """Return the value on top, which must be of this kind."""
        value = self.stack[-1]
        if not isinstance(value, kind):
            raise UnsafeFileError(f"{self.where}: the pickle changes a {type(value).__name__} in place; refused.")
        return value

    def store(self, index: int) -> None:
        if index > MAX_MEMO:
            raise UnsafeFileError(f"{self.where}: the pickle asks for memo slot {index}; refused.")
        if self.stack[-1] is _MARK:
            raise ValueError("a mark cannot be kept")
        self.memo[index] = self.stack[-1]

    def token(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise UnsafeFileError(f"{self.where}: the pickle computes the name of a global; refused.")
        known = name in _BUILTINS if module == "builtins" else module.partition(".")[0] in _PACKAGES
        if not known or not name.isidentifier():
            raise UnsafeFileError(
                f"{self.where}: asks for `{module[:80]}.{name[:80]}`, which no plain agent needs; "
                "only trust=True lets SB3 import and run it."
            )
        self.stack.append(Token(module, name))

    def make(self, what: Any, arguments: Any) -> None:
        if not isinstance(what, Token):
            raise UnsafeFileError(f"{self.where}: the pickle calls the result of a call; refused.")
        if not isinstance(arguments, tuple):
            raise ValueError("arguments that are not a tuple")
        self.stack.append(Made(what, arguments))

    def build(self) -> None:
        state = self.pop()
        target = self.stack[-1]
        if not isinstance(target, Made):
            raise UnsafeFileError(f"{self.where}: the pickle writes attributes of {_describe(target)}; refused.")
        if target.state is not None:
            raise UnsafeFileError(f"{self.where}: the pickle sets the state of {target.what} twice; refused.")
        target.state = state

    def set_items(self, flat: list[Any]) -> None:
        target = self.top((dict, Made))
        mapping = target.items if isinstance(target, Made) else target
        if len(flat) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            # Hashing a deeply nested tuple recurses in C, without a limit: only flat keys are let in.
            if not isinstance(key, _KEYS):
                raise UnsafeFileError(f"{self.where}: {_describe(key)} as a dictionary key; refused.")
            mapping[key] = value

    def add_items(self, items: list[Any]) -> None:
        # Sets are kept as lists: nothing here is ever hashed.
        self.top(list).extend(items)


def _describe(value: Any) -> str:
    return str(value) if isinstance(value, Token) else f"a {type(value).__name__}"


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.token(module, name)


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    machine.token(module, name)


def _call(machine: _Machine, _: Any) -> None:
    arguments, what = machine.pop(), machine.pop()
    machine.make(what, arguments)


def _tuple(size: int) -> Any:
    def act(machine: _Machine, _: Any) -> None:
        machine.stack.append(tuple(reversed([machine.pop() for _ in range(size)])))

    return act


def _append(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    machine.add_items([value])


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _push(value: Any) -> Any:
    return lambda machine, _: machine.stack.append(value)


_ARGUMENTS = (
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_ACTIONS = {
    **{name: lambda machine, value: machine.stack.append(value) for name in _ARGUMENTS.split()},
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "NONE": _push(None),
    "NEWTRUE": _push(True),
    "NEWFALSE": _push(False),
    "EMPTY_TUPLE": _push(()),
    "MARK": _push(_MARK),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: machine.stack.append([]),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "BUILD": lambda machine, _: machine.build(),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.collect())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.collect()),
    "APPEND": _append,
    "APPENDS": lambda machine, _: machine.add_items(machine.collect()),
    "ADDITEMS": lambda machine, _: machine.add_items(machine.collect()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.collect()),
    "MEMOIZE": lambda machine, _: machine.store(len(machine.memo)),
    "BINPUT": lambda machine, index: machine.store(index),
    "LONG_BINPUT": lambda machine, index: machine.store(index),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.collect(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
}
