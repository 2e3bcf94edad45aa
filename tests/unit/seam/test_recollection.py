"""Methods on a recurrent or masked agent see the rows of the update, with what each network would know there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.methods.freeze import Freeze
from acclimate.methods.jump_start import JumpStart
from acclimate.methods.kl import KLToPrior
from acclimate.methods.kl_adaptive import KLAdaptive
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.sb3.policies import recurrent
from acclimate.seam.seam import Seam
from acclimate.tuning.method import Method, Signals, chain
from tests import world
from tests.cases import agent

RECURRENT = ["recurrent_ppo-mlp", "recurrent_ppo-mlp-common", "recurrent_ppo-mlp-discrete", "recurrent_ppo-cnn-actor"]


@dataclass(frozen=True, kw_only=True)
class Look(Method):
    """Keeps each minibatch, with what the network and its prior put out on it."""

    name: ClassVar[str] = "look"
    family: ClassVar[str] = "data"
    seen: ClassVar[list[tuple[Batch, Any, Any]]] = []

    on: Select = Select("actor")

    def module_penalty(self, net: Net, state: Any, batch: Batch, signals: Signals) -> torch.Tensor:
        with torch.no_grad():
            self.seen.append((batch, net.apply(net.module, batch), net.prior(batch)))
        return 0.0 * next(iter(net.parameters())).square().sum()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Look.seen.clear()


def tensors(outputs: Any) -> list[torch.Tensor]:
    return [value for value in vars(outputs).values() if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("name", RECURRENT)
def test_each_row_of_a_minibatch_comes_once_and_with_its_memory(name: str) -> None:
    """What is filled up is left out, and a policy that does not move is its own prior through all rollouts."""
    model = agent(name, learning_rate=0.0)
    with Seam(model, Look()):
        model.learn(24)
    assert len(Look.seen) == 3 * 2 * 2
    for batch, now, prior in Look.seen:
        assert len(batch) == 4 == len(batch.memory["now"]) == len(batch.actions)
        for mine, other in zip(tensors(now), tensors(prior), strict=True):
            torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-5)
        going = ~batch.memory["starts"]  # where an episode begins nothing counts of what was before
        pair = [batch.memory[whose][going] for whose in ("now", "prior")]
        torch.testing.assert_close(*pair, atol=1e-6, rtol=1e-5)
    remembered = torch.cat([batch.memory["now"] for batch, *_ in Look.seen])
    assert float(remembered.abs().max()) > 0


def test_the_prior_remembers_by_itself() -> None:
    """Its memory is that of a copy which met the same observations, and not what the tuned policy came to keep."""
    model = agent("recurrent_ppo-mlp", learning_rate=0.05)
    before, met = agent("recurrent_ppo-mlp", learning_rate=0.05).policy, []
    stepped = type(model.policy).forward

    def forward(self: Any, obs: Any, states: Any, starts: Any, deterministic: bool = False) -> Any:
        met.append((obs.clone(), starts.clone().bool()))
        return stepped(self, obs, states, starts, deterministic)

    model.policy.forward = forward.__get__(model.policy)
    with Seam(model, Look()):
        model.learn(24)
    state, states = recurrent.nothing(before, 1), []
    for seen, starts in met:
        states.append(state)
        state = recurrent.after(before, seen, state, starts)
    told = Look.seen[-4:-2]  # the two minibatches of the last rollout's first epoch
    place = torch.cat([batch.memory["place"] for batch, *_ in told]).argsort()
    own, last = (torch.cat([batch.memory[whose] for batch, *_ in told])[place] for whose in ("now", "prior"))
    torch.testing.assert_close(last, torch.cat(states[-8:]), atol=1e-6, rtol=1e-5)
    assert float((own - last).abs().max()) > 1e-3
    seen, starts = (torch.cat(parts) for parts in zip(*met[-8:], strict=True))
    memory = {"now": last, "starts": starts, "place": torch.arange(8)}
    with torch.no_grad():
        expected = recurrent.distribution(before, Batch(seen, memory=memory)).distribution.mean
    found = torch.cat([prior.mean for _, _, prior in told])[place]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_what_is_kept_of_a_minibatch_keeps_its_memory() -> None:
    """A policy that does not move has not moved: its rate stays as it was."""
    model = agent("recurrent_ppo-mlp", learning_rate=0.0)
    with Seam(model, KLAdaptive(updates=1, target=1e-9, on="actor")) as seam:
        model.learn(32)
    (part,) = seam.tuner.composition.parts
    assert part.states["actor"]["rate"] == 1.0
    assert part.states["actor"]["updates"] > 0


def test_two_environments_do_not_follow_one_another() -> None:
    env, small = DummyVecEnv([world.Dot, world.Dot]), {"net_arch": [4], "lstm_hidden_size": 4}
    model = RecurrentPPO("MlpLstmPolicy", env, policy_kwargs=small, n_steps=4, batch_size=8, n_epochs=1, seed=0)
    with Seam(model, Look()):
        model.learn(8)
    (batch, *_) = Look.seen[0]
    assert sorted(batch.memory["place"].tolist()) == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize("name", ["recurrent_ppo", "maskable_ppo"])
def test_a_tie_holds_the_policy_near_its_prior(name: str) -> None:
    def drift(method: Method) -> float:
        model = world.model(name, learning_rate=0.02)
        with Seam(model, method) as seam:
            model.learn(160)
        return seam.drift()

    assert drift(KLToPrior(weight=20.0)) < 0.5 * drift(chain())


def test_steps_of_the_prior_are_left_out_of_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    """What remains is cut where it has gaps, each piece with the memory of its first row."""
    model = world.model("recurrent_ppo", steps=0)
    pieces: list[Any] = []
    buffer = type(model.rollout_buffer)
    gathered = buffer._get_samples

    def look(self: Any, rows: np.ndarray, change: np.ndarray, env: Any = None) -> Any:
        found = gathered(self, rows, change, env)
        if len(rows) > 1:
            pieces.append((rows, self.seq_start_indices, found))
        return found

    monkeypatch.setattr(buffer, "_get_samples", look)
    with Seam(model, JumpStart(horizon=2.0)) as seam:
        model.learn(32)
        own = seam.decisions.own[:, 0]
    assert own.tolist() == 2 * [False, False, True, True, True, True, True, True]
    rows, starts, data = pieces[-1]
    assert sorted(rows.tolist()) == np.flatnonzero(own).tolist()
    cuts = [0, *(i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1)]
    assert starts.tolist() == cuts
    kept = model.rollout_buffer.hidden_states_pi[rows[starts]].swapaxes(0, 1)
    np.testing.assert_array_equal(data.lstm_states.pi[0].numpy(), kept)
    assert int(data.mask.sum()) == 12


def test_methods_see_the_masks_and_keep_to_them() -> None:
    """Forbidden choices have no probability for either policy, and one that leads never takes them."""
    model = world.model("maskable_ppo")
    with Seam(model, chain(Look(), JumpStart(horizon=4.0, deterministic=False))) as seam:
        model.learn(64)
    batch, now, prior = Look.seen[-1]
    assert not bool(batch.masks.all())
    assert all(float(out.logits.softmax(-1)[~batch.masks].max()) == 0.0 for out in (now, prior))
    assert bool((now.logits.softmax(-1)[batch.masks] > 0).all())
    assert np.isfinite(seam.drift())


def test_a_recurrent_layer_is_frozen_as_any_other() -> None:
    model = agent("recurrent_ppo-mlp")
    before = {name: value.clone() for name, value in model.policy.lstm_actor.named_parameters()}
    with Seam(model, Freeze(on="actor:lstm_actor")):
        model.learn(16)
    after = dict(model.policy.lstm_actor.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    untrained = agent("recurrent_ppo-mlp").policy.lstm_critic.weight_hh_l0
    assert not torch.equal(model.policy.lstm_critic.weight_hh_l0, untrained)
