"""The cells that `make test` runs: few, but each pair of columns stands together in one of them."""

from __future__ import annotations

from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from acclimate.sb3.vocabulary import ALGORITHMS, VALUE_BASED
from benchmarks.compatibility.cells import Cell, cells
from benchmarks.compatibility.covering import covering


def family(algorithm: str) -> str:
    """Return the kind of an algorithm, by the loop that it shares with others."""
    if algorithm in VALUE_BASED:
        return "values"
    kinds = {"on-policy": OnPolicyAlgorithm, "off-policy": OffPolicyAlgorithm}
    cls = ALGORITHMS[algorithm]
    return next((name for name, loop in kinds.items() if issubclass(cls, loop)), "search")


def pairs(cell: Cell) -> set[tuple[str, str, str]]:
    """Return what a cell brings together: observation, action and kind of algorithm, two by two, and action and name.

    Each observation with each name would be twice as many cells, and is left to the whole matrix.
    """
    seen, done, name = cell
    kind = family(name)
    return {
        ("seen, done", seen, done),
        ("seen, kind", seen, kind),
        ("done, kind", done, kind),
        ("done, name", done, name),
    }


def sample() -> list[Cell]:
    """Return cells that SB3 allows, in which everything that can stand together does so once or more."""
    return covering([cell for cell in cells() if cell.allowed], pairs)
