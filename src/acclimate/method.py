"""The contract of a fine-tuning method.

A method is frozen data and optional hooks. It knows networks (`Net`), what training knows now (`Signals`) and
where to get more (`Context`); it does not know which algorithm, framework or loop runs it. Its state lives
outside of it: `init` returns it, `rollout` and `after` return the next one, and every other hook receives it.
A state is made of tensors, plain numbers, dicts, lists and tuples; what belongs to a parameter is kept under
the `Parameter` object, never under its name, which surgery changes.

Whoever runs a method goes through these phases, over all methods of a chain: every `inject`, then `scales`,
every `init`, training, every `fold` in reverse.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from torch import Tensor
from torch.nn import Parameter

from acclimate.errors import ConfigError, SurgeryError
from acclimate.net import Net
from acclimate.outputs import Outputs
from acclimate.registry import METHODS
from acclimate.select import Select


@dataclasses.dataclass(frozen=True)
class Batch:
    """Experience as tensors, one row for each step: what one update was computed from, or a rollout."""

    observations: Any
    """What the networks read: a tensor, or a dict of them, normalised as the networks expect it."""
    actions: Tensor | None = None
    """In the policy's own units: [-1, 1] where it squashes."""
    rewards: Tensor | None = None
    next_observations: Any = None
    dones: Tensor | None = None


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


Rollouts = Callable[[int], Batch]


class Context:
    """Data and judgement for a method, and what they cost.

    Whoever runs a method gives what it has. A method that asks for what is not there is an error that says
    so.
    """

    def __init__(
        self,
        *,
        source: Rollouts | None = None,
        target: Rollouts | None = None,
        evaluate: Callable[[], float] | None = None,
        seed: int = 0,
    ) -> None:
        """Hold the sources of data.

        Args:
            source: returns as many steps of the pretrained policy in the source task.
            target: returns as many steps of the pretrained policy in the target task.
            evaluate: returns the mean return of the policy as it is now in the target task.
            seed: for what a method draws itself.
        """
        self._source, self._target, self._evaluate = source, target, evaluate
        self.seed = seed
        self.charged = 0
        """Environment steps that methods asked for beyond the training's own."""

    def source(self, steps: int) -> Batch:
        """Return steps of the pretrained policy in the source task, and charge them.

        Raises:
            SurgeryError: if no source task was given.
        """
        return self._charge(self._source, steps, "the source task")

    def target(self, steps: int) -> Batch:
        """Return steps of the pretrained policy in the target task, and charge them.

        Raises:
            SurgeryError: if no target task was given.
        """
        return self._charge(self._target, steps, "the target task")

    def evaluate(self) -> float:
        """Return the mean return of the policy as it is now in the target task.

        Raises:
            SurgeryError: if nobody can evaluate here.
        """
        if self._evaluate is None:
            raise SurgeryError("the method wants the policy evaluated, and nothing here can; give `evaluate`")
        return self._evaluate()

    def _charge(self, rollouts: Rollouts | None, steps: int, of: str) -> Batch:
        if rollouts is None:
            raise SurgeryError(f"the method wants {steps} steps of {of}, which was not given; give that task")
        self.charged += steps
        return rollouts(steps)


Scales = Mapping[Parameter, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One idea for fine-tuning a network: frozen fields, and the hooks it needs.

    Every method declares a field `on: Select`, the networks and parts that it acts on; the `net` of each hook
    shows only these. A field that may change during the run is typed `float | Schedule` and read with
    `schedule.at`.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    """regularisation, dropout, channel, adapter, layer, reset, normalisation, or learning-rate."""
    preserves: ClassVar[bool] = True
    """Injecting it leaves the network's function unchanged."""
    foldable: ClassVar[bool] = True
    """It ends as a stock network."""
    vacuous: ClassVar[bool] = False
    """It may act on no trained weight at all. Elsewhere that is an error, because it has then no effect."""

    on = Select("*")

    def inject(self, net: Net, context: Context) -> None:
        """Add modules, with no effect at the start, to the network and its twin alike."""

    def scales(self, net: Net, state: Any, signals: Signals) -> Scales:
        """Return factors of the learning rate by parameter; 0 freezes.

        It is asked before `init`, with None for its state, and again when each rollout begins.
        """
        return {}

    def init(self, net: Net, context: Context) -> Any:
        """Return its first state, taken after every `inject`."""
        return ()

    def rollout(self, net: Net, state: Any, signals: Signals) -> Any:
        """Return its next state as a rollout begins, the first included; `signals.rollout` has its number."""
        return state

    def idle(self, signals: Signals) -> bool:
        """Tell whether the penalties are zero now, so that what they would need is not computed."""
        return False

    def weight_penalty(self, net: Net, state: Any, signals: Signals) -> Tensor:
        """Return what to add to the loss, a function of the weights alone."""
        raise NotImplementedError

    def output_penalty(self, outputs: Outputs, prior_outputs: Outputs, signals: Signals) -> Tensor:
        """Return what to add to the loss, a function of what the network and its frozen prior put out."""
        raise NotImplementedError

    def module_penalty(self, net: Net, state: Any, batch: Batch, signals: Signals) -> Tensor:
        """Return what to add to the loss, anything else that autograd can differentiate."""
        raise NotImplementedError

    def gradient(self, net: Net, state: Any, signals: Signals) -> None:
        """Edit the `.grad` of parameters after clipping, before the step."""

    def after(self, net: Net, state: Any, signals: Signals) -> Any:
        """Return its next state after a step of the optimizer: project, average, decay."""
        return state

    def fold(self, net: Net, state: Any, context: Context) -> None:
        """Undo `inject`, and keep what was learnt."""

    def constrains(self, net: Net) -> Iterable[Parameter]:
        """Return the parameters it acts on; if not one of them is trained, that is an error."""
        return net.parameters()

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
        """Accept a pattern, or several, for `on`."""
        if not isinstance(self.on, Select):
            object.__setattr__(self, "on", Select.from_config(self.on, f"{self.name}.on"))


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
