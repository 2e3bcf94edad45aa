"""One row in one case: the cells of its seeds as tables, and the scale on which a case is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acclimate.statistics.curve import auc, crossings, steps_to_threshold, worst_dip
from acclimate.statistics.seeds import Spread, crossed
from acclimate.studies.cell import Cell, Played
from acclimate.studies.study import Case

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One row in one case."""

    case: Case
    row: str
    cells: tuple[Cell, ...]
    """In the order of their seeds."""
    planned: int
    failed: Mapping[int, str]
    """Why seeds are missing."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the cells that ended."""
        return tuple(cell.seed for cell in self.cells)

    def played(self, column: str) -> tuple[Played, ...]:
        """Return what each seed played; empty where the row has no such column."""
        found = [getattr(cell, column) for cell in self.cells]
        return tuple(found) if all(found) else ()

    def returns(self, column: str = "last") -> Floats:
        """Return the final returns in the changed world, (seeds, episodes)."""
        return np.array([played.target for played in self.played(column)])

    def home(self, column: str = "last") -> Floats | None:
        """Return those in the world of pretraining, None where there is none."""
        found = [played.source for played in self.played(column)]
        return np.array(found) if found and all(each is not None for each in found) else None

    def means(self, column: str = "last") -> list[float]:
        """Return the mean return of each seed."""
        table = self.returns(column)
        return table.mean(axis=1).tolist() if table.size else []

    @property
    def dip(self) -> float | None:
        """How far the curve fell below its beginning, on average over seeds; 0 where it never did."""
        dips = [worst_dip([value for _, value in cell.curve]) for cell in self.cells if cell.curve]
        return float(np.mean(dips)) if dips else None

    @property
    def area(self) -> float | None:
        """The mean return along the curve, on average over seeds."""
        areas = [auc(*zip(*cell.curve, strict=True)) for cell in self.cells if len(cell.curve) > 1]
        return float(np.mean(areas)) if areas else None

    @property
    def lost_on_the_way(self) -> float | None:
        """The mean of what the curve lay below its beginning."""
        areas = []
        for cell in self.cells:
            if len(cell.curve) > 1:
                steps, values = (np.array(each, dtype=np.float64) for each in zip(*cell.curve, strict=True))
                areas.append(auc(steps, np.minimum(values - values[0], 0.0)))
        return float(np.mean(areas)) if areas else None

    def reached(self, wanted: float) -> Mapping[str, float | int | None] | None:
        """Count the seeds whose curve reached a return, and their median step."""
        found = [steps_to_threshold(*zip(*cell.curve, strict=True), wanted) for cell in self.cells if cell.curve]
        return crossings(found) if found else None

    def seconds_to(self, steps: float) -> float | None:
        """Return the seconds of learning in which so many steps were taken, the median over seeds.

        Steps take about equally long all the way. None where a seed's were not taken down.
        """
        rates = [cell.learning / cell.curve[-1][0] for cell in self.cells if cell.curve and cell.curve[-1][0]]
        return float(np.median(rates)) * steps if rates and min(rates) > 0 else None

    def mean_of(self, name: str) -> float:
        """Return the mean of one of the counts of steps over seeds."""
        return float(np.mean([getattr(cell.steps, name) for cell in self.cells]))

    @property
    def seconds(self) -> float:
        """The median over seeds."""
        return float(np.median([cell.seconds for cell in self.cells]))


@dataclass(frozen=True)
class Scale:
    """What the returns of a case are measured by."""

    untouched: Floats
    """The pretrained agent's returns in the changed world, one for each episode."""
    unit: float
    """The D of the normalised gain."""
    kind: str
    """What that is: `home`, `floor` or `best row`."""
    home: Floats | None
    """The pretrained agent's at home."""
    random_home: float | None

    @property
    def wanted(self) -> float | None:
        """The return half-way back to what the agent had at home; None where the world pays otherwise."""
        if self.home is None:
            return None
        here, there = float(self.untouched.mean()), float(self.home.mean())
        return (here + there) / 2 if there > here else None

    def gain(self, returns: Floats) -> Spread:
        """Return the normalised gain of returns (seeds, episodes) over the untouched agent."""
        return crossed(returns - self.untouched).scaled(1 / self.unit)

    def kept(self, home: Floats) -> Spread | None:
        """Return the share kept at home; None where the agent is no better there than chance."""
        if self.home is None or self.random_home is None:
            return None
        worth = float(self.home.mean()) - self.random_home
        if worth <= 0:
            return None
        lost = crossed(home - self.home).scaled(1 / worth)
        return Spread(1 + lost.mean, lost.variance, lost.freedom, lost.n)
