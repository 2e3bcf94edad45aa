"""Run the command line as ``python -m acclimate``."""

from __future__ import annotations

from acclimate.cli import main

main(prog_name="acclimate")
