"""What fixed layers put out of stored steps is kept, and nothing comes out otherwise for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DQN, SAC, TD3

from acclimate.engine.learning import recall
from acclimate.engine.learning.recall import PATIENCE, Cache, Recall, Watch
from acclimate.engine.off_policy import perceptrons
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.methods.last_layer import LastLayer
from acclimate.methods.unfreeze import Unfreeze
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, chain
from tests.unit.engine.alike import reading
from tests.unit.engine.alike_off_policy import ALGORITHMS, agent, both

WIDE = {"net_arch": [72, 96, 12]}
METHODS: dict[str, Method] = {
    "last-layer": LastLayer(),
    "lower": Freeze(on=("*:*.0.*", "*:*.2.*")),
    "lower-kl": chain(Freeze(on=("*:*.0.*", "*:*.2.*")), KLToPrior()),
    "thawing": Unfreeze(every=0.2),
}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Cache]:
    """Return all caches that are made."""
    made: list[Cache] = []

    class Noted(Cache):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(recall, "Cache", Noted)
    return made


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_updates_are_those_of_sb3(algorithm: str, method: str, kept: list[Cache]) -> None:
    assert both(ALGORITHMS[algorithm], METHODS[method], policy_kwargs=dict(WIDE)).distance < 1e-8
    assert len(kept) > (algorithm == "dqn")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_small_cache_is_shared(algorithm: str, kept: list[Cache], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acclimate.engine.learning.replay.LIMIT", 100_000)
    assert both(ALGORITHMS[algorithm], METHODS["lower"], policy_kwargs=dict(WIDE)).distance < 1e-8
    assert 0 < sum(cache.bytes for cache in kept) <= 100_000


def test_nothing_is_kept_of_observations_whose_scaling_moves(kept: list[Cache]) -> None:
    assert both(DQN, METHODS["lower"], policy_kwargs=dict(WIDE), normalize=True).distance < 1e-8
    assert not kept


@pytest.mark.parametrize("algorithm", [SAC, TD3, DQN])
def test_steps_that_were_written_over_are_computed_anew(algorithm: Any, kept: list[Cache]) -> None:
    with reading(torch.float64):
        model = agent(algorithm, torch.float64, policy_kwargs=dict(WIDE))
        with Seam(model, METHODS["lower"], total_steps=100) as seam:
            update = perceptrons.update_of(model, algorithm, seam.tuner)
            rng, buffer = np.random.default_rng(1), model.replay_buffer
            for call in range(6):
                update.train(10, 32)
                for _ in range(call * 9):
                    seen, after = (rng.uniform(-1, 1, (2, 5)).astype(np.float32) for _ in range(2))
                    buffer.add(seen, after, buffer.actions[0], rng.normal(size=2), np.zeros(2), [{}, {}])
                    # As an explorer does; once in a while somebody else stores steps.
                    update.replay.stored += call != 3
            update.train(1, 32)
            assert kept
            places = np.arange(buffer.pos * 2)
            side, passed = (
                (update.q, update.features) if algorithm is DQN else (update.critics.sides[0], update.seen[0])
            )
            x = buffer.observations.reshape(-1, 5)[places].astype(np.float64)
            if algorithm is not DQN:
                x = np.concatenate([x, buffer.actions.reshape(-1, 3)[places]], axis=1)
            np.testing.assert_allclose(passed(places, x), side.lower(x), rtol=1e-12)


def test_it_is_let_go_as_soon_as_a_weight_is_written() -> None:
    weight, runs = torch.ones(3), []

    def run(x: Any) -> Any:
        runs.append(len(x))
        return x * weight.numpy()

    watch = Watch([weight])
    passed = Recall(run, lambda: (3, watch.state), np.dtype(np.float32))
    passed.places = 50
    x, places = np.ones((20, 3), np.float32), np.arange(20)

    def drawn() -> Any:
        passed.begin()
        return passed(places, x)

    for _ in range(PATIENCE + 3):
        drawn()
    assert runs[-1] == 20
    assert len(runs) == PATIENCE + 1
    for write in (lambda: weight.mul_(2.0), lambda: weight.data.mul_(2.0)):
        before = float(weight[0])
        write()
        assert any(float(drawn()[0, 0]) == 2.0 * before for _ in range(recall.EVERY))


def test_the_target_network_of_dqn_is_asked_once_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    model = agent(DQN, torch.float32)
    with Seam(model, Full()) as seam:
        update = perceptrons.update_of(model, DQN, seam.tuner)
        rows: list[int] = []
        forward = update.target.forward
        monkeypatch.setattr(update.target, "forward", lambda x, *rest: rows.append(len(x)) or forward(x, *rest))
        update.train(300, 64)
        known = len(rows)
        assert sum(rows) < 10 * 300
        update.train(20, 64)
        assert len(rows) == known
        model.target_update_interval = 1
        for _ in range(3):
            model._on_step()
            update.train(1, 64)
        assert rows[known:] == [64, 64, 64]


@pytest.mark.parametrize("algorithm", ["td3", "ddpg"])
def test_a_target_of_the_actor_is_kept_once_it_rests(algorithm: str, kept: list[Cache]) -> None:
    more = {"tau": 0.5, "policy_kwargs": dict(WIDE)}
    assert both(ALGORITHMS[algorithm], Freeze(on=("actor:*.0.*", "actor:*.2.*")), **more).distance < 1e-8
    assert [cache.width for cache in kept] == [96, 96]
