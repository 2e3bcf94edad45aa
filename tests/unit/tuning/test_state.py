from __future__ import annotations

import pytest
import torch

from acclimate.errors import TrainingError
from acclimate.tuning.state import Remade, pack, unpack


def test_what_is_made_anew_is_left_out_and_taken_from_the_fresh_state() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))

    def state(data: float, count: int) -> dict:
        held = Remade(torch.full((3,), data))
        return {"actor": {"data": held, "count": count, "by": {weight: torch.ones(2)}, "pair": (1, [held, count])}}

    packed = pack(state(1.0, 5), [weight])
    assert packed["actor"]["data"] == {"remade": None}
    found = unpack(packed, [weight], state(2.0, 0))
    actor = found["actor"]
    assert actor["count"] == 5
    assert actor["data"].value.tolist() == actor["pair"][1][0].value.tolist() == [2.0] * 3
    assert actor["pair"][1][1] == 5
    assert actor["by"][weight].tolist() == [1.0, 1.0]


def test_a_longer_list_than_the_fresh_one_is_read_all_the_same() -> None:
    assert unpack(pack([1, 2, 3], []), [], [0]) == [1, 2, 3]


def test_what_no_file_holds_is_an_error() -> None:
    with pytest.raises(TrainingError, match="a method's state holds a object"):
        pack([object()], [])
