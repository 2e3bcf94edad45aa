"""Modules of the folder that a command is run in, for what its user names.

`python -m` puts that folder before all others on Python's path, where a file that is called as a library is imported in
its place; the script `acclimate` leaves it out. Both are alike here: it comes after the libraries, and only once the
user has named code of his own.
"""

from __future__ import annotations

import sys
from pathlib import Path


def see_modules() -> None:
    """Let the modules of the current folder be imported, where no library has their name."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def named(name: str) -> str:
    """Return what a flag names; where that has a module, `module:Name`, it may be one of the current folder."""
    if ":" in name:
        see_modules()
    return name
