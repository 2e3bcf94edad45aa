"""PEFT's adapters, against PEFT itself on a copy of the layer."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from acclimate.config import parse_spec
from acclimate.errors import ConfigError, SurgeryError
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.peft import PEFT
from acclimate.nets.masks import Masked
from acclimate.registry import METHODS
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests.cases import agent
from tests.unit.methods.adapters import LAYERS, around, made

TYPES = {
    "lora": {"r": 2},
    "loha": {"r": 2},
    "lokr": {"r": 2},
    "adalora": {"init_r": 2, "total_step": 9},
    "hra": {"r": 2},
    "hira": {"r": 2},
    "ia3": {},
}
LINEAR = {"vera": {"r": 2}, "oft": {"oft_block_size": 2}, "boft": {"boft_block_size": 1}, "delora": {"r": 2}}
CASES = [(name, kind) for name in TYPES for kind in LAYERS if (name, kind) != ("hira", "no-bias")]


def config_of(name: str) -> object:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
    from peft.utils import PeftType

    needs = {"feedforward_modules": []} if name == "ia3" else {}
    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(name.upper())](target_modules=["layer"], **TYPES[name], **needs)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_outputs_gradients_and_merged_weights_are_pefts(name: str, kind: str) -> None:
    layer, x = made(kind)
    theirs = around(layer, config_of(name))
    names, plain = list(layer.state_dict()), layer(x).detach()
    tuner = attach(PEFT(type=name, config=TYPES[name]), {"q": nn.Sequential(layer)})
    torch.testing.assert_close(layer(x), plain)
    inner = layer.computer.inner
    other = dict(theirs.named_parameters())
    trained = {path for path, p in other.items() if p.requires_grad}
    with torch.no_grad():
        for path, p in inner.named_parameters():
            if path in trained:
                p += 0.1 * torch.randn_like(p)
            other[path].copy_(p)
    torch.testing.assert_close(layer(x), theirs(x), atol=1e-5, rtol=1e-5)
    weight = torch.randn_like(plain)
    for out in (layer(x), theirs(x)):
        (out * weight).sum().backward()
    mine = {path: p for path, p in inner.named_parameters() if tuner.scales[p] > 0}
    assert set(mine) == trained
    for path, p in mine.items():
        torch.testing.assert_close(p.grad, other[path].grad, atol=1e-4, rtol=1e-4)
    tuner.fold()
    theirs.merge()
    torch.testing.assert_close(layer.weight, theirs.get_base_layer().weight, atol=1e-6, rtol=1e-5)
    assert list(layer.state_dict()) == names
    assert "forward" not in vars(layer)


@pytest.mark.parametrize("name", LINEAR)
def test_other_types_train_and_fold(name: str) -> None:
    torch.manual_seed(0)
    q, x = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(9, 6)
    plain = q(x).detach()
    optimizer = torch.optim.Adam(q.parameters(), lr=0.05)
    tuner = attach(PEFT(type=name, config=LINEAR[name]), {"q": q}, optimizer=optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        (q(x) - 1.0).square().mean().backward()
        optimizer.step()
        tuner.step()
    learnt = q(x).detach()
    assert float((learnt - plain).abs().max()) > 1e-3
    tuner.fold()
    torch.testing.assert_close(q(x), learnt, atol=1e-5, rtol=1e-4)


def test_with_what_computes_in_the_weights_and_what_masks_the_units() -> None:
    """Whatever folds first, the fold does what ran; a mask is drawn once, behind the adapter."""
    for methods in ((ChannelScale(), PEFT(type="lora")), (PEFT(type="lora"), ChannelScale(), Dropout(p=0.5, on="q"))):
        torch.manual_seed(0)
        q, x = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).eval(), torch.randn(9, 6)
        tuner = attach(chain(*methods), {"q": q})
        with torch.no_grad():
            for p in tuner.parameters:
                if tuner.scales[p] > 0:
                    p += 0.3 * torch.randn_like(p)
        assert sum(isinstance(m, Masked) for m in q.modules()) == len(methods) - 2
        learnt = q(x).detach()
        assert all(p.grad is not None for p in _trained(tuner, q, x))
        tuner.fold()
        torch.testing.assert_close(q(x), learnt, atol=1e-5, rtol=1e-4)
        assert [type(m) for m in q.modules()] == [nn.Sequential, nn.Linear, nn.ReLU, nn.Linear]


def _trained(tuner: object, q: nn.Module, x: torch.Tensor) -> list[nn.Parameter]:
    q(x).sum().backward()
    return [p for p in tuner.parameters if tuner.scales[p] > 0]


def test_a_copy_of_the_network_has_its_own_adapter() -> None:
    layer, x = made("linear")
    q = nn.Sequential(layer)
    attach(PEFT(type="lora", config={"r": 2}), {"q": q})
    twin = copy.deepcopy(q)
    with torch.no_grad():
        for p in layer.computer.parameters():
            p += 1.0
    assert float((q(x) - twin(x)).abs().max()) > 0.1
    torch.testing.assert_close(twin(x), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        ("hrra", {}, "PEFT has no adapter `hrra`. Did you mean `hra`?"),
        ("lora", {"rr": 2}, "unexpected keyword argument 'rr'"),
        ("lora", {"init_lora_weights": False}, "changes the network at the start"),
        ("lora", {"init_lora_weights": "pissa"}, "changes the network at the start"),
        ("fourierft", {"n_frequency": 4}, "changes the network at the start"),
        ("lora", {"bias": "lora_only"}, "trains the layer's own tensors"),
        ("ln_tuning", {}, "takes the place of the layer"),
        ("prompt_tuning", {}, "adapts no linear or convolutional layer"),
        ("pvera", {"r": 2}, "acts at random in training"),
        ("boft", {"boft_block_size": 4}, "cannot be used on `q:0`: PEFT says"),
    ],
)
def test_what_cannot_be_used_is_refused(kind: str, config: dict[str, object], said: str) -> None:
    with pytest.raises(SurgeryError, match="`peft`") as caught:
        attach(PEFT(type=kind, config=config), {"q": nn.Sequential(nn.Linear(6, 5))})
    assert said in str(caught.value)


def test_pairs_that_cannot_work_together() -> None:
    with pytest.raises(SurgeryError, match="`peft` and `peft` on `q:0`: one adapter is there already"):
        attach(chain(PEFT(type="lora"), PEFT(type="loha")), {"q": nn.Sequential(nn.Linear(6, 5))})
    with pytest.raises(SurgeryError, match=r"`peft` of type hra on `q:0` passes no gradient on .* `channel`"):
        attach(chain(ChannelScale(), PEFT(type="hra", config={"r": 2})), {"q": nn.Sequential(nn.Linear(6, 5))})


def test_dropout_is_refused_on_policy_only() -> None:
    method = PEFT(type="lora", config={"r": 2, "lora_dropout": 0.1}, on="actor")
    Seam(agent("sac-mlp", steps=0), method)
    with pytest.raises(SurgeryError, match="`peft` with lora_dropout on `actor`"):
        Seam(agent("ppo-mlp", steps=0), method)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("target_modules", "mu", "chosen by `on`"),
        ("megatron_core", "os", "has no meaning here"),
        ("rank_pattern", {"a": 1}, "give a number, a word"),
    ],
)
def test_fields_that_are_no_business_of_a_config(key: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"peft\.config\.{key}.*{said}"):
        PEFT(type="lora", config={key: value})
    with pytest.raises(ConfigError, match=r"peft\.rate is 0"):
        PEFT(type="lora", rate=0)


def test_it_is_read_from_a_flag() -> None:
    name, fields = parse_spec("peft:type=lokr,config={r: 2, alpha: 4},on=actor")
    assert METHODS.build({name: fields}, "recipe") == PEFT(type="lokr", config={"r": 2, "alpha": 4}, on="actor")


def test_the_library_is_imported_when_it_is_used_and_missed_by_name() -> None:
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "from torch import nn; from acclimate.tuning.attach import attach; from acclimate.methods.peft import PEFT\n"
        "from acclimate.errors import SurgeryError\n"
        "method = PEFT(type='lora'); assert 'transformers' not in sys.modules\n"
        "try:\n    attach(method, {'q': nn.Sequential(nn.Linear(2, 2))})\n"
        "except SurgeryError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "`peft` needs the PEFT library: pip install acclimate[peft]"
