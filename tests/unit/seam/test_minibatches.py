"""Which minibatches a method is told, and what an update gets in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, Signals, chain
from tests.cases import agent

OFF_POLICY = ["sac-mlp", "td3-mlp", "ddpg-mlp", "tqc-mlp", "crossq-mlp", "dqn-mlp", "qrdqn-mlp", "sac-cnn"]


@dataclass(frozen=True, kw_only=True)
class Pay(Method):
    """Replaces the first rows of every minibatch by steps that pay a constant."""

    name: ClassVar[str] = "pay"
    family: ClassVar[str] = "data"
    asked: ClassVar[list[tuple[str, Batch]]] = []

    amount: float = 5.0
    on: Select = Select("*")

    def minibatch(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Batch:
        self.asked.append((net.role, batch))
        first = batch.rows(slice(2))
        paid = Batch(
            first.observations,
            first.actions,
            torch.full((2,), self.amount, dtype=torch.float64),
            first.next_observations,
            torch.ones(2),
        )
        return batch.replaced(torch.tensor([0, 1]), paid)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Pay.asked.clear()


@pytest.mark.parametrize("name", OFF_POLICY)
def test_an_update_gets_the_changed_rows(name: str) -> None:
    """The loss is computed from them, other methods see them, and the first network alone is asked."""
    model = agent(name)
    updates = model._n_updates
    with Seam(model, Pay()) as seam:
        model.learn(8)
    assert len(Pay.asked) == model._n_updates - updates > 0
    role, before = Pay.asked[-1]
    assert role == seam.tuner.nets[0].role
    batch = seam.batch
    assert batch.rewards.shape == before.rewards.shape == (4, 1)
    assert batch.rewards.dtype == torch.float32
    assert batch.rewards[:2].flatten().tolist() == [5.0, 5.0]
    assert batch.dones[:2].flatten().tolist() == [1.0, 1.0]
    assert torch.equal(batch.rewards[2:], before.rewards[2:])
    assert "sample" not in vars(model.replay_buffer)


def test_the_critic_learns_what_the_changed_rows_say() -> None:
    """Every transition of the world pays 1 and goes on; one that ends and pays 5 is worth 5."""
    model = agent("td3-mlp", learning_rate=1e-2, batch_size=2)
    with Seam(model, Pay(), total_steps=400):
        model.learn(400)
    batch = Pay.asked[-1][1]
    values = model.critic(batch.observations, batch.actions)[0]
    torch.testing.assert_close(values.detach(), torch.full_like(values, 5.0), atol=0.5, rtol=0)


def test_changes_come_one_after_the_other() -> None:
    model = agent("dqn-mlp")
    with Seam(model, chain(Pay(amount=2.0), Pay(amount=3.0))) as seam:
        model.learn(8)
    assert Pay.asked[-1][1].rewards[:2].flatten().tolist() == [2.0, 2.0]
    assert seam.batch.rewards[:2].flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize("name", ["ppo-mlp", "a2c-mlp"])
def test_there_is_no_replay_buffer_on_policy(name: str) -> None:
    with pytest.raises(SurgeryError, match=r"`pay` changes the minibatches of a replay buffer, and \w+ has none"):
        Seam(agent(name, steps=0), Pay())


@pytest.mark.parametrize("name", ["sac-mlp", "dqn-mlp"])
def test_sums_over_several_steps_are_refused(name: str) -> None:
    model = agent(name, steps=0, n_steps=3)
    with pytest.raises(SurgeryError, match=r"`pay` .* sums over 3 steps; set algorithm\.n_steps to 1"):
        Seam(model, Pay())
    Seam(model, chain())


def test_a_buffer_of_ones_own_that_sums_is_refused_when_it_samples() -> None:
    model = agent("sac-mlp")
    sample = model.replay_buffer.sample
    model.replay_buffer.sample = lambda *a, **k: sample(*a, **k)._replace(discounts=torch.ones(4, 1))
    with Seam(model, Pay()), pytest.raises(SurgeryError, match="ReplayBuffer returns sums over several"):
        model.learn(8)


def test_rows_of_dicts_and_images_keep_their_kind() -> None:
    batch = Batch({"a": torch.zeros(3, 2), "b": torch.zeros(3, 1, 2, 2, dtype=torch.uint8)}, torch.zeros(3, 1).long())
    by = Batch({"a": torch.ones(2, 2).double(), "b": torch.full((2, 1, 2, 2), 7.0)}, torch.tensor([2, 1]))
    new = batch.replaced(torch.tensor([2, 0]), by)
    assert new.observations["a"].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert new.observations["b"].dtype == torch.uint8
    assert new.observations["b"][2, 0].tolist() == [[7, 7], [7, 7]]
    assert new.actions.tolist() == [[1], [0], [2]]
    assert batch.actions.tolist() == [[0], [0], [0]], "the batch that was given stays"
