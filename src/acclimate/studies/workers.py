"""Cells in several processes, each on a core of its own with one thread; a process that dies is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

from acclimate.studies.cell import Key, fail
from acclimate.studies.study import Study
from acclimate.studies.worker import CELLS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TRIES = 2
"""Of a cell whose process dies."""

Done = Callable[[Key, str | None], None]


class Process:
    """One worker."""

    def __init__(self, study: Study, out: Path, core: int | None, *, trust: bool) -> None:
        self._told = json.dumps({"study": study.to_config(), "trust": trust})
        self._out, self._core = out, core
        self._running: subprocess.Popen[str] | None = None
        self._lock, self.closed = threading.Lock(), False

    def command(self) -> list[str]:
        """Return what begins it; `-P` keeps the current folder from standing in for libraries."""
        return [sys.executable, "-P", "-m", "acclimate.studies.worker", str(self._out)]

    def run(self, key: Key) -> str | None:
        """Run a cell; return why it failed, None if it did not.

        Raises:
            ChildProcessError: The process has died, or was closed.
        """
        process = self._begun()
        try:
            process.stdin.write(json.dumps(asdict(key)) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            line = process.stdout.readline()  # type: ignore[union-attr]
        except (OSError, ValueError):
            line = ""
        if not line:
            raise ChildProcessError(f"its process ended with {process.wait()}")
        return json.loads(line)["failed"]

    def close(self) -> None:
        """End the process, also in the middle of a cell, for good."""
        with self._lock:
            self.closed = True
            if self._running is not None:
                self._running.kill()
                self._running.wait()

    def _begun(self) -> subprocess.Popen[str]:
        """Return the process, begun anew if it has died."""
        with self._lock:
            if self.closed:
                raise ChildProcessError("it was ended")
            if self._running is not None and self._running.poll() is None:
                return self._running
            environment, pipe = {**os.environ, **dict.fromkeys(THREADS, "1")}, subprocess.PIPE
            process = subprocess.Popen(self.command(), stdin=pipe, stdout=pipe, text=True, env=environment)
            if self._core is not None:
                os.sched_setaffinity(process.pid, {self._core})
            process.stdin.write(self._told + "\n")  # type: ignore[union-attr]
            self._running = process
            return process


def run_all(study: Study, keys: Sequence[Key], out: Path, workers: int, done: Done, *, trust: bool) -> None:
    """Run cells, and tell of each when it ends; Ctrl-C ends all of them.

    Args:
        study: whose they are.
        keys: which, in the order in which they begin.
        out: folder of the study.
        workers: how many at the same time.
        done: gets each key, and why it failed.
        trust: whether the agents' files may name code.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pinned = cores[:workers] if len(cores) >= workers > 1 else [None] * workers
    processes = [Process(study, out, core, trust=trust) for core in pinned]
    free: SimpleQueue[Process] = SimpleQueue()
    for process in processes:
        free.put(process)

    def one(key: Key) -> str | None:
        process = free.get()
        try:
            return _tried(process, key, out)
        finally:
            free.put(process)

    with ThreadPoolExecutor(workers) as pool:
        waiting: dict[Future[str | None], Key] = {pool.submit(one, key): key for key in keys}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    done(waiting.pop(future), future.result())
        finally:
            for future in waiting:
                future.cancel()
            for process in processes:
                process.close()


def _tried(process: Process, key: Key, out: Path) -> str | None:
    for _ in range(TRIES):
        try:
            return process.run(key)
        except ChildProcessError as error:
            why = f"{error}, {TRIES} times"
            if process.closed:
                return why  # nobody has asked for it any more
    fail(out / CELLS / key.folder, why)
    return why
