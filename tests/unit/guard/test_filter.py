"""The filter: what it lets through, when it hands over, and that rows do not know each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.errors import ConfigError
from acclimate.guard.filter import Filter, Hysteresis
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded
from acclimate.guard.inside import Inside
from acclimate.guard.tiers.tier import Inner, State
from tests.unit.guard.world import agent, fitted, plain, random_world, wandered

GOOD, BAD = [0.0, 0.5], [0.0, 2.0]
NO, YES = torch.tensor([False]), torch.tensor([True])


def run(made: Filter, rows: list[list[float]]) -> list[tuple[torch.Tensor, torch.Tensor, bool]]:
    state, found = made.initial(1), []
    for row in rows:
        clean, flags, _, state = made(torch.tensor([row]), state, NO)
        found.append((clean[0], flags[0], bool(state["refusing"][0])))
    return found


def test_a_refused_row_is_the_last_trusted_one_and_before_there_is_one_the_neutral() -> None:
    found = run(plain(), [BAD, GOOD, BAD, [float("nan"), 0.7], [0.1, 0.2]])
    assert [clean.tolist() for clean, _, _ in found] == [[0, 0], GOOD, GOOD, GOOD, pytest.approx([0.1, 0.2])]
    assert [flags.tolist() for _, flags, _ in found][:4] == [
        [False, True],
        [False, False],
        [False, True],
        [True, False],
    ]


def test_a_row_begins_anew_where_it_is_reset_and_the_others_go_on() -> None:
    made, state = plain(), plain().initial(2)
    both = torch.tensor([GOOD, GOOD])
    _, _, _, state = made(both, state, torch.tensor([True, True]))
    clean, _, _, state = made(torch.tensor([BAD, BAD]), state, torch.tensor([False, True]))
    assert clean.tolist() == [GOOD, [0, 0]]
    assert state["step"].tolist() == [[2], [1]]


def law(refused: list[bool], rule: Hysteresis) -> list[bool]:
    """Return where the fallback acts, by the sentences of `Hysteresis`."""
    acts, recent, calm, found = False, [], 0, []
    for each in refused:
        recent, calm = [*recent, each][-rule.among :], 0 if each else calm + 1
        if acts and calm >= rule.leave:
            acts, recent = False, []
        elif not acts and sum(recent) >= rule.enter:
            acts = True
        found.append(acts)
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.integers(1, 5).flatmap(lambda k: st.tuples(st.just(k), st.integers(k, 6), st.integers(1, 5))),
)
def test_the_fallback_comes_and_goes_by_the_law(refused: list[bool], numbers: tuple[int, int, int]) -> None:
    rule = Hysteresis(*numbers)
    found = run(plain(hysteresis=rule), [BAD if each else GOOD for each in refused])
    assert [acts for _, _, acts in found] == law(refused, rule)


@pytest.mark.parametrize(("name", "wrong"), [("a2c", [9, -1, 1]), ("ppo-multi", [[9, 0], [0, -1], [1, 1]])])
def test_a_choice_that_there_is_not_is_refused_before_the_policy_is_asked(name: str, wrong: list[Any]) -> None:
    """The tier `latent` asks it about what `bounds` refuses, and no network has a place for the ninth of four."""
    made, world = random_world(name)
    guarded = Guarded(made, fit(made, world, episodes=10, alarms=0.9, tiers=["bounds", "latent"]))
    _, decision, _ = guarded.predict(np.array(wrong), guarded.initial(3))
    assert decision.flags[:, 1].tolist() == [True, True, False]
    assert np.isfinite(decision.scores).all()


def test_one_refused_step_is_no_reason_to_hand_over() -> None:
    acts = [each for _, _, each in run(plain(), [GOOD, BAD, GOOD, BAD, GOOD, GOOD])]
    assert acts == [False] * 6


@pytest.mark.parametrize("numbers", [(0, 5, 5), (6, 5, 5), (1, 5, 0), (1, 2000, 5)])
def test_a_hysteresis_that_cannot_be_is_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="enter <= among"):
        Hysteresis(*numbers)


def played(made: Filter, steps: torch.Tensor, resets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, State]:
    """Return flags, scores and the last state over steps of a batch."""
    state, flags, scores, inside = made.initial(steps.shape[1]), [], [], Inside(agent())
    for rows, reset in zip(steps, resets, strict=True):
        latent, _ = inside(made.usable(rows, state, reset).numpy())
        _, flag, score, state = made(rows, state, reset, Inner(latent))
        flags.append(flag)
        scores.append(score)
    return torch.stack(flags), torch.stack(scores), state


def disturbed(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return observations in which every tier finds something, and where episodes begin."""
    steps = wandered(60, rows)
    random = np.random.default_rng(3)
    hit = torch.from_numpy(random.random(steps.shape) < 0.05)
    steps = torch.where(
        hit, torch.from_numpy(random.choice([np.nan, np.inf, 1e30, 4.0, -5.0], steps.shape)).float(), steps
    )
    return steps, torch.from_numpy(random.random(steps.shape[:2]) < 0.05)


def test_rows_of_a_batch_are_independent() -> None:
    made, (steps, resets) = fitted().filter, disturbed(6)
    flags, scores, _ = played(made, steps, resets)
    assert flags.any(0).any(0).sum() >= 7, "the tiers are not tried"
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    mixed, mixed_scores, _ = played(made, steps[:, order], resets[:, order])
    assert torch.equal(mixed, flags[:, order])
    torch.testing.assert_close(mixed_scores, scores[:, order], rtol=1e-5, atol=1e-5)
    for row in range(6):
        alone, alone_scores, _ = played(made, steps[:, row : row + 1], resets[:, row : row + 1])
        assert torch.equal(alone[:, 0], flags[:, row])
        torch.testing.assert_close(alone_scores[:, 0], scores[:, row], rtol=1e-5, atol=1e-5)


def test_scores_and_state_are_numbers_whatever_comes() -> None:
    made, (steps, resets) = fitted().filter, disturbed(4)
    steps[::3] *= 1e38
    _, scores, state = played(made, steps, resets)
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(value).all() for value in state.values())
    assert all(value.dtype == torch.float32 for value in state.values())


def test_the_call_changes_nothing_that_it_was_given() -> None:
    made, rows = fitted().filter, wandered(1, 2)[0]
    state = made.initial(2)
    before = {name: value.clone() for name, value in state.items()}
    made(rows, state, torch.tensor([False, True]), Inner(Inside(agent())(rows.numpy())[0]))
    assert all(torch.equal(before[name], state[name]) for name in before)


def test_without_the_latent_it_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="give `latent`"):
        fitted().filter(wandered(1)[0], fitted().filter.initial(1), NO)
