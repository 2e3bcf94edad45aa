from __future__ import annotations

import torch

from acclimate.nets.seeding import generator


def test_a_key_decides_what_is_drawn() -> None:
    keys = [(0, "a"), (0, "b"), (1, "a"), (0, "a", 1)]
    drawn = [torch.rand(4, generator=generator(*key)).tolist() for key in keys]
    assert drawn == [torch.rand(4, generator=generator(*key)).tolist() for key in keys]
    assert len({tuple(row) for row in drawn}) == len(keys)


def test_the_global_generator_stays() -> None:
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    torch.rand(3, generator=generator(5))
    assert torch.equal(first, torch.rand(1))
