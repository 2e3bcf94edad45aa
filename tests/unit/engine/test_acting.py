"""Rollouts of the engine on the policy's own modules against those of Stable-Baselines3: the same buffer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from acclimate.engine.choice import attach
from acclimate.methods.dropout import Dropout
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.jump_start import JumpStart
from acclimate.methods.residual import Residual
from acclimate.methods.shrink_perturb import ShrinkPerturb
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, chain
from tests.tiny import World

BUFFER = ("observations", "actions", "rewards", "episode_starts", "values", "log_probs", "advantages", "returns")
FRAME = spaces.Box(0, 255, (36, 36, 1), np.uint8)
VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
CHOICES = spaces.MultiDiscrete([3, 2])
BOTH = spaces.Dict(image=FRAME, vector=VECTOR)
SEEN = {"image": FRAME, "vector": VECTOR, "choices": CHOICES, "both": BOTH, "number": spaces.Discrete(4)}
POLICIES = {"image": "CnnPolicy", "both": "MultiInputPolicy"}


class Cut(World):
    """Episodes that end, and some that a time limit cuts."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, _, _, over, info = super().step(action)
        ends = over and float(np.sum(action)) > 0
        return seen, float(np.sum(action)), ends, over and not ends, info


def model(seen: str, algorithm: type = PPO, **policy_kwargs: Any) -> Any:
    space = copy.deepcopy(SEEN[seen])
    worlds = []
    for place in range(2):
        one = copy.deepcopy(space)
        one.seed(place)
        worlds.append(lambda one=one: Cut(one, spaces.Box(-1.0, 1.0, (2,), np.float32)))
    env: Any = DummyVecEnv(worlds)
    if seen == "image":
        env = VecFrameStack(env, 3)
        policy_kwargs.setdefault("features_extractor_kwargs", {"features_dim": 9})
    more = {"batch_size": 8, "n_epochs": 2} if algorithm is PPO else {}
    policy = POLICIES.get(seen, "MlpPolicy")
    return algorithm(
        policy, env, n_steps=16, seed=1, device="cpu", policy_kwargs={"net_arch": [6], **policy_kwargs}, **more
    )


def trained(made: Any, method: Method, engine: str, steps: int = 96, callback: Any = None) -> Seam:
    seam = Seam(made, method, total_steps=steps)
    by, _ = attach(seam, type(made), engine)  # type: ignore[arg-type]
    assert by == ("sb3" if engine == "sb3" else "acclimate")
    torch.manual_seed(3)
    np.random.seed(3)
    with seam:
        made.learn(steps, callback=callback)
    return seam


class Rollouts(BaseCallback):
    """Keeps the buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        self.seen.append({name: copy.deepcopy(getattr(buffer, name)) for name in BUFFER})


def same(seen: str, method: Method, algorithm: type = PPO, **policy_kwargs: Any) -> tuple[Any, Seam]:
    runs, found = [], None
    for engine in ("sb3", "auto"):
        made, rollouts = model(seen, algorithm, **copy.deepcopy(policy_kwargs)), Rollouts()
        found = trained(made, method, engine, callback=rollouts)
        runs.append((made, rollouts.seen))
    (theirs, their_rollouts), (ours, our_rollouts) = runs
    assert len(their_rollouts) == len(our_rollouts)
    for number, (one, other) in enumerate(zip(their_rollouts, our_rollouts, strict=True)):
        # Later ones were collected by weights that rounding has driven apart, by steps of Adam that begin at full size.
        near = {"rtol": 1e-3, "atol": 2e-3} if number else {"rtol": 1e-4, "atol": 1e-5}
        for name in BUFFER:
            pairs = [(one[name], other[name])]
            if isinstance(one[name], dict):
                pairs = [(one[name][key], other[name][key]) for key in one[name]]
            for first, second in pairs:
                np.testing.assert_allclose(second, first, err_msg=name, **near)
    for (name, one), other in zip(theirs.policy.named_parameters(), ours.policy.parameters(), strict=True):
        np.testing.assert_allclose(other.detach(), one.detach(), atol=1e-3, err_msg=name)
    assert found is not None
    return ours, found


@pytest.mark.parametrize("algorithm", [PPO, A2C])
@pytest.mark.parametrize("seen", ["image", "both", "choices", "number"])
def test_the_buffers_are_those_of_sb3(seen: str, algorithm: type) -> None:
    same(seen, Full(), algorithm)


@pytest.mark.parametrize(
    "method",
    [
        Dropout(p=0.3, on="*"),
        chain(Residual(width=3, on="actor|critic"), Dropout(p=0.2)),
        JumpStart(horizon=2),
        Freeze(on="trunk"),
        Freeze(on="trunk:features_extractor.cnn.0"),
        chain(Freeze(on="trunk:features_extractor.cnn.0"), ShrinkPerturb(every=3, on="*")),
    ],
    ids=lambda method: method.name,
)
def test_methods_in_rollouts_of_images(method: Method) -> None:
    same("image", method)


@pytest.mark.parametrize("method", [Full(), Freeze(on="actor:features_extractor")], ids=lambda method: method.name)
def test_extractors_of_their_own(method: Method) -> None:
    same("image", method, share_features_extractor=False)


@pytest.mark.parametrize("method", [Dropout(p=0.3, on="*"), JumpStart(horizon=2)], ids=lambda method: method.name)
def test_methods_in_rollouts_of_vectors(method: Method) -> None:
    same("vector", method)


def test_a_fixed_trunk_is_run_once_for_each_step() -> None:
    """What it put out when the policy acted serves all epochs."""
    made = model("image")
    rows: list[int] = []
    seam = Seam(made, Freeze(on="trunk"), total_steps=64)
    assert attach(seam, PPO, "auto")[0] == "acclimate"
    prefix = seam.engine._update.oracle.prefix  # type: ignore[union-attr]
    through = type(prefix.trunk).__call__
    counted: Any = type("Counted", (type(prefix.trunk),), {})

    def count(self: Any, x: Any, begin: int = 0, end: int | None = None) -> Any:
        if begin == 0:
            rows.append(len(x))
        return through(self, x, begin, end)

    counted.__call__ = count
    prefix.trunk.__class__ = counted
    with seam:
        made.learn(64)
    assert prefix.bytes == 32 * 9 * 4
    # Each of 64 steps once; after each of two rollouts the last observations, and cut episodes.
    assert 64 <= sum(rows) - 2 * 2 <= 64 + 16


class Writes(Rollouts):
    """Writes weights of the frozen trunk once a rollout is full, as who loads others in a callback does."""

    def _on_rollout_end(self) -> None:
        super()._on_rollout_end()
        with torch.no_grad():
            self.model.policy.features_extractor.cnn[0].weight.mul_(1.1)  # type: ignore[union-attr]


def test_weights_that_somebody_writes_are_seen() -> None:
    ended = []
    for engine in ("sb3", "auto"):
        made = model("image")
        trained(made, Freeze(on="trunk"), engine, callback=Writes())
        ended.append([p.detach().clone() for p in made.policy.parameters()])
    for one, other in zip(*ended, strict=True):
        np.testing.assert_allclose(other, one, atol=2e-4)
