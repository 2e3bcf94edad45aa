"""Cells in several processes, each on a core of its own with one thread; a process that dies is replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

from acclimate.studies.cell import Key, fail
from acclimate.studies.worker import CELLS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TRIES = 2
"""Of a cell whose process dies."""

Done = Callable[[Key, str | None], None]


class Process:
    """One worker."""

    def __init__(self, out: Path, core: int | None, *, trust: bool) -> None:
        self._out, self._trust = out, trust
        self._core = core
        self._running: subprocess.Popen[str] | None = None

    def command(self) -> list[str]:
        """Return what begins it."""
        begun = [sys.executable, "-m", "acclimate.studies.worker", str(self._out)]
        return [*begun, "--trust"] if self._trust else begun

    def run(self, key: Key) -> str | None:
        """Run a cell; return why it failed, None if it did not.

        Raises:
            ChildProcessError: The process has died.
        """
        if self._running is None or self._running.poll() is not None:
            self._running = self._begun()
        process = self._running
        try:
            process.stdin.write(json.dumps(asdict(key)) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            line = process.stdout.readline()  # type: ignore[union-attr]
        except OSError:
            line = ""
        if not line:
            raise ChildProcessError(f"its process ended with {process.wait()}")
        return json.loads(line)["failed"]

    def close(self) -> None:
        """End the process, also in the middle of a cell."""
        if self._running is not None:
            self._running.kill()
            self._running.communicate()

    def _begun(self) -> subprocess.Popen[str]:
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        pipe = subprocess.PIPE
        process = subprocess.Popen(self.command(), stdin=pipe, stdout=pipe, text=True, env=environment)
        if self._core is not None:
            os.sched_setaffinity(process.pid, {self._core})
        return process


def run_all(keys: Sequence[Key], out: Path, workers: int, done: Done, *, trust: bool) -> None:
    """Run cells, and tell of each when it ends; Ctrl-C ends all of them.

    Args:
        keys: which, in the order in which they begin.
        out: folder of the study.
        workers: how many at the same time.
        done: gets each key, and why it failed.
        trust: whether the study's tasks may import code.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pinned = cores[:workers] if len(cores) >= workers > 1 else [None] * workers
    processes = [Process(out, core, trust=trust) for core in pinned]
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
    fail(out / CELLS / key.folder, why)
    return why
