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
    from acclimate.methods.batchnorm import BatchNorm
    from acclimate.methods.channel import ChannelScale
    from acclimate.methods.dropout import Dropout
    from acclimate.methods.droq import DroQ
    from acclimate.methods.freeze import Freeze
    from acclimate.methods.full import Full
    from acclimate.methods.head_reset import HeadReset
    from acclimate.methods.hold import Hold
    from acclimate.methods.kl import KLToPrior
    from acclimate.methods.l2_init import L2Init
    from acclimate.methods.l2sp import L2SP
    from acclimate.methods.mixout import Mixout
    from acclimate.methods.redo import ReDo
    from acclimate.methods.shrink_perturb import ShrinkPerturb
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
    "L2SP",
    "AcclimateError",
    "ActionDelay",
    "ActionGain",
    "ActionNoise",
    "ActuatorGear",
    "Agent",
    "Atari",
    "BatchNorm",
    "BrokenJoint",
    "CartMass",
    "ChannelScale",
    "ConfigError",
    "Damping",
    "DivergenceError",
    "DroQ",
    "Dropout",
    "Evaluation",
    "EvaluationPlan",
    "ExportError",
    "Force",
    "FrameSkip",
    "FrameStack",
    "Freeze",
    "Friction",
    "Full",
    "Geometric",
    "Gravity",
    "GuardRefusal",
    "HeadReset",
    "Hold",
    "JointLimits",
    "KLToPrior",
    "L2Init",
    "Length",
    "Linear",
    "MainEngine",
    "MaskVelocity",
    "Mass",
    "Method",
    "Mixout",
    "PoleMass",
    "ReDo",
    "Recipe",
    "RewardScale",
    "RewardWeights",
    "Run",
    "Select",
    "SensorBias",
    "SensorDropout",
    "SensorNoise",
    "SensorPermutation",
    "ShrinkPerturb",
    "SideEngine",
    "SourceError",
    "SpaceMismatchError",
    "Speed",
    "SurgeryError",
    "Task",
    "TaskError",
    "TimeFeature",
    "Torque",
    "TrainingError",
    "Turbulence",
    "UnsafeFileError",
    "WarmStart",
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
    "methods.batchnorm": "BatchNorm",
    "methods.channel": "ChannelScale",
    "methods.dropout": "Dropout",
    "methods.droq": "DroQ",
    "methods.freeze": "Freeze",
    "methods.full": "Full",
    "methods.head_reset": "HeadReset",
    "methods.hold": "Hold",
    "methods.kl": "KLToPrior",
    "methods.l2_init": "L2Init",
    "methods.l2sp": "L2SP",
    "methods.mixout": "Mixout",
    "methods.redo": "ReDo",
    "methods.shrink_perturb": "ShrinkPerturb",
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
