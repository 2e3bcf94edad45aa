"""Several evaluations at the same time, each in a process of its own.

What an evaluation finds depends on its agent, task and seeds alone, so the numbers are those of one after another.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any, TypeVar

from acclimate.errors import AcclimateError
from acclimate.parallel.fork import fork
from acclimate.parallel.threads import torch_threads

Found = TypeVar("Found")
_PATIENCE = (30.0, 5.0)
"""Seconds, and how many times as long as the job here took, after which a process that says nothing counts as hung."""


def at_once(jobs: Sequence[Callable[[], Found]], processes: int) -> list[Found]:
    """Return what each of the jobs returns, in their order.

    All but the last of those that run together run in forked processes, of which nothing comes back but what they
    return. A job whose process dies or hangs is done again here. Torch has one thread in each.

    Args:
        jobs: each is to be run once.
        processes: how many may run at the same time, this one included; 1 runs one after another, here.

    Raises:
        AcclimateError: What a job has raised; of several that of the first.
    """
    if processes < 2:
        return [job() for job in jobs]
    found: list[Found] = []
    with torch_threads(1):
        for begin in range(0, len(jobs), processes):
            *others, own = jobs[begin : begin + processes]
            found += _together(others, own)
    return found


def _together(others: Sequence[Callable[[], Found]], own: Callable[[], Found]) -> list[Found]:
    begun = time.perf_counter()
    started = [_fork(job) for job in others]
    try:
        mine = _tried(own)
        patience = _PATIENCE[0] + _PATIENCE[1] * (time.perf_counter() - begun)
        answers = [_answer(pipe, job, patience) for (_, pipe), job in zip(started, others, strict=True)]
    finally:
        for process, pipe in started:
            pipe.close()
            process.terminate()
            process.join()
    for answer in (*answers, mine):
        if isinstance(answer, AcclimateError):
            raise answer
    return [*answers, mine]


def _fork(job: Callable[[], Any]) -> tuple[Any, Connection]:
    here, there = Pipe(duplex=False)
    process = fork(_serve, job, there, here)
    there.close()
    return process, here


def _serve(job: Callable[[], Any], pipe: Connection, other: Connection) -> None:
    other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pipe.send(_tried(job))
    except (PicklingError, TypeError, AttributeError, OSError):
        return  # the first process does it again, or is gone


def _answer(pipe: Connection, job: Callable[[], Found], patience: float) -> Found | AcclimateError:
    try:
        if pipe.poll(patience):
            return pipe.recv()
    except (EOFError, OSError):
        pass  # it has died
    return _tried(job)


def _tried(job: Callable[[], Found]) -> Found | AcclimateError:
    try:
        return job()
    except AcclimateError as error:
        return error
