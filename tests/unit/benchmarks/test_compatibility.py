"""Every kind of observation and action with every algorithm of SB3: a covering sample by day, all at night."""

from __future__ import annotations

import re
from itertools import combinations, product
from pathlib import Path

import pytest
from benchmarks.compatibility import checks
from benchmarks.compatibility.cells import Cell, Refused, cells
from benchmarks.compatibility.covering import covering
from benchmarks.compatibility.sample import family, sample
from benchmarks.compatibility.table import PAGE
from benchmarks.compatibility.worlds import ACTIONS, OBSERVATIONS, UNUSUAL, UNUSUAL_ACTIONS

BY_DAY = sample()
UNUSUAL_CELLS = [
    *(Cell(seen, done, name) for seen in UNUSUAL for done, name in (("Discrete", "ppo"), ("Box", "sac"))),
    *(Cell("Box vector", done, name) for done in UNUSUAL_ACTIONS for name in ("ppo", "sac")),
    *(Cell("Box image", done, name) for done in UNUSUAL_ACTIONS for name in ("a2c", "td3")),
]

ONCE_WRONG = [
    Cell("Box image", "MultiBinary", "a2c"),
    Cell("Box vector", "Box of two axes", "sac"),
    Cell("Box vector", "Box of float64", "a2c"),
    Cell("Box vector", "Box of float64", "sac"),
    Cell("Box vector", "Box of int64", "a2c"),
    Cell("Box of float16", "Discrete", "dqn"),
    Cell("Box vector", "Box without axes", "ppo"),
    Cell("Box vector", "Box without axes", "sac"),
]


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart is the same whatever an agent sees and does, and takes most of the time of so short a run."""
    monkeypatch.setattr("acclimate.reports.chart.draw", lambda *_, **__: b"a picture")


def whole(cell: Cell, out: Path) -> None:
    model = cell.model()
    agent = checks.equals_stock(cell, model)
    if not checks.tunable(agent):
        checks.tuned(cell, agent, out)
        checks.goes_on(cell, out)


@pytest.mark.parametrize("cell", [*BY_DAY, *ONCE_WRONG], ids=" - ".join)
def test_a_cell_holds(cell: Cell, tmp_path: Path) -> None:
    whole(cell, tmp_path / "run")


@pytest.mark.nightly
@pytest.mark.parametrize("cell", [cell for cell in cells() if cell not in BY_DAY], ids=" - ".join)
def test_every_other_cell_holds_or_is_refused_by_sb3(cell: Cell, tmp_path: Path) -> None:
    if cell.allowed:
        whole(cell, tmp_path / "run")
    else:
        with pytest.raises(Refused):
            cell.model()


@pytest.mark.nightly
@pytest.mark.parametrize("cell", UNUSUAL_CELLS, ids=" - ".join)
def test_what_else_sb3_takes_holds(cell: Cell, tmp_path: Path) -> None:
    try:
        whole(cell, tmp_path / "run")
    except Refused as refusal:
        pytest.skip(f"SB3: {refusal}")


def test_the_sample_covers_what_it_says() -> None:
    rows = [cell for cell in cells() if cell.allowed]
    for kind in (
        lambda cell: (cell.observation, cell.action),
        lambda cell: (cell.action, cell.algorithm),
        lambda cell: (cell.observation, family(cell.algorithm)),
    ):
        assert {kind(cell) for cell in rows} == {kind(cell) for cell in BY_DAY}
    assert len(BY_DAY) <= 60


def test_a_covering_sample_is_small_and_misses_no_pair() -> None:
    rows = list(product("abc", "def", "ghi"))

    def pairs(row: tuple[str, ...]) -> set[tuple[str, str]]:
        return set(combinations(row, 2))

    found = covering(rows, pairs)
    assert set().union(*map(pairs, found)) == set().union(*map(pairs, rows))
    assert 9 <= len(found) <= 12
    assert covering([], pairs) == []


def test_the_page_has_a_row_for_each_cell() -> None:
    """A cell that is new or called otherwise is tried by `python -m benchmarks.compatibility`."""
    page, found = PAGE.read_text(encoding="utf-8"), []
    for section in page.split("\n## ")[1:]:
        name, _, rest = section.partition("\n")
        rows = re.findall(r"^\| (?!observation)([^|-][^|]*) \| (\w+) \| (?!not tried)(\S[^|]*) \|", rest, re.MULTILINE)
        found += [Cell(seen, done, name) for seen, done, _ in rows]
    assert sorted(found) == sorted(cells())
    assert len(found) == len(set(found)) == len(OBSERVATIONS) * len(ACTIONS) * 13
