"""Export every agent of the zoo as ONNX, alone and behind its guard: parity, size, and what one decision takes.

    ACCLIMATE_ZOO=zoo python -m benchmarks.exporting       # all of them, then the table in docs/benchmarks.md
    ACCLIMATE_ZOO=zoo python -m benchmarks.exporting --no-table

All sides of a decision get the same raw observation: ONNX Runtime the graph, and the graph with the default tiers of a
guard; SB3 its `predict` behind what `VecNormalize` computes. Each round times all, one after the other. Guards are
calibrated in the agent's own world where that is installed, else on observations drawn from its space.
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

import gymnasium as gym
import numpy as np
import onnxruntime
import torch
from gymnasium import spaces

import acclimate as ac
from acclimate.config import to_dict
from acclimate.errors import AcclimateError
from acclimate.exporting.contract.ports import GUARD, STARTS
from acclimate.exporting.graph.module import Graph
from acclimate.exporting.graph.samples import drawn, whole
from acclimate.exporting.graph.writing import onnx_of
from acclimate.exporting.policy.sessions import session_of
from acclimate.files.atomic import write_atomic
from acclimate.guard.fitting import fit
from acclimate.guard.guard import Guard
from acclimate.guard.guarded import Guarded
from acclimate.shifts.masks import choices
from benchmarks.page import put

ROOT = Path(__file__).parent
RESULTS = ROOT / "results" / "exporting" / "zoo.json"
ZOO = Path(os.environ.get("ACCLIMATE_ZOO", ROOT.parent / "zoo"))
EPISODES, ALARMS = 40, 0.3
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


def guard_of(agent: ac.Agent, task: ac.Task | None) -> Guard:
    """Return a guard with the default tiers; what it costs does not depend on how well it knows the world."""
    return fit(agent, task or ac.Task(lambda: Drawn(agent)), episodes=EPISODES, alarms=ALARMS)


class Drawn(gym.Env):
    """Shows observations from the agent's space, for an agent whose environment is not installed."""

    def __init__(self, agent: ac.Agent) -> None:
        graph = Graph(agent)
        self._rows = drawn(agent, graph.ports, 256, seed=2)
        self.action_space, self._step = agent.action_space, 0
        shown = agent.observation_space
        self.observation_space = turned(shown) if graph.turned else shown

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode of 32 observations."""
        super().reset(seed=seed)
        self._left = 32
        return self._next(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Show the next one."""
        self._left -= 1
        return self._next(), 0.0, False, self._left == 0, {}

    def action_masks(self) -> Any:
        """Allow everything, for an agent that asks."""
        return np.ones(choices(self.action_space), bool)

    def _next(self) -> Any:
        place = int(self.np_random.integers(256))
        return whole({name: values[place] for name, values in self._rows.items()})


def turned(space: spaces.Space) -> spaces.Box:
    """Return a space of images with the channels last, as environments give them."""
    return spaces.Box(*(np.moveaxis(bound, 0, -1) for bound in (space.low, space.high)), dtype=space.dtype)  # type: ignore[attr-defined]


def p50(decide: Callable[[], Any]) -> float:
    """Return the median of the microseconds of one decision."""
    times = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        decide()
        times.append(time.perf_counter() - begun)
    return float(np.median(times)) * 1e6


def latency(
    agent: ac.Agent, data: bytes, guarded: bytes, rows: Mapping[str, Any], rounds: int
) -> dict[str, list[float]]:
    """Return the microseconds of a decision in each round, of all sides."""
    session, behind = session_of(data), session_of(guarded)
    one = {name: values[:1] for name, values in rows.items()}
    begun = {port.name: port for port in behind.get_inputs()}
    more = {
        GUARD: np.zeros((1, begun[GUARD].shape[1]), np.float32),
        STARTS: np.ones(1, bool),
        **{port.name: empty(port) for port in session.get_inputs() if port.name not in one},
    }
    raw = whole({name: values[0] for name, values in rows.items()})
    plain = {**one, **{port.name: more[port.name] for port in session.get_inputs() if port.name not in one}}
    scale = (lambda obs: obs) if agent.normalizer is None else agent.normalizer.normalize_obs
    sides: dict[str, Callable[[], Any]] = {
        "sb3": lambda: agent.model.predict(scale(raw), deterministic=True),
        "onnx": lambda: session.run(None, plain),
        "guarded": lambda: behind.run(None, {**one, **more}),
    }
    for decide in sides.values():
        for _ in range(WARM):
            decide()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, decide in sides.items():
            found[name].append(p50(decide))
    return found


def empty(port: Any) -> Any:
    """Return zeros for a memory, and masks that allow everything."""
    kind = bool if port.type == "tensor(bool)" else np.float32
    return np.full([1 if isinstance(size, str) else size for size in port.shape], kind is bool, kind)


def row(path: Path, rounds: int) -> dict[str, Any]:
    """Return what one agent's export gives."""
    agent = ac.load(path)
    name = str(path.relative_to(ZOO).with_suffix(""))
    try:
        task = task_of(agent)
        data, contract = onnx_of(agent, task=task)
        guarded, whole_contract = onnx_of(agent, task=task, guarded=Guarded(agent, guard_of(agent, task)))
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
        "guard": to_dict(whole_contract.guard),
        "bytes": len(data),
        **latency(agent, data, guarded, drawn(agent, contract.ports, 2, seed=1), rounds),
    }


def line(found: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    if not found["exported"]:
        return f"| {found['agent']} | no: {found['reason']} |{' |' * 9}"
    ratios = np.array(found["sb3"]) / np.array(found["onnx"])
    held = " + ".join(f"{count} {kind}" for kind, count in found["observations"].items())
    error = f"{found['error']:.1e}" if found["error"] else "0"
    behind = np.array(found["sb3"]) / np.array(found["guarded"])
    times = [f"{np.median(found[side]):.1f}" for side in ("sb3", "onnx", "guarded")]
    ratio, guarded = (f"{np.median(each):.1f} [{each.min():.1f}, {each.max():.1f}]" for each in (ratios, behind))
    guard = found["guard"]
    flags = ", ".join(f"{reason['name']} {reason['raised']}" for reason in guard["reasons"])
    size = f"{found['bytes'] / 1000:.1f}"
    cells = [found["agent"], held, error, size, *times, ratio, guarded, flags, str(guard["parity"]["ties"])]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Export, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-table", action="store_true", help="print and write nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        "| agent | observations | largest error | kB | SB3, us | ONNX, us | guarded, us | times as fast | guarded | "
        "flags raised alike | at their limits |",
        f"|---|---|{'--:|' * 7}---|--:|",
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
