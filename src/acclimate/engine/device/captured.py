"""Runs one update again and again: as it is, or captured and replayed.

The first updates of a kind run as they are, on the stream of the capture, and are updates like any other: that is the
warm-up. A capture runs nothing. Before it is used, a replay is compared with the update as it is, on the minibatch at
hand; if they differ, nothing is captured any more. It holds for as long as all that was baked into it is the same,
which `begin` is told.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from acclimate.engine.device.learner import Learner, Shown
from acclimate.engine.device.numbers import unchecked
from acclimate.nets.experience import Batch
from acclimate.tuning.method import Signals

Host = Callable[[], bool]
"""What the host looks at in the middle of an update; it returns whether the update goes on."""

WARM = 3
"""Updates of a kind before it is captured: libraries and allocators set themselves up in the first ones."""


CLOSE = 0.01
"""How far a replay may be from the update as it is, as a share of what the update changes: kernels that add in no fixed
order are far nearer, another minibatch or other chance is as far as the update itself."""


class Body(Protocol):
    """An update that can be captured."""

    batch: Batch
    """The minibatch, set as the update begins."""
    figures: Tensor
    """(figures,), what is logged, set before any step."""
    stepped: list[tuple[Learner, Shown]]
    """Which steps were taken, and along which gradients."""
    tensors: list[Tensor]
    """All that an update writes and the next one reads."""

    def body(self, kind: Any) -> Iterator[Host]:
        """Update once, and yield what the host has to do."""


class Graph(AbstractContextManager[Any], Protocol):
    """What is done inside of it can be replayed."""

    def replay(self) -> None:
        """Do it again."""


class Recorder(Protocol):
    """Makes graphs."""

    def aside(self) -> AbstractContextManager[Any]:
        """Run what is inside where captures are made."""

    def graph(self) -> Graph:
        """Return a new graph."""

    def renew(self) -> None:
        """Let the graphs to come share no memory with those before, none of which is replayed any more."""

    def chance(self) -> tuple[Any, Callable[[Any], None]]:
        """Return the state of the random numbers, and what puts it back."""


class CudaGraph:
    """A CUDA graph of a recorder."""

    def __init__(self, pool: Any, stream: Any) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._capture = torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode="thread_local")

    def __enter__(self) -> CudaGraph:
        """Begin the capture."""
        self._capture.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """End the capture."""
        self._capture.__exit__(*error)

    def replay(self) -> None:
        """Launch it."""
        self._graph.replay()


class Cuda:
    """Captures on a stream of its own, in one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self.renew()

    def aside(self) -> AbstractContextManager[Any]:
        """Run on the stream of the captures, between what was launched before and what comes after."""
        return _Aside(self._stream, torch.cuda.current_stream(self._device))

    def chance(self) -> tuple[Any, Callable[[Any], None]]:
        """Return the state of the device's random numbers, and what puts it back."""
        return torch.cuda.get_rng_state(self._device), lambda state: torch.cuda.set_rng_state(state, self._device)

    def renew(self) -> None:
        """Take another pool: gradients may still lie in the old one, into which nothing can be captured any more."""
        self._pool = torch.cuda.graph_pool_handle()

    def graph(self) -> CudaGraph:
        """Return a graph; graphs of one update share memory, so they are replayed in the order of their capture."""
        return CudaGraph(self._pool, self._stream)


class _Aside:
    def __init__(self, stream: Any, usual: Any) -> None:
        self._stream, self._usual = stream, usual
        self._on = torch.cuda.stream(stream)

    def __enter__(self) -> None:
        self._stream.wait_stream(self._usual)
        self._on.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._on.__exit__(*error)
        self._usual.wait_stream(self._stream)


@dataclass(frozen=True)
class Captured:
    """One update: graphs, and calls of the host between them."""

    pieces: list[Any]
    batch: Batch
    figures: Tensor
    stepped: list[tuple[Learner, Shown]]
    noted: dict[str, Tensor]
    """What the penalties came to."""


class Runner:
    """Runs the updates of one body."""

    def __init__(self, body: Body, signals: Signals, recorder: Recorder | None, warm: int = WARM) -> None:
        """Run a body.

        Args:
            body: the update.
            signals: they are told each minibatch, and what the penalties came to.
            recorder: captures; without one the update runs as it is.
            warm: how many updates of a kind come before its capture, at least 1.
        """
        self._body, self._signals, self._recorder, self._warm = body, signals, recorder, warm
        self._key: Hashable = None
        self._captured: dict[Hashable, Captured] = {}
        self._ran: Counter[Hashable] = Counter()
        self.replays = 0
        """How many updates were replayed."""
        self.failure: str | None = None
        """Why nothing is captured any more."""

    def begin(self, key: Hashable) -> None:
        """Begin updates; what was captured under another key is let go of."""
        if key != self._key:
            self._key = key
            self._captured.clear()
            self._ran.clear()
            if self._recorder is not None:
                self._recorder.renew()

    def __call__(self, kind: Hashable) -> tuple[Tensor, bool]:
        """Update once.

        Args:
            kind: updates of one kind do the same on tensors of the same shapes.

        Returns:
            A copy of the figures, and whether the updates go on.
        """
        captured = self._captured.get(kind)
        if captured is None:
            if self._recorder is None or self._ran[kind] < self._warm:
                self._ran[kind] += 1
                return self._as_it_is(kind)
            captured = self._capture(kind, self._recorder)
            if captured is None:
                return self._as_it_is(kind)
            self._captured[kind] = captured
        return self._replay(captured)

    def _as_it_is(self, kind: Hashable) -> tuple[Tensor, bool]:
        body = self._body
        body.stepped.clear()
        with nullcontext() if self._recorder is None else self._recorder.aside(), unchecked():
            going = True
            for host in body.body(kind):
                self._signals.batch = body.batch
                going = host()
                if not going:
                    break
            self._signals.batch = body.batch
            self._count(body.stepped)
            return body.figures.detach().clone(), going

    def _capture(self, kind: Hashable, recorder: Recorder) -> Captured | None:
        body, pieces, ended = self._body, [], object()
        body.stepped.clear()
        running = body.body(kind)
        try:
            with unchecked():
                while True:
                    graph = recorder.graph()
                    with graph:
                        host: Any = next(running, ended)
                    pieces.append(graph)
                    if host is ended:
                        break
                    pieces.append(host)
        except RuntimeError as error:
            return self._give_up(f"could not be captured ({error})")
        captured = Captured(pieces, body.batch, body.figures, list(body.stepped), dict(self._signals.penalties))
        apart = self._apart(kind, captured, recorder)
        return captured if apart <= CLOSE else self._give_up(f"did something else when it was replayed ({apart:.2g})")

    def _give_up(self, why: str) -> None:
        """Capture nothing any more: the update itself is right without."""
        self._recorder, self.failure = None, why
        warnings.warn(f"an update {why}; updates run uncaptured from here on", stacklevel=4)

    @torch.no_grad()
    def _apart(self, kind: Hashable, captured: Captured, recorder: Recorder) -> float:
        """Return how far a replay ends from the update as it is, both undone: the largest distance over all tensors.

        Distances are shares of the largest change that the update made to the tensor. Both draw the same numbers.
        """
        tensors, (chance, restore) = self._body.tensors, recorder.chance()
        before = [tensor.clone() for tensor in tensors]

        def undo() -> None:
            for tensor, was in zip(tensors, before, strict=True):
                tensor.copy_(was)
            restore(chance)

        with recorder.aside(), unchecked(), torch.enable_grad():
            for host in self._body.body(kind):
                host()
        wanted = [tensor.clone() for tensor in tensors]
        figures = self._body.figures.detach().clone()
        undo()
        for piece in captured.pieces:
            piece.replay() if hasattr(piece, "replay") else piece()
        found = [tensor.clone() for tensor in tensors]
        close = torch.allclose(captured.figures, figures, rtol=CLOSE, atol=CLOSE)
        undo()
        apart = [_share(*three) for three in zip(found, wanted, before, strict=True)]
        return max([float("inf") if not close else 0.0, *apart])

    def _replay(self, captured: Captured) -> tuple[Tensor, bool]:
        self.replays += 1
        self._signals.batch = captured.batch
        self._signals.penalties.update(captured.noted)
        for piece in captured.pieces:
            if not hasattr(piece, "replay"):
                if not piece():
                    return captured.figures.clone(), False
            else:
                piece.replay()
        self._count(captured.stepped)
        return captured.figures.clone(), True

    @staticmethod
    def _count(stepped: list[tuple[Learner, Shown]]) -> None:
        for learner, shown in stepped:
            learner.counted(shown)


def _share(found: Tensor, wanted: Tensor, before: Tensor) -> float:
    """Return how far two tensors are apart, as a share of how far one of them went."""
    if not found.is_floating_point():
        return 0.0 if torch.equal(found, wanted) else float("inf")
    if not found.numel():
        return 0.0
    apart, went = (torch.linalg.vector_norm(wanted - other).item() for other in (found, before))
    return apart / max(went, 1e-12)
