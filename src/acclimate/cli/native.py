"""``acclimate native``: build the engine's optional kernel."""

from __future__ import annotations

import click

from acclimate.cli.group import Command


@click.command(cls=Command, short_help="Build the optional kernel in C that trains perceptrons faster.")
@click.option("--remove", is_flag=True, help="Take it away again.")
def native(remove: bool) -> None:
    """Build the optional kernel in C, which trains perceptrons faster; nothing needs it.

    It takes seconds and a C compiler (cc, gcc, clang, or what CC names). The kernel lies in your cache folder
    (ACCLIMATE_CACHE names another one) and serves every run on this machine from then on; it is used only if it agrees
    with the engine in Python.
    """
    import time

    from acclimate.engine.arrays.native.build import build, place
    from acclimate.engine.arrays.native.check import check

    if remove:
        existed = place().exists()
        place().unlink(missing_ok=True)
        click.echo(f"{'removed' if existed else 'there is none at'} {place()}")
        return
    begun = time.perf_counter()
    path = build(check)
    click.echo(f"built {path} in {time.perf_counter() - begun:.1f} s; it agrees with the engine in Python")
