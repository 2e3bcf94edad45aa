"""Is what a file holds of a model's networks and optimizers that of this model? Asked before any of it is put back."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor
from torch.optim import Optimizer

from acclimate.nets.alike import check_tensor, check_tensors
from acclimate.sb3.counters import saved_names
from acclimate.sb3.optimizers import check_state, follow


def check_saved(model: BaseAlgorithm, parameters: Any, variables: Any) -> None:
    """Check the parts of a model that a file holds.

    Args:
        model: as it is now, with the same methods in place.
        parameters: should be what SB3's `get_parameters` returned.
        variables: should be its other tensors, by name.

    Raises:
        ValueError: They are of another model.
    """
    names, others = saved_names(model)
    if not isinstance(parameters, dict) or parameters.keys() != set(names):
        raise ValueError("its networks and optimizers are others")
    if not isinstance(variables, dict) or variables.keys() != set(others):
        raise ValueError("its variables are others")
    for name in names:
        part: Any = follow(model, name)
        if isinstance(part, Optimizer):
            check_state(parameters[name], part, name)
        else:
            check_tensors(parameters[name], part.state_dict(), name)
    for name in others:
        held: Tensor = follow(model, name)
        check_tensor(variables[name], held, name)
