"""An agent with HER keeps it: in training, in what is saved, and after a kill; where it cannot, the run says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, SAC, HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.her.goal_selection_strategy import GoalSelectionStrategy

from acclimate.agents.load import load
from acclimate.errors import SourceError, TaskError
from acclimate.runs.finetune import finetune
from acclimate.sb3.hindsight import Hindsight
from acclimate.tasks.task import Task
from acclimate.training import checkpoint, trainer, watch
from tests.world import recipe

BITS = 4
ASKED = {"n_sampled_goal": 3, "goal_selection_strategy": "episode", "copy_info_dict": False}


class Mute(gym.Wrapper):
    """An environment that does not tell what other goals are worth."""

    def get_wrapper_attr(self, name: str) -> Any:
        if name == "compute_reward":
            raise AttributeError(name)
        return super().get_wrapper_attr(name)

    def has_wrapper_attr(self, name: str) -> bool:
        return name != "compute_reward" and super().has_wrapper_attr(name)


class Asking(gym.Wrapper):
    """One that needs what steps say beside their observations."""

    def compute_reward(self, achieved: Any, desired: Any, infos: Any) -> Any:
        return np.array([info["is_far"] for info in infos])


class Own(HerReplayBuffer):
    """A buffer of somebody's own."""


class Dearer(gym.RewardWrapper):
    """One whose steps pay something else than it tells."""

    def reward(self, reward: Any) -> Any:
        return 2 * reward - 1


def world(continuous: bool = False, inside: Any = None) -> gym.Env:
    env = BitFlippingEnv(n_bits=BITS, continuous=continuous, max_steps=BITS)
    return env if inside is None else inside(env)


def model(cls: Any = DQN, *, steps: int = 40, **her: Any) -> BaseAlgorithm:
    made = cls(
        "MultiInputPolicy",
        world(cls is SAC),
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={**ASKED, **her},
        policy_kwargs={"net_arch": [8]},
        learning_starts=10,
        batch_size=8,
        buffer_size=500,
        seed=0,
        device="cpu",
    )
    return made.learn(steps) if steps else made


def task(cls: Any = DQN, inside: Any = None) -> Task:
    return Task(world, env_kwargs={"continuous": cls is SAC, "inside": inside})


class Seen:
    """Keeps the model that learns, and what its buffer holds."""

    def __init__(self) -> None:
        self.model: Any = None
        self.updates: list[int] = []

    def __call__(self, scope: dict[str, Any], _: dict[str, Any]) -> bool:
        self.model = scope["self"]
        self.updates.append(self.model._n_updates)
        return True


@pytest.mark.parametrize("strategy", ["future", "FINAL", GoalSelectionStrategy.EPISODE])
@pytest.mark.parametrize("way", ["zip", "trusted", "live", "bundle", "copy"])
def test_it_is_read_whichever_way_an_agent_comes(way: str, strategy: Any, tmp_path: Path) -> None:
    made = model(steps=0, goal_selection_strategy=strategy, copy_info_dict=True)
    made.save(tmp_path / "their.zip")
    read = {
        "zip": lambda: load(tmp_path / "their.zip"),
        "trusted": lambda: load(tmp_path / "their.zip", trust=True),
        "live": lambda: load(made),
        "bundle": lambda: load(load(made).save(tmp_path / "ours")),
        "copy": lambda: load(made).copy(),
    }[way]()
    name = strategy.lower() if isinstance(strategy, str) else "episode"
    assert read.blueprint.hindsight == Hindsight(3, name, True)
    assert not [field for field, _ in read.origin.unread if field.startswith("replay_buffer")]
    assert type(read.model.replay_buffer) is DictReplayBuffer, "an agent that only acts has no use for one"
    again = DQN.load(read.save(tmp_path / "again" / "agent.zip"), env=world(), device="cpu")
    assert type(again.replay_buffer) is HerReplayBuffer
    assert again.replay_buffer.n_sampled_goal == 3
    assert again.replay_buffer.goal_selection_strategy.name.lower() == name
    assert again.replay_buffer.copy_info_dict
    again.learn(20)
    assert again._n_updates > 0


def test_arguments_that_make_no_sense_are_told_and_the_defaults_stand_in(tmp_path: Path) -> None:
    made = model(steps=0)
    made.replay_buffer_kwargs = {"n_sampled_goal": -3}
    made.save(tmp_path / "agent.zip")
    read = load(tmp_path / "agent.zip")
    assert read.blueprint.hindsight == Hindsight()
    assert any(name == "replay_buffer_kwargs" and "-3" in why for name, why in read.origin.unread)


@pytest.mark.parametrize("cls", [DQN, SAC])
@pytest.mark.parametrize("prior_steps", ["auto", 0])
def test_it_goes_on_and_the_run_says_so(cls: Any, prior_steps: Any, tmp_path: Path) -> None:
    given, seen, said = load(model(cls)), Seen(), []
    asked = recipe(steps=80, warm_start={"prior_steps": prior_steps})
    run = finetune(given, task(cls), asked, out=tmp_path / "run", callback=seen, say=said.append)
    buffer = seen.model.replay_buffer
    assert type(buffer) is HerReplayBuffer
    assert (buffer.n_sampled_goal, buffer.goal_selection_strategy) == (3, GoalSelectionStrategy.EPISODE)
    assert seen.updates[-1] > 0
    assert ["hindsight", "3 goals a step, drawn by `episode`"] in [list(row) for row in run.report.carried]
    (engine,) = [line for line in said if line.startswith("  engine")]
    assert "the buffer HerReplayBuffer: left to Stable-Baselines3 itself" in engine
    # The probe's steps begin the buffer, and they are episodes there.
    assert buffer.ep_length[0, 0] > 0
    folder = tmp_path / "run" / ("last" if run.report.kept == "pretrained" else "")
    stock = cls.load(folder / "agent.zip", env=world(cls is SAC), device="cpu")
    assert type(stock.replay_buffer) is HerReplayBuffer
    assert stock.learning_starts == 10, "stock training would draw before an episode has ended"
    stock.learn(30)


def test_without_an_episode_no_update_is_made() -> None:
    """Nothing begins the buffer and nobody waits: the first update follows the first end of an episode."""
    given, seen = load(model()), Seen()
    asked = recipe(steps=60, warm_start={"prior_steps": 0, "probe_episodes": 0}, algorithm={"train_freq": 1})
    finetune(given, task(), asked, callback=seen)
    before = seen.updates[0]
    first = next(at for at, updates in enumerate(seen.updates) if updates > before)
    assert 0 < first <= 2 * BITS
    assert seen.updates[-1] - before >= 50, "the updates that were put off were not made up for"
    going_on = Seen()
    finetune(given, task(), recipe(steps=60, mode="continue", algorithm={"train_freq": 1}), callback=going_on)
    assert going_on.updates[-1] > going_on.updates[0]


def test_infos_that_rewards_need_were_not_kept_of_the_probe() -> None:
    seen, said = Seen(), []
    asked = recipe(steps=60, warm_start={"probe_episodes": 1, "prior_steps": 3})
    finetune(load(model(copy_info_dict=True)), task(), asked, callback=seen, say=said.append)
    assert seen.model.replay_buffer.copy_info_dict
    (line,) = [line for line in said if line.startswith("  replay buffer")]
    assert "empty: the prior adds" in line


def test_a_reward_that_cannot_be_computed_is_the_environments_error() -> None:
    with pytest.raises(TaskError, match=r"raised KeyError: .*is_far"):
        finetune(load(model()), task(inside=Asking), recipe(steps=60))


@pytest.mark.parametrize("other", [Own, DictReplayBuffer])
def test_another_buffer_is_none_of_ours_and_no_reason_to_refuse_the_agent(other: Any, tmp_path: Path) -> None:
    made = model(steps=0)
    made.replay_buffer_class = other
    made.save(tmp_path / "agent.zip")
    read = load(tmp_path / "agent.zip")
    assert read.blueprint.hindsight is None
    unread = [name for name, _ in read.origin.unread]
    assert ("replay_buffer_class" in unread) == (other is Own), "SB3's own one is chosen again, and nothing is lost"


@pytest.mark.parametrize(("inside", "why"), [(Mute, "no `compute_reward`"), (Dearer, "not what its steps pay")])
def test_where_it_cannot_go_on_the_run_says_so(inside: Any, why: str) -> None:
    seen = Seen()
    run = finetune(load(model()), task(inside=inside), recipe(steps=60), callback=seen)
    assert type(seen.model.replay_buffer) is DictReplayBuffer
    (line,) = [how for what, how in run.report.reset if what == "hindsight"]
    assert why in line
    assert run.agent.blueprint.hindsight is not None, "the agent itself keeps it"


def test_a_recipe_may_do_without_it() -> None:
    seen = Seen()
    asked = recipe(steps=60, algorithm={"replay_buffer_class": None})
    run = finetune(load(model()), task(), asked, callback=seen)
    assert type(seen.model.replay_buffer) is DictReplayBuffer
    assert not any(what == "hindsight" for what, _ in (*run.report.carried, *run.report.reset))


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("copy_info_dict", [False, True])
def test_after_a_kill_the_episodes_are_there_again(
    copy_info_dict: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0)
    given, asked, held = load(model(copy_info_dict=copy_info_dict)), recipe(steps=120), {}

    def kill(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        if scope["self"].num_timesteps >= 61:
            held["before"] = scope["self"].replay_buffer
            raise Killed
        return True

    with pytest.raises(Killed):
        finetune(given, task(), asked, out=tmp_path / "run", callback=kill)
    saved = checkpoint.read(tmp_path / "run")
    assert (saved.replay is None) == copy_info_dict

    def look(ready: Any, seen: Any) -> None:
        held["after"] = ready.started.model.replay_buffer
        learn(ready, seen)

    learn = trainer._learn
    monkeypatch.setattr(trainer, "_learn", look)
    began = Seen()

    def first(scope: dict[str, Any], more: dict[str, Any]) -> bool:
        held.setdefault("lengths", scope["self"].replay_buffer.ep_length.copy())
        held.setdefault("pos", scope["self"].replay_buffer.pos)
        return began(scope, more)

    run = finetune(given, task(), asked, out=tmp_path / "run", resume=True, callback=first)
    assert run.report.steps_charged <= 120
    assert type(held["after"]) is HerReplayBuffer
    assert began.updates[-1] > began.updates[0]
    if not copy_info_dict:
        pos = held["pos"]
        assert pos > 50
        assert (held["lengths"][:pos] > 0).all(), "a step that can never be drawn again"
        whole = held["before"].ep_length[:pos, 0] > 0
        assert np.array_equal(held["lengths"][:pos, 0][whole], held["before"].ep_length[:pos, 0][whole])


@pytest.mark.parametrize("steps", [40, 39, 900], ids=["whole episodes", "one is cut", "wrapped around"])
def test_the_old_training_goes_on_with_its_own_buffer(steps: int, tmp_path: Path) -> None:
    """The episodes are those that SB3 finds in its file, oldest first."""
    made = model(SAC, steps=steps)
    made.save_replay_buffer(tmp_path / "replay_buffer.pkl")
    theirs = made.replay_buffer
    theirs.truncate_last_trajectory()
    held = {}

    def first(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        held.setdefault("lengths", scope["self"].replay_buffer.ep_length.copy())
        return True

    asked = recipe(steps=40, mode="continue", warm_start={"replay_buffer": str(tmp_path / "replay_buffer.pkl")})
    run = finetune(load(made), task(SAC), asked, callback=first)
    size = theirs.buffer_size if theirs.full else theirs.pos
    assert ["replay buffer", f"{size:,} transitions"] in [list(row) for row in run.report.carried]
    order = np.roll(np.arange(size), -theirs.pos) if theirs.full else np.arange(size)
    whole = theirs.ep_length[order, 0]
    assert np.array_equal(held["lengths"][BITS:size, 0], whole[BITS:]), "but for what wrapping around has cut off"


def test_infos_of_somebodys_own_are_refused_in_a_buffer(tmp_path: Path) -> None:
    made = model(copy_info_dict=True)
    made.save_replay_buffer(tmp_path / "replay_buffer.pkl")
    asked = recipe(steps=40, mode="continue", warm_start={"replay_buffer": str(tmp_path / "replay_buffer.pkl")})
    with pytest.raises(SourceError, match="copy_info_dict=True"):
        finetune(load(made), task(), asked)
