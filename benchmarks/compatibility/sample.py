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


def sample() -> list[Cell]:
    """Return cells that SB3 allows, in which each pair of observation, action and kind of algorithm is found.

    Each action is found with each algorithm as well; each observation with each algorithm would be twice as many
    cells, and is left to the whole matrix.
    """
    allowed = [cell for cell in cells() if cell.allowed]
    rows = {
        (cell.observation, cell.action, family(cell.algorithm), f"{cell.action} {cell.algorithm}"): cell
        for cell in allowed
    }
    # The last two columns follow from each other: their pairs make sure that each action meets each algorithm.
    return [rows[row] for row in covering([*rows])]
