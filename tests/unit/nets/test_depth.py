from __future__ import annotations

from torch import nn

from acclimate.methods.channel import ChannelScale
from acclimate.methods.full import Full
from acclimate.nets.depth import depths, height
from acclimate.nets.select import Select
from acclimate.sb3.networks import find
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent


def by_path(name: str) -> dict[str, dict[str, int]]:
    """Return the depth of each layer of an agent, by role and path."""
    found: dict[str, dict[str, int]] = {}
    for net in Seam(agent(name, steps=0), chain()).tuner.nets:
        paths = {p: path.rpartition(".")[0] for path, p in net.named_parameters()}
        found[net.role] = {paths[p]: depth for p, depth in depths(net).items()}
    return found


def test_the_layers_of_ppo_are_counted_from_the_heads() -> None:
    assert by_path("ppo-mlp") == {
        "actor": {"mlp_extractor.policy_net.0": 2, "mlp_extractor.policy_net.2": 1, "action_net": 0},
        "critic": {"mlp_extractor.value_net.0": 2, "mlp_extractor.value_net.2": 1, "value_net": 0},
    }


def test_a_trunk_stands_below_actor_and_critic() -> None:
    trunk = "features_extractor"
    convolutions = {f"{trunk}.cnn.0": 6, f"{trunk}.cnn.2": 5, f"{trunk}.cnn.4": 4, f"{trunk}.linear.0": 3}
    assert by_path("ppo-cnn")["trunk"] == convolutions
    assert by_path("sac-cnn-shared")["trunk"] == convolutions
    assert by_path("ppo-cnn-separate")["actor"] == {
        **convolutions,
        "mlp_extractor.policy_net.0": 2,
        "mlp_extractor.policy_net.2": 1,
        "action_net": 0,
    }


def test_layers_side_by_side_count_once() -> None:
    found = by_path("sac-mlp")
    assert found["actor"] == {"latent_pi.0": 2, "latent_pi.2": 1, "mu": 0, "log_std": 0}
    assert found["critic"] == {f"qf{i}.{place}": depth for i in (0, 1) for place, depth in ((0, 2), (2, 1), (4, 0))}


def test_a_normalisation_counts_as_what_follows_it() -> None:
    actor = by_path("crossq-mlp")["actor"]
    normalisers = {path: depth for path, depth in actor.items() if path not in ("mu", "log_std")}
    assert list(normalisers.values()) == sorted(normalisers.values(), reverse=True)
    net = nn.Sequential(nn.LayerNorm(2), nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    (view,) = attach(Full(), {"q": net}).nets
    assert list(depths(view).values()) == [1, 1, 1, 1, 0, 0, 0, 0]


def test_what_methods_added_counts_as_its_layer_and_a_selection_changes_no_depth() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    net.register_parameter("log_std", nn.Parameter(net[2].bias.detach().clone()))
    (view,) = attach(ChannelScale(on="q:0"), {"q": net}).nets
    named = {path: depths(view).get(p) for path, p in view.named_parameters()}
    assert named == {
        "log_std": None,
        "0.weight": 1,
        "0.bias": 1,
        "0.computes_weight.0.scale": 1,
        "0.computes_bias.0.shift": 1,
        "2.weight": 0,
        "2.bias": 0,
    }
    assert set(depths(view.narrow(Select("q:0"))).values()) == {1}


def test_height() -> None:
    assert {net.role: height(net) for net in find(agent("ppo-cnn", steps=0))} == {"actor": 3, "critic": 3, "trunk": 7}
