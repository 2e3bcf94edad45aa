"""A study: what is compared with what, fixed before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import yaml

from acclimate.agents.agent import Agent
from acclimate.agents.load import load
from acclimate.config import convert, from_dict, to_dict
from acclimate.errors import ConfigError
from acclimate.evaluation.seeds import CHOOSING_SEED, SELECTION_SEED, check_seed
from acclimate.files.atomic import write_atomic
from acclimate.planning.recipe import Recipe, read_yaml
from acclimate.tasks.task import Task

UNTRAINED = ("as it is", "nothing", "random")
"""Rows that train nothing and have no seeds."""
BASELINES = ("naive", "competent", "scratch")
"""What is done without this library; `studies/baselines` says how."""
OURS = "acclimate"
MOST_SEEDS, MOST_CASES = 1_000, 1_000


@dataclass(frozen=True, kw_only=True)
class Case:
    """An agent, the changed world that it meets, and the world it comes from."""

    name: str
    agent: str | Agent
    """A path or an address of a file, as `load` takes it; or an agent, from Python."""
    task: Task
    """The changed world."""
    source: Task | None = None
    """The world of pretraining; without it the task without its shifts, if it has any."""
    steps: int | None = None
    """Target steps of a row that trains, where they are not those of the study."""
    saved: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the agent's pretraining that its file keeps as functions, which are never run: `lin_x` falls linearly
    from x to 0. Only the naive row uses them."""
    normalizer: str | None = "auto"
    """As `load` takes it."""

    @property
    def home(self) -> Task | None:
        """The world in which forgetting is measured."""
        return self.task.source if self.source is None and self.task.shifts else self.source

    def loaded(self, *, trust: bool = False) -> Agent:
        """Return the agent.

        Raises:
            SourceError: It cannot be read.
        """
        return (
            self.agent if isinstance(self.agent, Agent) else load(self.agent, normalizer=self.normalizer, trust=trust)
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of ours to adapt an agent."""

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a recipe that differ from the defaults; steps, seed and measurements are the study's."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared with what; frozen, and the same in YAML.

    Example:
        >>> case = Case(name="as at home", agent="ppo-Hopper-v3.zip", task=Task("Hopper-v5"))
        >>> Study(cases=(case,), steps=1000).names[:3]
        ('as it is', 'nothing', 'random')
    """

    cases: tuple[Case, ...]
    rows: tuple[Row, ...] = (Row(name=OURS),)
    """Ours; what is always there beside them is added."""
    baselines: tuple[str, ...] = BASELINES
    """Of those that train without this library, which are run: all of them, unless a study says why not."""
    seeds: int = 5
    """Seeds of each row that trains, from 0 on."""
    steps: int = 100_000
    """Target steps of each row that trains."""
    points: int = 5
    """Measurements during training, evenly spread, the last at its end."""
    point_episodes: int = 5
    """Episodes of each of them."""
    episodes: int = 50
    """Final episodes, on seeds that nothing else has seen."""
    engine: str = "auto"
    """What trains: `auto` takes the fast engine wherever it equals SB3, for the baselines too; `sb3` leaves it out."""

    def __post_init__(self) -> None:
        """Check what types cannot say.

        Raises:
            ConfigError: A name is given twice, or a number is out of its range.
        """
        object.__setattr__(self, "cases", tuple(self.cases))
        object.__setattr__(self, "rows", tuple(self.rows))
        object.__setattr__(self, "baselines", tuple(self.baselines))
        if not 1 <= len(self.cases) <= MOST_CASES:
            raise ConfigError(f"study.cases: {len(self.cases)} cases; give at least one")
        for what, names in (("cases", [case.name for case in self.cases]), ("rows", list(self.names))):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ConfigError(f"study.{what}: `{min(twice)}` is there twice; give each a name of its own")
            if bad := [name for name in names if not name.strip() or len(name) > 120]:
                raise ConfigError(f"study.{what}: {bad[0]!r:.130} is no name; give one of up to 120 characters")
        if unknown := set(self.baselines) - set(BASELINES):
            raise ConfigError(f"study.baselines: no `{min(unknown)}`; there are {', '.join(BASELINES)}")
        if self.engine not in ("auto", "sb3"):
            raise ConfigError(f"study.engine is {self.engine!r}; give auto or sb3")
        ranges = {
            "seeds": (1, MOST_SEEDS),
            "steps": (1, 10**12),
            "points": (1, 1_000),
            "point_episodes": (2, CHOOSING_SEED - SELECTION_SEED),
            "episodes": (2, 5_000),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"study.{name} is {getattr(self, name)}; give a number from {low} to {high}")
        for row in self.rows:
            self.recipe(row, self.cases[0], 0)

    @property
    def names(self) -> tuple[str, ...]:
        """The rows that there are, in the order of the table."""
        return (*UNTRAINED, *self.baselines, *(row.name for row in self.rows))

    def case(self, name: str) -> Case:
        """Return the case with this name.

        Raises:
            ConfigError: There is none.
        """
        for case in self.cases:
            if case.name == name:
                return case
        raise ConfigError(f"the study has no case `{name}`")

    def with_what(self, other: Study) -> Study:
        """Return the study with the cases and rows that another one has besides, and the most seeds of both."""
        cases = (*self.cases, *(case for case in other.cases if case.name not in {each.name for each in self.cases}))
        rows = (*self.rows, *(row for row in other.rows if row.name not in self.names))
        baselines = tuple(name for name in BASELINES if name in {*self.baselines, *other.baselines})
        return replace(self, cases=cases, rows=rows, baselines=baselines, seeds=max(self.seeds, other.seeds))

    def row(self, name: str) -> Row | None:
        """Return the row of ours with this name, None for one that is always there."""
        return next((row for row in self.rows if row.name == name), None)

    def recipe(self, row: Row, case: Case, seed: int) -> Recipe:
        """Return the recipe of a cell.

        Raises:
            ConfigError: A field of the row's is none, or is the study's.
        """
        mine = {"steps", "seed", "vec_env", "evaluation"} & row.recipe.keys()
        if mine:
            raise ConfigError(f"study.rows `{row.name}`: `{min(mine)}` is the study's; leave it out of the row")
        measured = {"points": self.points, "episodes": self.point_episodes, "final_episodes": self.episodes}
        fixed = {
            "steps": case.steps or self.steps,
            "seed": check_seed(seed, "seed"),
            "vec_env": "dummy",
            "evaluation": measured,
        }
        return from_dict(Recipe, {"engine": self.engine, **row.recipe, **fixed}, path=f"rows `{row.name}`")

    def unlike(self, other: Study) -> str | None:
        """Say in what another study differs so that its cells are none of this one; None where they may be shared.

        More or fewer seeds, rows and cases make no other cells.
        """
        for name in ("steps", "points", "point_episodes", "episodes", "engine"):
            if getattr(self, name) != getattr(other, name):
                return name
        for what in ("cases", "rows"):
            ours, theirs = ({each.name: each for each in getattr(study, what)} for study in (self, other))
            for name in ours.keys() & theirs.keys():
                if to_dict(ours[name]) != to_dict(theirs[name]):
                    return f"{what[:-1]} `{name}`"
        return None

    def to_config(self) -> dict[str, Any]:
        """Return the study as data that YAML can hold.

        Raises:
            ConfigError: A task or an agent is an object of Python's, which no file can hold.
        """
        for case in self.cases:
            if isinstance(case.agent, Agent):
                raise ConfigError(f"study.cases `{case.name}`: the agent is an object; save it and give its path")
        return to_dict(self)

    @classmethod
    def from_config(cls, data: Any, path: str = "study", *, trust: bool = False) -> Self:
        """Make a study from data; an unknown field is an error with its path.

        Args:
            data: what stands in the file.
            path: where it stands, for errors.
            trust: whether its tasks may name code to import.
        """
        fields = dict(convert(Mapping[str, Any], data, path))
        cases = []
        for index, given in enumerate(convert(list[Any], fields.get("cases", []), f"{path}.cases")):
            where = f"{path}.cases[{index}]"
            case = dict(convert(Mapping[str, Any], given, where))
            for name in ("task", "source"):
                if case.get(name) is not None:
                    case[name] = Task.from_config(case[name], f"{where}.{name}", trust=trust)
            cases.append(from_dict(Case, case, path=where))
        return from_dict(cls, {**fields, "cases": tuple(cases)}, path=path)

    def save(self, path: str | Path) -> None:
        """Write the study as YAML."""
        write_atomic(path, yaml.safe_dump(self.to_config(), sort_keys=False, width=120))

    @classmethod
    def load(cls, path: str | Path, *, trust: bool = False) -> Self:
        """Read a study from a YAML file.

        Raises:
            ConfigError: The file is missing, is not YAML, or holds unknown fields.
        """
        return cls.from_config(read_yaml(path), trust=trust)
