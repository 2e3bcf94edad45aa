"""``acclimate convert``: an agent of any format as an SB3 zip or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from acclimate.cli.group import Command
from acclimate.cli.options import AGENT, WORLD, load_agent
from acclimate.errors import ExportError

ROWS = 256


@click.command(cls=Command, short_help="Write an agent of any format as an SB3 zip or a bundle.")
@AGENT
@click.option("--env", metavar="ID", help="Its environment, where the file tells no spaces.")
@WORLD
@click.option("--out", required=True, type=click.Path(path_type=Path), help="FILE.zip, or the folder of a bundle.")
def convert(out: Path, **flags: Any) -> None:
    """Write AGENT as a zip that stock SB3 loads, or as a bundle, and compare what is read back on random observations.

    The normaliser is written beside a zip as vecnormalize.pkl. What was not carried over is listed.
    """
    import numpy as np

    from acclimate.agents.load import load
    from acclimate.exporting.graph.module import Graph
    from acclimate.exporting.graph.samples import drawn, whole
    from acclimate.formats import writers

    agent = load_agent(flags)
    path = writers.save(agent, out)
    again = load(path, normalizer="auto" if agent.normalizer is not None else None)
    seen = whole(drawn(agent, Graph(agent, channels_last=False).ports, ROWS, seed=0))
    ours, theirs = (each.predict(seen, deterministic=True)[0] for each in (agent, again))
    apart = float(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)).max())
    for name, why in agent.origin.unread:
        click.echo(f"not carried over: {name}: {why}", err=True)
    if not apart <= 1e-5:
        raise ExportError(f"{path}: what is read back acts otherwise, by up to {apart:.2g}; do not use it")
    click.echo(
        f"written: {path}; read back it acts the same on {ROWS} random observations (largest difference {apart:.1g})"
    )
