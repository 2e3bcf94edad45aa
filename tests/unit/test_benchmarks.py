"""The benchmarks' own parts: pages, instances, timings and tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import instances, overhead, page
from benchmarks.methods import table as methods_table

from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.registry import METHODS


def test_a_section_is_replaced_or_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "page.md"
    file.write_text("# Head\n<!-- one: begin -->\nold\n<!-- one: end -->\ntail\n")
    monkeypatch.setattr(page, "PAGE", file)
    page.put("one", "new")
    page.put("two", "more")
    assert file.read_text() == (
        "# Head\n<!-- one: begin -->\nnew\n<!-- one: end -->\ntail\n\n<!-- two: begin -->\nmore\n<!-- two: end -->\n"
    )


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_has_an_instance(name: str) -> None:
    assert type(instances.instance(name)) is METHODS.get(name)


def test_every_overhead_is_timed_beside_full() -> None:
    kind = overhead.Kind("SAC", overhead.sac, {"gradient_steps": 1, "batch_size": 8})
    milliseconds, found = overhead.measure(kind, ["kl"], 2)
    assert milliseconds > 0
    assert set(found) == {overhead.STOCK, "kl"}
    assert all(len(timed.ratios) == len(timed.seconds) == 2 for timed in found.values())
    low, middle, high = np.percentile(found["kl"].ratios, (25, 50, 75))
    assert overhead.ratio(found["kl"]) == f"{middle:.2f} [{low:.2f}, {high:.2f}]"
    assert overhead.ratio("it says why") == "refused"


def test_an_update_trains_what_the_method_leaves() -> None:
    for kind in overhead.KINDS:
        model = kind.make()
        frozen = overhead.prepare(
            overhead.Kind(kind.title, lambda model=model: model, kind.arguments), Freeze(on="actor")
        )
        before = {name: value.clone() for name, value in model.policy.state_dict().items()}
        frozen.update()
        moved = {name for name, value in model.policy.state_dict().items() if not value.equal(before[name])}
        assert moved
        assert not [name for name in moved if name.startswith(("actor.", "action_net", "mlp_extractor.policy_net"))]
    assert isinstance(overhead.prepare(overhead.KINDS[0], KLToPrior()), overhead.Timed)
    assert isinstance(overhead.prepare(overhead.KINDS[0], Full()), overhead.Timed)


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
    text = methods_table.body(tmp_path)
    assert "50 steps; agents, each with a seed of its own: 3. Untouched: target 1 [1, 1], source 10 [10, 10]." in text
    (row,) = [line for line in text.splitlines() if line.startswith("| `kl`")]
    columns = [column.strip() for column in row.strip("|").split("|")]
    assert columns[1].startswith("26 [")
    assert columns[2:] == ["+5 [+5, +5]", "7", "+3 [+3, +3]", "10.0%", "0.5", "-", "75%", "25.0%", "3"]
    assert "`l2sp` did not run: it was refused" in text
    assert methods_table.body(tmp_path / "nothing") == ""
