"""Fine-tune pretrained reinforcement-learning agents to a changed world, and prove what it brought.

The names of ``__all__`` are imported when they are first used (PEP 562), so that ``import acclimate`` and the
command line answer before torch is loaded.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.agent import Agent
    from acclimate.attach import attach
    from acclimate.errors import (
        AcclimateError,
        ConfigError,
        DivergenceError,
        ExportError,
        GuardRefusal,
        SourceError,
        SpaceMismatchError,
        SurgeryError,
        TaskError,
        TrainingError,
        UnsafeFileError,
    )
    from acclimate.evaluate import Evaluation, evaluate
    from acclimate.finetune import Run, finetune
    from acclimate.load import load
    from acclimate.method import Method, chain
    from acclimate.methods.bc import BC
    from acclimate.methods.bitfit import BitFit
    from acclimate.methods.channel import ChannelScale
    from acclimate.methods.channel_rates import ChannelRates
    from acclimate.methods.cosine import Cosine
    from acclimate.methods.discriminative import Discriminative
    from acclimate.methods.dora import DoRA
    from acclimate.methods.dropout import Dropout
    from acclimate.methods.ewc import EWC
    from acclimate.methods.features import FeatureDistillation
    from acclimate.methods.film import FiLM
    from acclimate.methods.fisher_channels import FisherChannels
    from acclimate.methods.freeze import Freeze
    from acclimate.methods.full import Full
    from acclimate.methods.hold import Hold
    from acclimate.methods.ia3 import IA3
    from acclimate.methods.jump_start import JumpStart
    from acclimate.methods.kl import KLToPrior
    from acclimate.methods.kl_adaptive import KLAdaptive
    from acclimate.methods.l2 import L2
    from acclimate.methods.l2sp import L2SP
    from acclimate.methods.last_layer import LastLayer
    from acclimate.methods.lora import LoRA
    from acclimate.methods.mas import MAS
    from acclimate.methods.offline import Offline
    from acclimate.methods.peft import PEFT
    from acclimate.methods.plateau import Plateau
    from acclimate.methods.policy_expansion import PolicyExpansion
    from acclimate.methods.prior_replay import PriorReplay
    from acclimate.methods.residual import Residual
    from acclimate.methods.side import Side
    from acclimate.methods.surgical import Surgical
    from acclimate.methods.unfreeze import Unfreeze
    from acclimate.methods.warmup import Warmup
    from acclimate.methods.wise import WiSE
    from acclimate.recipe import EvaluationPlan, Recipe, WarmStart
    from acclimate.schedule import Geometric, Linear
    from acclimate.select import Select
    from acclimate.shifts import (
        ActionDelay,
        ActionGain,
        ActionNoise,
        ActuatorGear,
        BrokenJoint,
        CartMass,
        Damping,
        Force,
        FrameSkip,
        Friction,
        Gravity,
        JointLimits,
        Length,
        MainEngine,
        Mass,
        PoleMass,
        RewardScale,
        RewardWeights,
        SensorBias,
        SensorDropout,
        SensorNoise,
        SensorPermutation,
        SideEngine,
        Speed,
        Torque,
        Turbulence,
        Wind,
    )
    from acclimate.task import Task
    from acclimate.wrappers import Atari, FrameStack, MaskVelocity, TimeFeature

__version__ = "0.1.0"

__all__ = [
    "BC",
    "EWC",
    "IA3",
    "L2",
    "L2SP",
    "MAS",
    "PEFT",
    "AcclimateError",
    "ActionDelay",
    "ActionGain",
    "ActionNoise",
    "ActuatorGear",
    "Agent",
    "Atari",
    "BitFit",
    "BrokenJoint",
    "CartMass",
    "ChannelRates",
    "ChannelScale",
    "ConfigError",
    "Cosine",
    "Damping",
    "Discriminative",
    "DivergenceError",
    "DoRA",
    "Dropout",
    "Evaluation",
    "EvaluationPlan",
    "ExportError",
    "FeatureDistillation",
    "FiLM",
    "FisherChannels",
    "Force",
    "FrameSkip",
    "FrameStack",
    "Freeze",
    "Friction",
    "Full",
    "Geometric",
    "Gravity",
    "GuardRefusal",
    "Hold",
    "JointLimits",
    "JumpStart",
    "KLAdaptive",
    "KLToPrior",
    "LastLayer",
    "Length",
    "Linear",
    "LoRA",
    "MainEngine",
    "MaskVelocity",
    "Mass",
    "Method",
    "Offline",
    "Plateau",
    "PoleMass",
    "PolicyExpansion",
    "PriorReplay",
    "Recipe",
    "Residual",
    "RewardScale",
    "RewardWeights",
    "Run",
    "Select",
    "SensorBias",
    "SensorDropout",
    "SensorNoise",
    "SensorPermutation",
    "Side",
    "SideEngine",
    "SourceError",
    "SpaceMismatchError",
    "Speed",
    "SurgeryError",
    "Surgical",
    "Task",
    "TaskError",
    "TimeFeature",
    "Torque",
    "TrainingError",
    "Turbulence",
    "Unfreeze",
    "UnsafeFileError",
    "WarmStart",
    "Warmup",
    "WiSE",
    "Wind",
    "attach",
    "chain",
    "evaluate",
    "finetune",
    "load",
]

_EXPORTS = {
    "agent": "Agent",
    "attach": "attach",
    "errors": "AcclimateError ConfigError DivergenceError ExportError GuardRefusal SourceError "
    "SpaceMismatchError SurgeryError TaskError TrainingError UnsafeFileError",
    "evaluate": "Evaluation evaluate",
    "finetune": "Run finetune",
    "load": "load",
    "method": "Method chain",
    "methods.bc": "BC",
    "methods.channel": "ChannelScale",
    "methods.bitfit": "BitFit",
    "methods.film": "FiLM",
    "methods.fisher_channels": "FisherChannels",
    "methods.channel_rates": "ChannelRates",
    "methods.last_layer": "LastLayer",
    "methods.surgical": "Surgical",
    "methods.unfreeze": "Unfreeze",
    "methods.discriminative": "Discriminative",
    "methods.kl_adaptive": "KLAdaptive",
    "methods.plateau": "Plateau",
    "methods.warmup": "Warmup",
    "methods.cosine": "Cosine",
    "methods.dora": "DoRA",
    "methods.dropout": "Dropout",
    "methods.ewc": "EWC",
    "methods.features": "FeatureDistillation",
    "methods.freeze": "Freeze",
    "methods.full": "Full",
    "methods.hold": "Hold",
    "methods.jump_start": "JumpStart",
    "methods.ia3": "IA3",
    "methods.kl": "KLToPrior",
    "methods.l2": "L2",
    "methods.l2sp": "L2SP",
    "methods.mas": "MAS",
    "methods.wise": "WiSE",
    "methods.offline": "Offline",
    "methods.policy_expansion": "PolicyExpansion",
    "methods.prior_replay": "PriorReplay",
    "methods.lora": "LoRA",
    "methods.peft": "PEFT",
    "methods.residual": "Residual",
    "methods.side": "Side",
    "recipe": "EvaluationPlan Recipe WarmStart",
    "schedule": "Geometric Linear",
    "select": "Select",
    "shifts": "ActionDelay ActionGain ActionNoise ActuatorGear BrokenJoint CartMass Damping Force FrameSkip "
    "Friction Gravity JointLimits Length MainEngine Mass PoleMass RewardScale RewardWeights "
    "SensorBias SensorDropout SensorNoise SensorPermutation SideEngine Speed Torque Turbulence Wind",
    "task": "Task",
    "wrappers": "Atari FrameStack MaskVelocity TimeFeature",
}
_HOME = {name: f"acclimate.{module}" for module, names in _EXPORTS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "shifts":
        return importlib.import_module("acclimate.shifts")
    if name not in _HOME:
        raise AttributeError(f"module `acclimate` has no attribute `{name}`")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(types.ModuleType):
    """Keeps ``acclimate.load`` the function when the module of that name is imported, which would hide it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, types.ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
