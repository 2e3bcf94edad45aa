from __future__ import annotations

import pytest
import torch

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import ActionValues, Bernoulli, Categorical, Gaussian, Point, Values
from acclimate.sb3.networks import find
from acclimate.seam.seam import Seam
from acclimate.tuning.method import chain
from tests.cases import AGENTS, MORE_AGENTS, agent, batch
from tests.tiny import model as tiny

ALL = [*AGENTS, *MORE_AGENTS]
POLICY = {
    "ppo": Gaussian,
    "a2c": Gaussian,
    "sac": Gaussian,
    "tqc": Gaussian,
    "crossq": Gaussian,
    "td3": Point,
    "ddpg": Point,
    "recurrent_ppo": Gaussian,
    "maskable_ppo": Categorical,
}
ON_POLICY = ("ppo", "a2c", "recurrent_ppo", "maskable_ppo")


@pytest.mark.parametrize("name", ALL)
def test_every_trained_parameter_is_in_one_network(name: str) -> None:
    model = agent(name, steps=0)
    names, _ = model._get_torch_save_params()
    trained = set()
    for path in names:
        thing = model
        for step in path.split("."):
            thing = getattr(thing, step)
        if isinstance(thing, torch.optim.Optimizer) and "ent_coef" not in path:
            trained |= {id(p) for group in thing.param_groups for p in group["params"]}
    found = [id(p) for net in find(model) for p in net.parameters()]
    assert len(found) == len(set(found))
    assert set(found) == trained


@pytest.mark.parametrize("name", ALL)
def test_roles_twins_and_heads(name: str) -> None:
    algorithm, kind, *variant = name.split("-")
    nets = {net.role: net for net in find(agent(name, steps=0))}
    on_policy = algorithm in ON_POLICY
    shares = (on_policy and kind == "cnn" and variant != ["separate"]) or variant == ["shared"]
    expected = {"q"} if algorithm in ("dqn", "qrdqn") else {"actor", "critic", *(["trunk"] if shares else [])}
    assert set(nets) == expected
    has_twin = {r for r, net in nets.items() if net.twin is not None}
    without = {"actor"} if algorithm in ("sac", "tqc") else set()
    assert has_twin == (set() if on_policy or algorithm == "crossq" else expected - without)
    for net in nets.values():
        for layer in net.layers():
            assert layer.twin is None or layer.twin.weight.shape == layer.module.weight.shape
            assert layer.twin is not layer.module
    heads = {f"{r}:{layer.path}" for r, net in nets.items() for layer in net.layers() if layer.head}
    qs = [f"critic:qf{i}.{7 if algorithm == 'crossq' else 4}" for i in range(1 if algorithm == "ddpg" else 2)]
    last = {
        "ppo": {"actor:action_net", "critic:value_net"},
        "td3": {"actor:mu.4", *qs},
        "sac": {"actor:mu", "actor:log_std", *qs},
        "dqn": {"q:q_net.4"},
        "qrdqn": {"q:quantile_net.4"},
    }
    same = {"a2c": "ppo", "recurrent_ppo": "ppo", "maskable_ppo": "ppo", "ddpg": "td3", "tqc": "sac", "crossq": "sac"}
    assert heads == last[same.get(algorithm, algorithm)]


@pytest.mark.parametrize("name", ALL)
def test_outputs(name: str) -> None:
    model = agent(name)
    shown = batch(model)
    for net in find(model):
        net.module.eval()
        output = net.apply(net.module, shown)
        if net.role == "actor":
            assert isinstance(output, Categorical if name.endswith("discrete") else POLICY[name.split("-")[0]])
        elif net.role == "q":
            assert isinstance(output, ActionValues)
            greedy = torch.as_tensor(model.predict(shown.observations.numpy(), deterministic=True)[0])
            assert torch.equal(output.values.argmax(1), greedy)
        elif net.role == "critic":
            assert isinstance(output, Values)
            assert output.values.shape[0] == len(shown.observations)
        if isinstance(output, Gaussian):
            assert output.squashed == (name.split("-")[0] not in ON_POLICY)
            mean = output.mean.tanh() if output.squashed else output.mean
            if not name.startswith("recurrent"):  # what was remembered enters `predict` by another door
                action = model.policy._predict(shown.observations, deterministic=True)
                torch.testing.assert_close(mean, action)


def test_log_std_belongs_to_the_actor() -> None:
    actor, critic = find(agent("ppo-mlp", steps=0))
    assert "log_std" in actor.paths()
    assert "log_std" not in critic.paths()


def test_other_action_spaces_and_gsde() -> None:
    for name, kind in (("ppo-multi", Bernoulli), ("a2c", Categorical), ("ppo-gsde", Gaussian), ("sac-gsde", Gaussian)):
        model = tiny(name)
        model.policy.eval()
        observations, _ = model.policy.obs_to_tensor(model.env.reset())
        net = find(model)[0]
        output = net.apply(net.module, Batch(observations))
        assert isinstance(output, kind)
        if name == "a2c":
            assert output.sizes == (2, 3)
        if name == "ppo-gsde":
            # The marginal of state-dependent exploration: Var = sum_j latent_j^2 sigma_ja^2.
            latent = model.policy.mlp_extractor.forward_actor(model.policy.extract_features(observations))
            variance = latent.square() @ model.policy.log_std.exp().square()
            torch.testing.assert_close(output.log_std.exp(), (variance + 1e-6).sqrt())


@pytest.mark.parametrize(("name", "why"), [("ars", "not known")])
def test_what_cannot_be_reached_says_why(name: str, why: str) -> None:
    with pytest.raises(SurgeryError, match=why):
        Seam(tiny(name, steps=0), chain())
