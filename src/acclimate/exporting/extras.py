"""Packages that only an export needs."""

from __future__ import annotations

import importlib
from typing import Any

from acclimate.errors import ExportError


def needed(extra: str, *names: str) -> tuple[Any, ...]:
    """Return the modules of these names.

    Raises:
        ExportError: One is not installed; the message says how it is.
    """
    try:
        return tuple(importlib.import_module(name) for name in names)
    except ImportError as error:
        missing = (error.name or names[0]).split(".")[0]
        raise ExportError(f"this needs `{missing}`, which is not installed; pip install 'acclimate[{extra}]'") from None
