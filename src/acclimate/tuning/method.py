"""The contract of a fine-tuning method.

A method is frozen data and optional hooks. It knows networks (`Net`), what training knows now (`Signals`) and
where to get more (`Context`); it does not know which algorithm, framework or loop runs it. Its state lives
outside of it: `init` returns it, `rollout` and `after` return the next one, and every other hook receives it
and may fill it in place.
A state is made of tensors, plain numbers, dicts, lists and tuples; what belongs to a parameter is kept under
the `Parameter` object, never under its name, which surgery changes.

Whoever runs a method goes through these phases, over all methods of a chain: every `inject`, then `scales`,
every `init`, training, every `fold` in reverse.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError, shown
from acclimate.nets.experience import Batch, Decision
from acclimate.nets.net import Net
from acclimate.nets.outputs import Outputs
from acclimate.nets.select import Select
from acclimate.registry import METHODS
from acclimate.tuning.context import Context


@dataclasses.dataclass
class Signals:
    """What training knows now. Whoever runs the training writes here, methods read."""

    progress: float = 0.0
    """The share of the run that is over, in environment steps: 0 at its first, 1 at its last."""
    env_steps: int = 0
    """Environment steps of this run."""
    rollout: int = 0
    """How many rollouts have begun; 0 before the first."""
    updates: int = 0
    """Optimizer steps of this run, those of all optimizers together."""
    learning_rate: float = 0.0
    """Of the optimizer at work, before the scale of a parameter."""
    approx_kl: float | None = None
    """Of the last update against the policy of its rollout, where the algorithm tells it."""
    explained_variance: float | None = None
    """Of the critic on the last rollout, where the algorithm tells it."""
    mean_return: float | None = None
    """Of the latest episodes, undiscounted."""
    penalties: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    """What each penalty added to the last loss, by `method/role`."""
    batch: Batch | None = None
    """The minibatch of the update at hand, or of the last one."""
    forget: dict[Parameter, Tensor] = dataclasses.field(default_factory=dict)
    """Optimizer moments to set to zero after the step at hand: by parameter, a mask of its shape. Methods ask for
    it in `after`; whoever holds the optimizer does it."""


Scales = Mapping[Parameter, float]
MOST = 10**9
"""The largest count in a field: of steps, updates or states."""
WIDEST = 2**16
"""Units of a layer that a method adds, at most: memory for it is taken when it is put in."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One idea for fine-tuning a network: frozen fields, and the hooks it needs.

    Every method declares a field `on: Select`, the networks and parts that it acts on; the `net` of each hook
    shows only these. A field that may change during the run is typed `float | Schedule` and read with
    `schedule.at`.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    """regularisation, dropout, channel, adapter, layer, reset, normalisation, learning-rate, or data."""
    preserves: ClassVar[bool] = True
    """Injecting it leaves the network's function unchanged."""
    foldable: ClassVar[bool] = True
    """It ends as a stock network."""
    lasting: ClassVar[bool] = True
    """What it injects is part of what the network computes once training is over. Otherwise its `fold` takes it out of
    an agent that cannot end as a stock network, too."""
    vacuous: ClassVar[bool] = False
    """It may act on no trained weight at all. Elsewhere that is an error, because it has then no effect."""
    by_layer: ClassVar[bool] = False
    """It acts on linear and convolutional layers, one by one: recurrent ones are left out, or held where those are."""
    steady: ClassVar[bool] = False
    """Its scales never change in a run, so that they are asked for once."""

    on = Select("*")

    def inject(self, net: Net, context: Context) -> None:
        """Add modules, with no effect at the start, to the network and its twin alike."""

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return factors of the learning rate by parameter; 0 freezes.

        It is asked before `init`, with None for its state, and, unless it is `steady`, again when each rollout begins.
        """
        return {}

    def init(self, net: Net, context: Context) -> Any:
        """Return its first state, taken after every `inject`."""
        return ()

    def rollout(self, net: Net, state: Any, signals: Signals) -> Any:
        """Return its next state as a rollout begins, the first included; `signals.rollout` has its number."""
        return state

    def act(self, net: Net, state: Any, decision: Decision, signals: Signals) -> tuple[Decision, Any]:
        """Return what is done in a step of a rollout, and its next state; only networks that decide are asked."""
        return decision, state

    def minibatch(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Batch:
        """Return what an off-policy update is computed from, of as many rows.

        It is asked once for each minibatch, with the first network that it acts on, never for each of them: all
        networks learn from the same rows.
        """
        return batch

    def idle(self, signals: Signals) -> bool:
        """Tell whether the penalties are zero now, so that what they would need is not computed."""
        return False

    def weight_penalty(self, net: Net, state: Any, signals: Signals) -> Tensor:
        """Return what to add to the loss, a function of the weights alone."""
        raise NotImplementedError

    def output_penalty(self, outputs: Outputs, prior_outputs: Outputs, signals: Signals) -> Tensor:
        """Return what to add to the loss, a function of what the network and its frozen prior put out."""
        raise NotImplementedError

    def output_slopes(
        self, outputs: Outputs, prior_outputs: Outputs, signals: Signals
    ) -> tuple[Tensor, Mapping[str, Tensor]] | None:
        """Return the same penalty with its gradient at each tensor of the outputs, by name; None leaves it to autograd.

        A tensor that is the same for all rows has a gradient for each of them.
        """
        return None

    def module_penalty(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Tensor:
        """Return what to add to the loss, anything else that autograd can differentiate."""
        raise NotImplementedError

    def gradient(self, net: Net, state: Any, signals: Signals) -> None:
        """Edit the `.grad` of parameters after clipping, before the step."""

    def after(self, net: Net, state: Any, signals: Signals) -> Any:
        """Return its next state after a step of the optimizer: project, average, decay."""
        return state

    def finish(self, nets: Sequence[Net], states: Mapping[str, Any], context: Context) -> None:
        """Change the weights after the last step of training, before the end of it is measured.

        It is asked once, with all networks that it acts on and its states by role: what is decided by evaluating
        the policy concerns them together.
        """

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Undo `inject`, and keep what was learnt."""

    def constrains(self, net: Net) -> Iterable[Parameter]:
        """Return the parameters it acts on; if not one of them is trained, that is an error."""
        return net.parameters()

    def keeps(self, net: Net, state: Any) -> Mapping[Parameter, int]:
        """Return how many numbers of a trained parameter stay as they are, where it keeps some of them only."""
        return {}

    def parts(self) -> tuple[Method, ...]:
        """Return the single methods it consists of, in order."""
        return (self,)

    def has(self, *hooks: str) -> bool:
        """Tell whether it defines any of these hooks.

        Example:
            >>> Chain().has("gradient")
            False
        """
        return any(getattr(type(self), hook) is not getattr(Method, hook) for hook in hooks)

    def to_config(self) -> str | dict[str, Any]:
        """Return the name, or the name with its fields, as `from_config` reads it."""
        return METHODS.config(self)

    @classmethod
    def from_config(cls, value: Any, path: str = "method") -> Self:
        """Make a method from `name`, `{name: value}` or `{name: {field: value}}`.

        Raises:
            ConfigError: if the name or a field cannot be used.
        """
        method = METHODS.build(value, path)
        if not isinstance(method, cls):
            raise ConfigError(f"{path}: expected {cls.__name__}, not {method!r}")
        return method

    def __post_init__(self) -> None:
        """Accept a pattern, or several, for `on`, and no number that is none.

        Raises:
            ConfigError: a number is not finite, or a count beyond any network or run.
        """
        if not isinstance(self.on, Select):
            object.__setattr__(self, "on", Select.from_config(self.on, f"{self.name}.on"))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = MOST if isinstance(value, int) else sys.float_info.max
            if isinstance(value, int | float) and not abs(value) <= most:
                raise ConfigError(f"{self.name}.{field.name} is {shown(value)}; give a number of up to {most:g}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chain(Method):
    """Several methods one after the other; it is one itself.

    Scales multiply, penalties add, `inject` and `gradient` run left to right and `fold` right to left.
    Whoever runs it runs its `parts`.
    """

    name: ClassVar[str] = "chain"
    family: ClassVar[str] = "composition"
    vacuous: ClassVar[bool] = True

    methods: tuple[Method, ...] = ()
    """The single methods, in order."""

    def parts(self) -> tuple[Method, ...]:
        """Return the methods."""
        return self.methods

    @property
    def foldable(self) -> bool:  # type: ignore[override]
        """Whether every part ends as a stock network."""
        return all(method.foldable for method in self.methods)

    @property
    def preserves(self) -> bool:  # type: ignore[override]
        """Whether injecting every part leaves the function unchanged."""
        return all(method.preserves for method in self.methods)


def chain(*methods: Method) -> Method:
    """Return one method out of several; chains inside are opened, so chaining is associative.

    Raises:
        ConfigError: if something is no method.

    Example:
        >>> chain() == chain(chain(), chain())
        True
    """
    for method in methods:
        if not isinstance(method, Method):
            raise ConfigError(f"chain: {method!r} is no method; make one, such as `KLToPrior()`")
    flat = tuple(part for method in methods for part in method.parts())
    return flat[0] if len(flat) == 1 else Chain(methods=flat)


def stays(method: Method) -> bool:
    """Tell whether a method leaves something in the networks that it is kept in."""
    return method.lasting and method.has("inject")
