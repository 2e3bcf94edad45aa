"""What the cells of a study say: of each case and row, and of each row over all cases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from acclimate.statistics.estimates import Estimate, iqm
from acclimate.statistics.seeds import Spread, chance, crossed, holm, improvement, over_cases, together
from acclimate.studies.cell import Cell, Key
from acclimate.studies.line import Line, Scale
from acclimate.studies.study import UNTRAINED, Study

REWARDS = ("reward_scale", "reward_weights")
"""Shifts after which returns at home and in the changed world are of two scales."""
REFERENCE = "competent"
NOT_YET = "not run yet"
BEHIND = 0.1
"""Of normalised gain, by which a case must be surely behind to be named."""


@dataclass(frozen=True)
class Leader:
    """One row over all cases."""

    row: str
    gain: Estimate
    """Normalised gain at the end of training."""
    against: Estimate | None
    """The same minus the competent user's."""
    wider: Estimate | None
    """That difference, had other cases of the same kind been taken."""
    probability: Estimate | None
    """That a run of it returns more than one of the competent user's."""
    wider_probability: Estimate | None
    """The same, had other cases been taken."""
    best: float | None
    """Normalised gain of the best measured snapshot."""
    kept: float | None
    iqm: float
    """Interquartile mean of the gains of all cases and seeds."""
    home: Estimate | None
    """Share kept at home."""
    steps: float
    measuring: float
    at_home: float
    """Steps at home, of methods and measuring."""
    seconds: float
    cases: int
    """In which it has cells."""
    failed: int
    """Cells that failed or are missing."""
    sure: float = 1.0
    """One-sided p-value for its returning no more than the competent user's."""
    behind: tuple[str, ...] = ()
    """Cases in which it is surely behind the competent user by more than a tenth of the gain."""


class Findings:
    """A study and its cells, as numbers."""

    def __init__(self, study: Study, cells: Mapping[Key, Cell], failed: Mapping[Key, str]) -> None:
        """Hold the cells that ended, and why others failed."""
        self.study, self.cells, self.failed = study, cells, failed

    @cached_property
    def lines(self) -> dict[str, dict[str, Line]]:
        """The rows of each case that have cells, in the study's order."""
        found: dict[str, dict[str, Line]] = {}
        for case in self.study.cases:
            for row in self.study.names:
                seeds = range(1 if row in UNTRAINED else self.study.seeds)
                keys = [Key(seed, case.name, row) for seed in seeds]
                there = tuple(self.cells[key] for key in keys if key in self.cells)
                failed = {key.seed: self.failed.get(key, NOT_YET) for key in keys if key not in self.cells}
                if there:
                    found.setdefault(case.name, {})[row] = Line(case, row, there, len(keys), failed)
        return found

    @property
    def missing(self) -> dict[Key, str]:
        """Cells without numbers, each with the reason."""
        every = (
            Key(seed, case.name, row)
            for case in self.study.cases
            for row in self.study.names
            for seed in range(1 if row in UNTRAINED else self.study.seeds)
        )
        return {key: self.failed.get(key, NOT_YET) for key in every if key not in self.cells}

    @cached_property
    def scales(self) -> dict[str, Scale]:
        """What each case is measured by, where it can be."""
        found = {name: self._scale(rows) for name, rows in self.lines.items()}
        return {name: scale for name, scale in found.items() if isinstance(scale, Scale)}

    @cached_property
    def unscaled(self) -> dict[str, str]:
        """Cases that are left out of the leaderboard, each with the reason."""
        found = {name: self._scale(rows) for name, rows in self.lines.items()}
        return {name: reason for name, reason in found.items() if isinstance(reason, str)}

    def _scale(self, rows: Mapping[str, Line]) -> Scale | str:
        """Return what a case is measured by, or why there is nothing."""
        if "as it is" not in rows or "random" not in rows:
            return "the agent as it is and random actions have not both been measured"
        line, chance = rows["as it is"], rows["random"]
        untouched, home, random_home = line.returns()[0], line.home(), chance.home()
        here, by_chance = float(untouched.mean()), float(chance.returns().mean())
        if home is not None and random_home is not None and not any(s.name in REWARDS for s in line.case.task.shifts):
            there, at_random = float(home.mean()), float(random_home.mean())
            if there <= at_random:
                return f"at home the agent returns {there:.4g}, no more than random actions ({at_random:.4g})"
            unit = max(there - here, 0.1 * (there - at_random))
            return Scale(untouched, unit, "home" if unit == there - here else "floor", home[0], at_random)
        best = max(float(np.mean(row.means())) for row in rows.values())
        unit = max(best - here, 0.1 * abs(here - by_chance))
        return Scale(untouched, unit, "best row", None, None) if unit > 0 else "no row differs from the agent as it is"

    def gain(self, case: str, row: str, column: str = "last") -> Spread | None:
        """Return a row's normalised gain in a case; None where it has no such column."""
        returns = self.lines[case][row].returns(column)
        if not returns.size or case not in self.scales:
            return None
        return _of(row, self.scales[case].gain(returns))

    def difference(self, case: str, row: str, other: str, column: str = "last") -> Spread | None:
        """Return by how much a row's normalised gain exceeds another's, over the seeds that both have."""
        rows = self.lines[case]
        if row not in rows or other not in rows or case not in self.scales:
            return None
        one, two = rows[row], rows[other]
        if row in UNTRAINED and other not in UNTRAINED:
            turned = self.difference(case, other, row)
            return None if turned is None else turned.scaled(-1)
        if other in UNTRAINED:
            return _of(row, crossed(one.returns(column) - two.returns()[0]).scaled(1 / self.scales[case].unit))
        common = sorted(set(one.seeds) & set(two.seeds))
        if not common or not one.played(column) or not two.played(column):
            return None
        first, second = (line.returns(column)[[line.seeds.index(seed) for seed in common]] for line in (one, two))
        return _of(row, crossed(first - second).scaled(1 / self.scales[case].unit))

    def home(self, case: str, row: str, column: str = "last") -> Spread | None:
        """Return the share that a row kept at home in a case."""
        table = self.lines[case][row].home(column)
        found = None if table is None or case not in self.scales else self.scales[case].kept(table)
        return None if found is None else _of(row, found)

    @cached_property
    def board(self) -> tuple[Leader, ...]:
        """All rows over all cases, the best gain first; rows that lack a case, and those that train nothing, last."""
        found = [leader for row in self.study.names if (leader := self._leader(row)) is not None]
        whole = max((leader.cases for leader in found), default=0)
        return tuple(
            sorted(found, key=lambda one: (one.row in UNTRAINED, one.cases < whole, -one.gain.value)),
        )

    def _leader(self, row: str) -> Leader | None:
        cases = [name for name, rows in self.lines.items() if row in rows and name in self.scales]
        if not cases:
            return None
        lines = [self.lines[name][row] for name in cases]
        gains = [self._known(self.gain(name, row)) for name in cases]
        apart = [each for name in cases if row != REFERENCE and (each := self.difference(name, row, REFERENCE))]
        homes = [each for name in cases if (each := self.home(name, row)) is not None]
        pairs = [
            (self.lines[name][row].means(), self.lines[name][REFERENCE].means())
            for name in cases
            if REFERENCE in self.lines[name] and row not in (REFERENCE, *UNTRAINED)
        ]
        each = [
            (mean - float(self.scales[name].untouched.mean())) / self.scales[name].unit
            for name, line in zip(cases, lines, strict=True)
            for mean in line.means()
        ]
        return Leader(
            row=row,
            gain=together(gains).interval(),
            against=together(apart).interval() if apart else None,
            wider=over_cases([one.mean for one in apart]).interval() if len(apart) > 2 else None,
            probability=improvement(pairs) if pairs else None,
            wider_probability=over_cases([chance(*pair) for pair in pairs]).interval() if len(pairs) > 2 else None,
            best=self._mean(cases, row, "best"),
            kept=self._mean(cases, row, "kept"),
            iqm=float(iqm(each)),
            home=together(homes).interval() if homes else None,
            steps=float(np.mean([line.mean_of("target") for line in lines])),
            measuring=float(np.mean([line.mean_of("measuring") for line in lines])),
            at_home=float(
                np.mean([line.mean_of("methods_source") + line.mean_of("measuring_source") for line in lines])
            ),
            seconds=float(np.mean([line.seconds for line in lines])),
            cases=len(cases),
            failed=sum(1 for key in self.missing if key.row == row),
            sure=together(apart).scaled(-1).below() if apart else 1.0,
            behind=tuple(self._behind(row, cases)),
        )

    def _mean(self, cases: list[str], row: str, column: str) -> float | None:
        found = [self.gain(name, row, column) for name in cases]
        return float(np.mean([each.mean for each in found if each is not None])) if all(found) else None

    def _behind(self, row: str, cases: list[str]) -> Iterator[str]:
        if row in (*UNTRAINED, REFERENCE):
            return
        found = [(name, each) for name in cases if (each := self.difference(name, row, REFERENCE)) is not None]
        sure = holm([each.below(-BEHIND) for _, each in found])
        yield from (name for (name, _), is_sure in zip(found, sure, strict=True) if is_sure)

    @property
    def contenders(self) -> tuple[Leader, ...]:
        """The rows that train and have every case that is measured, the best first."""
        return tuple(one for one in self.board if one.row not in UNTRAINED and one.cases == len(self.scales))

    @staticmethod
    def _known(spread: Spread | None) -> Spread:
        return Spread(0.0, 0.0, 0.0, 0) if spread is None else spread


def _of(row: str, spread: Spread) -> Spread:
    """Return a row's spread: where it has seeds, one of them shows nothing of others."""
    return spread if row in UNTRAINED else spread.single()
