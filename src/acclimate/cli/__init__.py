"""The command line: one file per command, and nothing heavy imported before a command runs.

The modules of this package import click at their top and everything else inside the commands, so that
``acclimate --help`` and a mistyped flag answer before torch is loaded.
"""

from __future__ import annotations

import click

from acclimate import __version__
from acclimate.cli.compare import compare
from acclimate.cli.convert import convert
from acclimate.cli.demo import demo
from acclimate.cli.evaluate import evaluate
from acclimate.cli.export import export
from acclimate.cli.finetune import finetune
from acclimate.cli.group import Group
from acclimate.cli.guard import guard
from acclimate.cli.inspect import inspect
from acclimate.cli.methods import methods
from acclimate.cli.native import native
from acclimate.cli.shifts import shifts
from acclimate.cli.watch import watch


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Fine-tune pretrained reinforcement-learning agents to a changed world.

    An AGENT is a Stable-Baselines3 zip, a run folder, or hf://org/repo. Nothing in its file is executed.
    """


for command in (inspect, convert, shifts, methods, finetune, evaluate, compare, guard, export, watch, demo, native):
    main.add_command(command)
