"""SBX, in a process and a virtual environment of its own, which is made where it is missing.

The environment sees what is installed for Acclimate, so that both train with the same Gymnasium, MuJoCo and
Stable-Baselines3; JAX and what it needs lie in it alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

from benchmarks.peers.side import Spent
from benchmarks.peers.workload import Workload

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PLACE = HERE / ".venv"
REQUIREMENTS = HERE / "requirements.txt"


def python() -> Path:
    """Return the interpreter of SBX's environment; where that is missing or of other pins, make it.

    Raises:
        subprocess.CalledProcessError: pip cannot install it.
    """
    found = PLACE / "bin" / "python"
    stamp = PLACE / "installed"
    pins = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.prefix.encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == pins:
        return found
    venv.create(PLACE, with_pip=True, clear=True)
    (own,) = PLACE.glob("lib/python*/site-packages")
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = [str(found), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), "-r", str(REQUIREMENTS)], check=True)
    stamp.write_text(pins, encoding="utf-8")
    return found


class SBX:
    """A workload that the other process trains."""

    def __init__(self, work: Workload) -> None:
        """Start the process and let it make the model."""
        self._process = subprocess.Popen(
            [python(), "-m", "benchmarks.peers.sbx_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        )
        self._ask({"make": dataclasses.asdict(work)})

    def _ask(self, order: dict[str, Any]) -> dict[str, float]:
        orders, answers = self._process.stdin, self._process.stdout
        print(json.dumps(order), file=orders, flush=True)
        answer = answers.readline()  # type: ignore[union-attr]
        if not answer:
            raise SystemExit(f"SBX ended with {self._process.wait()}; what it said stands above")
        return json.loads(answer)

    def train(self, steps: int) -> Spent:
        """Let it train, and return what it took by its own clocks."""
        return Spent(**self._ask({"train": steps}))

    def close(self) -> None:
        """End the process."""
        # To close its input is not enough: processes that another side has forked since hold it open too.
        print(json.dumps({"stop": True}), file=self._process.stdin, flush=True)
        self._process.wait()
