"""Each tier sees its fault, and is quiet in clean play."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from acclimate.guard.filter import Filter
from acclimate.guard.shrinkage import shrunk_covariance, whitening
from acclimate.guard.tiers.lasting import moments
from acclimate.guard.tiers.reasons import DEFAULT, Reason, codes, reasons
from tests.unit.guard.test_filter import played
from tests.unit.guard.world import fitted, plain, wandered

Fault = Callable[[torch.Tensor], torch.Tensor]
BEGIN = 30


def fault(change: Callable[[torch.Tensor], None]) -> Fault:
    def apply(steps: torch.Tensor) -> torch.Tensor:
        steps = steps.clone()
        change(steps[BEGIN:])
        return steps

    return apply


def one_nan(steps: torch.Tensor) -> None:
    steps[:, :, 1] = torch.nan


def huge(steps: torch.Tensor) -> None:
    steps[:, :, 0] = 1e3


def jump(steps: torch.Tensor) -> None:
    steps[::2, :, 2] += 9


def far(steps: torch.Tensor) -> None:
    steps[:] = torch.tensor([9.0, -9.0, 9.0])


def together(steps: torch.Tensor) -> None:
    """Move all entries as none of them would be strange by itself."""
    steps[:] = torch.tensor([4.5, -4.5, 4.5])


def stuck(steps: torch.Tensor) -> None:
    steps[:, :, 1] = steps[0, :, 1].clone()


def drift(steps: torch.Tensor) -> None:
    steps[:, :, 0] += torch.linspace(0, 3.5, len(steps))[:, None]


SEEN_BY = {
    Reason.NOT_FINITE: one_nan,
    Reason.BOUNDS: huge,
    Reason.RATE: jump,
    Reason.MAHALANOBIS: together,
    Reason.LATENT: far,
    Reason.KNN: together,
    Reason.STATISTICS: stuck,
    Reason.SEQUENCE: drift,
    Reason.UNCERTAINTY: far,
}


@pytest.mark.parametrize("reason", SEEN_BY, ids=lambda reason: reason.word)
def test_a_tier_flags_its_fault_and_not_the_clean_run(reason: Reason) -> None:
    made: Filter = fitted(reason.word, episodes=110, alarms=0.02).filter
    column, steps = made.reasons.index(reason), wandered(100, 20)
    none = torch.zeros(100, 20, dtype=torch.bool)
    quiet = played(made, steps, none)[0][:, :, column]
    loud = played(made, fault(SEEN_BY[reason])(steps), none)[0][:, :, column]
    assert quiet.any(0).float().mean() <= 0.2
    assert loud[BEGIN:].any(0).all()
    assert torch.equal(loud[:BEGIN], quiet[:BEGIN])


def test_sequence_sees_a_drift_that_no_step_shows() -> None:
    steps = fault(drift)(wandered(100, 5))
    none = torch.zeros(100, 5, dtype=torch.bool)
    made = fitted("bounds", "rate", "sequence", episodes=110, alarms=0.06).filter
    flags = played(made, steps, none)[0][BEGIN:]
    by = {reason: flags[:, :, column].any(0).float().mean() for column, reason in enumerate(made.reasons)}
    assert by[Reason.SEQUENCE] == 1.0
    assert max(by[Reason.RATE], by[Reason.BOUNDS]) < 1.0


def test_an_end_of_the_drift_is_seen_too() -> None:
    made = fitted("sequence", episodes=110, alarms=0.02).filter
    steps = wandered(400, 1, seed=1)
    steps[20:200] += 4
    flags = played(made, steps, torch.zeros(400, 1, dtype=torch.bool))[0][:, 0, made.reasons.index(Reason.SEQUENCE)]
    assert flags[150:200].all()
    assert not flags[310:].any()


def test_a_slow_change_after_refused_steps_is_no_jump() -> None:
    made, none = fitted("rate").filter, torch.zeros(4, 1, dtype=torch.bool)
    steps = torch.tensor([[[0.0, 0, 0]], [[torch.nan, 0, 0]], [[torch.nan, 0, 0]], [[4.0, 0, 0]]])
    scores = played(made, steps, none)[1][:, 0, 1]
    jump = played(made, steps[[0, 3]], none[:2])[1][1, 0, 1]
    assert scores[:3].tolist() == [0, 0, 0]
    assert scores[3].item() == pytest.approx(jump.item() / 3)


def test_moments_by_hand() -> None:
    window = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])
    mean, spread, together_ = moments(window)[0].tolist()
    assert mean == 2.5
    assert spread == pytest.approx(0.5 * np.log(1.25 + 1e-4))
    # (-0.5 * -1.5 + 0.5 * -0.5 + 1.5 * 0.5) / 3 over the variance.
    assert together_ == pytest.approx((1.25 / 3) / (1.25 + 1e-2))


def test_the_covariance_is_shrunk_as_ledoit_and_wolf_say() -> None:
    samples = np.random.default_rng(0).normal(size=(30, 4)) @ np.diag([1.0, 2, 3, 4])
    centred = samples - samples.mean(0)
    sample = centred.T @ centred / 30
    level, eye = np.trace(sample) / 4, np.eye(4)
    noise = np.mean([((np.outer(x, x) - sample) ** 2).sum() for x in centred]) / 30
    share = min(noise, ((sample - level * eye) ** 2).sum()) / ((sample - level * eye) ** 2).sum()
    found, told = shrunk_covariance(samples)
    assert told == pytest.approx(share)
    np.testing.assert_allclose(found, (1 - share) * sample + share * level * eye)
    whiten = whitening(samples)
    np.testing.assert_allclose(whiten @ whiten.T @ found, eye, atol=1e-9)


def test_names_and_bits_stay() -> None:
    assert {reason.word: int(reason) for reason in Reason} == {
        "not_finite": 1,
        "bounds": 2,
        "rate": 4,
        "mahalanobis": 8,
        "latent": 16,
        "knn": 32,
        "statistics": 64,
        "sequence": 128,
        "uncertainty": 256,
    }
    assert reasons(["rate", "bounds"]) == DEFAULT[:3], "what is not finite is always refused"


def test_a_score_that_is_no_number_is_refused() -> None:
    made = plain()
    made.tiers[1].low.fill_(torch.nan)  # which nothing that is learnt or read has
    _, flags, scores, _ = made(torch.tensor([[1.0, 0.5]]), made.initial(1), torch.tensor([False]))
    assert torch.isnan(scores[0, 1])
    assert flags[0, 1]


def test_the_code_adds_the_bits() -> None:
    flags = np.array([[False, True, False, True], [False] * 4, [True] * 4])
    assert codes(DEFAULT, flags).tolist() == [2 + 8, 0, 15]
