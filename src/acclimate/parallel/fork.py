"""The one way in which this library forks a process."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import Any

CONTEXT = "fork"


def can_fork() -> bool:
    """Tell whether a process may be forked here: workers of a pool may have no children."""
    return CONTEXT in multiprocessing.get_all_start_methods() and not multiprocessing.current_process().daemon


def fork(target: Callable[..., None], *arguments: Any) -> ForkProcess:
    """Run a function in a forked process that ends with this one; nothing it is given has to be pickled.

    Python warns of threads at a fork. A child here uses none of this process's: it steps environments, draws pictures,
    or runs networks while torch has one thread.
    """
    process = multiprocessing.get_context(CONTEXT).Process(target=target, args=arguments, daemon=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process
