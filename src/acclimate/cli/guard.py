"""``acclimate guard``: what is fed to a deployed agent is filtered, and what it does is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from acclimate.cli.group import Command, Group
from acclimate.cli.options import AGENT, JSON, TASK, load_pair, print_json
from acclimate.errors import ConfigError


@click.group(cls=Group, short_help="Filter what an agent sees, check what it does.")
def guard() -> None:
    """Fit a guard to clean episodes of an agent, and measure it."""


@guard.command(cls=Command, short_help="Learn and calibrate a guard from clean episodes.")
@AGENT
@TASK
@click.option(
    "--episodes", default=200, show_default=True, type=click.IntRange(2, 5_000), help="Clean ones: half calibrate."
)
@click.option("--alarms", default=0.05, show_default=True, help="Share of clean episodes that may have a false alarm.")
@click.option("--tiers", metavar="A,B,C", help="Such as bounds,rate,latent,sequence [bounds,rate,mahalanobis].")
@click.option("--window", default=16, show_default=True, help="Steps of the tier `statistics`.")
@click.option("--enter", default=3, show_default=True, help="Refused steps of --among before the fallback acts.")
@click.option("--among", default=5, show_default=True, help="Steps that are counted.")
@click.option("--leave", default=5, show_default=True, help="Clean steps in a row before the agent acts again.")
@click.option("--fallback", default="hold", show_default=True, metavar="hold|safe|other", help="What acts then.")
@click.option("--safe", metavar="A,B", help="The safe action [nearest to zero].")
@click.option("--action-rate", type=float, metavar="SHARE", help="Largest change of an action, of its range [any].")
@click.option("--seed", default=1_000, show_default=True, help="Of the first episode; the others follow by one.")
@click.option("--n-envs", default=8, show_default=True, type=click.IntRange(1), help="Environments side by side.")
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="FILE.safetensors.")
@JSON
def fit(
    as_json: bool,
    out: Path,
    tiers: str | None,
    enter: int,
    among: int,
    leave: int,
    safe: str | None,
    **flags: Any,
) -> None:
    """Play clean episodes of AGENT in the world of its deployment, and write a guard.

    Half of them is learnt from, half calibrates the limits, so that a share of --alarms of clean episodes has a false
    alarm. Tiers: not_finite (always), bounds, rate, mahalanobis, latent, knn, statistics, sequence, uncertainty.
    """
    from acclimate.guard.filter import Hysteresis
    from acclimate.guard.fitting import fit as learn
    from acclimate.guard.saved import save

    if not out.absolute().parent.is_dir():
        raise ConfigError(
            f"there is no folder {out.absolute().parent} to write {out.name} to; make it, or choose another"
        )
    agent, task = load_pair(flags)
    names = ("episodes", "alarms", "window", "fallback", "action_rate", "seed", "n_envs")
    made = learn(
        agent,
        task,
        tiers=None if tiers is None else [name.strip() for name in tiers.split(",") if name.strip()],
        hysteresis=Hysteresis(enter, among, leave),
        safe=None if safe is None else numbers(safe),
        **{name: flags[name] for name in names},
    )
    save(made, out)
    limits = dict(zip((reason.word for reason in made.filter.reasons), made.filter.limits.tolist(), strict=True))
    if as_json:
        print_json({"guard": str(out), "task": task.describe(), "episodes": flags["episodes"], "limits": limits})
        return
    click.echo(f"{out}: {', '.join(f'{name} {limit:.4g}' for name, limit in limits.items())}")


@guard.command(cls=Command, short_help="Measure false alarms, and what it sees of faults.")
@AGENT
@click.option(
    "--guard", "file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="What `fit` wrote."
)
@TASK
@click.option("--other", metavar="AGENT", help="What acts where the guard's fallback is `other`.")
@click.option("--episodes", default=200, show_default=True, type=click.IntRange(1, 4_000), help="Clean ones.")
@click.option("--fault-episodes", default=20, show_default=True, type=click.IntRange(1), help="Of each fault.")
@click.option("--faults", metavar="A,B,C", help="Such as stuck,drift [all that can be].")
@click.option("--seed", default=6_000, show_default=True, help="Of the first episode; the others follow by one.")
@click.option("--n-envs", default=8, show_default=True, type=click.IntRange(1), help="Environments side by side.")
@JSON
def test(as_json: bool, file: Path, other: str | None, faults: str | None, **flags: Any) -> None:
    """Measure a guard on clean episodes that it has not seen, and on faults of the sensors.

    Faults begin within an episode: not_finite, stuck, spike, bias, drift, dropout, swapped, noisy. AUROC, the share of
    faulty steps seen at 1 % of clean ones, the delay in steps, and the return with and without the guard.
    """
    from acclimate.guard.guarded import Guarded
    from acclimate.guard.saved import load
    from acclimate.guard.trials.measuring import measure
    from acclimate.guard.trials.wording import as_json as data
    from acclimate.guard.trials.wording import told

    held = load(file)
    agent, task = load_pair(flags)
    found = measure(
        Guarded(agent, held, None if other is None else _other(other, flags)),
        task,
        faults=None if faults is None else tuple(name.strip() for name in faults.split(",")),
        **{name: flags[name] for name in ("episodes", "fault_episodes", "seed", "n_envs")},
    )
    print_json(data(found)) if as_json else click.echo(told(found, held.calibration.alarms))


def _other(source: str, flags: dict[str, Any]) -> Any:
    from acclimate.agents.load import load

    return load(source, device=flags["device"])


def numbers(text: str) -> list[float]:
    """Read numbers that stand with commas between.

    Raises:
        ConfigError: They are none.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--safe is `{text[:60]}`; give numbers with commas between, such as 0,0.5") from None
