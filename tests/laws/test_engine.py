"""The engine trains an agent with any method as Stable-Baselines3 does, or leaves it to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from acclimate.engine.choice import attach
from acclimate.methods.l2 import L2
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Signals
from tests.cases import METHODS, agent, context, refused

NAMES = (
    "ppo-mlp",
    "sac-mlp",
    "dqn-mlp",
    "td3-mlp",
    "a2c-mlp",
    "ppo-mlp-discrete",
    "ddpg-mlp",
    "sac-cnn",
    "td3-cnn",
    "dqn-cnn",
    "ppo-cnn",
    "a2c-cnn",
)
STEPS = 24
DISTURBED = 12
ALL = [(name, case) for case in METHODS for name in NAMES if not refused(case, name)]


def _by_day() -> set[tuple[str, str]]:
    """Return one agent for each case, another one from case to case."""
    chosen = set()
    for place, case in enumerate(METHODS):
        mine = [pair for pair in ALL if pair[1] == case]
        if mine:
            chosen.add(mine[place % len(mine)])
    return chosen


DAY = _by_day()
PAIRS = [pair if pair in DAY else pytest.param(*pair, marks=pytest.mark.nightly) for pair in ALL]


class Off(BaseCallback):
    """Moves weights by one unit in the last place, before every update or once; which way is drawn from a seed."""

    def __init__(self, seed: int, *, once: bool) -> None:
        super().__init__()
        self._ways, self._once, self._done = torch.Generator().manual_seed(seed), once, False

    def _on_rollout_end(self) -> None:
        if self._once and self._done:
            return
        self._done = True
        with torch.no_grad():
            for parameter in self.model.policy.parameters():
                way = torch.randint(0, 2, parameter.shape, generator=self._ways) * 2.0 - 1.0
                parameter.copy_(torch.nextafter(parameter, way * torch.inf))

    def _on_step(self) -> bool:
        return True


def trained(
    name: str, case: str, engine: str, off: Off | None = None, *, steps: int = STEPS
) -> tuple[dict[str, torch.Tensor], str]:
    """Return the weights after training and who trained; with `off` they are disturbed, without steps as they began."""
    model = agent(name)
    seam = Seam(model, METHODS[case], context=context(model), total_steps=STEPS)
    by, _ = attach(seam, type(model), engine)
    torch.manual_seed(1)
    np.random.seed(1)
    with seam:
        if steps:
            model.learn(steps, callback=off)
            seam.finish()
    return {key: value.clone() for key, value in model.policy.state_dict().items()}, by


def alike(ours: torch.Tensor, theirs: torch.Tensor, before: torch.Tensor) -> bool:
    """Tell whether one tensor went the same way under both, by how far it went: targets move by a thousandth."""
    if not theirs.is_floating_point():
        return torch.equal(ours, theirs)
    rounding = 1e-6 * float(theirs.abs().max())
    return float((ours - theirs).abs().max()) <= 0.02 * float((theirs - before).abs().max()) + rounding


@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_the_engine_trains_as_sb3_does(name: str, case: str) -> None:
    ours, by = trained(name, case, "auto")
    theirs, _ = trained(name, case, "sb3")
    assert list(ours) == list(theirs)
    before, _ = trained(name, case, "sb3", steps=0)
    unlike = [key for key in theirs if not alike(ours[key], theirs[key], before[key])]
    if not unlike:
        return
    # A unit that is about to bend, or a step whose size does not tell of its gradient's: SB3 is no nearer to itself.
    # How far it goes depends on the disturbance; the furthest counts, of as many as it takes to meet what the engine's
    # rounding met, and of twelve at most. Statistics of 8 rows magnify what each update rounds otherwise, and a unit
    # may bend at any of them, so only the first three are disturbed once alone.
    each, own = "batchnorm" in case, dict.fromkeys(unlike, 0.0)
    apart = {key: float((ours[key] - theirs[key]).abs().max()) for key in unlike}
    for seed in range(1, DISTURBED + 1):
        other, _ = trained(name, case, "sb3", Off(seed, once=not each and seed <= 3))
        own = {key: max(own[key], float((other[key] - theirs[key]).abs().max())) for key in unlike}
        if all(apart[key] <= 3.0 * own[key] for key in unlike):
            return
    key = max(unlike, key=lambda key: apart[key] / max(own[key], 1e-12))
    pytest.fail(f"{by}, {key}: {apart[key]:.1e} apart, SB3 from itself {own[key]:.1e}")


@dataclass(frozen=True, kw_only=True)
class Twofold(L2):
    """Has a penalty of two kinds."""

    name: ClassVar[str] = "twofold"

    def module_penalty(self, net: Net, state: Any, batch: Batch, signals: Signals) -> torch.Tensor:
        return 2.0 * self.weight_penalty(net, state, signals)


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp"])
def test_penalties_of_one_method_are_noted_as_their_sum(name: str) -> None:
    found = []
    for engine in ("auto", "sb3"):
        model = agent(name)
        seam = Seam(model, Twofold(weight=0.5), total_steps=STEPS)
        attach(seam, type(model), engine)
        with seam:
            model.learn(STEPS)
        found.append({key: float(value) for key, value in seam.signals.penalties.items()})
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert set(found[0]) == {"twofold/actor", "twofold/critic"}


@pytest.mark.parametrize("name", ["ppo-mlp", "sac-mlp", "dqn-mlp"])
@pytest.mark.parametrize("case", ["full", "kl"])
def test_what_training_knows_is_the_same(name: str, case: str) -> None:
    """Signals are what methods and the diagnosis read; who watches sees gradients under either."""
    found = []
    for engine in ("auto", "sb3"):
        model = agent(name)
        seam = Seam(model, METHODS[case], context=context(model), total_steps=STEPS)
        attach(seam, type(model), engine)
        seen: list[str] = []
        for groups in seam.optimizers.values():
            groups.watch(lambda g, s=seen: s.extend(n.role for n in g.nets if n.parameters()[-1].grad is not None), 2)
        with seam:
            model.learn(STEPS)
        signals = seam.signals
        plain = (signals.learning_rate, signals.updates, signals.rollout, signals.env_steps, signals.progress)
        found.append((plain, seen, sorted(signals.penalties)))
    assert found[0] == found[1]
    assert found[0][0][0] > 0
    assert found[0][1]
