"""The parts of a report: one that fails is a note in it, and costs neither the agent nor the other parts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Missing:
    """Makes what may be missing, and remembers what is."""

    notes: list[str] = field(default_factory=list)

    def trying(self, name: str) -> AbstractContextManager[None]:
        """Return a context in which a part is made; what goes wrong in it is a note, but for an interrupt."""
        return _Trying(name, self)

    def note(self, *said: str) -> None:
        """Add notes that are not there already."""
        self.notes += [each for each in dict.fromkeys(said) if each not in self.notes]


@dataclass
class _Trying(AbstractContextManager[None]):
    name: str
    missing: Missing

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        said = " ".join(str(error).split()) or "no message"
        self.missing.note(f"no {self.name}: {type(error).__name__}: {said}")
        return True
