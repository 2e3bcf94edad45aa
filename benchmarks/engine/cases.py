"""The cases of the engine's benchmark: what is trained, and who trains it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import stable_baselines3 as sb3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

import acclimate as ac
from acclimate.engine.choice import attach
from acclimate.methods.channel import ChannelScale
from acclimate.methods.dropout import Dropout
from acclimate.methods.freeze import Freeze
from acclimate.methods.full import Full
from acclimate.methods.kl import KLToPrior
from acclimate.seam.seam import Seam
from acclimate.tasks.task import Task
from acclimate.tuning.method import Method, chain
from benchmarks.peers import off_policy_loops, ppo_loop, stock, workload
from benchmarks.peers.gym_envs import FRAMES, know_atari
from benchmarks.peers.sbx import SBX
from benchmarks.peers.side import Learning, Looping, Side
from benchmarks.peers.workload import Workload

ALGORITHMS = {"ppo": sb3.PPO, "sac": sb3.SAC, "td3": sb3.TD3, "dqn": sb3.DQN}
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}
IMAGES = ("ale_py", "cv2")
HOPPER, ATARI = "PPO Hopper-v5, 8 environments", "PPO NatureCNN, Breakout, 8 environments"
PEERS = ("sbx", "cleanrl")
UNFROZEN, UNDROPPED = "no PPO of the others freezes layers", "no PPO of the others has dropout"
LOOPS = {"ppo": ppo_loop.train, "sac": off_policy_loops.sac, "td3": off_policy_loops.td3, "dqn": off_policy_loops.dqn}


@dataclass(frozen=True)
class Case:
    """A comparison: sides that do the same work."""

    name: str
    sides: Mapping[str, Callable[[], Side]]
    """By name; `acclimate` is compared with every other."""
    steps: int
    """Of each side in a round."""
    first: int = 0
    """Steps before the first round: what fills the replay buffer."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Why a side is not there."""
    needs: tuple[str, ...] = ()
    """Modules that not every installation has."""
    charted: bool = True
    """Whether the chart shows it."""

    @property
    def lacks(self) -> list[str]:
        """Those of them that are not here."""
        return [name for name in self.needs if find_spec(name) is None]


class Engine(Learning):
    """A model that the engine trains with a method."""

    def __init__(self, model: Any, method: Method) -> None:
        """Put the engine in the place of the model's own training."""
        super().__init__(model)
        stock_class = type(model)
        self._seam = Seam(model, method)
        taken, why = attach(self._seam, stock_class, "auto")
        if taken != "acclimate":
            raise SystemExit(f"the engine cannot train {stock_class.__name__}: {why}")
        self._seam.__enter__()

    def close(self) -> None:
        """Leave the model as it is."""
        self._seam.detach()
        super().close()


class Stock(Learning):
    """A model that SB3 itself trains with a method."""

    def __init__(self, model: Any, method: Method, *, frozen: bool = False) -> None:
        """Put the method in; one that only freezes is left to SB3 alone, as its user would, without our hooks."""
        super().__init__(model)
        self._seam = Seam(model, method)
        if not frozen:
            self._seam.__enter__()

    def close(self) -> None:
        """Leave the model as it is."""
        self._seam.detach()
        super().close()


def plain(work: Workload) -> Any:
    """Return a model with the environments that anybody would give it."""
    return stock.make(work, ALGORITHMS, ACTIVATIONS[work.activation])


def ours(work: Workload) -> Any:
    """Return the same model with the environments that a fine-tuning run would make."""
    return stock.make(work, ALGORITHMS, ACTIVATIONS[work.activation], as_in_a_run(work))


def as_in_a_run(work: Workload) -> VecEnv:
    """Return the environments that a fine-tuning run would make: the same ones, in as many processes as pay."""
    seen = (ac.Atari(), ac.FrameStack(FRAMES)) if work.images else ()
    if work.images:
        know_atari()
    return Task(work.env, wrappers=seen).vector(work.n_envs, seed=0, kind="auto")


def of_the_zoo(env: Any) -> Any:
    """Return the zoo's agent of HalfCheetah with its normaliser, on environments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent = ac.load(Path(os.environ["ACCLIMATE_ZOO"]) / "ppo/HalfCheetah-v3_1/HalfCheetah-v3.zip")
    told = workload.CHEETAH.arguments
    rates = {name: told[name] for name in ("learning_rate", "clip_range")}
    normalised = agent.normalizer.vec_normalize(env, training=True, norm_reward=True)
    model = agent.blueprint.build(env=normalised, seed=0, verbose=0, **rates)
    model.policy.load_state_dict(agent.model.policy.state_dict())
    return model


def _peers(work: Workload) -> dict[str, Callable[[], Side]]:
    return {"sbx": partial(SBX, work), "cleanrl": lambda: Looping(LOOPS[work.algorithm](work))}


def _case(name: str, work: Workload, steps: int, first: int = 0) -> Case:
    sides: dict[str, Callable[[], Side]] = {"sb3": lambda: Learning(plain(work)), **_peers(work)}
    return Case(name, {**sides, "acclimate": lambda: Engine(ours(work), Full())}, steps, first)


def _zoo() -> Case:
    one = workload.CHEETAH.env
    sides: dict[str, Callable[[], Side]] = {
        "sb3": lambda: Learning(of_the_zoo(make_vec_env(one, 1, seed=0))),
        **_peers(workload.CHEETAH),
        "acclimate": lambda: Engine(of_the_zoo(Task(one).vector(1, seed=0)), Full()),
    }
    return Case("PPO HalfCheetah-v5, an agent of the zoo", sides, 1_024)


def _with_method() -> Case:
    """SAC with a penalty and a reparameterisation beside plain SAC, both on the engine."""
    method = chain(KLToPrior(), ChannelScale())
    sides: dict[str, Callable[[], Side]] = {
        "acclimate, full": lambda: Engine(ours(workload.SAC), Full()),
        "acclimate": lambda: Engine(ours(workload.SAC), method),
    }
    return Case("SAC HalfCheetah-v5, kl + channel beside full", sides, 150, 400)


def _atari(method: Method, frozen: str, others: str | None) -> list[Case]:
    """Return what each side's user gets, then the same environments on both sides: in one process, and in shares."""
    work = workload.ATARI
    beside = _peers(work) if others is None else {}

    def case(told: str, theirs: Callable[..., Any], own: Callable[..., Any], *, first: bool = False) -> Case:
        sides: dict[str, Callable[[], Side]] = {
            "sb3": lambda: Stock(theirs(work), method, frozen=True),
            **(beside if first else {}),
            "acclimate": lambda: Engine(own(work), method),
        }
        lacking = {name: others or "they are in the game's first row" for name in PEERS if name not in sides}
        return Case(f"{ATARI}{frozen}{told}", sides, 1_024, missing=lacking, needs=IMAGES, charted=first)

    return [
        case("", plain, ours, first=True),
        case(", in one process on both sides", plain, plain),
        case(", in processes on both sides", ours, ours),
    ]


def _dropout() -> Case:
    made: dict[str, Callable[[], Side]] = {
        "sb3": lambda: Stock(plain(workload.HOPPER), Dropout()),
        "acclimate": lambda: Engine(ours(workload.HOPPER), Dropout()),
    }
    return Case(f"{HOPPER}, dropout", made, 2_048, missing=dict.fromkeys(PEERS, UNDROPPED))


CASES = (
    _case("PPO CartPole-v1, 8 environments", workload.CARTPOLE, 4_096),
    _case(HOPPER, workload.HOPPER, 2_048),
    _zoo(),
    _case("SAC HalfCheetah-v5", workload.SAC, 150, 400),
    _case("TD3 Hopper-v5", workload.TD3, 150, 400),
    _case("DQN LunarLander-v3", workload.DQN, 500, 400),
    *_atari(Full(), "", None),
    *_atari(Freeze(on="trunk"), ", frozen trunk", UNFROZEN),
    _dropout(),
    _with_method(),
)
