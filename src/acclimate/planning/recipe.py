"""A recipe: all that is needed to repeat a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import nextafter
from pathlib import Path
from typing import Any, Literal

import yaml

from acclimate.config import from_dict, to_dict
from acclimate.errors import ConfigError
from acclimate.evaluation.seeds import (
    CHOOSING_SEED,
    FINAL_SEED,
    JUDGING_SEED,
    PROBE_SEED,
    SELECTION_SEED,
    check_seed,
)
from acclimate.files import bounded, plain
from acclimate.files.atomic import write_atomic
from acclimate.files.plain import MAX_YAML
from acclimate.tuning.method import Method

ABOVE_ZERO = nextafter(0.0, 1.0)
BELOW_ONE = nextafter(1.0, 0.0)
MOST = 10**12
"""Of what is counted in steps; a year of the fastest training has a tenth of it."""
MOST_ENVS = 10_000
MOST_EPISODES = 5_000
"""So many lie between the seeds of an evaluation and the next (`evaluation/seeds`)."""


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What is carried over from pretraining, and what is reset; `auto` is what a competent user does."""

    normalizer: Literal["carry", "freeze", "fresh"] = "carry"
    """Observation statistics: carried and updated on, carried and held, or estimated anew."""
    std: float | Literal["auto", "keep"] = "auto"
    """Least standard deviation of a Gaussian policy. Higher explores more and costs more at first. `keep` also
    keeps the softmax temperature of a discrete policy, which `auto` raises where its entropy is used up."""
    learning_rate: float | Literal["auto", "saved"] = "auto"
    """Step size of the optimizer. Higher adapts faster and forgets faster."""
    moments: Literal["carry", "fresh"] = "carry"
    """Moments of the optimizer and of the rewards' normaliser: as the file holds them, or begun anew."""
    stagger: bool = False
    """Whether the first episodes of on-policy training environments are cut at different times, where there is a time
    limit, so that they do not all end at once."""
    tie: float | Literal["auto"] = "auto"
    """Weight of a tie to what the pretrained agent does in stored states of its own world (the method `bc`); 0 is
    none, as is `auto`. Higher keeps more of the return at home, and adapts less where both worlds disagree."""
    critic_warmup: int | Literal["auto"] = "auto"
    """Environment steps in which only the critic learns; `auto` is 0, and some where the critic is newly drawn. They
    count as training steps."""
    prior_steps: int | Literal["auto"] = "auto"
    """Steps by the prior that fill an off-policy buffer before the first update, 0 for `auto`. Never random actions."""
    epsilon: float | Literal["auto"] = "auto"
    """Start of DQN's random-action rate; it falls to the saved final rate over the first tenth. `auto`: that rate."""
    replay_buffer: str | None = None
    """Off-policy transitions of the old training, for mode `continue` alone: SB3's replay_buffer.pkl, or the
    replay.npz of a checkpoint."""
    probe_episodes: int = 0
    """Target episodes by which the situation is read; their steps are charged. Fewer are played where they would take
    more than a twentieth of the run, but one always. 0 skips the probe."""


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """When and how the agent is measured. None of its environment steps are used for training."""

    points: int = 5
    """Measurements during training, evenly spread, the last at its end."""
    freq: int | None = None
    """Environment steps between two measurements, in place of `points`."""
    episodes: int = 5
    """Episodes of a measurement during training."""
    judging_episodes: int = 50
    """Episodes on seeds of their own that decide whether the tuned agent is kept. Below 20 they are too few to judge
    by, and the pretrained one is kept."""
    final_episodes: int = 50
    """Episodes of the final evaluation, on seeds that selection never saw."""
    n_envs: int = 8
    """Environments stepped together while evaluating; the result does not depend on it. One where `recipe.n_envs` is
    1: then no two environments are ever open."""
    deterministic: bool = True
    """Whether the policy's mode acts, or a sample of it."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that is needed to repeat a fine-tuning run; round-trips to YAML.

    Example:
        >>> Recipe.from_dict({"steps": 5000, "methods": ["full"]}).steps
        5000
    """

    methods: tuple[Method, ...] = ()
    """Fine-tuning methods, injected left to right. None: everything is trained."""
    steps: int = 100_000
    """Target environment steps, the probe's and the warm-ups' included."""
    seed: int = 0
    """Seed of exploration, minibatches and training environments, below 2^32."""
    mode: Literal["adapt", "continue"] = "adapt"
    """`adapt` to a changed world, or `continue` the old training with its counters and schedules."""
    warm_start: WarmStart = field(default_factory=WarmStart)
    """What is carried over and what is reset."""
    averaging: float | Literal["auto"] = "auto"
    """Weight of the past in the average over updates that is measured and kept; 0, as is `auto`, keeps the last
    weights."""
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    """SB3 constructor arguments that override what was saved or chosen."""
    n_envs: int | None = None
    """Training environments; None: 8 on-policy (TRPO: the agent's own), 1 off-policy. 1 keeps to one environment in
    all, as some simulators demand: measuring waits for the end of an episode and takes the place of training."""
    vec_env: Literal["auto", "dummy", "subproc"] = "auto"
    """Whether training environments share this process: `auto` measures whether several processes pay, and takes them
    for environments that are known to bear it. The numbers are the same."""
    device: str = "cpu"
    """Torch device of the training."""
    engine: Literal["auto", "sb3", "device"] = "auto"
    """What collects and updates: `auto` takes our own engine where it runs the agent and the methods, with the same
    results as SB3 within rounding; `sb3` keeps SB3's own loops. `device` is experimental and has never run on a GPU:
    updates captured as CUDA graphs, where a rehearsal there ends as SB3's do."""
    evaluation: EvaluationPlan = field(default_factory=EvaluationPlan)
    """When and how the agent is measured."""

    def __post_init__(self) -> None:
        """Check what types cannot say.

        Raises:
            ConfigError: A count or the seed is out of its range.
        """
        evaluation, warm_start = self.evaluation, self.warm_start
        ranges: tuple[tuple[str, Any, float, float], ...] = (
            ("steps", self.steps, 1, MOST),
            ("n_envs", self.n_envs, 1, MOST_ENVS),
            ("averaging", self.averaging, 0, BELOW_ONE),
            ("evaluation.points", evaluation.points, 1, MOST_EPISODES),
            ("evaluation.freq", evaluation.freq, 1, MOST),
            ("evaluation.episodes", evaluation.episodes, 1, CHOOSING_SEED - SELECTION_SEED),
            ("evaluation.judging_episodes", evaluation.judging_episodes, 1, PROBE_SEED - JUDGING_SEED),
            ("evaluation.final_episodes", evaluation.final_episodes, 2, SELECTION_SEED - FINAL_SEED),
            ("evaluation.n_envs", evaluation.n_envs, 1, MOST_ENVS),
            ("warm_start.std", warm_start.std, ABOVE_ZERO, MOST),
            ("warm_start.learning_rate", warm_start.learning_rate, ABOVE_ZERO, MOST),
            ("warm_start.tie", warm_start.tie, 0, MOST),
            ("warm_start.critic_warmup", warm_start.critic_warmup, 0, MOST),
            ("warm_start.prior_steps", warm_start.prior_steps, 0, MOST),
            ("warm_start.epsilon", warm_start.epsilon, 0, 1),
            ("warm_start.probe_episodes", warm_start.probe_episodes, 0, MOST_EPISODES),
        )
        for name, value, low, high in ranges:
            if value is not None and not isinstance(value, str) and not low <= value <= high:
                raise ConfigError(f"recipe.{name} is {value}; give a number {_words(low, high)}.")
        check_seed(self.seed, "recipe.seed")
        if warm_start.replay_buffer is not None and self.mode != "continue":
            raise ConfigError(
                f"recipe.warm_start.replay_buffer is given, but recipe.mode is `{self.mode}`: old transitions are "
                "wrong for the critic of a changed world; leave it out, or set mode to `continue`."
            )
        object.__setattr__(self, "methods", tuple(self.methods))
        object.__setattr__(self, "algorithm", dict(self.algorithm))

    @property
    def is_single(self) -> bool:
        """Whether no two environments may be open at the same time."""
        return self.n_envs == 1

    @property
    def measuring_envs(self) -> int:
        """Environments stepped together while evaluating."""
        return 1 if self.is_single else self.evaluation.n_envs

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as data that YAML can hold."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Build a recipe from data; unknown keys are errors with a field path and a suggestion."""
        return from_dict(cls, data, path="recipe")

    def save(self, path: str | Path) -> None:
        """Write the recipe as YAML."""
        write_atomic(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a recipe from a YAML file.

        Raises:
            ConfigError: The file is missing, is not YAML, or holds unknown fields.
        """
        return cls.from_dict(read_yaml(path))

    def override(self, **changes: Any) -> Recipe:
        """Return a copy with some fields changed."""
        known = {f.name for f in fields(self)}
        unknown = set(changes) - known
        if unknown:
            raise ConfigError(f"recipe: no field {sorted(unknown)}; it has {sorted(known)}.")
        return replace(self, **changes)


def _words(low: float, high: float) -> str:
    least = "above 0" if low == ABOVE_ZERO else f"of {low:g} or more"
    most = " and below 1" if high == BELOW_ONE else f" and at most {high:.10g}"
    return least + most


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping of plain data from a file.

    Raises:
        ConfigError: The file is missing, is not YAML, or is not a mapping.
    """
    try:
        data = plain.read_yaml(bounded.read_text(Path(path), 4 * MAX_YAML))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; give the path of a recipe's YAML file.") from error
    except ValueError as error:
        raise ConfigError(
            f"{path} is not YAML of plain data ({error}); see the `recipe.yaml` of any run for the form."
        ) from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds {type(data).__name__}, not a mapping of recipe fields.")
    return data
