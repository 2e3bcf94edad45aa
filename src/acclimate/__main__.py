"""Run the command line as ``python -m acclimate``."""

from __future__ import annotations

import os
import sys

if not sys.flags.safe_path and sys.path[0] == os.getcwd():
    # Where Python has put the current folder its files would be taken for libraries; see `cli/here`.
    del sys.path[0]

from acclimate.cli import main

main(prog_name="acclimate")
