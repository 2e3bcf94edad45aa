"""Rows with what was remembered before them give what sb3-contrib's own sequences give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates

from acclimate.agents.load import load
from acclimate.evaluation.rollouts import collect
from acclimate.nets.depth import depths
from acclimate.nets.experience import Batch, sequences
from acclimate.sb3.networks import find
from acclimate.sb3.policies import recurrent
from acclimate.tasks.task import Task
from tests.tiny import BOX, GOAL, IMAGE, REACH, World

CHOICE = spaces.Discrete(3)
SHARED = {"shared_lstm": True, "enable_critic_lstm": False}
KINDS: dict[str, tuple[str, spaces.Space, spaces.Space, dict[str, Any]]] = {
    "apart": ("MlpLstmPolicy", BOX, REACH, {}),
    "deep": ("MlpLstmPolicy", BOX, CHOICE, {"n_lstm_layers": 2}),
    "shared": ("MlpLstmPolicy", BOX, REACH, SHARED),
    "actor alone": ("MlpLstmPolicy", BOX, REACH, {"enable_critic_lstm": False}),
    "dict": ("MultiInputLstmPolicy", GOAL, REACH, {}),
    "images": ("CnnLstmPolicy", IMAGE, CHOICE, {"features_extractor_kwargs": {"features_dim": 5}}),
    "extractors apart": ("MlpLstmPolicy", BOX, REACH, {"share_features_extractor": False}),
}


def trained(kind: str, steps: int = 24) -> RecurrentPPO:
    """Return an agent that has met an end of an episode in the middle of a rollout."""
    policy, seen, done, kwargs = KINDS[kind]
    arguments: dict[str, Any] = {"n_steps": 12, "batch_size": 12, "n_epochs": 1, "seed": 0, "device": "cpu"}
    kwargs = {"net_arch": [6], "lstm_hidden_size": 4, **kwargs}
    return RecurrentPPO(policy, World(seen, done), policy_kwargs=kwargs, **arguments).learn(steps)


def seen_by(model: RecurrentPPO) -> tuple[Batch, Any]:
    """Return a rollout as rows with their memory, in their order, and as the padded sequences of sb3-contrib."""
    buffer = model.rollout_buffer
    np.random.seed(0)
    padded = next(buffer.get(12))
    rows = np.arange(12)
    names = ("hidden_states_pi", "cell_states_pi", "hidden_states_vf", "cell_states_vf")
    memory = {
        "now": torch.stack([torch.as_tensor(getattr(buffer, name)) for name in names], 1),
        "starts": torch.as_tensor(buffer.episode_starts).flatten().bool(),
        "place": torch.as_tensor(rows),
    }
    stored = buffer.observations
    seen = {k: torch.as_tensor(v) for k, v in stored.items()} if isinstance(stored, dict) else torch.as_tensor(stored)
    return Batch(seen, torch.as_tensor(buffer.actions), memory=memory), padded


@pytest.mark.parametrize("kind", KINDS)
def test_rows_give_what_the_sequences_give(kind: str) -> None:
    """Whole, in any pieces and in any order, as no update has moved the weights since."""
    model = trained(kind, steps=12)
    model.policy.load_state_dict(trained(kind, steps=0).policy.state_dict())  # as they were in the rollout
    batch, padded = seen_by(model)
    policy = model.policy
    with torch.no_grad():
        found = recurrent.distribution(policy, batch)
        discrete = isinstance(model.action_space, spaces.Discrete)
        own = found.log_prob(batch.actions.long().flatten() if discrete else batch.actions)
        values = recurrent.values(policy, batch).flatten()
        torch.testing.assert_close(own, torch.as_tensor(model.rollout_buffer.log_probs).flatten(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(values, torch.as_tensor(model.rollout_buffer.values).flatten(), atol=1e-5, rtol=1e-4)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
        for choice in (order, torch.arange(5, 11), torch.tensor([7])):
            torch.testing.assert_close(recurrent.values(policy, batch.rows(choice)).flatten(), values[choice])
        # sb3-contrib's own, of which the filled-up rows are left out, has them from another place on.
        actions = padded.actions.long().flatten() if discrete else padded.actions
        theirs, logs, _ = policy.evaluate_actions(
            padded.observations, actions, padded.lstm_states, padded.episode_starts
        )
        kept = padded.mask > 0.5
    assert sorted(theirs.flatten()[kept].tolist()) == pytest.approx(sorted(values.tolist()), abs=1e-5)
    assert sorted(logs[kept].tolist()) == pytest.approx(sorted(own.tolist()), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_goes_back_through_rows_that_follow_one_another(kind: str) -> None:
    """It is that of sb3-contrib's sequences, which goes through time; single rows have another."""
    model = trained(kind, steps=12)
    batch, padded = seen_by(model)
    weights = [parameter for net in find(model) for parameter in net.recurrent_parameters()]
    assert weights
    discrete = isinstance(model.action_space, spaces.Discrete)

    def gradient(log_probs: torch.Tensor, values: torch.Tensor) -> list[torch.Tensor]:
        found = torch.autograd.grad(log_probs.sum() + values.sum(), weights, allow_unused=True)
        return [torch.zeros(()) if g is None else g for g in found]

    def ours(rows: Batch) -> list[torch.Tensor]:
        actions = rows.actions.long().flatten() if discrete else rows.actions
        likely = recurrent.distribution(model.policy, rows).log_prob(actions)
        return gradient(likely, recurrent.values(model.policy, rows))

    actions = padded.actions.long().flatten() if discrete else padded.actions
    values, logs, _ = model.policy.evaluate_actions(
        padded.observations, actions, padded.lstm_states, padded.episode_starts
    )
    kept = padded.mask > 0.5
    theirs = gradient(logs[kept], values.flatten()[kept])
    np.random.seed(0)
    split = np.random.randint(12)  # from where on the minibatch of `seen_by` began: there a sequence is cut
    turned = batch.rows(torch.cat([torch.arange(split, 12), torch.arange(split)]))
    for mine, other in zip(ours(turned), theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-3)
    alone = {**turned.memory, "place": 2 * torch.arange(12)}
    single = ours(Batch(turned.observations, turned.actions, memory=alone))
    assert any(float((a - b).abs().max()) > 1e-4 for a, b in zip(single, theirs, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_remembered_after_a_step_is_what_the_policy_keeps(kind: str) -> None:
    model = trained(kind)
    policy, space = model.policy, model.observation_space
    space.seed(0)
    state = recurrent.nothing(policy, 3)
    for begins in ([1.0, 1.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]):
        raw = [space.sample() for _ in range(3)]
        stacked = {k: np.stack([s[k] for s in raw]) for k in raw[0]} if isinstance(raw[0], dict) else np.stack(raw)
        seen, _ = policy.obs_to_tensor(stacked)
        starts = torch.tensor(begins)
        parts = state.permute(1, 2, 0, 3).contiguous()
        theirs = policy.forward(seen, RNNStates((parts[0], parts[1]), (parts[2], parts[3])), starts)[3]
        state = recurrent.after(policy, seen, state, starts.bool())
        torch.testing.assert_close(state.permute(1, 2, 0, 3), torch.stack([*theirs.pi, *theirs.vf]).detach())


@pytest.mark.parametrize("kind", ["apart", "shared", "dict"])
def test_stored_steps_know_what_their_agent_remembered(kind: str) -> None:
    """Each row by itself puts out what the agent acted by, over the ends of episodes."""
    agent = load(trained(kind))
    with torch.no_grad():
        agent.model.policy.log_std.fill_(-20.0)  # what it draws is what it means
    _, seen, done, _ = KINDS[kind]
    batch = collect(agent, Task(lambda: World(seen, done)), 14, seed=3)
    assert batch.memory["starts"].sum() == 3
    (actor, *_) = find(agent.model)
    with torch.no_grad():
        mean = actor.apply(actor.module, batch).mean
        assert len({tuple(row) for row in mean.tolist()}) == 14
        rows = torch.randperm(14)
        torch.testing.assert_close(actor.apply(actor.module, batch.rows(rows)).mean, mean[rows])
    state, raw = None, batch.observations
    for row in range(14):
        one = {k: v[row].numpy() for k, v in raw.items()} if isinstance(raw, dict) else raw[row].numpy()
        start = batch.memory["starts"][row : row + 1].numpy()
        action, state = agent.predict(one, state, episode_start=start, deterministic=True)
        meant = np.clip(mean[row].numpy(), done.low, done.high)
        np.testing.assert_allclose(action, meant, atol=1e-5)
        np.testing.assert_allclose(batch.actions[row].numpy(), meant, atol=1e-5)


def test_sequences_are_cut_where_rows_do_not_follow() -> None:
    starts = torch.tensor([True, False, False, True, False, False])
    table, places = sequences({"place": torch.tensor([0, 1, 3, 4, 5, 4]), "starts": starts})
    assert table.tolist() == [[0, 1], [2, 2], [3, 4], [5, 5]]
    assert places.tolist() == [0, 1, 2, 4, 5, 6]
    flat = table.flatten()
    assert flat[places].tolist() == list(range(6))


def test_an_lstm_stands_below_the_layers_that_read_it() -> None:
    """Depth counts from the heads, whatever place the modules have in the policy."""
    found = {}
    for kind in ("apart", "actor alone", "images"):
        for net in find(trained(kind, steps=0)):
            by = {id(p): depth for p, depth in depths(net).items()}
            for path, parameter in net.named_parameters():
                if id(parameter) in by:
                    found[kind, net.role, path.rpartition(".")[0]] = by[id(parameter)]
    assert found["apart", "actor", "action_net"] == found["apart", "critic", "value_net"] == 0
    assert found["apart", "actor", "mlp_extractor.policy_net.0"] == 1
    assert found["apart", "actor", "lstm_actor"] == found["apart", "critic", "lstm_critic"] == 2
    assert found["actor alone", "critic", "critic"] == 2
    assert found["images", "trunk", "features_extractor.linear.0"] == 3
