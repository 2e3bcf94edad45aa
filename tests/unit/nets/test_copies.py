"""One tensor under several names is copied once."""

from __future__ import annotations

import torch

from acclimate.nets.copies import copied, swap
from acclimate.training.callbacks.averaging import Averaging
from tests import tiny


def test_names_of_one_tensor_share_its_copy() -> None:
    policy = tiny.model("ppo", steps=0).policy
    policy.again = policy.action_net
    held = copied(policy)
    assert held.keys() == policy.state_dict().keys()
    assert held["again.weight"] is held["action_net.weight"]
    assert all(torch.equal(held[name], value) for name, value in policy.state_dict().items())
    with torch.no_grad():
        policy.action_net.weight.add_(1.0)
    assert not torch.equal(held["again.weight"], policy.action_net.weight)


def test_two_states_change_places_and_back() -> None:
    policy = tiny.model("ppo", steps=0).policy
    policy.again = policy.action_net
    mine = copied(policy)
    others = copied(policy)
    for value in {id(v): v for v in others.values()}.values():
        value += 1.0
    wanted = {name: value.clone() for name, value in others.items()}
    swap(policy, others)
    assert all(torch.equal(value, wanted[name]) for name, value in policy.state_dict().items())
    assert all(torch.equal(value, mine[name]) for name, value in others.items())
    swap(policy, others)
    assert all(torch.equal(value, mine[name]) for name, value in policy.state_dict().items())


def test_an_average_takes_a_shared_tensor_in_once() -> None:
    model = tiny.model("ppo", steps=0)
    model.policy.again = model.policy.action_net
    averaging = Averaging(0.5)
    averaging.model = model
    averaging.hold()
    averaging.update()
    before = averaging.average["again.weight"].clone()
    with torch.no_grad():
        model.policy.action_net.weight.add_(1.0)
    model._n_updates += 1
    averaging.update()
    assert torch.allclose(averaging.average["again.weight"], before + 10 / 11)
