"""What the page says of attacks, from results by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks.robustness import cases, measure, table
from benchmarks.robustness.cases import CELLS, Case, Cell

CASE = Case("PPO Small", "a.zip", 0.25, ("random", "pgd"))


def write(arm: str, seed: int = 0, **returns: list[float]) -> None:
    Cell(CASE, arm, seed).path.write_text(json.dumps({"returns": returns}), encoding="utf-8")


def test_the_page_tells_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(cases, "RESULTS", tmp_path)
    monkeypatch.setattr(table, "CASES", (CASE,))
    monkeypatch.setattr(table, "put", lambda section, body: said.append(body))
    write("before", clean=[1000.0, 3000.0], random=[900.0, 1100.0], pgd=[10.0, 30.0])
    for seed, pgd in enumerate((700.0, 900.0)):
        write("smooth", seed, clean=[1500.0, 1700.0], random=[800.0, 800.0], pgd=[pgd, pgd])
    table.write_table()
    lines = said[0].splitlines()
    assert "### Attacks on PPO Small, radius 0.25" in lines
    before, smooth = (next(line for line in lines if line.startswith(f"| {arm}")) for arm in ("before", "fine-tuned"))
    assert before.startswith("| before | 1 | 2,000 | 1,000 | 20 | 20 [")
    assert before.endswith("(pgd) |")
    # The mean of two seeds, 700 and 900, has Student's interval of one degree of freedom: 800 +- 12.7 * 100.
    assert smooth.startswith("| fine-tuned, `smooth` | 2 | 1,600 | 800 | 800 | ")
    assert "guard" not in said[0], "there is no result of it yet"
    write("guard", clean=[1990.0], pgd=[1200.0], evading=[50.0])
    table.write_table()
    assert "20 alone, 1,200 behind its guard where the attack knows nothing of it, 50 where it keeps" in said[1]


def test_each_cell_has_a_file_of_its_own_and_the_arms_differ_in_one_thing() -> None:
    assert len({cell.path for cell in CELLS}) == len(CELLS)
    arms = {arm: measure.recipe(Cell(CASE, arm, 2)) for arm in cases.ARMS}
    assert [method.name for method in arms["smooth"].methods] == ["smooth"]
    assert arms["smooth"].methods[0].radius == 0.25
    assert arms["plain"] == arms["noise"] == arms["smooth"].override(methods=())
    assert arms["plain"].seed == 2
