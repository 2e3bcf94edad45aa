"""A small instance of each method, and tiny agents to apply them to.

A test fails if a registered method has no row here.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv

from acclimate.methods.batchnorm import BatchNorm
from acclimate.methods.bc import BC
from acclimate.methods.bitfit import BitFit
from acclimate.methods.channel import ChannelScale
from acclimate.methods.channel_rates import ChannelRates
from acclimate.methods.cosine import Cosine
from acclimate.methods.discriminative import Discriminative
from acclimate.methods.dora import DoRA
from acclimate.methods.dropout import Dropout
from acclimate.methods.droq import DroQ
from acclimate.methods.ewc import EWC
from acclimate.methods.features import FeatureDistillation
from acclimate.methods.film import FiLM
from acclimate.methods.fisher_channels import FisherChannels
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.head_reset import HeadReset
from acclimate.methods.hold import Hold
from acclimate.methods.ia3 import IA3
from acclimate.methods.jump_start import JumpStart
from acclimate.methods.kl import KLToPrior
from acclimate.methods.kl_adaptive import KLAdaptive
from acclimate.methods.l2 import L2
from acclimate.methods.l2_init import L2Init
from acclimate.methods.l2sp import L2SP
from acclimate.methods.last_layer import LastLayer
from acclimate.methods.lora import LoRA
from acclimate.methods.mas import MAS
from acclimate.methods.mixout import Mixout
from acclimate.methods.offline import Offline
from acclimate.methods.peft import PEFT
from acclimate.methods.plateau import Plateau
from acclimate.methods.policy_expansion import PolicyExpansion
from acclimate.methods.prior_replay import PriorReplay
from acclimate.methods.redo import ReDo
from acclimate.methods.residual import Residual
from acclimate.methods.shrink_perturb import ShrinkPerturb
from acclimate.methods.side import Side
from acclimate.methods.smooth import Smooth
from acclimate.methods.surgical import Surgical
from acclimate.methods.unfreeze import Unfreeze
from acclimate.methods.warmup import Warmup
from acclimate.methods.wise import WiSE
from acclimate.nets.experience import Batch
from acclimate.nets.net import Net
from acclimate.sb3.vocabulary import ALGORITHMS
from acclimate.schedule import Geometric, Linear
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method
from tests.recorded import recorded
from tests.tiny import World

_FLAT = spaces.Box(-1.0, 1.0, (3,), np.float32)
_IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
_REACH = spaces.Box(np.array([-1.0, -0.5], np.float32), np.array([1.0, 0.5], np.float32))
_CHOICE = spaces.Discrete(3)

# One instance or more of each method: `name` or `name/variant`.
METHODS: dict[str, Method] = {
    "full": Full(),
    "freeze": Freeze(on="*:*.bias"),
    "hold": Hold(steps=8, on="*:*.bias"),
    "l2sp": L2SP(weight=Linear(0.5, 0.1)),
    "l2sp/decoupled": L2SP(weight=2.0, decoupled=True, on=["*", "!*:*.bias"]),
    "kl": KLToPrior(weight=Geometric(0.5, 0.1, fraction=0.5), temperature=2.0),
    "kl/reverse": KLToPrior(weight=1.0, direction="reverse", std=0.5),
    "dropout": Dropout(p=0.3),
    "dropout/all": Dropout(p=0.3, on="*"),
    "channel": ChannelScale(rate=2.0),
    "channel/base": ChannelScale(train_base=True, on="critic|q"),
    "l2": L2(weight=Linear(0.1, 0.0)),
    "l2/decoupled": L2(weight=1.0, decoupled=True, on="*:*.weight"),
    "ewc": EWC(weight=Linear(50.0, 5.0), stored=4, temperature=0.5),
    "mas": MAS(weight=10.0, stored=4, on="*"),
    "kl/source": KLToPrior(states="source", stored=6),
    "kl/target": KLToPrior(states="target", stored=6, direction="reverse"),
    "bc": BC(weight=Linear(2.0, 0.0), stored=6, std=0.3),
    "features": FeatureDistillation(weight=Linear(1.0, 0.5)),
    "features/all": FeatureDistillation(on="*"),
    "wise": WiSE(),
    "bitfit": BitFit(),
    "film": FiLM(context=(0.5, 2.0), hidden=3),
    "fisher-channels": FisherChannels(share=0.3, steps=3),
    "fisher-channels/layer": FisherChannels(share=0.3, within="layer", steps=3, on="actor|q|trunk"),
    "channel-rates": ChannelRates(steps=3),
    "channel-rates/protect": ChannelRates(least=1.0, most=0.0, world="source", steps=3),
    "last-layer": LastLayer(),
    "surgical": Surgical(updates=2),
    "unfreeze": Unfreeze(),
    "discriminative": Discriminative(),
    "kl-adaptive": KLAdaptive(updates=1, target=1e-6, highest=2.0),
    "plateau": Plateau(),
    "warmup": Warmup(fraction=0.5),
    "cosine": Cosine(),
    "prior-replay": PriorReplay(steps=30, share=0.5),
    "prior-replay/all": PriorReplay(steps=30, share=Linear(0.5, 0.0), serves="all"),
    "offline": Offline(data=recorded(_FLAT, _REACH)),
    "offline/discrete": Offline(data=recorded(_FLAT, _CHOICE), share=Linear(0.5, 0.25)),
    "offline/image": Offline(data=recorded(_IMAGE, _REACH)),
    "jump-start": JumpStart(horizon=Linear(4, 0, fraction=0.5)),
    "jump-start/drawn": JumpStart(horizon=2, deterministic=False),
    "policy-expansion": PolicyExpansion(temperature=Linear(1.0, 0.1)),
    "ia3": IA3(rate=2.0),
    "ia3/inputs": IA3(of="inputs", on="critic|q"),
    "lora": LoRA(rank=2, alpha=4.0),
    "lora/bias": LoRA(rank=1, train_bias=True, rate=3.0, on="critic|q"),
    "dora": DoRA(rank=2),
    "peft": PEFT(type="lora", config={"r": 2}),
    "peft/loha": PEFT(type="LoHa", config={"r": 2}, rate=2.0, on="critic|q"),
    "residual": Residual(width=4),
    "residual/all": Residual(width=4, scale=0.5, rate=2.0, on="actor|critic|q"),
    "side": Side(width=4, rate=2.0),
    "side/head": Side(width=4, train_head=False, on="critic|q"),
    "dropout/channels": Dropout(p=0.3, channels=True, on="*"),
    "mixout": Mixout(p=0.3),
    "mixout/all": Mixout(p=0.5, on="*"),
    "droq": DroQ(p=0.2, states=40, fits=5, on="critic"),
    "batchnorm": BatchNorm(states=40, momentum=0.2),
    "batchnorm/affine": BatchNorm(train="affine", states=40, on="*"),
    "batchnorm/statistics": BatchNorm(train="statistics", momentum=0.3, states=40, on="*"),
    "head-reset": HeadReset(),
    "head-reset/all": HeadReset(on="actor|critic|q"),
    "shrink-perturb": ShrinkPerturb(every=2),
    "shrink-perturb/all": ShrinkPerturb(shrink=0.5, perturb=0.5, on="*"),
    "redo": ReDo(tau=0.3, saturated=0.5, every=2),
    "redo/all": ReDo(tau=0.5, saturated=0.3, every=3, on="*"),
    "l2-init": L2Init(weight=Linear(0.1, 0.0)),
    "l2-init/all": L2Init(on="*"),
    "smooth": Smooth(weight=Linear(1.0, 0.5), radius=0.2, steps=2),
    "smooth/growing": Smooth(weight=2.0, radius=Linear(0.0, 0.2), margin=0.5),
}

FREEZES = {
    *("freeze", "channel", "bitfit", "film", "last-layer", "unfreeze"),
    *("ia3", "ia3/inputs", "lora", "lora/bias", "dora", "peft", "peft/loha"),
    *("residual", "residual/all", "side", "side/head"),
    *("batchnorm/affine", "batchnorm/statistics"),
}
"""The cases that keep weights as they are, on each agent that they apply to."""

_ON_POLICY = ("ppo", "a2c", "trpo", "recurrent_ppo", "maskable_ppo")
_LSTMS: dict[str, dict[str, Any]] = {
    "common": {"shared_lstm": True, "enable_critic_lstm": False},
    "actor": {"enable_critic_lstm": False},
}
"""An LSTM that actor and critic read, and one of the actor alone; by default each has its own."""
_VALUE_BASED = ("dqn", "qrdqn")


def _without(*algorithms: str, kind: str = "") -> Callable[[str], bool]:
    """Return whether an agent is of one of these algorithms, or of another kind than this one."""
    return lambda name: name.startswith(algorithms) or kind not in name


def _shares_off_policy(name: str) -> bool:
    # The features that an off-policy actor shares are trained by its critic, which puts out no policy.
    return name in ("sac-cnn-shared", "td3-cnn-shared")


def _normalised(name: str) -> bool:
    return name.startswith(("crossq", "recurrent_ppo"))


REFUSED: dict[str, Callable[[str], bool]] = {
    "ewc": _shares_off_policy,
    "fisher-channels/layer": _shares_off_policy,
    "prior-replay": _without(*_ON_POLICY),
    "prior-replay/all": _without(*_ON_POLICY),
    "offline": _without(*_ON_POLICY, *_VALUE_BASED, kind="mlp"),
    "offline/discrete": lambda name: name not in ("dqn-mlp", "qrdqn-mlp"),
    "offline/image": _without(*_ON_POLICY, *_VALUE_BASED, kind="cnn"),
    "policy-expansion": _without(*_ON_POLICY, *_VALUE_BASED),
    "droq": _without(*_VALUE_BASED),
    "batchnorm": _normalised,
    "batchnorm/affine": _normalised,
    "batchnorm/statistics": _normalised,
    "head-reset": _without(*_VALUE_BASED),
    "shrink-perturb": _without(*_VALUE_BASED),
    "redo": _without("crossq"),
    "redo/all": _without("crossq"),
}
"""Which agents a case is refused on, by a `SurgeryError` that names the method; elsewhere it works."""

_ARGUMENTS: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 8, "batch_size": 4, "n_epochs": 2},
    "a2c": {"n_steps": 4},
    "recurrent_ppo": {"n_steps": 8, "batch_size": 4, "n_epochs": 2},
    "maskable_ppo": {"n_steps": 8, "batch_size": 4, "n_epochs": 2},
    "trpo": {"n_steps": 8, "batch_size": 4, "n_critic_updates": 2},
}
_OFF_POLICY = {"learning_starts": 4, "batch_size": 4, "buffer_size": 40}
_ACTIONS = {"dqn": _CHOICE, "qrdqn": _CHOICE, "maskable_ppo": _CHOICE}

AGENTS = tuple(
    f"{name}-{kind}" for name in ("ppo", "a2c", "sac", "td3", "dqn", "tqc", "qrdqn") for kind in ("mlp", "cnn")
)
"""The agents that every method is tried on."""

MORE_AGENTS = (
    "ppo-mlp-discrete",
    "ddpg-mlp",
    "crossq-mlp",
    "sac-cnn-shared",
    "td3-cnn-shared",
    "ppo-cnn-separate",
    "recurrent_ppo-mlp",
    "recurrent_ppo-mlp-common",
    "recurrent_ppo-mlp-discrete",
    "recurrent_ppo-cnn-actor",
    "maskable_ppo-mlp",
    "maskable_ppo-cnn",
)
"""The others whose networks are known."""


def agent(name: str, *, steps: int = 12, seed: int = 0, **more: Any) -> BaseAlgorithm:
    """Return a tiny agent, `algorithm-kind` or `algorithm-kind-variant`, trained for a few steps."""
    algorithm, kind, *variant = name.split("-")
    observation = copy.deepcopy(_IMAGE if kind == "cnn" else _FLAT)
    action = copy.deepcopy(_CHOICE if variant == ["discrete"] else _ACTIONS.get(algorithm, _REACH))
    observation.seed(seed)
    policy_kwargs: dict[str, Any] = {"net_arch": [6, 5]}
    if algorithm in ("tqc", "qrdqn"):
        policy_kwargs["n_quantiles"] = 4
    if kind == "cnn":
        policy_kwargs["features_extractor_kwargs"] = {"features_dim": 7}
    if variant in (["shared"], ["separate"]):
        policy_kwargs["share_features_extractor"] = variant == ["shared"]
    policy = {"cnn": "CnnPolicy", "mlp": "MlpPolicy"}[kind]
    if algorithm == "recurrent_ppo":
        policy_kwargs |= {"lstm_hidden_size": 4, **_LSTMS.get("".join(variant), {})}
        policy = policy.replace("Policy", "LstmPolicy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ALGORITHMS[algorithm](
            policy,
            DummyVecEnv([lambda: World(observation, action)]),
            policy_kwargs=policy_kwargs,
            device="cpu",
            seed=seed,
            **{**_ARGUMENTS.get(algorithm, _OFF_POLICY), **more},
        )
        if steps:
            model.learn(steps)
    return model


def reloaded(model: BaseAlgorithm, **more: Any) -> BaseAlgorithm:
    """Return a copy that went through a zip of stock Stable-Baselines3."""
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    return type(model).load(file, env=model.get_env(), device="cpu", **more)


def batch(model: BaseAlgorithm, rows: int = 6, seed: int = 1) -> Batch:
    """Return random steps: observations as the networks read them, actions, rewards and what followed."""
    rng = np.random.default_rng(seed)
    space = model.observation_space

    def observations() -> torch.Tensor:
        shape = (rows, *space.shape)
        draw = rng.integers(0, 256, shape) if space.dtype == np.uint8 else rng.uniform(-1.0, 1.0, shape)
        return torch.as_tensor(draw.astype(space.dtype))

    if isinstance(model.action_space, spaces.Discrete):
        actions = torch.as_tensor(rng.integers(0, model.action_space.n, (rows, 1)))
    else:
        actions = torch.as_tensor(rng.uniform(-1, 1, (rows, *model.action_space.shape)), dtype=torch.float32)
    rewards = torch.as_tensor(rng.uniform(0, 1, rows), dtype=torch.float32)
    dones = torch.as_tensor(rng.uniform(0, 1, rows) < 0.2, dtype=torch.float32)
    return Batch(observations(), actions, rewards, observations(), dones)


def context(model: BaseAlgorithm) -> Context:
    """Return the data and judgement that methods may ask for; the score is a function of the policy's weights."""

    def judge() -> tuple[float, int]:
        return float(sum(p.sum() for p in model.policy.parameters())), 5

    return Context(
        source=lambda steps: batch(model, steps, seed=2),
        target=lambda steps: batch(model, steps, seed=3),
        evaluate=judge,
    )


def refused(case: str, name: str) -> bool:
    """Tell whether a case is refused on an agent."""
    return REFUSED.get(case, lambda _: False)(name)


@torch.no_grad()
def responses(nets: tuple[Net, ...], on: Batch) -> dict[str, list[torch.Tensor]]:
    """Return what networks and their twins put out in evaluation mode, by role."""
    found = {}
    for net in nets:
        modules = [net.module] if net.twin is None else [net.module, net.twin]
        found[net.role] = []
        for module in modules:
            with evaluating(module):
                output = net.apply(module, on)
            found[net.role] += [value for value in vars(output).values() if isinstance(value, torch.Tensor)]
    return found


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Keep a module in evaluation mode, and give each of its parts back its own mode afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def close(first: Any, second: Any, tolerance: float = 1e-5) -> bool:
    """Tell whether two sets of responses agree within `tolerance` of their own scale."""
    return all(
        float((a - b).abs().max()) <= tolerance * max(1.0, float(a.abs().max()))
        for role in first
        for a, b in zip(first[role], second[role], strict=True)
    )
