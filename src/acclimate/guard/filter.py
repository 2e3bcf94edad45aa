"""The filter before a policy: observations and a state in, trusted observations, flags, scores and a state out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError
from acclimate.guard.features import Features, Standard, is_finite
from acclimate.guard.layout import Layout
from acclimate.guard.tiers.reasons import Reason
from acclimate.guard.tiers.tier import Inner, Latent, Seen, State, Tier
from acclimate.guard.tiers.voting import Dropped

NOTHING = Inner()


@dataclass(frozen=True)
class Hysteresis:
    """When the fallback acts, and when the agent does again."""

    enter: int = 3
    """So many of the last `among` steps have to be refused. Higher: the agent acts longer on what it last trusted."""
    among: int = 5
    """How many steps are counted."""
    leave: int = 5
    """So many steps in a row have to be clean. Higher: the fallback acts longer."""

    def __post_init__(self) -> None:
        if not 1 <= self.enter <= self.among <= 1000 or not 1 <= self.leave <= 100_000:
            raise ConfigError(
                f"{self.enter} refused of {self.among} steps, {self.leave} clean ones: give 1 <= enter <= among <= "
                "1000 and 1 <= leave <= 100000"
            )


class Filter(nn.Module):
    """All tiers, the limits of their scores, and what becomes of a refused row.

    `torch.onnx.export` takes it as it is: every shape but the batch is fixed, and nothing branches on data.
    """

    neutral: Tensor
    limits: Tensor
    first: Tensor
    last: Tensor

    def __init__(
        self, layout: Layout, standard: Standard, tiers: Iterable[Tier], neutral: Tensor, hysteresis: Hysteresis
    ) -> None:
        """Put a filter together; without limits it refuses nothing but what is not finite.

        Args:
            layout: of the observations.
            standard: in what the tiers measure.
            tiers: in the order of `Reason`.
            neutral: (entries,), stands for an observation until one was trusted.
            hysteresis: when the fallback acts.
        """
        super().__init__()
        self.features, self.standard = Features(layout), standard
        self.tiers = nn.ModuleList(tiers)
        self.hysteresis = hysteresis
        limits = [0.0 if tier.reason is Reason.NOT_FINITE else torch.inf for tier in self.tiers]
        self.register_buffer("neutral", neutral)
        first, last = layout.choices()
        self._counts = bool(np.isfinite(first).any())
        self.register_buffer("first", torch.from_numpy(first.astype(np.float32)), persistent=False)
        self.register_buffer("last", torch.from_numpy(last.astype(np.float32)), persistent=False)
        self.register_buffer("limits", torch.tensor(limits))

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """What the columns of flags and scores are."""
        return tuple(tier.reason for tier in self.tiers)  # type: ignore[misc]

    @property
    def reads_policy(self) -> bool:
        """Whether it has to be given what the policy's last layer reads."""
        return Reason.LATENT in self.reasons

    @property
    def masks(self) -> Tensor | None:
        """With which hidden units left out the policy has to be asked, (masks, hidden units); None where it has not."""
        return next((tier.masks for tier in self.tiers if isinstance(tier, Dropped)), None)

    @property
    def reads(self) -> dict[str, int]:
        """Sizes in the policy that it has learnt: what the last layer reads, hidden units, what it puts out."""
        found = {}
        for tier in self.tiers:
            if isinstance(tier, Latent):
                found["latent"] = len(tier.mean)
            elif isinstance(tier, Dropped):
                found |= {"hidden": tier.masks.shape[1], "outputs": len(tier.gain)}
        return found

    def beginning(self) -> State:
        """Return the state where an episode begins, of one row without the axis of rows; all of it 32-bit floats."""
        state = {
            "observation": self.neutral,
            "gap": torch.zeros(1),
            "step": torch.zeros(1),
            "recent": torch.zeros(self.hysteresis.among),
            "calm": torch.zeros(1),
            "refusing": torch.zeros(1),
        }
        for tier in self.tiers:
            state |= tier.memory()  # type: ignore[operator]
        return state

    def initial(self, rows: int) -> State:
        """Return the state of rows that begin."""
        return {name: value.expand(rows, *value.shape).clone() for name, value in self.beginning().items()}

    def begun(self, state: State, reset: Tensor) -> State:
        """Return the state with those rows anew that `reset`, (rows,) of bool, marks."""
        return {
            name: torch.where(reset.reshape(-1, *[1] * value.dim()), value, state[name])
            for name, value in self.beginning().items()
        }

    def usable(self, rows: Tensor, state: State, reset: Tensor) -> Tensor:
        """Return rows that a policy can be asked about, for what the tiers read of it; as `filled`."""
        return self.filled(rows, self.begun(state, reset))

    def filled(self, rows: Tensor, state: State) -> Tensor:
        """Return rows whose numbers that are not finite, and choices that there are not, are those last trusted."""
        sound = is_finite(rows)
        if self._counts:
            sound = sound & (rows >= self.first) & (rows <= self.last)
        return torch.where(sound, rows, state["observation"])

    def forward(
        self, rows: Tensor, state: State, reset: Tensor, inner: Inner = NOTHING
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """Filter one step.

        Args:
            rows: (rows, entries), observations as `Layout.rows` has them.
            state: what the last call returned, or `initial`.
            reset: (rows,) of bool, which begin an episode.
            inner: what the policy makes of `usable`, where the filter `reads_policy` or has `masks`.

        Returns:
            The rows to act on, always finite: refused ones as they were last trusted. Flags, (rows, tiers) of bool.
            Scores, (rows, tiers). The next state, whose `refusing`, (rows, 1), is 1 where the fallback has to act.
        """
        return self.step(rows, self.begun(state, reset), inner)

    def step(self, rows: Tensor, state: State, inner: Inner = NOTHING) -> tuple[Tensor, Tensor, Tensor, State]:
        """Filter one step in which no row begins anew, or where the caller has seen to that; as `forward`."""
        finite = is_finite(rows)
        row = torch.where(finite, rows, state["observation"])
        z, trusted = (self.standard(self.features(each)) for each in (row, state["observation"]))
        seen = Seen(finite, row, z, trusted, state["gap"], state["step"], inner)
        scores, after = [], {}
        for place, tier in enumerate(self.tiers):
            score, kept = tier(seen, {name: state[name] for name in tier.memory()}, self.limits[place])  # type: ignore[operator]
            scores.append(score)
            after |= kept
        measured = torch.cat(scores, 1)
        flags = ~(measured <= self.limits)  # a score that were no number would be refused too
        count = flags.float().amax(1, keepdim=True)
        clean = torch.where(count > 0, state["observation"], row)
        return clean, flags, measured, {**after, **self._went_on(state, count, clean)}

    def _went_on(self, state: State, count: Tensor, clean: Tensor) -> State:
        """Return the part of the next state that every guard has."""
        refused = count > 0
        recent = torch.cat([state["recent"][:, 1:], count], 1)
        calm = torch.where(refused, 0.0, state["calm"] + 1)
        before = state["refusing"] > 0
        enters = recent.sum(1, keepdim=True) >= self.hysteresis.enter
        leaves = before & (calm >= self.hysteresis.leave)
        older = torch.where(state["gap"] > 0, state["gap"] + 1, 0.0)
        return {
            "observation": clean,
            "gap": torch.where(refused, older, 1.0),
            "step": state["step"] + 1,
            # What was refused before the agent acts again does not count against it.
            "recent": torch.where(leaves, 0.0, recent),
            "calm": calm,
            # Not `where`, which onnxruntime has not for truth values.
            "refusing": ((before & ~leaves) | (~before & enters)).float(),
        }
