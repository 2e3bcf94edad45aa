"""A user's own policies, extractors, distributions and optimizers, in his folder: report, zip, resume after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.distributions import Beta, kl_divergence

from acclimate.agents.load import load
from acclimate.errors import SurgeryError
from acclimate.methods.ewc import EWC
from acclimate.methods.kl import KLToPrior
from acclimate.methods.kl_adaptive import KLAdaptive
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import Drawn, choose
from acclimate.runs.finetune import finetune
from acclimate.sb3.networks import find
from acclimate.tasks.task import Task
from tests.world import recipe

OWN = Path(__file__).parents[1] / "own" / "mine.py"
NAMES = ("features", "policy", "distribution", "odd distribution", "optimizer", "a2c policy", "trpo policy")
NAMES += ("sac policy", "sac features", "td3 policy and noise", "dqn policy")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The user's module, in his folder."""
    (tmp_path / "mine.py").write_text(OWN.read_text())
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import mine as module

    yield module
    del sys.modules["mine"]


def made(mine: ModuleType, name: str, steps: int = 64) -> Any:
    torch.manual_seed(0)
    return mine.AGENTS[name]().learn(steps)


def task(name: str, **kwargs: Any) -> Task:
    discrete = name in ("policy", "dqn policy")
    return Task("mine:Middle-v0", env_kwargs={"discrete": True, **kwargs} if discrete else kwargs)


@pytest.mark.parametrize("way", ["trusted", pytest.param("live", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", NAMES)
def test_every_kind_has_its_report_and_a_zip_that_stock_sb3_goes_on_with(mine: ModuleType, name: str, way: str) -> None:
    model = made(mine, name)
    model.save("agent.zip")
    given = load("agent.zip", trust=True) if way == "trusted" else load(model)
    asked = recipe(steps=400, averaging=0.0)
    run = finetune(given, task(name, gain=0.5), asked, source=task(name), out="run", progress=False)
    assert (Path("run") / "report.html").exists()
    assert json.loads((Path("run") / "report.json").read_text())["kept"] == run.report.kept
    folder = Path("run") / ("last" if run.report.kept == "pretrained" else "")
    stock = type(model).load(folder / "agent.zip", env=model.get_env(), device="cpu")
    assert type(stock.policy) is type(model.policy)
    stock.learn(64)


def started(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path[1:])}
    command = [sys.executable, "-c", "from acclimate.cli import main; main()", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.parametrize("name", ["distribution", pytest.param("sac policy", marks=pytest.mark.nightly)])
def test_the_command_line_in_the_folder_of_the_user_goes_on_after_a_kill(
    mine: ModuleType, name: str, tmp_path: Path
) -> None:
    made(mine, name).save("agent.zip")
    asked = ["finetune", "agent.zip", "--trust", "--env", "mine:Middle-v0", "--env-kwargs", "gain:0.5", "--out", "run"]
    asked += ["-n", "600", "--n-envs", "2", "--eval-episodes", "2", "--hyperparams", "n_steps:32"][
        : 8 - 2 * ("sac" in name)
    ]
    first = started(*asked, folder=tmp_path)
    while not (tmp_path / "run" / "checkpoint").exists():
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    again = started(*asked, "--resume", folder=tmp_path)
    said, _ = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "verdict" in said
    assert (tmp_path / "run" / "report.html").exists()
    assert load(tmp_path / "run" / "agent.zip", trust=True).algorithm == name.split()[0].replace("distribution", "ppo")


def test_how_far_two_of_a_kind_are_apart_is_torchs_own_number(mine: ModuleType) -> None:
    (actor,) = [net for net in find(made(mine, "distribution")) if net.role == "actor"]
    seen = torch.tensor([[0.5, 0.1], [-1.0, 0.9]])
    now = actor.apply(actor.module, Batch(seen))
    assert isinstance(now, Drawn)
    other = Drawn(Beta(torch.full((2, 1), 2.0), torch.full((2, 1), 3.0)), lambda mode: torch.zeros(2, 1))
    assert torch.equal(now.kl(other), kl_divergence(now.distribution, other.distribution)[:, 0])
    likeliest = 2 * now.distribution.mean - 1
    again = actor.apply(actor.module, Batch(torch.zeros(2, 2)))
    assert torch.equal(choose(now), likeliest), "the policy's own object has been used since"
    assert not torch.equal(choose(again), likeliest)
    drawn = [choose(now, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*drawn)
    assert (drawn[0].abs() <= 1).all()


def test_what_compares_policies_is_refused_before_anything_where_nothing_is_known(
    mine: ModuleType, tmp_path: Path
) -> None:
    given, home = load(made(mine, "odd distribution")), task("odd distribution")
    for asked in (recipe(steps=400, methods=(KLToPrior(),)), recipe(steps=400, warm_start={"tie": 0.3})):
        with pytest.raises(
            SurgeryError, match=r"torch does not know how far a MixtureSameFamily is from another.*register_kl"
        ):
            finetune(given, home, asked, source=home, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    beta = load(made(mine, "distribution"))
    tied, known = recipe(steps=400, warm_start={"tie": 0.3}), task("distribution")
    with pytest.raises(SurgeryError, match="a Beta cannot be kept with states"):
        finetune(beta, known, tied, source=known, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    easy: list[str] = []
    finetune(given, task("odd distribution"), recipe(steps=400), progress=False, say=easy.append)
    (tie,) = [line for line in easy if line.startswith("  tie")]
    assert tie.split()[4] == "0"


@pytest.mark.parametrize("method", [EWC(stored=8), KLToPrior(states="source"), KLAdaptive()], ids=lambda one: one.name)
def test_methods_that_need_more_of_a_distribution_say_so(mine: ModuleType, method: Any, tmp_path: Path) -> None:
    given, where = load(made(mine, "distribution")), task("distribution", gain=0.5)
    with pytest.raises(SurgeryError, match="Beta"):
        finetune(given, where, recipe(steps=400, methods=(method,)), source=task("distribution"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists(), "the folder is free again"
