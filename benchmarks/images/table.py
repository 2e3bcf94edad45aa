"""Turn the cells of the image benchmark into the table of docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.images.cell import estimate
from benchmarks.images.cells import OURS, ROWS, SEEDS, UNTOUCHED, WORLDS, path_of
from benchmarks.page import put

Returns = Sequence[Sequence[float]]


def write_table() -> None:
    """Write the section of docs/benchmarks.md between its markers."""
    put("images", "\n".join(line for world in WORLDS for line in _world(world)))


def _world(world: str) -> Iterator[str]:
    yield from (f"### PPO Rain, {world}", "", "| row | target | seed by seed | source | steps | s |")
    yield "|---|---|---|---|---|---|"
    for row in ROWS:
        paths = [path_of(world, row, seed) for seed in range(1 if row == UNTOUCHED else SEEDS)]
        cells = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
        for name, target, source in _lines(row, cells):
            took = f"{cells[0]['steps']:,} | {np.median([cell['seconds'] for cell in cells]):.0f}"
            each = ", ".join(f"{np.mean(seed):.1f}" for seed in target)
            yield f"| {name} | {_text(target)} | {each} | {_text(source)} | {took} |"
    yield ""


def _lines(row: str, cells: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Returns, Returns]]:
    """Yield the lines of a row: of ours the agent that is kept, and the end of training."""
    if not cells:
        return
    ours = row.startswith(OURS)
    yield f"**{row}, kept**" if ours else row, [cell["target"] for cell in cells], [cell["source"] for cell in cells]
    if ours:
        last = [[cell["extra"][f"last_{name}"] or cell[name] for cell in cells] for name in ("target", "source")]
        yield f"**{row}, last**", *last


def _text(returns: Returns) -> str:
    found = estimate([list(seed) for seed in returns])
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"
