"""``acclimate compare``: ways to adapt an agent, over worlds and seeds, beside what a competent user does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from acclimate.cli.group import RESUME, Command
from acclimate.cli.options import JSON, LOADED, TASK, build, load_agent, make_task, print_json, specs
from acclimate.errors import ConfigError

if TYPE_CHECKING:
    from acclimate.agents.agent import Agent
    from acclimate.studies.study import Case, Row, Study
    from acclimate.tasks.task import Task

# After a backspace click leaves a paragraph's lines as they are.
EXAMPLE = "\b\nacclimate compare ppo-Hopper-v3.zip --shift gravity=1.5 --methods kl,lora --seeds 5 --out runs/compared"


@click.command(cls=Command, short_help="Compare ways to adapt an agent, over seeds.", epilog=EXAMPLE)
@click.option("--study", "file", type=click.Path(path_type=Path), metavar="FILE.yaml", help="A whole study, no AGENT.")
@click.argument("agent", metavar="AGENT", required=False)
@LOADED
@TASK
@click.option(
    "--world",
    "worlds",
    multiple=True,
    metavar="NAME=SHIFT,SHIFT",
    help="A changed world, such as heavy=gravity=2,mass=1.5.",
)
@click.option("--methods", metavar="A,B,C", help="Methods by name, each a row of its own beside the default.")
@click.option("--method", "specs_", multiple=True, metavar="SPEC", help="One with fields: kl:weight=0.5.")
@click.option("--seeds", type=click.IntRange(1), help="Of each row that trains [5].")
@click.option("-n", "--n-timesteps", "steps", type=click.IntRange(1), help="Target steps of each row [100000].")
@click.option("--episodes", type=click.IntRange(2), help="Final episodes [50].")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes of one thread.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder; goes on there.")
@JSON
@click.pass_context
def compare(context: click.Context, file: Path | None, out: Path, workers: int, as_json: bool, **flags: Any) -> None:
    """Compare ways to adapt AGENT: as it is, nothing, random, naive, competent, scratch, and ours.

    Rows are paired by seed and measured on the same episodes. The same command goes on where it was stopped.
    """
    from acclimate.studies.comparing import compare as run
    from acclimate.studies.page import PAGE

    study = read_study(file, flags) if file is not None else study_of(flags)
    context.meta[RESUME] = f"The same command goes on in {out}."
    done = run(study, out, workers=workers, trust=flags["trust"], say=lambda line: click.echo(line, err=True))
    if as_json:
        from acclimate.studies.wording import as_json as data

        print_json(data(done.findings))
        return
    click.echo(f"{done}\n\n{out / PAGE}")


def read_study(file: Path, flags: Mapping[str, Any]) -> Study:
    """Read a study; paths of agents in it are as seen from its folder.

    Raises:
        ConfigError: It cannot be read, or flags say what it says.
    """
    import dataclasses

    from acclimate.studies.study import Study

    taken = [
        name
        for name in ("agent", "env", "shifts", "worlds", "methods", "specs_", "seeds", "steps", "episodes")
        if flags.get(name)
    ]
    if taken:
        raise ConfigError(f"--study says all of a study: leave `{taken[0].strip('_')}` out, or change the file")
    study = Study.load(file, trust=flags["trust"])
    cases = (dataclasses.replace(case, agent=_seen_from(file.parent, case.agent)) for case in study.cases)
    return dataclasses.replace(study, cases=tuple(cases))


def _seen_from(folder: Path, agent: Any) -> Any:
    here = folder / agent
    return str(here.resolve()) if not re.match(r"[a-z]+://", agent) and here.exists() else agent


def study_of(flags: Mapping[str, Any]) -> Study:
    """Make a study of the flags.

    Raises:
        ConfigError: One is wrong.
    """
    from acclimate.studies.study import Study

    if flags["agent"] is None:
        raise ConfigError("give an AGENT, or a study by --study FILE.yaml")
    agent = load_agent(flags)
    sizes = {name: flags[name] for name in ("seeds", "steps", "episodes") if flags[name] is not None}
    return Study(cases=tuple(cases(flags, agent)), rows=tuple(rows(flags)), **sizes)


def cases(flags: Mapping[str, Any], agent: Agent) -> Iterator[Case]:
    """Yield the agent in each world that the flags name."""
    from acclimate.registry import SHIFTS
    from acclimate.studies.study import Case

    task = make_task(flags, agent)
    named = [(task.describe(), task)] if task.shifts or not flags["worlds"] else []
    for text in flags["worlds"]:
        name, equals, shifts = text.partition("=")
        if not (equals and name.strip() and shifts):
            raise ConfigError(f"--world {text!r}: give a name and its shifts, such as heavy=gravity=2,mass=1.5")
        named.append((name, task.source.shifted(*build(SHIFTS, split(shifts), "--world"))))
    path = flags["agent"] if "://" in flags["agent"] else str(Path(flags["agent"]).resolve())
    normalizer = {"none": None, "auto": "auto"}.get(flags["normalizer"], flags["normalizer"])
    if flags["normalizer"] == "fresh":
        raise ConfigError("--normalizer fresh is a way to adapt: put it into the recipe of a row of a study's file")
    for name, world in named:
        yield Case(name=name, agent=path, task=world, source=home(task, world), normalizer=normalizer)


def home(task: Task, world: Task) -> Task | None:
    """Return the world of pretraining, where it is another one."""
    return task.source if world.shifts else None


def split(text: str) -> Iterator[str]:
    """Yield the shifts or methods of a list; a comma inside the fields of one does not part it.

    Example:
        >>> list(split("gravity=2,wind:power=3,turbulence=1"))
        ['gravity=2', 'wind:power=3,turbulence=1']
    """
    part = ""
    for piece in text.split(","):
        if part and ":" in part and "=" in piece and ":" not in piece:
            part += f",{piece}"
            continue
        if part:
            yield part.strip()
        part = piece
    if part.strip():
        yield part.strip()


def rows(flags: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the default, and one row for each method that the flags name."""
    from acclimate.studies.study import OURS, Row

    yield Row(name=OURS)
    for text in (*each(flags["methods"]), *flags["specs_"]):
        (spec,) = specs([text])
        yield Row(name=text, recipe={"methods": [spec]})


def each(text: str | None) -> Iterable[str]:
    """Return the names in a list with commas."""
    return () if text is None else [name.strip() for name in text.split(",") if name.strip()]
