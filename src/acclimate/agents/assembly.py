"""Parts become a model: built as they describe, and filled strictly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.agents.graft import graft
from acclimate.errors import SourceError, SurgeryError, UnsafeFileError
from acclimate.sb3.building import Bound
from acclimate.sb3.optimizers import follow, load_state
from acclimate.sb3.parts import Parts


def assemble(parts: Parts, *, device: str | torch.device = "cpu") -> tuple[BaseAlgorithm, tuple[tuple[str, str], ...]]:
    """Build the model that `parts` describe and put its weights in, strictly; return it and what did not fit it.

    What did not fit are states of optimizers, each with its name and the reason.

    Raises:
        SourceError: The weights are not those of the described network.
        UnsafeFileError: The described network is far larger than its weights.
    """
    blueprint, where = parts.blueprint, parts.where
    # What is drawn is thrown away; the caller's random numbers must not depend on it.
    try:
        with torch.random.fork_rng(devices=[]), Bound(parts.weights, where):
            model = blueprint.build(device=device)
            graft(model, parts.methods)
    except UnsafeFileError:
        raise
    except (SourceError, SurgeryError) as error:
        raise SourceError(f"{where}: {error}") from error
    _load_weights(model, parts.weights, where)
    tried = [(name, load_state(follow(model, name), state)) for name, state in parts.optimizers.items()]
    for name, value in parts.variables.items():
        target = getattr(model, name, None)
        if isinstance(target, torch.Tensor) and target.shape == value.shape:
            target.data = value.detach().to(target.device, target.dtype)
    for name, count in parts.counters.items():
        setattr(model, name, count)
    return model, tuple((name, reason) for name, reason in tried if reason)


def _load_weights(model: BaseAlgorithm, weights: Mapping[str, torch.Tensor], where: str) -> None:
    expected = model.policy.state_dict()
    missing, extra = sorted(expected.keys() - weights.keys()), sorted(weights.keys() - expected.keys())
    if missing or extra:
        lacks = f"lacks {_some(missing)}" if missing else ""
        has = f"has {_some(extra)} that the network does not" if extra else ""
        raise SourceError(
            f"{where}: its weights do not fit its network: it {' and '.join(filter(None, [lacks, has]))}."
        )
    for name, tensor in expected.items():
        found, wanted = tuple(weights[name].shape), tuple(tensor.shape)
        if found != wanted:
            raise SourceError(f"{where}: `{name}` has the shape {found}, its network takes {wanted}.")
        if not torch.isfinite(weights[name]).all():
            raise SourceError(f"{where}: `{name}` is not finite, the agent diverged; load an earlier checkpoint.")
    model.policy.load_state_dict(weights, strict=True)
    if hasattr(model, "weights"):  # ARS perturbs this flat copy.
        model.weights = torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach()


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name[:60]}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
