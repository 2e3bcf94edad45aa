from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from acclimate.agents.load import load
from acclimate.agents.uncertainty import mc_dropout
from acclimate.errors import ConfigError, SurgeryError
from acclimate.nets.masks import Dropping
from acclimate.nets.net import Net
from acclimate.nets.outputs import ActionValues
from tests import tiny


def net_of(module: nn.Module) -> Net:
    return Net("q", module, lambda network, data: ActionValues(network(data.observations)))


def test_mean_and_deviation_are_those_of_numpy_in_closed_form() -> None:
    """Of one hidden layer: E = W h + b, and Var = p / (1 - p) * (W^2) (h^2), within the error of the sampling."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 2))
    x = torch.randn(5, 3)
    weights = [v.detach().numpy().astype(np.float64) for v in module.parameters()]
    h = np.tanh(x.numpy() @ weights[0].T + weights[1])
    mean = h @ weights[2].T + weights[3]
    std = np.sqrt(0.2 / 0.8 * (h**2) @ (weights[2].T ** 2))
    found = mc_dropout(net_of(module), x, p=0.2, passes=4000)
    np.testing.assert_allclose(found.std.numpy(), std, rtol=0.05)
    assert np.all(np.abs(found.mean.numpy() - mean) < 4.5 * std / np.sqrt(4000))


def test_they_are_numpys_of_the_passes_themselves() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    seen: list[np.ndarray] = []
    handle = module.register_forward_hook(lambda m, args, out: seen.append(out.numpy().copy()))
    found = mc_dropout(net_of(module), torch.randn(4, 3), p=0.5, passes=7)
    handle.remove()
    np.testing.assert_allclose(found.mean.numpy(), np.mean(seen, 0), atol=1e-6)
    np.testing.assert_allclose(found.std.numpy(), np.std(seen, 0, ddof=1), atol=1e-6)
    assert len(seen) == 7


def test_a_row_does_not_depend_on_the_others_and_the_network_is_as_before() -> None:
    module = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)).train()
    x = torch.randn(4, 3)
    state = torch.get_rng_state()
    whole = mc_dropout(net_of(module), x)
    alone = mc_dropout(net_of(module), x[1:2])
    torch.testing.assert_close(whole.std[1:2], alone.std)
    assert not torch.allclose(whole.std, mc_dropout(net_of(module), x, seed=1).std)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(part.training for part in module)
    assert not [part for part in module.modules() if isinstance(part, Dropping) or part._forward_hooks]


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn", "ppo-cnn", "td3"])
def test_an_agent_by_its_raw_observations(name: str) -> None:
    agent = load(tiny.model(name, normalize=name == "ppo"))
    shown = tiny.observations(agent.observation_space, 3)
    found = mc_dropout(agent, shown, passes=4)
    assert found.mean.shape == found.std.shape
    assert len(found.std) == 3
    assert float(found.std.max()) > 0


def test_a_critic_and_what_cannot_be() -> None:
    agent = load(tiny.model("sac"))
    shown = tiny.observations(agent.observation_space, 3)
    assert mc_dropout(agent, shown, role="critic", actions=torch.zeros(3, 2), passes=3).std.shape == (3, 2)
    with pytest.raises(SurgeryError, match="there is no network `q` in the agent; there are actor, critic"):
        mc_dropout(agent, shown, role="q")
    with pytest.raises(SurgeryError, match="`q` has no hidden layer"):
        mc_dropout(net_of(nn.Sequential(nn.Linear(3, 2))), torch.zeros(1, 3))
    with pytest.raises(ConfigError, match="p is 1"):
        mc_dropout(agent, shown, p=1.0)
    with pytest.raises(ConfigError, match="passes is 1"):
        mc_dropout(agent, shown, passes=1)
