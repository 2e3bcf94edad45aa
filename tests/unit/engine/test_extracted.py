"""What frozen features extractors make of stored observations is kept, and nothing comes out otherwise for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from acclimate.engine.choice import attach
from acclimate.engine.learning.recall import Cache
from acclimate.engine.modules.extractor import Extractor
from acclimate.methods.freeze import Freeze
from acclimate.methods.kl import KLToPrior
from acclimate.methods.unfreeze import Unfreeze
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, chain
from tests.cases import agent
from tests.unit.engine import test_recall
from tests.unit.engine.alike_off_policy import ALGORITHMS, both

kept = test_recall.kept
EXTRACTOR = Freeze(on="*:features_extractor")
METHODS: dict[str, Method] = {
    "extractor": EXTRACTOR,
    "extractor-kl": chain(EXTRACTOR, KLToPrior(weight=0.5)),
    "thawing": Unfreeze(every=0.2),
}


class Wide(BaseFeaturesExtractor):
    """A layer with weights."""

    def __init__(self, space: Any) -> None:
        super().__init__(space, 24)
        self.layer = nn.Linear(space.shape[0], 24)

    def forward(self, observations: Any) -> Any:
        return torch.tanh(self.layer(observations))


def policy() -> dict[str, Any]:
    return {"net_arch": [16, 12], "features_extractor_class": Wide}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_300_updates_are_those_of_sb3(algorithm: str, method: str, kept: list[Cache]) -> None:
    found = both(ALGORITHMS[algorithm], METHODS[method], modules=True, policy_kwargs=policy())
    assert found.distance < 1e-8
    assert found.logged[1] == pytest.approx(found.logged[0], rel=1e-6, abs=1e-9)
    assert len([cache for cache in kept if cache.width == 24]) >= (1 if algorithm == "dqn" else 2)


@pytest.mark.parametrize("role", ["actor", "critic"])
@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_that_of_one_alone(algorithm: str, role: str, kept: list[Cache]) -> None:
    method = Freeze(on=f"{role}:features_extractor")
    assert both(ALGORITHMS[algorithm], method, modules=True, policy_kwargs=policy()).distance < 1e-8
    assert kept


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_targets_are_kept_once_they_rest(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: dict[int, Extractor] = {}
    state = Extractor.state

    def noting(self: Extractor) -> Any:
        found = state(self)
        if found is not None:
            begun[id(self)] = self
        return found

    monkeypatch.setattr(Extractor, "state", noting)
    more = {"policy_delay": 1} if algorithm == "td3" else {}
    found = both(ALGORITHMS[algorithm], EXTRACTOR, modules=True, calls=40, tau=0.5, policy_kwargs=policy(), **more)
    assert found.distance < 1e-8
    # Actor and critics before and after a step, the targets among them.
    assert len(begun) == 4


def test_what_is_kept_is_said() -> None:
    for method, said in ((EXTRACTOR, True), (Freeze(on="*:features_extractor.*.bias"), False)):
        for name in ("sac-cnn", "td3-cnn"):
            model = agent(name)
            _, why = attach(Seam(model, method), type(model), "auto")
            assert ("kept beside the replay buffer" in why) == said
