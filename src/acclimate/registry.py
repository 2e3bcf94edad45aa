"""Names of methods, shifts and wrappers, and the only way from a name to a class.

A file or a flag holds names, never import paths: a name resolves through one of the tables below or through
an entry point of an installed package, so reading a recipe cannot import what its author chose.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from typing import Any

from acclimate.config import from_dict, to_dict
from acclimate.errors import ConfigError, shown, suggest


class Registry:
    """A table of the classes of one kind, imported when they are asked for.

    Example:
        >>> words = Registry("schedule", {"linear": "acclimate.schedule:Linear"})
        >>> words.names()
        ('linear',)
    """

    def __init__(self, kind: str, entries: Mapping[str, str], *, entry_points: str | None = None) -> None:
        """Hold `entries`, and what installed packages offer under `entry_points`.

        Args:
            kind: the singular noun that errors use.
            entries: "module:Class" by name; they win over entry points of the same name.
            entry_points: the entry point group by which third parties register, None for none.
        """
        self.kind = kind
        self._entries = dict(entries)
        self._group = entry_points

    @cached_property
    def _found(self) -> dict[str, metadata.EntryPoint]:
        if self._group is None:
            return {}
        return {point.name: point for point in metadata.entry_points(group=self._group)}

    def names(self) -> tuple[str, ...]:
        """List the names: our own in the order of the table, then those of entry points."""
        return (*self._entries, *sorted(set(self._found) - set(self._entries)))

    def homes(self) -> dict[str, str]:
        """Return the module of each class of our own, by the class's name."""
        pairs = (entry.partition(":") for entry in self._entries.values())
        return {attribute: module for module, _, attribute in pairs}

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> type:
        """Import and return the class called `name`.

        Raises:
            ConfigError: if there is no such name (with a suggestion), or its package does not import.
        """
        if name in self._entries:
            module, _, attribute = self._entries[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        if name not in self._found:
            raise ConfigError(f"no {self.kind} `{name}`. {suggest(str(name), self.names())}")
        point = self._found[name]
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"the {self.kind} `{name}` of {point.value} does not import ({error}): repair that package"
            ) from error

    def build(self, value: Any, path: str) -> Any:
        """Make an instance from its configuration: `name`, `{name: value}` or `{name: {field: value}}`.

        A value that is no mapping goes to the first field. A ready instance passes through.

        Args:
            value: what stands in the file or came from `parse_spec`.
            path: where it stands, for errors.

        Raises:
            ConfigError: if the name, a field or a value cannot be used; the message begins with `path`.
        """
        if hasattr(value, "to_config"):
            return value
        if isinstance(value, str):
            name, fields = value, {}
        elif isinstance(value, Mapping) and len(value) == 1:
            ((name, fields),) = value.items()
        else:
            raise ConfigError(
                f"{path}: expected a {self.kind} as `name` or `{{name: {{field: value}}}}`, not {shown(value)}"
            )
        if name not in self:
            raise ConfigError(f"{path}: no {self.kind} `{str(name)[:100]}`. {suggest(str(name), self.names())}")
        fields = {} if fields is None else fields
        return from_dict(self.get(name), fields, path=f"{path}.{name}")

    def config(self, instance: Any) -> str | dict[str, Any]:
        """Write an instance as `build` reads it: its name, or its name with all of its fields."""
        fields = to_dict(instance)
        return {instance.name: fields} if fields else instance.name


METHODS = Registry(
    "method",
    {
        "full": "acclimate.methods.full:Full",
        "freeze": "acclimate.methods.freeze:Freeze",
        "hold": "acclimate.methods.hold:Hold",
        "l2sp": "acclimate.methods.l2sp:L2SP",
        "kl": "acclimate.methods.kl:KLToPrior",
        "dropout": "acclimate.methods.dropout:Dropout",
        "channel": "acclimate.methods.channel:ChannelScale",
        "l2": "acclimate.methods.l2:L2",
        "ewc": "acclimate.methods.ewc:EWC",
        "mas": "acclimate.methods.mas:MAS",
        "bc": "acclimate.methods.bc:BC",
        "features": "acclimate.methods.features:FeatureDistillation",
        "wise": "acclimate.methods.wise:WiSE",
        "bitfit": "acclimate.methods.bitfit:BitFit",
        "film": "acclimate.methods.film:FiLM",
        "fisher-channels": "acclimate.methods.fisher_channels:FisherChannels",
        "channel-rates": "acclimate.methods.channel_rates:ChannelRates",
        "last-layer": "acclimate.methods.last_layer:LastLayer",
        "surgical": "acclimate.methods.surgical:Surgical",
        "unfreeze": "acclimate.methods.unfreeze:Unfreeze",
        "discriminative": "acclimate.methods.discriminative:Discriminative",
        "kl-adaptive": "acclimate.methods.kl_adaptive:KLAdaptive",
        "plateau": "acclimate.methods.plateau:Plateau",
        "warmup": "acclimate.methods.warmup:Warmup",
        "cosine": "acclimate.methods.cosine:Cosine",
        "prior-replay": "acclimate.methods.prior_replay:PriorReplay",
        "offline": "acclimate.methods.offline:Offline",
        "jump-start": "acclimate.methods.jump_start:JumpStart",
        "policy-expansion": "acclimate.methods.policy_expansion:PolicyExpansion",
        "ia3": "acclimate.methods.ia3:IA3",
        "lora": "acclimate.methods.lora:LoRA",
        "dora": "acclimate.methods.dora:DoRA",
        "peft": "acclimate.methods.peft:PEFT",
        "residual": "acclimate.methods.residual:Residual",
        "side": "acclimate.methods.side:Side",
        "mixout": "acclimate.methods.mixout:Mixout",
        "droq": "acclimate.methods.droq:DroQ",
        "batchnorm": "acclimate.methods.batchnorm:BatchNorm",
        "head-reset": "acclimate.methods.head_reset:HeadReset",
        "shrink-perturb": "acclimate.methods.shrink_perturb:ShrinkPerturb",
        "redo": "acclimate.methods.redo:ReDo",
        "l2-init": "acclimate.methods.l2_init:L2Init",
        "smooth": "acclimate.methods.smooth:Smooth",
    },
    entry_points="acclimate.methods",
)

SHIFTS = Registry(
    "shift",
    {
        "gravity": "acclimate.shifts.physics:Gravity",
        "friction": "acclimate.shifts.physics:Friction",
        "mass": "acclimate.shifts.physics:Mass",
        "damping": "acclimate.shifts.physics:Damping",
        "gear": "acclimate.shifts.physics:ActuatorGear",
        "joint_limits": "acclimate.shifts.joints:JointLimits",
        "broken_joint": "acclimate.shifts.joints:BrokenJoint",
        "length": "acclimate.shifts.physics:Length",
        "pole_mass": "acclimate.shifts.physics:PoleMass",
        "cart_mass": "acclimate.shifts.physics:CartMass",
        "force": "acclimate.shifts.physics:Force",
        "torque": "acclimate.shifts.physics:Torque",
        "speed": "acclimate.shifts.physics:Speed",
        "main_engine": "acclimate.shifts.physics:MainEngine",
        "side_engine": "acclimate.shifts.physics:SideEngine",
        "wind": "acclimate.shifts.wind:Wind",
        "turbulence": "acclimate.shifts.wind:Turbulence",
        "sensor_noise": "acclimate.shifts.sensors:SensorNoise",
        "sensor_bias": "acclimate.shifts.sensors:SensorBias",
        "sensor_dropout": "acclimate.shifts.sensors:SensorDropout",
        "sensor_permutation": "acclimate.shifts.sensors:SensorPermutation",
        "action_noise": "acclimate.shifts.actions:ActionNoise",
        "action_delay": "acclimate.shifts.actions:ActionDelay",
        "action_gain": "acclimate.shifts.actions:ActionGain",
        "reward_scale": "acclimate.shifts.rewards:RewardScale",
        "reward_weights": "acclimate.shifts.rewards:RewardWeights",
        "frame_skip": "acclimate.shifts.frames:FrameSkip",
    },
    entry_points="acclimate.shifts",
)

WRAPPERS = Registry(
    "wrapper",
    {
        "frame_stack": "acclimate.tasks.wrappers:FrameStack",
        "time_feature": "acclimate.tasks.wrappers:TimeFeature",
        "atari": "acclimate.tasks.wrappers:Atari",
        "mask_velocity": "acclimate.tasks.wrappers:MaskVelocity",
    },
    entry_points="acclimate.wrappers",
)
