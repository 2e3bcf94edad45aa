"""The search near an observation, where the worst is known; and how far apart what is done counts as."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import distributions as td

from acclimate.errors import SurgeryError
from acclimate.nets.near.neighbours import climb, floating, units
from acclimate.nets.near.reactions import action_change, distance, overtaken
from acclimate.nets.outputs import ActionValues, Bernoulli, Categorical, Gaussian, Point
from acclimate.nets.seeding import generator

SLOPE = torch.tensor([2.0, -0.5, 0.0])


def linear(observations: torch.Tensor) -> torch.Tensor:
    return observations @ SLOPE


def last(function: Any, observations: Any, kinds: dict[str, float], radius: float, steps: int, seed: int = 0) -> Any:
    source = generator(seed, "test")
    *_, found = climb(function, observations, kinds, radius=radius, steps=steps, source=source)
    return found


@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_of_a_linear_function_it_finds_the_corner(steps: int) -> None:
    here = torch.randn(7, 3)
    worst = last(linear, here, {"": 1.0}, 0.3, steps)
    torch.testing.assert_close(worst[:, :2], here[:, :2] + torch.tensor([0.3, -0.3]))
    torch.testing.assert_close(linear(worst) - linear(here), torch.full((7,), 0.3 * 2.5))


def test_it_begins_at_random_and_repeats_by_its_source() -> None:
    here = torch.zeros(1000, 3)
    begins = [next(climb(linear, here, {"": 2.0}, radius=0.1, steps=3, source=generator(s, "x"))) for s in (0, 0, 1)]
    assert torch.equal(begins[0], begins[1])
    assert not torch.equal(begins[0], begins[2])
    assert float(begins[0].abs().max()) == pytest.approx(0.2, rel=0.01)
    assert float(begins[0].mean()) == pytest.approx(0.0, abs=0.01)


def test_where_the_observation_itself_is_the_least_it_still_climbs() -> None:
    """The distance from what is done there has no gradient there."""
    here = torch.zeros(5, 2)
    worst = last(lambda seen: seen.square().sum(-1), here, {"": 1.0}, 0.5, 3)
    torch.testing.assert_close(worst.abs(), torch.full((5, 2), 0.5))


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_it_stays_within_the_radius_and_in_the_range_of_pixels(steps: int) -> None:
    seen = {
        "image": torch.randint(0, 256, (6, 1, 4, 4)).to(torch.uint8),
        "numbers": torch.randn(6, 3, dtype=torch.float64),
        "gear": torch.randint(0, 3, (6, 1)),
    }
    kinds = {"image": 255.0, "numbers": 1.0}

    def function(observations: Any) -> torch.Tensor:
        return (observations["image"] / 255).flatten(1).sum(-1) - observations["numbers"].sum(-1)

    moved = last(function, seen, kinds, 0.1, steps)
    assert moved["gear"] is seen["gear"]
    assert float((moved["image"] - seen["image"].float()).abs().max()) <= 25.5
    assert float(moved["image"].min()) >= 0.0
    assert float(moved["image"].max()) <= 255.0
    assert float((moved["numbers"] - seen["numbers"]).abs().max()) <= 0.1 + 1e-12
    assert moved["numbers"].dtype == torch.float64
    assert float((moved["image"] - seen["image"].float()).abs().max()) > 5.0


def test_nothing_is_left_at_parameters_and_it_works_without_gradients_on() -> None:
    layer = torch.nn.Linear(3, 1)
    with torch.no_grad():
        last(lambda seen: layer(seen)[:, 0], torch.zeros(2, 3), {"": 1.0}, 0.1, 2)
    assert layer.weight.grad is None


def test_a_part_that_nothing_depends_on_stays_where_it_began() -> None:
    seen = {"used": torch.zeros(3, 2), "idle": torch.zeros(3, 2)}
    points = list(
        climb(lambda o: o["used"].sum(-1), seen, {"used": 1.0, "idle": 1.0}, radius=1.0, steps=2, source=generator(0))
    )
    assert torch.equal(points[0]["idle"], points[-1]["idle"])
    torch.testing.assert_close(points[-1]["used"], torch.ones(3, 2))


def test_what_can_be_moved() -> None:
    image, box = spaces.Box(0, 255, (36, 36, 3), np.uint8), spaces.Box(-1.0, 1.0, (3,))
    assert units(box) == {"": 1.0}
    assert units(image) == {"": 255.0}
    tiles, ram = spaces.Box(0, 10, (7, 7, 3), np.uint8), spaces.Box(0, 255, (128,), np.uint8)
    world = spaces.Dict(seen=box, view=image, gear=spaces.Discrete(3), tiles=tiles, ram=ram, keys=spaces.MultiBinary(2))
    assert units(world) == {"seen": 1.0, "view": 255.0}
    for space in (spaces.Discrete(4), spaces.MultiDiscrete([2, 3]), tiles, ram, spaces.Dict(a=spaces.MultiBinary(3))):
        with pytest.raises(SurgeryError, match="cannot be moved a little"):
            units(space)
    assert floating({"a": torch.zeros(2, 1), "b": torch.zeros(2, 1, dtype=torch.int64)}) == {"a": 1.0}
    with pytest.raises(SurgeryError, match="without floating numbers"):
        floating(torch.zeros(2, 1, dtype=torch.int64))


def test_distances_are_those_of_torch() -> None:
    means, stds = torch.randn(2, 4, 3), torch.rand(2, 4, 3) + 0.1
    one, other = (Gaussian(mean, std.log()) for mean, std in zip(means, stds, strict=True))
    expected = td.kl_divergence(*(td.Normal(m, s) for m, s in zip(means, stds, strict=True))).sum(-1)
    torch.testing.assert_close(distance(one, other), expected)
    logits = torch.randn(2, 4, 5)
    expected = td.kl_divergence(*(td.Categorical(logits=each) for each in logits))
    torch.testing.assert_close(distance(*(Categorical(each) for each in logits)), expected)
    torch.testing.assert_close(distance(*(ActionValues(each) for each in logits)), expected)


def test_single_actions_and_squashed_ones_are_compared_as_they_act() -> None:
    here, there = Point(torch.tensor([[0.1, 0.5]])), Point(torch.tensor([[0.3, 0.4]]))
    assert float(action_change(here, there)) == pytest.approx(0.05)
    assert float(distance(here, there)) == pytest.approx(0.05 / (2 * 0.2**2))
    squashed = [Gaussian(torch.tensor([[mean]]), torch.tensor([[-3.0]]), squashed=True) for mean in (6.0, 9.0)]
    assert float(distance(*squashed)) < 1e-6, "both act at the end of the range"
    plain = [Gaussian(torch.tensor([[mean]]), torch.tensor([[-3.0]])) for mean in (6.0, 9.0)]
    assert float(distance(*plain)) == pytest.approx(9.0 / (2 * math.exp(-6.0)), rel=1e-5)


def test_overtaken_by_hand() -> None:
    before, after = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[0.5, 1.0, 4.0]])
    for kind in (ActionValues, Categorical):
        assert float(overtaken(kind(before), kind(after))) == 3.0, "action 1 led; action 2 is 3 ahead of it now"
        assert float(overtaken(kind(before), kind(before))) == -1.0
    two = (
        Categorical(torch.tensor([[1.0, 0.0, 0.0, 5.0]]), sizes=(2, 2)),
        Categorical(torch.tensor([[2.0, 3.0, 1.0, 1.5]]), sizes=(2, 2)),
    )
    assert float(overtaken(*two)) == pytest.approx((3.0 - 2.0) + (1.0 - 1.5))
    bits = Bernoulli(torch.tensor([[2.0, -1.0]])), Bernoulli(torch.tensor([[-0.5, -3.0]]))
    assert float(overtaken(*bits)) == pytest.approx(0.5 - 3.0)
    assert float(overtaken(Categorical(torch.ones(1, 1)), Categorical(torch.ones(1, 1)))) == 0.0
