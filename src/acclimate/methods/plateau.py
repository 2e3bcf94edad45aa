"""Lower the learning rate where the return stalls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from acclimate.errors import ConfigError
from acclimate.nets.net import Net
from acclimate.nets.select import Select
from acclimate.tuning.context import Context
from acclimate.tuning.method import Method, Scales, Signals


@dataclass(frozen=True, kw_only=True)
class Plateau(Method):
    """Multiply the learning rate by `factor` when the mean return has not risen for `patience` of the run.

    rate <- max(factor * rate, lowest) as often as patience runs out without a mean return above the best so far;
    it begins at the rate that the algorithm itself sets. The return is that of the latest episodes of training, with
    exploration; as long as none has ended the rate stays.

    It is the rule of `torch.optim.lr_scheduler.ReduceLROnPlateau`, with patience in environment steps instead of
    epochs. Use it for long runs whose best rate at the end is lower than at the beginning. It loses in short ones and
    on hard shifts, where low rates lost in this library's pilot: returns stand still for long before they rise, as
    those of a hopper that only stands, and a lower rate makes that last. The mean over 100 episodes also lags behind.
    """

    name: ClassVar[str] = "plateau"
    family: ClassVar[str] = "learning-rate"

    factor: float = 0.5
    """What the rate is multiplied by. Higher: milder steps."""
    patience: float = 0.2
    """Share of the run without a better return that is waited for. Higher: later and fewer steps; 0.2 makes four
    at most."""
    lowest: float = 0.05
    """Share of the rate it started with that it does not fall below. Higher: less is lost where it was wrong."""
    on: Select = Select("*")
    """Which networks or parts; the rest keeps its rate."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("factor", "patience"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"plateau.{name} is {getattr(self, name)}; give a number between 0 and 1")
        if not 0.0 < self.lowest <= 1.0:
            raise ConfigError(f"plateau.lowest is {self.lowest}; give a share in (0, 1], 0.05 for example")

    def init(self, net: Net, context: Context) -> dict[str, Any]:
        """Return the factor of the rate, the best return, and since when there was no better one."""
        return {"rate": 1.0, "best": None, "since": 0.0}

    def rollout(self, net: Net, state: dict[str, Any], signals: Signals) -> dict[str, Any]:
        """Compare the return with the best one."""
        now, progress = signals.mean_return, signals.progress
        if now is None:
            return {**state, "since": progress}
        if state["best"] is None or now > state["best"]:
            return {**state, "best": now, "since": progress}
        if progress - state["since"] < self.patience:
            return state
        return {**state, "rate": max(state["rate"] * self.factor, self.lowest), "since": progress}

    def scales(self, net: Net, state: dict[str, Any] | None, signals: Signals) -> Scales:
        """Return the factor of now."""
        return {} if state is None else dict.fromkeys(net.parameters(), state["rate"])
