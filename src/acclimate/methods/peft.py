"""Train adapters of the PEFT library."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError, SurgeryError, suggest
from acclimate.methods.lora import own
from acclimate.nets.layers import LAYERS
from acclimate.nets.net import Layer, Net
from acclimate.nets.seeding import seed_of
from acclimate.nets.select import Select
from acclimate.nets.surgery import Computing, bake, hand_back, take_over
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals

ADAPTER = "default"
CHOSEN_BY_ON = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save")
CHOSEN_BY_US = ("peft_type", "task_type", "inference_mode", "base_model_name_or_path", "auto_mapping", "revision")
FAILURES = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RuntimeError, ImportError)
"""What PEFT raises where a config and a layer do not fit each other."""


class Adapter(nn.Module):
    """A layer of PEFT that is run on the weights it is given, in the place of a copy of its own."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.trained = tuple(n for n, p in self.named_parameters() if p.requires_grad)
        """The names of what PEFT trains."""
        self.passes = True
        """Whether the layer's own weight has a gradient through it; some types read its bare data."""
        self._set(None, None)

    def forward(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return what a layer of this weight and bias puts out with the adapter on it."""
        self._set(weight, bias)
        try:
            return self.inner(inputs)
        finally:
            self._set(None, None)

    def merged(self, layer: nn.Module) -> tuple[Tensor, Tensor | None]:
        """Return the weight and the bias of a stock layer that does what this one does with the adapter on it."""
        whole = copy.deepcopy(self)
        whole._set(*(None if t is None else nn.Parameter(t.detach().clone()) for t in (layer.weight, layer.bias)))
        whole.inner.merge()
        base = whole.inner.get_base_layer()
        return base.weight.detach(), None if base.bias is None else base.bias.detach()

    def _set(self, weight: Tensor | None, bias: Tensor | None) -> None:
        # Into the table past the checks of `nn.Module`, which wants a Parameter; None is no parameter of anything.
        self.inner.get_base_layer()._parameters.update(weight=weight, bias=bias)


@dataclass(frozen=True, kw_only=True)
class PEFT(Method):
    """Put an adapter of the PEFT library on each layer: y <- f(x; W0, adapter), f that of the chosen type.

    `type` names it (`lora`, `loha`, `lokr`, `vera`, `oft`, `boft`, `hra`, `delora`, `fourierft` ...) and `config`
    holds fields of PEFT's own config, with its names and defaults. PEFT builds an adapter for each layer by itself,
    runs it, and merges it into the weights at the end. W0 is frozen. Needs `pip install acclimate[peft]`.

    Source: Mangrulkar et al. 2022, https://github.com/huggingface/peft, and the paper of each type. Its sizes are made
    for language models: give `r`, block sizes and counts that suit your layers. Use it for a type that has no method
    of its own here; `lora`, `dora` and `ia3` do the same as PEFT's and are faster. It loses where every layer must
    take the same fields but their sizes differ (block sizes must divide them): choose layers by `on`.

    Refused are: a config that changes the network at the start (as `init_lora_weights: pissa`, or a type that draws
    its first change at random); a type that adapts no linear or convolutional layer, or cannot be merged; dropout on a
    policy that is trained on its own rollouts. AdaLoRA keeps the rank it starts with: its allocator belongs to PEFT's
    own training loop.
    """

    name: ClassVar[str] = "peft"
    family: ClassVar[str] = "adapter"
    by_layer: ClassVar[bool] = True
    steady: ClassVar[bool] = True

    type: str
    """Name of the adapter in PEFT, in any case of letters."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields of PEFT's config of that type: numbers, words, true or false. More rank or smaller blocks adapt more."""
    rate: float = 1.0
    """Factor of the learning rate of the adapters. Higher: adapts faster, less steadily."""
    on: Select = Select("*")
    """Which layers. Fewer: less can adapt. What is no layer there, such as `log_std`, trains on as it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate <= 0:
            raise ConfigError(f"peft.rate is {self.rate}; give a factor above 0, or leave the method out")
        for key, value in self.config.items():
            if key in CHOSEN_BY_ON:
                raise ConfigError(f"peft.config.{key}: the layers are chosen by `on`; leave the field out")
            # What a file says must not choose code to import, as PEFT's `megatron_core` does.
            if key in CHOSEN_BY_US or key.startswith("megatron"):
                raise ConfigError(f"peft.config.{key}: has no meaning here; leave the field out")
            if not (value is None or isinstance(value, (bool, int, float, str))):
                raise ConfigError(f"peft.config.{key} is {value!r}; give a number, a word, true or false")

    def inject(self, net: Net, context: Context) -> None:
        """Put the same adapter on every layer and on its twin.

        Raises:
            SurgeryError: if PEFT is not there, or the adapter cannot be used on a layer.
        """
        drops = [key for key, value in self.config.items() if "dropout" in key and value]
        if drops and net.on_policy:
            raise SurgeryError(
                f"`peft` with {drops[0]} on `{net.role}`: the policy would be another one in its update than in its "
                "rollout; leave that out, and add the method `dropout`"
            )
        for place, layer in enumerate(net.layers()):
            seed = seed_of(context.seed, net.role, place)
            adapters = [self._adapter(module, f"{net.role}:{layer.path}", seed) for module in layer.pair]
            for module, adapter in zip(layer.pair, adapters, strict=True):
                adapter.load_state_dict(adapters[0].state_dict())
                _put(module, adapter, f"{net.role}:{layer.path}")

    def _adapter(self, layer: nn.Module, where: str, seed: int) -> Adapter:
        try:
            # BOFT looks for a compiler of its kernels, OFT tells how it rounds block sizes.
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")
                torch.manual_seed(seed)
                adapter = Adapter(_wrapped(layer, self.type, self.config))
                wrong = _fault(adapter, _plain(layer), steady=not any("dropout" in key for key in self.config))
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "peft":
                raise _refusal(self.type, where, error) from error
            raise SurgeryError("`peft` needs the PEFT library: pip install acclimate[peft]") from error
        except FAILURES as error:
            raise _refusal(self.type, where, error) from error
        if wrong:
            raise SurgeryError(f"`peft` of type {self.type} on `{where}` {wrong}; choose another config or type")
        return adapter

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Freeze the layers' own weights, and give what PEFT trains its rate."""
        scales: dict[Any, float] = dict.fromkeys(net.recurrent_parameters(), 0.0)
        for layer in net.layers():
            scales |= dict.fromkeys(own(net, layer), 0.0)
            for adapter in _adapters(layer):
                trained = set(adapter.trained)
                scales |= {p: self.rate if n in trained else 0.0 for n, p in adapter.named_parameters()}
        return scales

    def init(self, net: Net, context: Context) -> tuple[()]:
        """Return no state.

        Raises:
            SurgeryError: if another method trains numbers behind an adapter that passes no gradient on.
        """
        for layer in net.layers():
            if isinstance(layer.module, Computing) and not all(adapter.passes for adapter in _adapters(layer)):
                raise SurgeryError(
                    f"`peft` of type {self.type} on `{net.role}:{layer.path}` passes no gradient on to weights that "
                    "`channel`, `ia3`, `lora` or `dora` compute; choose other layers for one of the two"
                )
        return ()

    def constrains(self, net: Net) -> list[nn.Parameter]:
        """Return the parameters of the layers, those of the adapters among them."""
        return [parameter for layer in net.layers() for parameter in layer.module.parameters()]

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Let PEFT merge the adapters into the weights."""
        for layer in net.layers():
            for module in layer.pair:
                adapter = hand_back(module)
                if isinstance(adapter, Adapter):
                    _store(module, adapter)


def _put(layer: nn.Module, adapter: Adapter, where: str) -> None:
    try:
        take_over(layer, adapter)
    except SurgeryError as error:
        raise SurgeryError(
            f"`peft` and `peft` on `{where}`: one adapter is there already; choose other layers by `on`"
        ) from error


@torch.no_grad()
def _store(layer: Any, adapter: Adapter) -> None:
    # What other methods compute in the weights comes first: the adapter was run on that.
    bake(layer)
    weight, bias = adapter.merged(layer)
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)


def _adapters(layer: Layer) -> list[Adapter]:
    return [module for module in layer.module.children() if isinstance(module, Adapter)]


def _wrapped(layer: nn.Module, kind: str, config: Mapping[str, Any]) -> nn.Module:
    """Return PEFT's layer around a plain copy of one of ours."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
    from peft.tuners.tuners_utils import BaseTunerLayer

    known = {str(name.value).lower(): name for name in PEFT_TYPE_TO_TUNER_MAPPING}
    if kind.lower() not in known:
        raise SurgeryError(f"`peft`: PEFT has no adapter `{kind}`. {suggest(kind.lower(), known)}")
    name = known[kind.lower()]
    fields = PEFT_TYPE_TO_CONFIG_MAPPING[name]
    has = {field.name for field in dataclasses.fields(fields)}
    if "target_modules" not in has:
        raise SurgeryError(f"`peft` of type {kind} adapts no linear or convolutional layer; choose another type")
    # IA3 wants to be told which layers count as feedforward ones: none.
    needs: dict[str, Any] = {"feedforward_modules": []} if "feedforward_modules" in has else {}
    holder = nn.ModuleDict({"layer": _plain(layer)})
    PEFT_TYPE_TO_TUNER_MAPPING[name](holder, fields(target_modules=["layer"], **needs, **config), ADAPTER)
    inner = holder["layer"]
    if not isinstance(inner, BaseTunerLayer):
        raise SurgeryError(f"`peft` of type {kind} adapts no linear or convolutional layer; choose another type")
    if any(p.requires_grad for p in inner.get_base_layer().parameters()):
        raise SurgeryError(f"`peft` of type {kind} trains the layer's own tensors (`bias`); leave that to `on`")
    return inner


def _plain(layer: Any) -> nn.Module:
    """Return a stock layer with the weights that a layer has now, and nothing of what methods put there."""
    stock = next(kind for kind in LAYERS if isinstance(layer, kind))
    bias = layer.bias is not None
    if stock is nn.Linear:
        plain: Any = nn.Linear(layer.in_features, layer.out_features, bias)
    else:
        shape = {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "groups", "padding_mode")}
        plain = stock(layer.in_channels, layer.out_channels, layer.kernel_size, bias=bias, **shape)
    plain.to(layer.weight)
    plain.weight.data.copy_(layer.weight.detach())
    if bias:
        plain.bias.data.copy_(layer.bias.detach())
    return plain


def _fault(adapter: Adapter, plain: Any, *, steady: bool) -> str | None:
    """Say why an adapter cannot be used: it is tried as it starts, and with something learnt, on random inputs."""
    if isinstance(plain, nn.Linear):
        inputs = torch.randn(4, plain.in_features)
    else:
        sides = [d * (k - 1) + s + 1 for d, k, s in zip(plain.dilation, plain.kernel_size, plain.stride, strict=True)]
        inputs = torch.randn(4, plain.in_channels, *sides)
    inputs = inputs.to(plain.weight)
    tried = copy.deepcopy(adapter).eval()
    if not _agree(tried(inputs, plain.weight, plain.bias), plain(inputs)):
        return "changes the network at the start"
    with torch.no_grad():
        for name, parameter in tried.named_parameters():
            if name in tried.trained:
                parameter += 0.1 * torch.randn_like(parameter)
    outputs = tried(inputs, plain.weight, plain.bias)
    weight, bias = tried.merged(plain)
    if _agree(tried(inputs, 2.0 * plain.weight, plain.bias), outputs):
        return "takes the place of the layer and does not adapt it"
    adapter.passes = torch.autograd.grad(outputs.sum(), plain.weight, allow_unused=True)[0] is not None
    if steady and not _agree(tried.train()(inputs, plain.weight, plain.bias), outputs):
        return "acts at random in training"
    plain.weight.data.copy_(weight)
    if bias is not None:
        plain.bias.data.copy_(bias)
    return None if _agree(plain(inputs), outputs) else "merges into something else than it computes"


def _agree(first: Tensor, second: Tensor) -> bool:
    return float((first - second).abs().max()) <= 1e-4 * max(1.0, float(second.abs().max()))


def _refusal(kind: str, where: str, error: Exception) -> SurgeryError:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return SurgeryError(
        f"`peft` of type {kind} cannot be used on `{where}`: PEFT says {said!r}; change `config`, or choose other "
        "layers by `on`"
    )
