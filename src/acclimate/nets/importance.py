"""How much what a network does depends on each of its weights, on given states.

Everything here is exact: no action is sampled, and each state counts by itself, so that gradients of different states
do not cancel. It takes one forward pass for each state, and one backward pass for all outputs at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F  # noqa: N812 (PyTorch's own name for it)

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch
from acclimate.nets.modes import still, trainable
from acclimate.nets.net import Layer, Net
from acclimate.nets.outputs import (
    ActionValues,
    Bernoulli,
    Categorical,
    Drawn,
    Gaussian,
    Outputs,
    Point,
    Policy,
    Values,
    as_policy,
)


def fisher_diagonal(net: Net, batch: Batch, *, temperature: float = 1.0, std: float = 0.2) -> dict[Parameter, Tensor]:
    """Return the diagonal of the policy's Fisher information: mean_s sum_jk J_ji F_jk J_ki for weight i.

    J is the Jacobian of the distribution's parameters in the weights, and F their Fisher information in closed form:
    1 / std^2 for a mean and 2 for a log std, diag(p) - p p^T for logits, p (1 - p) for log odds. A squashed Gaussian
    has the information that it has before squashing.

    Args:
        net: its parameters in view are asked about, frozen ones too, in evaluation mode.
        batch: states as the network reads them now.
        temperature: of the softmax over action values, in units of value.
        std: of the normal distribution around a single action, in units of the action.

    Raises:
        SurgeryError: if the network puts out no policy.
    """

    def factors(outputs: Outputs) -> Tensor:
        return information_factors(as_policy(outputs, temperature=temperature, std=std))

    squares = {p: torch.zeros_like(p) for p in net.parameters()}
    for gradients in _by_state(net, batch, factors):
        for parameter, gradient in gradients.items():
            squares[parameter] += gradient.square().sum(0)
    return {p: total / len(batch) for p, total in squares.items()}


def sensitivity(net: Net, batch: Batch) -> dict[Parameter, Tensor]:
    """Return mean_s |d ||f(s)||^2 / d theta_i| for each weight i, where f is all that the network puts out.

    Args:
        net: its parameters in view are asked about, frozen ones too, in evaluation mode.
        batch: states, and actions where the network reads them, as it reads them now.
    """
    sizes = {p: torch.zeros_like(p) for p in net.parameters()}
    for gradients in _by_state(net, batch, lambda outputs: flat(outputs).square().sum(-1, keepdim=True)):
        for parameter, gradient in gradients.items():
            sizes[parameter] += gradient.abs().sum(0)
    return {p: total / len(batch) for p, total in sizes.items()}


def anchored(net: Net, importance: dict[Parameter, Tensor], *, floor: float = 0.0) -> dict[str, Any]:
    """Return a state: the pretrained weights in view as they are now, and their importance, at least `floor`."""
    own = net.pretrained_parameters()
    return {
        "anchor": {p: p.detach().clone() for p in own},
        "importance": {p: importance[p].clamp_min(floor) for p in own},
    }


def weighted_distance(state: dict[str, Any]) -> Tensor:
    """Return the squared distance to the anchors of `anchored`, each weight by its importance."""
    importance = state["importance"]
    terms = [(importance[p] * (p - anchor).square()).sum() for p, anchor in state["anchor"].items()]
    return torch.stack(terms).sum()


def information_factors(policy: Policy) -> Tensor:
    """Return (batch, k) numbers, the sum of whose squared gradients is the Fisher information of each row.

    Example:
        >>> policy = Bernoulli(torch.zeros(1, 1, requires_grad=True))
        >>> torch.autograd.grad(information_factors(policy).sum(), policy.logits)[0].square()
        tensor([[0.2500]])
    """
    if isinstance(policy, Drawn):
        raise SurgeryError(
            f"the Fisher information of a {type(policy.distribution).__name__} is not known; choose methods that do "
            "without it"
        )
    if isinstance(policy, Gaussian):
        log_std = policy.log_std.expand_as(policy.mean)
        return torch.cat([policy.mean / log_std.detach().exp(), math.sqrt(2.0) * log_std], -1)
    if isinstance(policy, Categorical):
        choices = [F.log_softmax(part, -1) for part in policy.logits.split(policy.sizes or policy.logits.shape[-1], -1)]
        return torch.cat([log_p * (0.5 * log_p).exp().detach() for log_p in choices], -1)
    spread = policy.logits.sigmoid() * (-policy.logits).sigmoid()
    return policy.logits * spread.sqrt().detach()


def flat(outputs: Outputs) -> Tensor:
    """Return all that a network puts out, (batch, k): of a Gaussian the means, then the log stds.

    Of a distribution of another kind it is the likeliest action.
    """
    match outputs:
        case Drawn():
            return outputs.actions(True).flatten(1)
        case Gaussian(mean, log_std):
            return torch.cat([mean, log_std.expand_as(mean)], -1)
        case Categorical(logits=numbers) | Bernoulli(logits=numbers):
            return numbers
        case Point(action=numbers) | ActionValues(values=numbers) | Values(values=numbers):
            return numbers


def _by_state(net: Net, batch: Batch, numbers: Callable[[Outputs], Tensor]) -> Iterator[dict[Parameter, Tensor]]:
    """Yield for each state the gradients, (k, *shape), of the k numbers that follow from its outputs."""
    parameters = net.parameters()
    with still(tuple(net.module.modules())), trainable(parameters):
        for row in range(len(batch)):
            with torch.enable_grad():
                out = numbers(net.apply(net.module, batch.rows(slice(row, row + 1))))[0]
            each = torch.eye(len(out), dtype=out.dtype, device=out.device)
            found = torch.autograd.grad(out, parameters, each, is_grads_batched=True, allow_unused=True)
            yield {p: gradient for p, gradient in zip(parameters, found, strict=True) if gradient is not None}


def rows(layer: Layer) -> list[Parameter]:
    """Return the stored weight and bias of a layer; their first dimension is that of its output channels."""
    stored = (layer.module._parameters.get(name) for name in ("weight", "bias"))
    return [parameter for parameter in stored if parameter is not None]


def channel_fisher(net: Net, batch: Batch, *, temperature: float, std: float) -> list[tuple[Layer, Tensor]]:
    """Return each layer in view with the Fisher information of the policy, (out,), summed over a channel's weights.

    Args:
        net: a network that puts out a policy.
        batch: states as the network reads them now.
        temperature: of the softmax over action values, in units of value.
        std: of the normal distribution around a single action, in units of the action.
    """
    fisher = fisher_diagonal(net, batch, temperature=temperature, std=std)
    return [
        (layer, torch.stack([fisher[p].reshape(len(p), -1).sum(1) for p in rows(layer)]).sum(0))
        for layer in net.layers()
    ]


def refuse_critics(net: Net, name: str) -> None:
    """Refuse a network that puts out no policy, which has no Fisher information.

    Raises:
        SurgeryError: naming the method.
    """
    if not net.puts_out_policy:
        raise SurgeryError(
            f"`{name}` on `{net.role}`: it ranks channels by the Fisher information of a policy, and this network "
            "puts out none; choose the actor, or a Q-network"
        )
