"""The image benchmark: its game, its agent, and a cell of each row in few steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import page
from benchmarks.images import cells, table
from benchmarks.images.agent import pretrained
from benchmarks.images.game import GREEN, LENGTH, SIZE, Rain
from stable_baselines3.common.env_checker import check_env

import acclimate as ac


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "CELLS", tmp_path / "cells")
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.PAGE.write_text("# Page\n")


def basket(picture: np.ndarray) -> list[int]:
    return np.flatnonzero(picture[SIZE - 1, :, GREEN]).tolist()


def test_the_game_and_its_changes() -> None:
    check_env(Rain())
    plain, negative, mirrored = Rain(), Rain(inverted=True), Rain(mirrored=True)
    seen = [env.reset(seed=3)[0] for env in (plain, negative, mirrored)]
    np.testing.assert_array_equal(seen[1], 255 - seen[0])
    for _ in range(SIZE):
        left, right = plain.step(0)[0], mirrored.step(2)[0]
        np.testing.assert_array_equal(left, right)
    assert basket(left) == [0, 1]
    assert basket(mirrored.step(0)[0]) == [1, 2]


def test_what_falls_is_caught_where_the_basket_stands() -> None:
    env, paid, steps, over = Rain(), [], 0, False
    seen = env.reset(seed=5)[0]
    while not over:
        coming = seen[SIZE - 2].any(axis=1) & (seen[SIZE - 2, :, GREEN] == 0)
        worth = int(seen[SIZE - 2, basket(seen), 0].sum() > 0) - int(seen[SIZE - 2, basket(seen), 2].sum() > 0)
        seen, reward, _, over, _ = env.step(1)
        assert reward == (worth if coming.any() else 0)
        paid, steps = [*paid, reward], steps + 1
    assert (steps, {-1.0, 1.0} <= set(paid)) == (LENGTH, True)


def test_the_agent_knows_its_game() -> None:
    agent = ac.load(pretrained(), trust=True)
    assert ac.evaluate(agent, cells.SOURCE, episodes=20).returns.mean() > 8.0


@pytest.mark.parametrize("row", cells.ROWS)
def test_a_cell_of_each_row(row: str) -> None:
    steps = 2_048
    cell = cells.run_cell("mirrored controls", row, 1, steps=steps)
    kept = json.loads(cells.path_of("mirrored controls", row, 1).read_text())
    assert (kept["case"], kept["row"], kept["seed"]) == ("mirrored controls", row, 1)
    assert (cell.steps > 0.9 * steps) == (row != cells.UNTOUCHED)
    assert len(cell.target) == len(cell.source) == 50
    assert ("mirrored controls", row, 1) not in set(cells.missing())


def test_the_table_tells_seed_by_seed() -> None:
    for seed, paid in enumerate([1.0, 2.0, 4.5]):
        cell = {"target": [paid] * 3, "source": [0.0] * 3, "steps": 10, "seconds": 2.0}
        path = cells.path_of("mirrored controls", cells.CONTINUED, seed)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(cell))
        ours = {"extra": {"last_target": [paid + 1] * 3 if seed else None, "last_source": None}}
        cells.path_of("mirrored controls", cells.OURS, seed).write_text(json.dumps(cell | ours))
    table.write_table()
    rows = [line for line in page.PAGE.read_text().splitlines() if line.startswith("| ") and "row" not in line]
    assert [row.split(" | ")[2] for row in rows] == ["1.0, 2.0, 4.5", "1.0, 2.0, 4.5", "1.0, 3.0, 5.5"]
    assert rows[0].startswith("| SB3 continued | 2.5 [1.0, 4.5] |")
