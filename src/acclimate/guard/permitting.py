"""Whether a mask allows an action, in tensors, so that a graph asks as an agent does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor


def permitted(space: spaces.Space, actions: Tensor, masks: Tensor) -> Tensor:
    """Tell of each row of actions whether a mask allows it; masks are those of `acclimate.shifts.masks`.

    Example:
        >>> permitted(spaces.Discrete(2), torch.tensor([[0.0], [1.0]]), torch.tensor([[True, False]] * 2)).tolist()
        [True, False]
    """
    if isinstance(space, spaces.Discrete):
        sizes, start = np.array([space.n]), np.array([space.start])
    elif isinstance(space, spaces.MultiDiscrete):
        sizes, start = space.nvec.ravel(), space.start.ravel()
    else:
        sizes, start = np.full(actions.shape[1], 2), np.zeros(actions.shape[1])
    places: Any = np.concatenate([[0], np.cumsum(sizes)[:-1]]) - start
    return masks.gather(1, actions.long() + torch.as_tensor(places.astype(np.int64))).all(1)
