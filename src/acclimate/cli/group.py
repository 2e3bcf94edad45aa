"""How the command line fails: one line that says what to do, and an exit code that scripts can rely on.

=====  =============================================================
code   when
=====  =============================================================
0      the command did what it says
2      bad input: a flag, a file, an environment, a recipe
130    the user pressed Ctrl-C
=====  =============================================================
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import click

from acclimate.errors import AcclimateError

DEBUG = "acclimate.debug"
RESUME = "acclimate.resume"

# `key:value` as rl_zoo3 has it, but not a path of Windows or a Hub address.
PAIR = re.compile(r"[A-Za-z_]\w*:(?![/\\])")


class Failure(click.ClickException):
    """An error of the user's input, shown as one line."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the message on stderr, on one line."""
        click.echo(f"acclimate: {line(self.message)}", err=True)


class Command(click.Command):
    """A command with ``--debug``, whose pair options take several values as those of rl_zoo3 do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read ``--env-kwargs a:1 b:2`` as ``--env-kwargs a:1 --env-kwargs b:2``."""
        pairs = {name for p in self.params if getattr(p.type, "name", "") == "key:value" for name in p.opts}
        return super().parse_args(ctx, spread(args, pairs))


class Group(click.Group):
    """The group that turns every expected error into one line."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the module for the exit codes.

        Raises:
            Failure: for an error that the user can mend.
        """
        try:
            with warnings.catch_warnings():
                warnings.showwarning = show_warning
                return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader, `head` say, has had enough; click ends quietly
        except (AcclimateError, OSError) as error:
            if ctx.meta.get(DEBUG):
                raise
            said = (str(error), *getattr(error, "__notes__", ()))
            raise Failure(" ".join(f"{each.rstrip('.')}." for each in said) if len(said) > 1 else said[0]) from error
        except KeyboardInterrupt:
            click.echo(f"\nacclimate: stopped. {ctx.meta.get(RESUME, '')}".rstrip(), err=True)
            ctx.exit(130)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as one line, without the place in the code that a user cannot act on."""
    click.echo(f"acclimate: note: {line(str(message))}", err=True)


def line(text: str) -> str:
    """Return a text on one line, without what would steer a terminal: part of it may come from a file."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def debug_option() -> click.Option:
    """Return the flag that shows the trace of an error, which the group and every command take."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember_debug,
        help="Show the whole trace of an error.",
    )


def remember_debug(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """Keep ``--debug`` where the group finds it after the command's own context is gone."""
    ctx.meta[DEBUG] = ctx.meta.get(DEBUG, False) or value


def spread(args: list[str], options: set[str]) -> list[str]:
    """Repeat an option of ``options`` before each further ``key:value`` that follows it."""
    result: list[str] = []
    current: str | None = None
    fresh = False
    for argument in args:
        if argument in options:
            current, fresh = argument, True
        elif current is not None and not fresh and PAIR.match(argument):
            result.append(current)
        elif fresh:
            fresh = False
        else:
            current = None
        result.append(argument)
    return result
