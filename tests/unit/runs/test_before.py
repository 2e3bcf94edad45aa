from __future__ import annotations

import json

import numpy as np
import pytest

from acclimate.evaluation.evaluate import Evaluation
from acclimate.planning.probe import Situation
from acclimate.runs.before import Before


@pytest.mark.parametrize("with_source", [True, False])
def test_it_round_trips_through_json(with_source: bool) -> None:
    found = [Evaluation(np.array([0.1 + i, 2.0]), np.array([3, 4]), np.array([5, 6]), False) for i in range(3)]
    before = Before(Situation(target_return=1.5, episodes=2), found[0], found[1] if with_source else None, found[2])
    back = Before.from_json(json.loads(json.dumps(before.to_json())))
    assert back.situation == before.situation
    for ours, theirs in zip(
        (back.target, back.source, back.selection), (before.target, before.source, before.selection), strict=True
    ):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.returns.tolist() == theirs.returns.tolist()
            assert ours.lengths.tolist() == theirs.lengths.tolist()
            assert ours.seeds.tolist() == theirs.seeds.tolist()
            assert ours.deterministic is False
