"""Play whole episodes with an agent and keep what each of them returned.

Episode `i` starts from `env.reset(seed=seed + i)`, whoever plays it and however many run together,
so two agents are compared episode by episode. Returns are the environment's own: no reward is normalised, and
the agent's observation normaliser stays as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from acclimate.agents.agent import Agent
from acclimate.config import convert
from acclimate.errors import ConfigError, TaskError, shown
from acclimate.evaluation.lasting import Lasting
from acclimate.evaluation.players import AgentPlayer, ConstantPlayer, Player, RandomPlayer, isolated
from acclimate.evaluation.seeds import FINAL_SEED, check_seed
from acclimate.evaluation.slot import Slot
from acclimate.evaluation.transitions import Transitions
from acclimate.statistics.bootstrap import paired_difference, stratified_bootstrap
from acclimate.statistics.estimates import Estimate, Floats, iqm, mean
from acclimate.statistics.proportions import paired_proportions, proportion
from acclimate.tasks.spaces import SpaceWarning, check_spaces
from acclimate.tasks.task import Task

INSIDE = (
    "returns are of whole episodes and in their own rewards, as counted inside of the wrappers, which end episodes "
    "early or change rewards"
)
MOST_EPISODES = 1_000_000
"""Of an evaluation: their returns are kept, and take part in a bootstrap."""


class Summary(TypedDict):
    """One line of a table; `seeds` counts training seeds, of which a single agent has one."""

    mean: float
    iqm: float
    ci95: list[float]
    std: float
    episodes: int
    seeds: int
    success: NotRequired[float]
    success_ci95: NotRequired[list[float]]


@dataclass(frozen=True)
class Evaluation:
    """The episodes that one agent played, in the order of their seeds."""

    returns: Floats
    """Undiscounted sum of raw rewards of each whole episode."""
    lengths: NDArray[np.int64]
    """Steps of the agent in each of them."""
    seeds: NDArray[np.int64]
    """What each episode was reset with."""
    deterministic: bool = True
    """Whether the agent acted without sampling."""
    successes: NDArray[np.object_] | None = None
    """Whether each episode ended in success, by its last `info["is_success"]`; None where an episode did not tell, and
    altogether where none did."""
    inside: bool = False
    """Whether the episodes are other ones than the task's wrappers show: whole where they end them early, and with the
    rewards that are counted inside of them. `tasks/whole` does so."""

    @cached_property
    def interval(self) -> Estimate:
        """The mean return with its 95 % bootstrap interval over the episodes."""
        return stratified_bootstrap(self.returns)

    @cached_property
    def success(self) -> Estimate | None:
        """The share of successes among the episodes that tell, with Wilson's 95 % interval; None where none does."""
        return None if self.successes is None else proportion([each for each in self.successes if each is not None])

    def summary(self) -> Summary:
        """Return mean, interquartile mean, the mean's 95 % interval (NaN for one episode), spread, counts.

        Where the environment tells it, the share of successes and its interval as well.
        """
        summary: Summary = {
            "mean": float(mean(self.returns)),
            "iqm": float(iqm(self.returns)),
            "ci95": [self.interval.low, self.interval.high],
            "std": float(self.returns.std()),
            "episodes": len(self.returns),
            "seeds": 1,
        }
        if self.success is not None:
            summary["success"], summary["success_ci95"] = self.success.value, [self.success.low, self.success.high]
        return summary

    @property
    def steps(self) -> int:
        """Environment steps that playing them took."""
        return int(self.lengths.sum())

    def to_json(self) -> dict[str, Any]:
        """Return the episodes as JSON-able data."""
        arrays = {name: getattr(self, name).tolist() for name in ("returns", "lengths", "seeds")}
        told = {} if self.successes is None else {"successes": self.successes.tolist()}
        inside = {"inside": True} if self.inside else {}
        return {**arrays, "deterministic": self.deterministic, **told, **inside}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """Read what `to_json` returned.

        Raises:
            KeyError: A part is missing.
            ConfigError: One is malformed.
        """
        returns = convert(tuple[float, ...], data["returns"], "returns")
        counts = {name: convert(tuple[int, ...], data[name], name) for name in ("lengths", "seeds")}
        told = convert(tuple[bool | None, ...] | None, data.get("successes"), "successes")
        columns = [*counts.values(), *(() if told is None else (told,))]
        if not returns or any(len(column) != len(returns) for column in columns):
            raise ConfigError("returns, lengths, seeds and successes are not of the same episodes")
        return cls(
            returns=np.array(returns, dtype=np.float64),
            deterministic=convert(bool, data["deterministic"], "deterministic"),
            successes=_told(told or ()),
            inside=convert(bool, data.get("inside", False), "inside"),
            **{name: np.array(column, dtype=np.int64) for name, column in counts.items()},
        )

    def minus(self, other: Evaluation) -> Estimate:
        """Return the mean difference to another agent's return on the same episodes, with its interval.

        Raises:
            ConfigError: If the two were not played on the same seeds.
        """
        self._same_episodes(other)
        return paired_difference(self.returns, other.returns)

    def success_minus(self, other: Evaluation) -> Estimate | None:
        """Return the difference to another agent's share of successes, over the episodes that tell it of both.

        It has Newcombe's 95 % interval for pairs, and is None where no episode tells it of both.

        Raises:
            ConfigError: If the two were not played on the same seeds.
        """
        self._same_episodes(other)
        if self.successes is None or other.successes is None:
            return None
        pairs = zip(self.successes, other.successes, strict=True)
        both = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
        return paired_proportions(*zip(*both, strict=True)) if both else None

    def _same_episodes(self, other: Evaluation) -> None:
        if not np.array_equal(self.seeds, other.seeds):
            raise ConfigError("these evaluations used different episodes; give both the same `seed` and `episodes`")


def _told(successes: Sequence[bool | None]) -> NDArray[np.object_] | None:
    return None if all(each is None for each in successes) else np.array(successes, dtype=object)


@dataclass(frozen=True)
class Point:
    """A measurement during training."""

    steps: int
    """Target environment steps spent when it was taken."""
    evaluation: Evaluation


def measured(points: Iterable[Point]) -> int:
    """Return the environment steps that measurements took."""
    return sum(point.evaluation.steps for point in points)


def evaluate(
    agent: Agent,
    task: Task,
    *,
    episodes: int = 50,
    seed: int = FINAL_SEED,
    n_envs: int = 8,
    deterministic: bool = True,
    record: Transitions | None = None,
    behind: Callable[[Player], Player] | None = None,
) -> Evaluation:
    """Play an agent on a task.

    Args:
        agent: Acts on raw observations; it is not changed.
        task: Its time limit ends an episode as its terminal states do.
        episodes: How many; more narrow the interval.
        seed: Of the first episode; the next ones follow by one each.
        n_envs: Environments that share each forward pass; more is faster where the network is the cost.
        deterministic: Take the mode of the policy. Otherwise actions are sampled, repeatably for the same
            `n_envs`; the global random states of torch and numpy are left as they were.
        record: Gets every step, where the steps are to be learnt from.
        behind: Returns who plays in the agent's place, such as one that shows it something else.

    Raises:
        ConfigError: If a number is out of its range.
        SpaceMismatchError: If the agent's spaces are not the task's.
        TaskError: If the environment raises, returns what is not finite, or never ends an episode.
    """
    seed = _checked(episodes, seed, n_envs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpaceWarning)  # bounds that differ are told where an agent meets its task
        check_spaces(agent, task)
    with isolated(agent, seed):
        player = AgentPlayer(agent, deterministic)
        return play(behind(player) if behind else player, task, episodes, seed, n_envs, deterministic, record)


def evaluate_random(task: Task, *, episodes: int = 50, seed: int = FINAL_SEED, n_envs: int = 8) -> Evaluation:
    """Play uniformly random actions on the episodes that `evaluate` would play: the floor of the scale."""
    seed = _checked(episodes, seed, n_envs)
    return play(RandomPlayer(task.action_space), task, episodes, seed, n_envs, deterministic=False)


def evaluate_constant(
    task: Task, action: Any, *, episodes: int = 50, seed: int = FINAL_SEED, n_envs: int = 8
) -> Evaluation:
    """Play one action again and again on the episodes that `evaluate` would play."""
    seed = _checked(episodes, seed, n_envs)
    return play(ConstantPlayer(action), task, episodes, seed, n_envs, deterministic=True)


def _checked(episodes: int, seed: int, n_envs: int) -> int:
    """Return the seed."""
    if episodes < 1 or n_envs < 1:
        raise ConfigError(f"evaluation needs at least one episode and one environment, got {episodes} and {n_envs}")
    if episodes > MOST_EPISODES:
        raise ConfigError(f"{shown(episodes)} episodes are too many; give at most {MOST_EPISODES}")
    return check_seed(seed, "seed")


def play(
    player: Player,
    task: Task,
    episodes: int,
    seed: int,
    n_envs: int,
    deterministic: bool,
    record: Transitions | None = None,
) -> Evaluation:
    """Let a player of any kind play the episodes that `evaluate` would play."""
    width = min(n_envs, episodes)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, dtype=np.int64)
    successes: list[bool | None] = [None] * episodes
    inside = False
    with ExitStack() as opened:
        slots, lasting, numbers = [], Lasting(task), count()
        for _ in range(width):
            with _beside(len(slots)):
                slots.append(Slot(task, lasting, numbers, record))
            opened.callback(slots[-1].env.close)
        left = iter(range(seed, seed + episodes))
        active = [_next(slot, index, left, player) for index, slot in enumerate(slots)]
        while any(active):
            # Idle slots stay in the batch (last observation): its size decides how floats are rounded.
            starts = np.array([slot.started for slot in slots])
            actions = player.act([slot.observation for slot in slots], starts, [slot.mask for slot in slots])
            for index, slot in enumerate(slots):
                if active[index] and slot.step(actions[index]):
                    episode = slot.env.episode
                    returns[episode], lengths[episode] = slot.whole.score, slot.env.steps
                    successes[episode], inside = slot.success, inside or slot.whole.told_apart
                    active[index] = _next(slot, index, left, player)
    return Evaluation(returns, lengths, seed + np.arange(episodes), deterministic, _told(successes), inside)


@contextmanager
def _beside(made: int) -> Iterator[None]:
    """Say, where an environment cannot be made beside others, how to keep to one."""
    try:
        yield
    except TaskError as error:
        if not made:
            raise
        raise TaskError(f"{error} ({made} of it open already: if no two may be, set n_envs to 1)") from error


def _next(slot: Slot, index: int, left: Iterator[int], player: Player) -> bool:
    """Start the episode of the next seed in a slot; false where none is left."""
    seed = next(left, None)
    if seed is None:
        return False
    slot.begin(seed)
    player.begin(index, seed)
    return True
