"""Operators of torch that its documentation does not promise: only this file names them, and tries them before use.

The first engine of a process that may use one asks it for a few small results that public operations give as well. One
that is absent, raises, or answers otherwise beyond rounding is not used: whoever asks for it is given None and goes the
public way, and `without` says why, for the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial, reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Function = Callable[..., Any]
Answers = Iterator[tuple[Tensor, Tensor]]
"""What an operator answers, each beside what public operations do."""

ADAM = "_fused_adam_"
LINEAR = "ops.mkldnn._linear_pointwise"
CONVOLUTION = "ops.mkldnn._convolution_pointwise"
RELU_BACK = "ops.aten.threshold_backward"
CONVOLUTION_BACK = "ops.aten.convolution_backward"
_EACH = "_foreach_"

ARRAYS = (ADAM, RELU_BACK)
"""What every update may use; products have an operator of their own."""
CONVOLUTIONS = (CONVOLUTION, CONVOLUTION_BACK)
"""What convolutions may use."""

_ONEDNN = torch.backends.mkldnn.is_available()
_WIDE = _ONEDNN and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
WANTED = {LINEAR: _WIDE, CONVOLUTION: _ONEDNN}
"""Whether it is of any use on this CPU; an operator that does not stand here is."""

CLOSE = {torch.float32: 1e-5, torch.float64: 1e-12}
"""How far an answer may be from the public one, over the largest number of that."""


def operator(name: str, device: str = "cpu") -> Function | None:
    """Return an operator that answers as public operations do, None where there is none or it is of no use.

    Args:
        name: one of those above.
        device: the type of the device that it will run on.
    """
    return _tried(name, device)[0]


def without(names: Sequence[str], device: str = "cpu") -> str:
    """Return which of some operators would be of use and are not used, and why, as the end of a sentence."""
    missed = [(name, why) for name in names if (why := _tried(name, device)[1])]
    return "; without " + ", ".join(f"`torch.{name}` ({why})" for name, why in missed) if missed else ""


@cache
def _tried(name: str, device: str) -> tuple[Function | None, str]:
    """Return an operator, or None and why; once a process, as nothing of it depends on the agent."""
    if not WANTED.get(name, True):
        return None, ""
    found = _found(name)
    if found is None:
        return None, "absent"
    try:
        for answer, public in _TRIALS[name](found, torch.device(device)):
            if not (apart := _apart(answer, public)) <= CLOSE[public.dtype]:
                return None, f"{apart:.1e} off in a trial"
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        return None, f"it raised {type(error).__name__}: {next(iter(str(error).splitlines()), 'no reason')}"
    return found, ""


def _found(name: str) -> Function | None:
    """Return what torch has under a dotted name, None if it has nothing there."""
    try:
        return reduce(getattr, name.split("."), torch)  # type: ignore[return-value]
    except AttributeError:
        return None


def _apart(answer: Tensor, public: Tensor) -> float:
    """Return how far two tensors are apart, over the largest number of the second one."""
    if answer.shape != public.shape or answer.dtype != public.dtype:
        return math.inf
    return float((answer - public).abs().max() / public.abs().max())


def adam(
    values: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    count: int,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    eps: float,
) -> None:
    """Take Adam's step in public operations, in the order in which `torch.optim.Adam` takes it for one tensor.

    Args:
        values: to be moved.
        gradient: at these.
        first: the first moment.
        second: the second one.
        count: of this step, from 1 on.
        lr: the learning rate.
        beta1: the first moment's decay.
        beta2: the second one's.
        weight_decay: added to the gradient, times the values.
        eps: added to the root of the second moment.
    """
    if weight_decay:
        gradient = gradient.add(values, alpha=weight_decay)
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    size, root = lr / (1 - beta1**count), (1 - beta2**count) ** 0.5
    values.addcdiv_(first, (second.sqrt() / root).add_(eps), value=-size)


def each(name: str, tensors: Sequence[Tensor], *others: Any, **more: Any) -> Any:
    """Do the same to each of several tensors: by one operator for all of them, or by its public form one by one.

    Args:
        name: of the tensors' method.
        tensors: they are on one device.
        others: what it is given: a list has one for each tensor, anything else is for all.
        more: the same by name, for all.
    """
    run = operator(f"{_EACH}{name}", tensors[0].device.type)
    return (partial(_one_by_one, name) if run is None else run)(tensors, *others, **more)


def _one_by_one(name: str, tensors: Sequence[Tensor], *others: Any, **more: Any) -> list[Tensor]:
    return [
        getattr(tensor, name)(*(other[place] if isinstance(other, list) else other for other in others), **more)
        for place, tensor in enumerate(tensors)
    ]


# The trials


def _numbers(*shape: int, of: float = 0.0, dtype: torch.dtype = torch.float32, device: Any = None) -> Tensor:
    """Return numbers between -1 and 1 that look like chance; the chance of a run is left as it is."""
    count = math.prod(shape)
    places = torch.arange(1, count + 1, dtype=torch.float64, device="cpu")
    return (places * 2.4 + of).sin().reshape(shape).to(dtype).to(device)


@torch.no_grad()
def _by_adam(run: Function, device: torch.device) -> Answers:
    for size, count, decay, dtype in (
        (1, 1, 0.0, torch.float32),
        (7, 2, 0.1, torch.float32),
        (40, 9, 0.1, torch.float64),
    ):
        values, gradient, first, second = (_numbers(size, of=i, dtype=dtype) for i in range(4))
        ours = [values, gradient, first, second.square()]
        public = [tensor.clone() for tensor in ours]
        options = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": decay, "eps": 1e-8}
        lists = [[tensor] for tensor in ours]
        run(*lists, [], [torch.tensor(float(count))], **options, amsgrad=False, maximize=False)
        adam(*public, count, **options)
        yield from zip(ours, public, strict=True)


@torch.no_grad()
def _by_linear(run: Function, device: torch.device) -> Answers:
    for rows, into, out in ((3, 5, 4), (16, 17, 33), (32, 64, 8)):
        x, weight, bias, gradient = (
            _numbers(*shape, of=i) for i, shape in enumerate(((rows, into), (out, into), (out,), (rows, out)))
        )
        yield run(x, weight, bias, "none", [], ""), x @ weight.t() + bias
        yield run(x, weight, bias, "relu", [], ""), (x @ weight.t() + bias).relu()
        yield run(gradient, weight.t(), None, "none", [], ""), gradient @ weight
        yield run(gradient.t(), x.t(), None, "none", [], ""), gradient.t() @ x


@torch.no_grad()
def _by_relu_back(run: Any, device: torch.device) -> Answers:
    for shape, dtype in (((9,), torch.float32), ((3, 7), torch.float32), ((4, 5), torch.float64)):
        gradient, out = _numbers(*shape, dtype=dtype), _numbers(*shape, of=1.0, dtype=dtype).relu()
        public = gradient * (out > 0)
        yield run(gradient, out, 0), public
        run.grad_input(gradient, out, 0, grad_input=gradient)
        yield gradient, public


# (channels in, out, size, kernel, padding, stride, dilation, groups)
_GEOMETRIES = ((2, 3, 6, 3, 1, 1, 1, 1), (4, 6, 8, 4, 0, 2, 1, 2), (1, 4, 9, 3, 2, 1, 2, 1))


def _convolved(dtype: torch.dtype, geometry: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, tuple[Any, ...]]:
    """Return images and weights with the channels of a pixel side by side, a bias, and what a convolution is told."""
    into, out, size, kernel, padding, stride, dilation, groups = geometry
    x = _numbers(2, into, size, size, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = _numbers(out, into // groups, kernel, kernel, of=1.0, dtype=dtype)
    told = [padding] * 2, [stride] * 2, [dilation] * 2, groups
    return x, weight.contiguous(memory_format=torch.channels_last), _numbers(out, of=2.0, dtype=dtype), told


@torch.no_grad()
def _by_convolution(run: Function, device: torch.device) -> Answers:
    for geometry in _GEOMETRIES:
        x, weight, bias, (padding, stride, dilation, groups) = _convolved(torch.float32, geometry)
        public = torch.conv2d(x, weight, bias, stride, padding, dilation, groups).relu_()
        yield run(x, weight, bias, padding, stride, dilation, groups, "relu", [], ""), public


@torch.no_grad()
def _by_convolution_back(run: Function, device: torch.device) -> Answers:
    for geometry, dtype in zip(_GEOMETRIES, (torch.float32, torch.float32, torch.float64), strict=True):
        x, weight, bias, (padding, stride, dilation, groups) = _convolved(dtype, geometry)
        out = torch.conv2d(x, weight, bias, stride, padding, dilation, groups)
        gradient = _numbers(*out.shape, of=3.0, dtype=dtype).contiguous(memory_format=torch.channels_last)
        told = [len(weight)], stride, padding, dilation, False, [0, 0], groups, [True] * 3
        inward, of_weight, of_bias = run(gradient, x, weight, *told)
        yield of_bias, gradient.sum((0, 2, 3))
        kernel = {"kernel_size": weight.shape[2:], "dilation": dilation, "padding": padding, "stride": stride}
        for place, parts in enumerate(
            zip(gradient.chunk(groups, 1), x.chunk(groups, 1), weight.chunk(groups), strict=True)
        ):
            public = _unfolded(*parts, kernel)
            yield inward.chunk(groups, 1)[place], public[0]
            yield of_weight.chunk(groups)[place], public[1]


def _unfolded(gradient: Tensor, x: Tensor, weight: Tensor, kernel: Any) -> tuple[Tensor, Tensor]:
    """Return a convolution's gradients at images and weights by products; autograd's would import torch's compiler."""
    rows, columns = gradient.flatten(2), functional.unfold(x, **kernel)
    of_weight = (rows @ columns.transpose(1, 2)).sum(0).reshape(weight.shape)
    return functional.fold(weight.flatten(1).t() @ rows, x.shape[2:], **kernel), of_weight


# What each is given in the updates on a device: other lists, one number for all, and a tensor of one number.
_LISTS: dict[str, Callable[[Any, Any, Any], list[tuple[tuple[Any, ...], dict[str, Any]]]]] = {
    "add": lambda one, two, number: [((one,), {"alpha": 0.3}), ((0.3,), {})],
    "add_": lambda one, two, number: [((one,), {"alpha": 0.3}), ((0.3,), {})],
    "addcmul_": lambda one, two, number: [((one, two), {"value": 0.3})],
    "div": lambda one, two, number: [((one,), {})],
    "div_": lambda one, two, number: [((number,), {})],
    "lerp_": lambda one, two, number: [((one, 0.3), {})],
    "mul_": lambda one, two, number: [((0.3,), {}), ((number,), {})],
    "sqrt": lambda one, two, number: [((), {})],
    "sub_": lambda one, two, number: [((one,), {})],
}
LISTS = tuple(f"{_EACH}{name}" for name in _LISTS)
"""What updates on a device may use, by `each`."""


@torch.no_grad()
def _by_list(name: str, run: Function, device: torch.device) -> Answers:
    def lists(of: float) -> list[Tensor]:
        return [_numbers(*shape, of=of, device=device).square() + 0.5 for shape in ((3,), (2, 4), (1, 5, 2))]

    for others, more in _LISTS[name](lists(1.0), lists(2.0), torch.tensor(0.3, device=device)):
        ours, public = lists(0.0), lists(0.0)
        answer, wanted = run(ours, *others, **more), _one_by_one(name, public, *others, **more)
        yield from zip(ours if name.endswith("_") else answer, wanted, strict=True)


_TRIALS: dict[str, Callable[[Function, torch.device], Answers]] = {
    ADAM: _by_adam,
    LINEAR: _by_linear,
    RELU_BACK: _by_relu_back,
    CONVOLUTION: _by_convolution,
    CONVOLUTION_BACK: _by_convolution_back,
    **{f"{_EACH}{name}": partial(_by_list, name) for name in _LISTS},
}
