"""A critic is put on the scale of what the changed world pays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.driver.world import agent, model, observations, task

from acclimate.agent import Agent
from acclimate.calibration import rescale, value_share
from acclimate.evaluate import evaluate
from acclimate.load import load
from acclimate.networks import find
from acclimate.rollouts import as_batch
from acclimate.transitions import Transition, Transitions


def constant(name: str, value: float, gamma: float = 0.5) -> Agent:
    """Return an agent whose critic says the same of everything; of DQN's actions the last is the best."""
    made = model(name, steps=0, gamma=gamma)
    with torch.no_grad():
        for net in find(made):
            for layer in net.layers():
                if layer.head and net.role in ("critic", "q"):
                    for module in layer.pair:
                        module.weight.zero_()
                        module.bias.fill_(value)
                        if name == "dqn":
                            module.bias[:-1] = -100.0
    return load(made)


def episode(
    rewards: list[float], *, terminated: bool, name: str = "sac", record: Transitions | None = None, seed: int = 0
):
    record, seen = record or Transitions(), np.zeros(2, np.float32)
    action = np.array(1) if name == "dqn" else np.zeros(1, np.float32)
    for index, reward in enumerate(rewards):
        last = index == len(rewards) - 1
        record.add(seed, Transition(seen, action, reward, seen, last and terminated, last and not terminated))
    return record


@pytest.mark.parametrize("name", ["sac", "dqn", "td3", "tqc"])
def test_the_share_by_hand(name: str) -> None:
    """Discount 1/2, a critic that says 8. Rewards 1, 2, 5 to a terminal state are worth 3.25, 4.5, 5 of 24; cut by the
    time limit, what comes before the last step is worth 2, 2 of 8 (1 - 1/4) + 8 (1 - 1/2)."""
    given = constant(name, 8.0)
    over = episode([1, 2, 5], terminated=True, name=name)
    cut = episode([1, 2, 5], terminated=False, name=name)
    assert value_share(given, over) == pytest.approx(12.75 / 24)
    assert value_share(given, cut) == pytest.approx(4 / 10)
    both = episode([1, 2, 5], terminated=True, name=name, record=cut, seed=1)
    assert value_share(given, both) == pytest.approx((12.75 + 4) / (24 + 10))
    assert value_share(constant(name, -8.0), episode([-1, -2, -5], terminated=True, name=name)) == pytest.approx(
        12.75 / 24
    )


def test_where_there_is_no_share() -> None:
    given = constant("sac", 8.0)
    assert value_share(given, Transitions()) is None
    assert value_share(given, episode([-1, -2], terminated=True)) is None, "other signs: it is no matter of scale"
    assert value_share(given, episode([1], terminated=False)) is None
    normalised = agent("sac", normalize=True)
    assert value_share(normalised, episode([1, 2], terminated=True)) is None, "its unit is a normalised reward"


@pytest.mark.parametrize("name", ["sac", "td3", "tqc", "dqn", "qrdqn"])
def test_values_targets_and_the_entropy_coefficient_are_scaled_and_nothing_else(name: str) -> None:
    made = model(name)
    before = {n: v.clone() for n, v in made.policy.state_dict().items()}
    seen = observations()
    actions = np.zeros((len(seen), 1), np.float32)
    steps = [Transition(o, a, 0.0, o, False, False) for o, a in zip(seen, actions, strict=True)]

    def says() -> list[torch.Tensor]:
        given = load(made)
        (net,) = (net for net in find(given.model) if net.role in ("critic", "q"))
        batch = as_batch(given, steps)
        with torch.no_grad():
            return [net.apply(module, batch).values for module in (net.module, net.twin)]

    earlier, acted = says(), made.predict(seen, deterministic=True)[0]
    coefficient = made.log_ent_coef.exp().item() if hasattr(made, "log_ent_coef") else None
    rescale(made, 0.25)
    for after, old in zip(says(), earlier, strict=True):
        assert torch.allclose(after, 0.25 * old, atol=1e-6)
    assert np.array_equal(made.predict(seen, deterministic=True)[0], acted)
    changed = {n for n, v in made.policy.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert not any(n.startswith("actor") for n in changed)
    if coefficient is not None:
        assert made.log_ent_coef.exp().item() == pytest.approx(0.25 * coefficient)


def test_a_critic_that_was_scaled_by_its_share_needs_no_more() -> None:
    given, steps = agent("sac"), Transitions()
    (net,) = (net for net in find(given.model) if net.role == "critic")
    with torch.no_grad():
        for layer in net.layers():
            if layer.head:
                layer.module.bias.sub_(3.0)
    evaluate(given, task("sac", offset=1.0), episodes=3, record=steps)
    share = value_share(given, steps)
    assert share is not None
    rescale(given.model, share)
    assert value_share(given, steps) == pytest.approx(1.0, abs=1e-4)
