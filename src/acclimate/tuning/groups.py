"""The parameter groups of one optimizer, by learning-rate scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from acclimate.nets.net import Net


class Groups:
    """Keeps an optimizer's groups as the scales want them, and acts around its steps.

    Moments live in the optimizer under the parameter, so regrouping keeps them; what is frozen loses its own.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        nets: Sequence[Net],
        *,
        before: Callable[[Groups], None],
        after: Callable[[Groups], None],
    ) -> None:
        """Take over the groups.

        Args:
            optimizer: it keeps being whose it was; only its groups are rewritten.
            nets: the networks that are at home here: what methods added to them is trained here.
            before: runs before each step, after clipping.
            after: runs after each step.
        """
        self.optimizer = optimizer
        self.nets = tuple(nets)
        self.original = [p for group in optimizer.param_groups for p in group["params"]]
        self.added = added(self.original, nets)
        self._options = [
            {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
        ]
        self._origin = {id(p): index for index, group in enumerate(optimizer.param_groups) for p in group["params"]}
        self._anchor: Parameter | None = None
        self._rates: list[float] = []
        self._before, self._after = before, after
        self._handles: list[RemovableHandle] = []
        self._watcher: tuple[Callable[[Groups], None], int] | None = None
        self._steps = 0
        self.hold()

    @property
    def members(self) -> list[Parameter]:
        """All that the optimizer may train: what it came with, then what methods added."""
        return [*self.original, *self.added]

    @property
    def learning_rate(self) -> float:
        """The rate of the first group, before its scale."""
        return float(self._rates[0] if self._rates else self.optimizer.param_groups[0]["lr"])

    def trained(self) -> list[Parameter]:
        """List the parameters that the next step moves."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def apply(self, scales: Mapping[Parameter, float]) -> None:
        """Rewrite the groups: one for each scale and each group there was; scale 0 is in none."""
        current = {group.get("origin", i): group for i, group in enumerate(self.optimizer.param_groups)}
        wanted: dict[tuple[int, float], list[Parameter]] = {}
        for parameter in self.members:
            scale = scales.get(parameter, 1.0)
            if scale == 0:
                # What leaves takes its moments along: an optimizer writes no state of what it does not hold.
                self.optimizer.state.pop(parameter, None)
            else:
                wanted.setdefault((self._origin.get(id(parameter), 0), scale), []).append(parameter)
        groups = []
        for (origin, scale), parameters in (wanted or {(0, 1.0): []}).items():
            live = {key: value for key, value in current.get(origin, {}).items() if key != "params"}
            options = {**self._options[origin], **live}
            groups.append({**options, "params": parameters, "scale": scale, "origin": origin})
        self.optimizer.param_groups[:] = groups
        self._set_anchor(bool(wanted))

    def _set_anchor(self, trains: bool) -> None:
        """Keep one gradient path where all is frozen: its owner calls `backward`, which fails without any."""
        self._anchor = None if trains else min(self.members, key=lambda p: p.numel())
        if self._anchor is not None:
            self._anchor.requires_grad_(True)

    def settle(self) -> None:
        """Drop the gradient of a parameter that is frozen but keeps a gradient path."""
        if self._anchor is not None:
            self._anchor.grad = None

    def forget(self, masks: dict[Parameter, Tensor]) -> None:
        """Set the moments of what is trained here to zero where a mask says so, and take the masks out."""
        for parameter in self.members:
            mask = masks.pop(parameter, None)
            for moment in self.optimizer.state.get(parameter, {}).values() if mask is not None else ():
                if isinstance(moment, Tensor) and moment.shape == mask.shape:
                    moment.masked_fill_(mask, 0.0)

    def hold(self) -> None:
        """Act around the optimizer's steps."""
        if not self._handles:
            self._handles = [
                self.optimizer.register_step_pre_hook(self._step_begins),
                self.optimizer.register_step_post_hook(self._step_ended),
            ]

    def release(self) -> None:
        """Stop acting around the optimizer's steps."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.settle()

    def watch(self, look: Callable[[Groups], None] | None, every: int = 1) -> None:
        """Let somebody look at the gradients before one step in `every`, after clipping; None ends it."""
        self._watcher, self._steps = (None if look is None else (look, every)), 0

    def look(self) -> None:
        """Show the gradients to who watches, if the step at hand is one to be looked at."""
        if self.due():
            self.show()

    def due(self) -> bool:
        """Count a step, and tell whether it is one to be looked at."""
        if self._watcher is None:
            return False
        self._steps += 1
        return self._steps % self._watcher[1] == 1 or self._watcher[1] == 1

    def show(self) -> None:
        """Show the gradients to who watches."""
        if self._watcher is not None:
            self._watcher[0](self)

    def around(self, step: Callable[[], None]) -> None:
        """Take a step that is none of the optimizer's own, with what runs before and after each."""
        self.settle()
        self._before(self)
        self.look()
        step()
        self._after(self)

    def _step_begins(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self.settle()
        self._before(self)
        self.look()
        self._rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * group["scale"]

    def _step_ended(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        for group, rate in zip(optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate
        self._rates = []
        self._after(self)


def added(original: Sequence[Parameter], nets: Sequence[Net]) -> list[Parameter]:
    """List the parameters of networks that an optimizer did not come with."""
    known = {id(p) for p in original}
    candidates = {id(p): p for net in nets for p in net.parameters()}
    return [p for key, p in candidates.items() if key not in known]
