"""What methods can do in the training of TRPO, where no optimizer steps the actor.

TRPO moves its actor, and features that the actor shares, along a natural gradient, as far as a line search lets it.
Only its critic has an optimizer. So methods may change what the actor computes and which of its weights are trained,
and do all that there is to do to the critic; what enters the actor's loss, gradients or learning rates has no place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sb3_contrib import TRPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch.nn import Parameter

from acclimate.errors import SurgeryError
from acclimate.nets.net import Net
from acclimate.tuning.composition import Composition, Part
from acclimate.tuning.method import Signals

_HOOKS = (
    (("weight_penalty", "output_penalty", "module_penalty"), "adds to the actor's loss"),
    (("gradient",), "edits the actor's gradients"),
    (("after",), "acts after each of the actor's steps"),
)


def searches(model: BaseAlgorithm) -> bool:
    """Tell whether a model moves its actor by a line search."""
    return isinstance(model, TRPO)


def objection(model: BaseAlgorithm, composition: Composition) -> str | None:
    """Say why methods in place need an optimizer of the actor where a model has none; None where all works."""
    return _objection(composition) if searches(model) else None


def check(model: BaseAlgorithm, composition: Composition) -> None:
    """Refuse methods in place that need an optimizer of the actor, where a model has none.

    Raises:
        SurgeryError: naming the method and what it needs.
    """
    if reason := objection(model, composition):
        raise SurgeryError(f"{reason}; tune the agent as PPO")


@contextmanager
def trained_alone(model: BaseAlgorithm) -> Iterator[None]:
    """Let an update by a line search see only what is trained: TRPO differentiates by all that its policy names."""
    if not searches(model):
        yield
        return
    policy: Any = model.policy
    named = policy.named_parameters

    def trained(*args: Any, **kwargs: Any) -> Iterator[tuple[str, Parameter]]:
        return ((name, parameter) for name, parameter in named(*args, **kwargs) if parameter.requires_grad)

    policy.named_parameters = trained
    try:
        yield
    finally:
        del policy.named_parameters


def _objection(composition: Composition) -> str | None:
    for part, view in composition.each():
        if view.on_policy and view.parameters() and (does := _needs(part, view)):
            return f"`{part.method.name}` {does}, and TRPO's actor has no optimizer"
    parameters = {p: None for net in composition.nets for p in net.parameters()}
    scales = composition.scales(parameters)
    for role, searched in (("actor", True), ("critic", False)):
        nets = [net for net in composition.nets if net.on_policy is searched]
        if not any(scales[parameter] > 0 for net in nets for parameter in net.parameters()):
            return f"all of the {role} is frozen, and TRPO trains it apart from the rest"
    return None


def _needs(part: Part, view: Net) -> str | None:
    """Say for what a method needs an optimizer of this network."""
    method = part.method
    for hooks, does in _HOOKS:
        if method.has(*hooks):
            return does
    if not method.has("scales"):
        return None
    # 0 and 1 choose what is trained; anything else is a length of steps, which the line search finds by itself.
    scales = method.scales(view, part.states[view.role], Signals()).values()
    return None if method.steady and set(scales) <= {0.0, 1.0} else "sets the actor's learning rates"
