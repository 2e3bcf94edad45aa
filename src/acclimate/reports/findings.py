"""What a run measured, what follows from it, and its form as JSON.

Only measurements are stored; every judgement (verdict, forgetting, dip, area) is computed from them, so a
report that is read back from its file can be checked again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, get_type_hints

import numpy as np

from acclimate.config import convert
from acclimate.errors import ConfigError, suggest
from acclimate.evaluation.evaluate import Evaluation, Point
from acclimate.statistics.bootstrap import forgetting
from acclimate.statistics.curve import auc, recovery, worst_dip
from acclimate.statistics.estimates import Estimate
from acclimate.statistics.judgement import FEWEST

ONE_SEED = "one seed: not evidence about the method"

Verdict = Literal["better", "same", "worse", "unknown"]


@dataclass(frozen=True)
class Measured:
    """One task's final evaluations, all on the same episodes."""

    before: Evaluation
    """The pretrained agent."""
    after: Evaluation
    """The agent that was kept."""
    last: Evaluation | None = None
    """The agent at the end of training."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The facts of one fine-tuning run."""

    agent: str
    """Where the pretrained agent came from."""
    algorithm: str
    """SB3's name of what the tuned agent is, in lower case (`ppo`)."""
    task: str
    """The target task in words."""
    source_task: str | None = None
    """The source task in words, where it was given."""
    method: str
    """The methods in words; `full` where everything was trained."""
    seed: int
    steps: int
    """Target environment steps asked for."""
    steps_charged: int
    """Target steps spent: training, probe, warm-ups and a method's own rollouts."""
    steps_home: int = 0
    """Steps of the world of pretraining that methods asked for. Reports of before count them among those charged."""
    steps_measured: int | None = None
    """Environment steps that trained nothing: of all episodes that measured, and of the diagnosis. Films are left out,
    and so is what a resumed run played twice. None in reports of before they were counted."""
    wall_seconds: float
    trainable_parameters: int
    total_parameters: int
    target: Measured
    source: Measured | None = None
    kept: Literal["tuned", "pretrained"] = "tuned"
    judged: int | None = None
    """Paired episodes by which an agent was kept; None in reports of older versions."""
    carried: tuple[tuple[str, str], ...] = ()
    """What the warm start took over: what, and how."""
    reset: tuple[tuple[str, str], ...] = ()
    """What it began anew: what, and how."""
    choices: tuple[tuple[str, str, str], ...] = ()
    """What was decided from the situation: name, value, reason."""
    situation: Mapping[str, Any] = field(default_factory=dict)
    """What the probe found."""
    diagnosis: tuple[str, ...] = ()
    """What went well or badly in training, a sentence each."""
    signals: Mapping[str, Any] = field(default_factory=dict)
    """The numbers behind it: a column for each signal and `steps`, a row for each time it was measured."""
    curve: tuple[Point, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions of what the run depended on."""
    normalized: bool = False
    """Whether a normaliser is saved beside the tuned agent."""
    stock: bool = True
    """Whether it is a stock network, in a zip; otherwise the bundle alone holds it."""
    foreign: bool = False
    """Whether it is built of a class of the user's own, which is imported from its zip with trust alone."""
    notes: tuple[str, ...] = ()
    """What is missing from this report, and why."""

    @cached_property
    def difference(self) -> Estimate:
        """The kept agent's return on the target task minus the pretrained one's, over paired episodes."""
        return self.target.after.minus(self.target.before)

    @cached_property
    def last_difference(self) -> Estimate | None:
        """The same for the agent at the end of training."""
        return self.target.last.minus(self.target.before) if self.target.last else None

    @cached_property
    def success_difference(self) -> Estimate | None:
        """By how much oftener the kept agent succeeds on the target task than the pretrained one, over paired episodes.

        None where the environment does not tell.
        """
        return self.target.after.success_minus(self.target.before)

    @property
    def verdict(self) -> Verdict:
        """Whether this agent is better on the target task; `unknown` on fewer than 20 paired episodes."""
        if self.difference.n < FEWEST:
            return "unknown"
        if not self.difference.excludes(0.0):
            return "same"
        return "better" if self.difference.value > 0 else "worse"

    @property
    def too_few(self) -> bool:
        """Whether fewer episodes were asked for than an agent can be judged by."""
        return self.judged is not None and self.judged < FEWEST

    @property
    def evidence(self) -> str:
        """What the run says of the method in general: `none`, it has one seed."""
        return "none"

    @cached_property
    def forgetting(self) -> Estimate | None:
        """What the kept agent lost on the source task, over paired episodes; below 0 it gained."""
        return forgetting(self.source.before.returns, self.source.after.returns) if self.source else None

    @property
    def worst_dip(self) -> float | None:
        """The curve's lowest mean minus its first; without a curve, None."""
        return worst_dip([point.evaluation.returns.mean() for point in self.curve]) if self.curve else None

    @property
    def recovered_at(self) -> int | None:
        """The step at which the curve was back at its first mean after its lowest; None if it was not, or no curve."""
        if not self.curve:
            return None
        back = recovery(
            [point.steps for point in self.curve], [point.evaluation.returns.mean() for point in self.curve]
        )
        return None if back is None else int(back)

    @property
    def auc(self) -> float | None:
        """The mean return along the curve, in units of the return; without a curve, None."""
        means = [point.evaluation.returns.mean() for point in self.curve]
        return auc([point.steps for point in self.curve], means) if self.curve else None

    def to_json(self) -> dict[str, Any]:
        """Return measurements and judgements as JSON-able data, NaN as None."""
        data: dict[str, Any] = {"format": 1}
        for item in fields(self):
            data[item.name] = getattr(self, item.name)
        data["target"] = _measured(self.target)
        data["source"] = _measured(self.source) if self.source else None
        data["curve"] = [{"steps": point.steps, **_evaluation(point.evaluation)} for point in self.curve]
        data |= {
            "difference": _estimate(self.difference),
            "last_difference": _estimate(self.last_difference),
            "success_difference": _estimate(self.success_difference),
            "forgetting": _estimate(self.forgetting),
            "worst_dip": self.worst_dip,
            "recovered_at": self.recovered_at,
            "auc": self.auc,
            "verdict": self.verdict,
            "evidence": self.evidence,
            "evidence_note": ONE_SEED,
        }
        return _plain(data)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Findings:
        """Read what `to_json` wrote; judgements are computed again.

        Raises:
            ConfigError: If the format is another one, or a field is missing or malformed.
        """
        if data.get("format") != 1:
            raise ConfigError(f"report.json: format {data.get('format')!r} is not 1; write it again with this version")
        known = {item.name: data[item.name] for item in fields(cls) if item.name in data}
        try:
            ready = {
                "target": _read_measured(known["target"]),
                "source": _read_measured(known["source"]) if known.get("source") else None,
                "curve": tuple(
                    Point(convert(int, at["steps"], "steps"), _read_evaluation(at)) for at in known["curve"]
                ),
            }
            hints = get_type_hints(cls)
            plain = {name: convert(hints[name], known[name], name) for name in known.keys() - ready.keys()}
            return cls(**plain, **ready)
        except KeyError as error:
            hint = suggest(str(error.args[0]), data)
            raise ConfigError(f"report.json: field {error} is missing; {hint}") from error
        except (TypeError, ValueError, AttributeError, ConfigError) as error:
            raise ConfigError(f"report.json: a field is malformed ({error}); run the fine-tuning again") from error


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        name: _evaluation(played) if played else None
        for name, played in (("before", measured.before), ("after", measured.after), ("last", measured.last))
    }


def _evaluation(played: Evaluation) -> dict[str, Any]:
    episodes = played.to_json()
    # `seeds` counts training seeds in a summary.
    return {**episodes, **played.summary(), "episode_seeds": episodes["seeds"]}


def _read_measured(data: Mapping[str, Any]) -> Measured:
    last = data.get("last")
    return Measured(
        _read_evaluation(data["before"]),
        _read_evaluation(data["after"]),
        _read_evaluation(last) if last else None,
    )


def _read_evaluation(data: Mapping[str, Any]) -> Evaluation:
    return Evaluation.from_json({**data, "seeds": data["episode_seeds"]})


def _read_point(data: Mapping[str, Any]) -> Point:
    return Point(convert(int, data["steps"], "steps"), _read_evaluation(data))


def _estimate(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {"mean": estimate.value, "ci95": [estimate.low, estimate.high], "episodes": estimate.n}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    # JSON has no NaN; an unknown figure is null.
    return None if isinstance(value, float) and not math.isfinite(value) else value
