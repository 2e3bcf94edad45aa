"""Export every agent of the zoo as ONNX: parity, size, and what one decision takes beside SB3's own `predict`.

    ACCLIMATE_ZOO=zoo python -m benchmarks.exporting       # all of them, then the table in docs/benchmarks.md
    ACCLIMATE_ZOO=zoo python -m benchmarks.exporting --no-table

Both sides of a decision get the same raw observation: ONNX Runtime the graph, SB3 its `predict` behind what
`VecNormalize` computes. Each round times both, one right after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime
import torch

import acclimate as ac
from acclimate.errors import AcclimateError
from acclimate.exporting.graph.samples import drawn, whole
from acclimate.exporting.graph.writing import onnx_of
from acclimate.exporting.policy.sessions import session_of
from acclimate.files.atomic import write_atomic
from benchmarks.page import put

ROOT = Path(__file__).parent
RESULTS = ROOT / "results" / "exporting" / "zoo.json"
ZOO = Path(os.environ.get("ACCLIMATE_ZOO", ROOT.parent / "zoo"))
CALLS, WARM = 500, 50
"""Of each side in a round, and before the first."""


def task_of(agent: ac.Agent) -> ac.Task | None:
    """Return the agent's own task, None where its environment is not installed."""
    try:
        task = ac.home(agent).task
        _ = task.observation_space
    except AcclimateError:
        return None
    return task


def p50(decide: Callable[[], Any]) -> float:
    """Return the median of the microseconds of one decision."""
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        decide()
        times.append(time.perf_counter() - begun)
    return float(np.median(times)) * 1e6


def latency(agent: ac.Agent, data: bytes, rows: Mapping[str, Any], rounds: int) -> dict[str, list[float]]:
    """Return the microseconds of a decision in each round, of both."""
    session, one = session_of(data), {name: values[:1] for name, values in rows.items()}
    raw = whole({name: values[0] for name, values in rows.items()})
    scale = (lambda obs: obs) if agent.normalizer is None else agent.normalizer.normalize_obs
    sides: dict[str, Callable[[], Any]] = {
        "sb3": lambda: agent.model.predict(scale(raw), deterministic=True),
        "onnx": lambda: session.run(None, one),
    }
    for decide in sides.values():
        for _ in range(WARM):
            decide()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, decide in sides.items():
            found[name].append(p50(decide))
    return found


def row(path: Path, rounds: int) -> dict[str, Any]:
    """Return what one agent's export gives."""
    agent = ac.load(path)
    name = str(path.relative_to(ZOO).with_suffix(""))
    try:
        data, contract = onnx_of(agent, task=task_of(agent))
    except AcclimateError as error:
        return {"agent": name, "exported": False, "reason": str(error)}
    held = contract.parity
    if held is None:
        raise SystemExit(f"{name}: was not held to its agent")
    return {
        "agent": name,
        "exported": True,
        "error": held.largest_error,
        "rounded": held.rounded,
        "ties": held.ties,
        "observations": dict(held.observations),
        "bytes": len(data),
        **latency(agent, data, drawn(agent, contract.ports, 2, seed=1), rounds),
    }


def line(found: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    if not found["exported"]:
        return f"| {found['agent']} | no: {found['reason']} | | | | | |"
    ratios = np.array(found["sb3"]) / np.array(found["onnx"])
    held = " + ".join(f"{count} {kind}" for kind, count in found["observations"].items())
    error = f"{found['error']:.1e}" if found["error"] else "0"
    sb3, onnx = (f"{np.median(found[side]):.1f}" for side in ("sb3", "onnx"))
    ratio = f"{np.median(ratios):.1f} [{ratios.min():.1f}, {ratios.max():.1f}]"
    return f"| {found['agent']} | {held} | {error} | {found['bytes'] / 1000:.1f} | {sb3} | {onnx} | {ratio} |"


def main() -> None:
    """Export, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "| agent | observations | largest error | kB | SB3, us | ONNX, us | times as fast |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    rows = []
    for path in sorted(ZOO.rglob("*.zip")):
        rows.append(row(path, arguments.rounds))
        lines.append(line(rows[-1]))
        print(lines[-1], flush=True)
    if not rows:
        raise SystemExit(f"no agents at {ZOO}: fetch them by `make zoo`, or set ACCLIMATE_ZOO")
    if arguments.no_table:
        return
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(RESULTS, json.dumps(rows, indent=1) + "\n")
    exported = sum(found["exported"] for found in rows)
    note = (
        f"{exported} of {len(rows)} agents of the zoo, each graph held to its agent at batches of 1, 7 and 256; the "
        "error of a continuous action is a share of half the width of its bounds, discrete ones are identical but for "
        f"{sum(found.get('ties', 0) for found in rows)} ties. Medians of {CALLS} single decisions, and of "
        f"{arguments.rounds} rounds; torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, one thread."
    )
    put("exporting", f"{note}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
