"""Fine-tune pretrained reinforcement-learning agents to a changed world, and prove what it brought.

The names of ``__all__`` are imported when they are first used (PEP 562), so that ``import acclimate`` and the
command line answer before torch is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.agents.agent import Agent
    from acclimate.agents.home import home
    from acclimate.agents.load import load
    from acclimate.errors import (
        AcclimateError,
        ConfigError,
        DivergenceError,
        ExportError,
        GuardRefusal,
        MisfitError,
        SourceError,
        SpaceMismatchError,
        SurgeryError,
        TaskError,
        TrainingError,
        UnsafeFileError,
    )
    from acclimate.evaluation.evaluate import Evaluation, evaluate
    from acclimate.exporting.export import export
    from acclimate.exporting.policy.policy import Policy, load_policy
    from acclimate.formats.foreign.plain import Spec
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
    from acclimate.nets.select import Select
    from acclimate.planning.recipe import EvaluationPlan, Recipe, WarmStart
    from acclimate.runs.finetune import Run, finetune
    from acclimate.schedule import Geometric, Linear
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
    from acclimate.studies.comparing import Comparison, compare
    from acclimate.studies.study import Case, Row, Study
    from acclimate.tasks.task import Task
    from acclimate.tasks.wrappers import Atari, FrameStack, MaskVelocity, TimeFeature
    from acclimate.tuning.attach import attach
    from acclimate.tuning.method import Method, chain

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
    "BatchNorm",
    "BitFit",
    "BrokenJoint",
    "CartMass",
    "Case",
    "ChannelRates",
    "ChannelScale",
    "Comparison",
    "ConfigError",
    "Cosine",
    "Damping",
    "Discriminative",
    "DivergenceError",
    "DoRA",
    "DroQ",
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
    "HeadReset",
    "Hold",
    "JointLimits",
    "JumpStart",
    "KLAdaptive",
    "KLToPrior",
    "L2Init",
    "LastLayer",
    "Length",
    "Linear",
    "LoRA",
    "MainEngine",
    "MaskVelocity",
    "Mass",
    "Method",
    "MisfitError",
    "Mixout",
    "Offline",
    "Plateau",
    "PoleMass",
    "Policy",
    "PolicyExpansion",
    "PriorReplay",
    "ReDo",
    "Recipe",
    "Residual",
    "RewardScale",
    "RewardWeights",
    "Row",
    "Run",
    "Select",
    "SensorBias",
    "SensorDropout",
    "SensorNoise",
    "SensorPermutation",
    "ShrinkPerturb",
    "Side",
    "SideEngine",
    "Smooth",
    "SourceError",
    "SpaceMismatchError",
    "Spec",
    "Speed",
    "Study",
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
    "compare",
    "evaluate",
    "export",
    "finetune",
    "home",
    "load",
    "load_policy",
]

_EXPORTS = {
    "agents.agent": "Agent",
    "tuning.attach": "attach",
    "errors": "AcclimateError ConfigError DivergenceError ExportError GuardRefusal MisfitError SourceError "
    "SpaceMismatchError SurgeryError TaskError TrainingError UnsafeFileError",
    "evaluation.evaluate": "Evaluation evaluate",
    "exporting.export": "export",
    "exporting.policy.policy": "Policy load_policy",
    "runs.finetune": "Run finetune",
    "studies.comparing": "Comparison compare",
    "studies.study": "Case Row Study",
    "agents.load": "load",
    "formats.foreign.plain": "Spec",
    "agents.home": "home",
    "tuning.method": "Method chain",
    "planning.recipe": "EvaluationPlan Recipe WarmStart",
    "schedule": "Geometric Linear",
    "nets.select": "Select",
    "tasks.task": "Task",
}
_HOME = {name: f"acclimate.{module}" for module, names in _EXPORTS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "shifts":
        return importlib.import_module("acclimate.shifts")
    value = getattr(importlib.import_module(_home(name)), name)
    globals()[name] = value
    return value


def _home(name: str) -> str:
    """Return the module of a public name; those of methods, shifts and wrappers stand in the tables of names."""
    if name in _HOME:
        return _HOME[name]
    if name in __all__:
        from acclimate.registry import METHODS, SHIFTS, WRAPPERS

        return next(homes[name] for table in (METHODS, SHIFTS, WRAPPERS) if name in (homes := table.homes()))
    raise AttributeError(f"module `acclimate` has no attribute `{name}`")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
