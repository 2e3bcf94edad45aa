"""A guard as one file: tensors and, in its header, JSON (safetensors). Nothing is executed when it is read."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from gymnasium import spaces
from torch import Tensor, nn

from acclimate.config import convert, from_dict
from acclimate.errors import AcclimateError, SourceError, UnsafeFileError
from acclimate.files import bounded
from acclimate.files import spaces as described
from acclimate.files.atomic import write_atomic
from acclimate.files.plain import read_json
from acclimate.guard.features import Features, Standard
from acclimate.guard.filter import Filter, Hysteresis
from acclimate.guard.guard import Calibration, Guard
from acclimate.guard.layout import Layout
from acclimate.guard.release import FALLBACKS, Release, limits
from acclimate.guard.tiers import lasting, tier, voting
from acclimate.guard.tiers.reasons import Reason, reasons

FORMAT, VERSION = "acclimate-guard", 1
MOST_BYTES = 256 * 2**20
MOST_WINDOW = 1000
MOST_NORM = 1e12
"""The largest number of what was learnt; products of it stay in 32 bits."""

SHAPES: dict[str, tuple[str, ...]] = {
    "neutral": ("entries",),
    "limits": ("tiers",),
    "standard/mean": ("features",),
    "standard/gain": ("features",),
    "bounds/low": ("entries",),
    "bounds/high": ("entries",),
    "bounds/width": ("entries",),
    "rate/slowness": ("features",),
    "mahalanobis/mean": ("features",),
    "mahalanobis/whiten": ("features", "features"),
    "latent/mean": ("units",),
    "latent/whiten": ("units", "units"),
    "knn/references": ("references", "features"),
    "statistics/mean": ("moments",),
    "statistics/gain": ("moments",),
    "uncertainty/first": ("networks", "features", "hidden"),
    "uncertainty/shift": ("networks", "one", "hidden"),
    "uncertainty/heads": ("networks", "hidden", "outputs"),
    "dropout/masks": ("masks", "inner"),
    "dropout/gain": ("outputs",),
    "safe": ("numbers",),
    "step": ("numbers",),
}
"""Every tensor of a file with its axes; an axis of one name is as long everywhere."""

KINDS: Mapping[Reason, Callable[..., tier.Tier]] = {
    Reason.NOT_FINITE: tier.NotFinite,
    Reason.BOUNDS: tier.Bounds,
    Reason.RATE: tier.Rate,
    Reason.MAHALANOBIS: tier.Mahalanobis,
    Reason.LATENT: tier.Latent,
    Reason.KNN: tier.Nearest,
    Reason.STATISTICS: lasting.Statistics,
    Reason.SEQUENCE: lasting.Sequence,
    Reason.UNCERTAINTY: voting.Ensemble,
}


def save(guard: Guard, path: str | os.PathLike[str]) -> Path:
    """Write a guard, whole or not at all, and return where.

    Raises:
        ConfigError: The place cannot be written.
    """
    found: list[tuple[str, nn.Module]] = [("standard", guard.filter.standard)]
    found += [(_prefix(each.reason, isinstance(each, voting.Dropped)), each) for each in guard.filter.tiers]  # type: ignore[arg-type]
    tensors = {f"{name}/{key}": value for name, module in found for key, value in module.state_dict().items()}
    tensors |= {"neutral": guard.filter.neutral, "limits": guard.filter.limits}
    tensors |= {"safe": guard.release.safe, "step": guard.release.step}
    windows = [each.window for each in guard.filter.tiers if isinstance(each, lasting.Statistics)]
    header = {
        "format": FORMAT,
        "version": VERSION,
        "observation_space": described.to_json(guard.observation_space),
        "action_space": described.to_json(guard.action_space),
        "tiers": [reason.word for reason in guard.filter.reasons],
        "window": windows[0] if windows else 0,
        "hysteresis": dataclasses.asdict(guard.filter.hysteresis),
        "fallback": guard.release.fallback,
        "calibration": dataclasses.asdict(guard.calibration),
    }
    contents = {name: value.contiguous() for name, value in tensors.items()}
    write_atomic(path, safetensors.torch.save(contents, {FORMAT: json.dumps(header)}))
    return Path(path)


def load(path: str | os.PathLike[str]) -> Guard:
    """Return the guard in a file; nothing in it is executed.

    Raises:
        UnsafeFileError: It is too large, or claims what is none of a guard.
        SourceError: It is missing, damaged or no guard.
    """
    try:
        data = bounded.read(Path(path), MOST_BYTES)
        size = int.from_bytes(data[:8], "little")
        header = read_json(read_json(data[8 : 8 + size].decode())["__metadata__"][FORMAT])
        if header["version"] != VERSION:
            raise ValueError(f"it is of version {str(header['version'])[:20]}, and {VERSION} is read")
        return _guard(header, safetensors.torch.load(data))
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{path}: {error}") from error
    except (
        OSError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError, AcclimateError,
        safetensors.SafetensorError,
    ) as error:  # fmt: skip
        said = " ".join(str(error).split())[:160]
        raise SourceError(f"{path}: no guard that can be read ({said}); fit it again.") from error


def _guard(header: Mapping[str, Any], tensors: dict[str, Tensor]) -> Guard:
    observations, actions = (described.from_json(header[f"{name}_space"]) for name in ("observation", "action"))
    layout, found = Layout(observations), reasons(convert(list[str], header["tiers"], "tiers"))
    _check(tensors, found, layout, actions)
    first, last = layout.choices()
    neutral = tensors["neutral"].numpy()
    whole = np.isinf(first) | (neutral == neutral.round())
    if not ((neutral >= first) & (neutral <= last) & whole).all():
        raise ValueError("what stands for an observation is none")
    window = convert(int, header["window"], "window")
    if not 0 <= window <= MOST_WINDOW:
        raise ValueError(f"a window of {window} steps")
    plain: dict[Reason, dict[str, Any]] = {
        Reason.STATISTICS: {"window": max(window, 2)},
        Reason.SEQUENCE: {"features": len(Features(layout))},
    }
    dropped = "dropout/masks" in tensors
    parts = {reason: _of(_prefix(reason, dropped), tensors) for reason in found}
    made = [_kind(reason, dropped)(**held, **plain.get(reason, {})) for reason, held in parts.items()]
    whole = Filter(
        layout,
        Standard(**_of("standard", tensors)),
        made,
        tensors["neutral"],
        from_dict(Hysteresis, header["hysteresis"], path="hysteresis"),
    )
    whole.limits.copy_(tensors["limits"])
    if header["fallback"] not in FALLBACKS:
        raise ValueError(f"no fallback {str(header['fallback'])[:40]!r}")
    low, high = (torch.from_numpy(bound) for bound in limits(actions))
    if not ((tensors["safe"] >= low) & (tensors["safe"] <= high)).all():
        raise ValueError("its safe action is none of the action space")
    release = Release(low, high, tensors["safe"], tensors["step"], header["fallback"])
    calibration = from_dict(Calibration, header["calibration"], path="calibration")
    return Guard(observations, actions, whole, release, calibration)


def _prefix(reason: Reason, dropped: bool) -> str:
    """Return the name of a tier's tensors; those of `uncertainty` tell which of the two it is."""
    return "dropout" if reason is Reason.UNCERTAINTY and dropped else reason.word


def _kind(reason: Reason, dropped: bool) -> Callable[..., tier.Tier]:
    return voting.Dropped if reason is Reason.UNCERTAINTY and dropped else KINDS[reason]


def _of(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.split("/")[1]: value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


def _check(tensors: Mapping[str, Tensor], found: tuple[Reason, ...], layout: Layout, actions: spaces.Space) -> None:
    """Check that these are the tensors of such a guard: all of them, no others, in their shapes, with sound numbers."""
    words = {"standard", *(_prefix(reason, "dropout/masks" in tensors) for reason in found)}
    wanted = {name: axes for name, axes in SHAPES.items() if "/" not in name or name.split("/")[0] in words}
    if tensors.keys() != wanted.keys():
        odd = min(tensors.keys() ^ wanted.keys())
        raise ValueError(f"the tensor {odd[:60]!r} is {'none of it' if odd in tensors else 'missing'}")
    features = len(Features(layout))
    sizes = {"entries": layout.size, "features": features, "moments": 3 * features, "tiers": len(found)}
    sizes |= {"numbers": len(limits(actions)[0]), "one": 1}
    for name, axes in wanted.items():
        tensor = tensors[name]
        shape = tuple(sizes.setdefault(axis, size) for axis, size in zip(axes, tensor.shape, strict=False))
        if tensor.dtype != torch.float32 or tensor.shape != shape:
            raise ValueError(f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)}, not 32-bit floats of {shape}")
        # Of actions any change may be allowed.
        sound = tensor.abs() <= (np.inf if name == "step" else MOST_NORM)
        if (
            not sound.all()
            or (name in _POSITIVE and not (tensor > 0).all())
            or (name == "limits" and tensor.lt(0).any())
        ):
            raise ValueError(f"{name} holds a number that no guard has")
    if sizes.get("references", tier.Nearest.NEIGHBOURS) < tier.Nearest.NEIGHBOURS:
        raise ValueError("it has too few references")


_POSITIVE = ("bounds/width", "step")
