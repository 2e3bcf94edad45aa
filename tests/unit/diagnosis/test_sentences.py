"""Alarms fire where they are due, and are silent on a healthy run."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from acclimate.diagnosis import inside
from acclimate.diagnosis.history import History
from acclimate.diagnosis.sentences import diagnose
from acclimate.evaluation.evaluate import Evaluation, Point
from acclimate.planning.arguments import checked_overrides
from acclimate.planning.probe import Situation
from acclimate.reports.findings import Measured
from acclimate.sb3.normalizer import Normalizer
from tests.world import task

KNOWN = Normalizer.identity(task().observation_space)


def sentences(
    *,
    situation: Situation | None = None,
    source: Measured | None = None,
    points: list[Point] | None = None,
    algorithm: str = "ppo",
    **columns: Any,
) -> list[str]:
    """Return what is said of columns, given with `__` for the `/` of their names."""
    rows = max((len(column) for column in columns.values()), default=0)
    signals = {"steps": list(range(rows)), **{name.replace("__", "/"): column for name, column in columns.items()}}
    return list(
        diagnose(
            situation or Situation(),
            History(signals),
            points=points or [],
            pretrained=played([10.0, 10.1]),
            source=source,
            features=("place", "speed"),
            scaled=KNOWN.features,
            algorithm=algorithm,
        )
    )


def played(returns: list[float]) -> Evaluation:
    n = len(returns)
    return Evaluation(np.array(returns), np.full(n, 8), np.arange(n))


LAYER = "networks__critic__value_net.2__"


def test_nothing_known_is_nothing_said() -> None:
    assert sentences() == []


def test_a_healthy_run_raises_no_alarm() -> None:
    found = sentences(
        **{
            "policy__step_zero": [0.0, None, None],
            "policy__kl": [0.0, 0.1, 0.2],
            "policy__kl_source": [0.0, 0.05, 0.1],
            "policy__std": [0.4, 0.38, 0.35],
            "policy__entropy": [0.5, 0.4, 0.3],
            "policy__alpha": [0.2, 0.1, 0.1],
            "training__clip_fraction": [None, 0.1, 0.2],
            "training__approx_kl": [None, 0.01, 0.01],
            "training__explained_variance": [None, 0.6, 0.9],
            "training__at_bound": [0.0, 0.0, 0.0],
            "training__learning_rate": [None, 1e-4, 1e-4],
            "training__cosine": [0.1, -0.2, 0.0],
            "values__bias": [1.0, -1.0, 0.5],
            "values__return_size": [100.0, 100.0, 100.0],
            "values__spread": [0.1, 0.1, 0.1],
            "values__td_error": [1.0, 3.0, 2.0],
            f"{LAYER}dormant": [0.1, 0.1, 0.2],
            f"{LAYER}saturated": [0.1, 0.1, 0.2],
            f"{LAYER}effective_rank": [20.0, 21.0, 19.0],
            f"{LAYER}stable_rank": [2.0, 2.0, 1.8],
            f"{LAYER}preactivation": [3.0, 4.0, 5.0],
            f"{LAYER}change": [0.0, 0.1, 0.2],
            f"{LAYER}cka": [1.0, 0.99, 0.98],
            "observations__shift": [0.5, None, None],
            "observations__reward_scale": [2.0, None, None],
            "observations__clipped": [None, 0.001, 0.001],
            "observations__drift": [0.0, 0.1, 0.2],
        }
    )
    assert found == [
        "The tuned policy is 0.2 nats (KL) from its prior on the last observations, 0.1 on states of the source task.",
        "The weights moved most in the critic's layer `value_net.2`, by 20.0% of their norm.",
        "The observation statistics moved by at most 0.20 standard deviations.",
    ]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"policy__step_zero": [0.01]}, "already differed from the pretrained one by 0.01"),
        (
            {"policy__kl": [0.0, 0.1, 0.11], "policy__kl_source": [0.0, 0.1, 0.9]},
            "moved 0.8 nats on states of the source task while it moved 0.01",
        ),
        ({"policy__std": [0.4, 0.01]}, "std fell to 0.01 from 0.4"),
        ({"policy__entropy": [0.5, 0.01]}, "entropy fell to 1.0% of the greatest from 50.0%"),
        ({"policy__alpha": [0.2, 0.001]}, "entropy coefficient fell to 0.001 from 0.2"),
        (
            {"training__clip_fraction": [None, 0.5], "training__approx_kl": [None, 0.2]},
            "50% of the last updates were clipped (approx. KL 0.2)",
        ),
        ({"training__at_bound": [0.0, 1.0], "training__learning_rate": [1e-4, 1e-5]}, "stands still at 1e-05"),
        ({"training__explained_variance": [-0.5]}, "critic explains nothing"),
        ({"training__cosine": [-0.5, -0.4, -0.6]}, "pull the features that they share apart"),
        (
            {"values__bias": [10.0, 0.0, -20.0], "values__return_size": [100.0] * 3},
            "values fall against the returns that follow (bias 10, 0, -20)",
        ),
        ({"values__bias": [60.0], "values__return_size": [100.0]}, "promises 60 more than the returns"),
        ({"values__spread": [0.7]}, "critics disagree by 70%"),
        ({"values__td_error": [0.1, 2.0]}, "TD error grew from 0.1 to 2"),
        ({f"{LAYER}dormant": [0.1, 0.42]}, "42% of the critic's units in `value_net.2` are dormant, 10% at the start"),
        ({f"{LAYER}saturated": [0.0, 0.3]}, "30% of the critic's units in `value_net.2` are saturated"),
        ({f"{LAYER}effective_rank": [20.0, 13.0]}, "lost rank (effective rank 20.0, now 13.0)"),
        ({f"{LAYER}stable_rank": [4.0, 2.0]}, "lost rank (stable rank 4.0, now 2.0)"),
        ({f"{LAYER}preactivation": [2.0, 9.0]}, "critic's layer `value_net.2` has grown 4.5 times"),
        ({"observations__shift": [3.0], "observations__shifted_feature": [1.0]}, "observation speed lies 3.0 standard"),
        ({"observations__reward_scale": [0.01]}, "paid 0.01 times"),
        ({"observations__clipped": [0.02]}, "2.0% of the observations lie at the normaliser's bound"),
        ({"observations__clipped_saved": [0.5]}, "50.0% of the observations lie"),
        ({"observations__drift": [3.0], "observations__drifted_feature": [1.0]}, "Observation 1 moved by 3.0"),
    ],
)
def test_alarms_fire_alone(columns: dict[str, Any], said: str) -> None:
    facts = ("The tuned policy is", "The weights moved")
    (found,) = [line for line in sentences(**columns) if not line.startswith(facts)]
    assert said in found
    assert "consider" in found, "it says what to do"


@pytest.mark.parametrize(
    "columns",
    [
        {"policy__kl": [0.0, 5.0, 2.0], "policy__kl_source": [0.0, 3.0, 5.0]},
        {"values__bias": [90.0, 50.0, 10.0], "values__return_size": [100.0] * 3},
        {"policy__kl": [0.0, 0.1], "policy__kl_source": [0.0, 9.0]},
    ],
    ids=["both moved", "an overestimate that shrinks", "one reading"],
)
def test_what_is_no_alarm(columns: dict[str, Any]) -> None:
    assert [line for line in sentences(**columns) if "consider" in line] == []


def test_the_worst_layer_is_named_with_the_number_of_the_others() -> None:
    (said,) = sentences(**{f"{LAYER}dormant": [0.3], "networks__q__0__dormant": [0.9]})
    assert said.startswith("90% of the Q-network's units in `0` are dormant, 90% at the start, and too many in 1 more")


def test_features_that_changed_are_told() -> None:
    (said,) = sentences(**{f"{LAYER}change": [0.0, 0.5], f"{LAYER}cka": [1.0, 0.4]})
    assert said.endswith(
        "by 50.0% of their norm; least like before are the features of the critic's layer `value_net.2` (CKA 0.40)."
    )


def test_advice_names_only_methods_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "METHODS", ("redo", "kl"))
    assert inside.names("else", "redo", "l2sp", "kl") == "`redo` or `kl`"
    assert inside.names("something else", "l2sp") == "something else"


def test_the_skill_that_is_left() -> None:
    (said,) = sentences(situation=Situation(source_return=10.0, target_return=6.0, random_return=2.0))
    assert "kept 50% of its skill" in said


def dip(*levels: tuple[int, float, float]) -> list[Point]:
    return [Point(n, played([v, v + spread])) for n, v, spread in levels]


def test_a_dip_names_the_worst_step_and_when_it_was_over() -> None:
    points = dip((5, 9.0, 3.0), (9, 4.0, 0.2), (12, 7.0, 0.2), (15, 11.0, 0.2))
    (said,) = sentences(points=points)
    assert "At step 9 the return dipped 5.95 below the pretrained agent's and was back at step 15" in said
    assert "and did not come back" in sentences(points=points[:3])[0]
    assert sentences(points=points[:1]) == [], "within the noise of two episodes"


def test_what_was_forgotten_is_told() -> None:
    seeds = np.arange(50)
    wobble = np.sin(seeds)
    before = Evaluation(100.0 + wobble, np.full(50, 8), seeds)
    kept = Measured(before, before, Evaluation(95.0 + 2 * wobble, before.lengths, seeds))
    lost = Measured(before, before, Evaluation(40.0 + 2 * wobble, before.lengths, seeds))
    assert sentences(source=kept) == []
    (said,) = sentences(source=lost)
    assert "fell from 100" in said
    assert "`kl`" in said


def test_advice_names_what_the_algorithm_has() -> None:

    seen: dict[str, Any] = {
        "policy__entropy": [0.5, 0.01],
        "training__explained_variance": [0.5, -0.2],
        "observations__reward_scale": [100.0, 100.0],
        "training__cosine": [-0.9, -0.9, -0.9],
        "points": [Point(10, played([0.0, 0.1]))],
    }
    for algorithm in ("ppo", "trpo"):
        found = sentences(algorithm=algorithm, **seen)
        assert len(found) >= 5, found
        named = {name for line in found for name in re.findall(r"algorithm\.(\w+)", line)}
        assert named
        checked_overrides(algorithm, dict.fromkeys(named, 1))
    assert not any("warm_start.critic_warmup" in line or "learning rate" in line for line in found)
