"""The benchmark of the methods: its table shows the cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.methods import table


def cell(method: str, seed: int, level: float, **more: Any) -> dict[str, Any]:
    figures = {"distance": 0.1, "kl": 0.5, "kl_source": None, "active": 0.75, "trainable": 0.25, "seconds": 3.0}
    returns = {"before": [1.0] * 4, "source_before": [10.0] * 4, "target": [level] * 4, "source": [7.0] * 4}
    return {"ground": "ppo", "method": method, "seed": seed, "steps": 50, **returns, **figures, **more}


def test_the_table_of_the_methods(tmp_path: Path) -> None:
    cells = [cell("full", seed, 20.0 + seed) for seed in range(3)] + [
        cell("kl", seed, 25.0 + seed) for seed in range(3)
    ]
    cells.append({"ground": "ppo", "method": "l2sp", "seed": 0, "steps": 50, "error": "it was refused"})
    for one in cells:
        (tmp_path / f"{one['method']}-{one['seed']}.json").write_text(json.dumps(one))
    text = table.body(tmp_path)
    assert "50 steps; agents, each with a seed of its own: 3. Untouched: target 1 [1, 1], source 10 [10, 10]." in text
    (row,) = [line for line in text.splitlines() if line.startswith("| `kl`")]
    columns = [column.strip() for column in row.strip("|").split("|")]
    assert columns[1].startswith("26 [")
    assert columns[2:] == ["+5 [+5, +5]", "7", "+3 [+3, +3]", "10.0%", "0.5", "-", "75%", "25.0%", "3"]
    assert "`l2sp` did not run: it was refused" in text
    assert table.body(tmp_path / "nothing") == ""
