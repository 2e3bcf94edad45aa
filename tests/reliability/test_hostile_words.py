"""What files say of environments, settings and runs: nothing of it is imported, and what is wrong is one line."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import acclimate as ac
from acclimate.cli import main
from acclimate.errors import AcclimateError, ConfigError, SourceError
from acclimate.formats import bundle
from acclimate.planning.recipe import Recipe
from acclimate.reports.report import read
from acclimate.sb3.counters import set_counters
from acclimate.sb3.optimizers import fit
from acclimate.training import trainer
from tests import tiny
from tests.reliability.killed import run
from tests.unit.findings import report

SECONDS, KIBIBYTES = 20.0, 2**20
INTRUDER = "intruder:World-v0"


class Stopped(BaseException):
    """Stands for a kill."""


@pytest.fixture(autouse=True)
def intruder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lay out a module that a file may want to have imported; watch time and memory too."""
    place = tmp_path_factory.mktemp("site")
    code = "import gymnasium\ngymnasium.register('World-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    (place / "intruder.py").write_text(code)
    monkeypatch.syspath_prepend(place)
    begun, held = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert sys.modules.pop("intruder", None) is None, "a file had a module imported"
    assert time.perf_counter() - begun < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < KIBIBYTES


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a zip of an agent of CartPole."""
    from stable_baselines3 import PPO

    path = tmp_path_factory.mktemp("agent") / "ppo-CartPole-v1.zip"
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [4]}, n_steps=32, batch_size=32, seed=0).save(path)
    return path


def line(*args: object) -> str:
    """Return the one line that a command fails with."""
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 2, result.output
    said = [text for text in result.stderr.splitlines() if not text.startswith(("environment:", "acclimate: note:"))]
    assert len(said) == 1, result.stderr
    assert len(said[0]) < 900
    return said[0]


# Bundles

Change = Callable[[dict[str, Any]], Any]
HUGE = {"kind": "Box", "shape": [4000, 4000], "dtype": "float32", "low": 0.0, "high": 1.0}


def put(value: Any, *path: Any) -> Change:
    """Return what puts a value somewhere into nested data."""

    def change(data: dict[str, Any]) -> dict[str, Any]:
        inner: Any = data
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        return data

    return change


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


REFUSED: dict[str, tuple[Change, str]] = {
    "as deep as a stack": (put(nested(500), "origin", "config"), "nested deeper"),
    "a thousand methods": (put(["residual"] * 1000, "methods"), "at most 64"),
    "methods that leave nothing": (put(["l2sp"], "methods"), "leaves nothing"),
    "a method of another package": (put(["os:system"], "methods"), "no method"),
    "layers of any width": (put([10**9], "blueprint", "policy_kwargs", "net_arch"), "far larger|cannot build"),
    "an observation of 10^12 numbers": (
        put({**HUGE, "shape": [10**6, 10**6]}, "blueprint", "observation_space"),
        "Box of shape",
    ),
    "nine hundred large observations": (
        put({"kind": "Dict", "spaces": {str(n): HUGE for n in range(900)}}, "blueprint", "observation_space"),
        "larger than any observation",
    ),
    "spaces in spaces": (
        put(
            {"kind": "Dict", "spaces": {"a": {"kind": "Dict", "spaces": {"b": HUGE}}}}, "blueprint", "observation_space"
        ),
        "flat spaces",
    ),
    "an algorithm of another package": (put("os.system", "blueprint", "algorithm"), "no algorithm"),
    "versions that are no text": (put({"torch": [1]}, "origin", "versions"), "expected str"),
    "a normaliser without numbers": (put("abc", "normalizer", "clip_obs"), "expected float"),
    "a normaliser that is no number": (put(float("nan"), "normalizer", "epsilon"), "not finite"),
    "notes of another form": (put([["a"]], "origin", "unread"), "expected 2 values"),
}
LEFT_OUT: dict[str, tuple[Change, str]] = {
    "a module as the environment": (put(INTRUDER, "origin", "env_id"), "imports code"),
    "a module in an argument": (put({"env_kwargs": {"env_id": INTRUDER}}, "origin", "config"), "may import code"),
    "no number for a discount": (put("abc", "blueprint", "hyperparameters", "gamma"), "give a number"),
    "an endless number of epochs": (put(10**300, "blueprint", "hyperparameters", "n_epochs"), "out of range"),
    "arguments of thousands": (put({"env_kwargs": {"a": [0] * 5000}}, "origin", "config"), "no setting"),
    "an environment that is a list": (put([1], "origin", "env_id"), "expected str"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = ac.load(tiny.model("ppo", normalize=True))
    return bundle.save(made, tmp_path_factory.mktemp("written") / "bundle")


def hostile(written: Path, folder: Path, change: Change) -> Path:
    """Copy a bundle with another manifest."""
    folder.mkdir()
    for path in written.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = folder / bundle.MANIFEST
    manifest.write_text(json.dumps(change(json.loads(manifest.read_text()))))
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_bundles_that_are_refused(case: str, written: Path, tmp_path: Path) -> None:
    change, said = REFUSED[case]
    folder = hostile(written, tmp_path / "bundle", change)
    with pytest.raises(SourceError, match=said) as caught:
        ac.load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("case", LEFT_OUT)
def test_bundles_that_are_not_believed(case: str, written: Path, tmp_path: Path) -> None:
    change, said = LEFT_OUT[case]
    found = ac.load(hostile(written, tmp_path / "bundle", change))
    assert any(said in reason for _, reason in found.origin.unread), found.origin.unread
    assert found.origin.env_id is None


def test_counters_are_those_that_there_are(written: Path, tmp_path: Path) -> None:
    odd = {"env": 3, "policy": 1, "num_timesteps": 10**400, "_n_updates": -1, "_episode_num": 7}
    model = ac.load(hostile(written, tmp_path / "bundle", put(odd, "counters"))).model
    assert (model.env, model._episode_num) == (None, 7)
    assert model.num_timesteps == model._n_updates == 0


@pytest.mark.parametrize("entry", ["step", "exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("value", [None, "absent", "text", torch.zeros(7), torch.tensor(-1e30)], ids=str)
def test_moments_are_those_that_the_next_step_needs(entry: str, value: Any) -> None:
    optimizer = tiny.model("ppo").policy.optimizer
    saved = optimizer.state_dict()
    assert fit(optimizer, saved) == saved
    if isinstance(value, str) and value == "absent":
        del saved["state"][0][entry]
    else:
        saved["state"][0][entry] = value
    assert isinstance(fit(optimizer, saved), str)


def test_a_counter_is_set_where_the_model_has_it() -> None:
    model = tiny.model("ppo", steps=0)
    set_counters(model, {"env": 3, "_n_calls": 5, "_n_updates": 4})
    assert model.env != 3
    assert not hasattr(model, "_n_calls")
    assert model._n_updates == 4


# The commands

NAMED = {
    "bundle": lambda agent, folder: hostile(
        bundle.save(ac.load(agent), folder / "first"), folder / "bundle", put(INTRUDER, "origin", "env_id")
    ),
    "run": lambda agent, folder: NAMED["bundle"](agent, folder).parent,
    "zip": lambda agent, folder: beside(agent, folder, {"args.yml": f"env: {INTRUDER}"}),
    "arguments": lambda agent, folder: beside(agent, folder, {"env_kwargs.yml": f"inner: [{INTRUDER}]"}),
    "wrapper": lambda agent, folder: beside(agent, folder, {"config.yml": "env_wrapper: intruder.Wrapper"}),
}


def beside(agent: Path, folder: Path, files: dict[str, str]) -> Path:
    """Copy an agent and lay files beside it."""
    path = folder / agent.name
    path.write_bytes(agent.read_bytes())
    for name, text in files.items():
        (folder / name).write_text(text)
    return path


@pytest.mark.parametrize("command", ["evaluate", "finetune", "watch"])
@pytest.mark.parametrize("source", NAMED)
def test_no_command_imports_what_a_file_names(command: str, source: str, agent: Path, tmp_path: Path) -> None:
    path = NAMED[source](agent, tmp_path)
    said = line(command, path, "--out", tmp_path / "out") if command != "evaluate" else line(command, path)
    assert "intruder" in said
    assert not (tmp_path / "out").exists()
    assert json.loads(CliRunner().invoke(main, ["inspect", str(path), "--json"]).stdout)["algorithm"] == "ppo"


def test_a_module_that_the_user_names_is_imported(agent: Path, tmp_path: Path) -> None:
    path = NAMED["bundle"](agent, tmp_path)
    assert "--env" in line("evaluate", path)
    result = CliRunner().invoke(main, ["evaluate", str(path), "--env", INTRUDER, "--eval-episodes", "1"])
    assert result.exit_code == 0, result.output
    assert sys.modules.pop("intruder")


# Files beside a zip

BILLION = "a: &a [x]\n" + "\n".join(f"b{i}: &b{i} [*{'a' if i == 0 else f'b{i - 1}'}{', *a' * 9}]" for i in range(12))
LAUGHS = "a: &a [x, x]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
SIDECARS = {
    "aliases": f"{LAUGHS}\nenv_kwargs: *l\n",
    "aliases of aliases": BILLION,
    "an anchor": "env_kwargs: &a {g: 1}",
    "itself": "env_kwargs: &a [*a]",
    "depth": "env_kwargs: " + "[" * 5000,
    "depth by dashes": "- " * 5000,
    "size": "env_kwargs: [" + "0, " * 200_000 + "0]",
    "a number of a million digits": "frame_stack: " + "9" * 10**6,
    "code": "env_kwargs: !!python/object/apply:os.system ['true']",
    "a set": "env_kwargs: !!set {a, b}",
    "no text": "\x00\x01",
    "two documents": "a: 1\n---\nb: 2",
}


@pytest.mark.parametrize("name", ["config.yml", "args.yml"])
@pytest.mark.parametrize("case", SIDECARS)
def test_files_beside_a_zip_unfold_into_nothing(case: str, name: str, agent: Path, tmp_path: Path) -> None:
    found = ac.load(beside(agent, tmp_path, {name: SIDECARS[case]}))
    assert not found.origin.config
    assert found.origin.env_id == "CartPole-v1"
    if case != "code":  # what a tag of Python stands for is nothing
        assert name in dict(found.origin.unread)


# Recipes and flags

RECIPES = {
    "aliases": (f"{LAUGHS}\nmethods: *l", "aliases"),
    "depth": ("methods: " + "[" * 3000, "nested deeper"),
    "size": ("methods: [" + "full, " * 100_000 + "full]", "more than"),
    "code": ("methods: !!python/object/apply:os.system ['true']", "constructor"),
    "a method by its path": (f"methods: ['{INTRUDER}']", "no method"),
    "no number": ("algorithm: {gamma: abc}\nsteps: .nan", "not finite"),
    "an infinite number": ("warm_start: {tie: .inf}", "warm_start.tie"),
    "a huge number": ("steps: " + "9" * 60, "recipe.steps"),
    "a negative number": ("evaluation: {n_envs: -1}", "evaluation.n_envs"),
    "a seed below zero": ("seed: -1", "recipe.seed"),
    "a seed beyond 32 bits": (f"seed: {2**32}", "recipe.seed"),
    "a weight that is none": ("methods: [{kl: {weight: .nan}}]", "kl.weight"),
    "a width of a billion": ("methods: [{residual: {width: 1000000000}}]", "residual.width"),
    "a list": ("[1]", "not a mapping"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipes_that_are_refused(case: str, tmp_path: Path) -> None:
    text, said = RECIPES[case]
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        Recipe.load(tmp_path / "recipe.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


FLAGS = {
    "gamma:abc": "gamma is 'abc'",
    "gamma:.nan": "gamma is nan",
    "gamma:1.5": "from 0 to 1",
    "gamma:[1]": "give a number",
    "gamma:true": "give a number",
    "n_steps:-1": "out of range",
    "n_steps:1.5": "whole number",
    "learning_rate:.inf": "learning_rate is inf",
    "batch_size:1e400": "batch_size is inf",
    "n_epochs:1e9": "out of range",
    "normalize_advantage:3": "true or false",
    "verbose:1": "leave it out",
    "clip_range:{a: 1}": "give a number",
}


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("file", [False, True])
def test_settings_that_are_none(flag: str, file: bool, agent: Path, tmp_path: Path) -> None:
    name, _, value = flag.partition(":")
    (tmp_path / "recipe.yaml").write_text(f"algorithm:\n  {name}: {value}\n")
    given = ("--recipe", tmp_path / "recipe.yaml") if file else ("--hyperparams", flag)
    said = line("finetune", agent, "--shift", "gravity=2", "--out", tmp_path / "out", *given)
    assert f"recipe.algorithm.{name}" in said
    assert FLAGS[flag] in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags",
    [
        ("evaluate", "--seed", "-1"),
        ("evaluate", "--seed", str(2**32)),
        ("evaluate", "--eval-episodes", str(10**12)),
        ("evaluate", "--wrapper", "frame_stack=1e9"),
        ("evaluate", "--shift", "sensor_noise=.nan"),
        ("evaluate", "--shift", "action_delay=1e9"),
        ("watch", "--seconds", "nan"),
        ("finetune", "--seed", "-1"),
        ("finetune", "-n", str(10**30)),
        ("finetune", "--n-envs", str(10**30)),
    ],
)
def test_numbers_on_the_command_line(flags: tuple[str, ...], agent: Path, tmp_path: Path) -> None:
    out = () if flags[0] == "evaluate" else ("--out", tmp_path / "out")
    line(flags[0], agent, *flags[1:], *out)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [INTRUDER, {"env": INTRUDER}, {"env": "CartPole-v1", "env_kwargs": {"a": INTRUDER}}])
def test_a_task_in_a_file_names_no_module(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"task\.env.*may not ask for"):
        ac.Task.from_config(value)
    assert ac.Task.from_config(value, trust=True)


# Runs


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return folders of runs that were killed in training, one for each case."""
    place = tmp_path_factory.mktemp("killed")

    def kill(scope: dict[str, Any], _: dict[str, Any]) -> bool:
        if scope["self"].num_timesteps >= 230:
            raise Stopped
        return True

    for case in ("ppo", "sac"):
        with pytest.raises(Stopped):
            run(case, place / case, callback=kill, averaging=0.5)
    return place


def resumed(monkeypatch: pytest.MonkeyPatch, case: str, folder: Path) -> None:
    """Resume a run up to where it would train."""

    def stop(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr(trainer, "_learn", stop)
    run(case, folder, averaging=0.5)


def copied(source: Path, folder: Path) -> Path:
    shutil.copytree(source, folder)
    return folder


def in_json(name: str, change: Change) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return act


def in_tensors(change: Change) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / "checkpoint" / "state.pt"
        torch.save(change(torch.load(path, weights_only=True)), path)

    return act


def in_arrays(name: str, change: Change) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        with np.load(folder / name) as data:
            held = {key: data[key] for key in data.files}
        np.savez(folder / name, **change(held))

    return act


def text(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content)


def group(data: dict[str, Any]) -> dict[str, Any]:
    data["seam"]["parameters"]["policy.optimizer"]["param_groups"][0]["lr"] = "fast"
    return data


def moments(data: dict[str, Any]) -> dict[str, Any]:
    state = data["seam"]["parameters"]["policy.optimizer"]["state"]
    next(iter(state.values()))["exp_avg"] = torch.zeros(7)
    return data


def weight(data: dict[str, Any]) -> dict[str, Any]:
    data["average"]["weights"]["log_std"] = torch.zeros(9)
    return data


FEW = [{"steps": 1, "returns": [], "lengths": []}]
PROGRESS, BEFORE = "checkpoint/progress.json", "before.json"
FOLDERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a counter that is the environment": ("ppo", in_json(PROGRESS, put(1, "counters", "env"))),
    "a counter that is text": ("ppo", in_json(PROGRESS, put("many", "counters", "_n_updates"))),
    "steps below zero": ("ppo", in_json(PROGRESS, put(-5, "steps"))),
    "steps beyond the run": ("ppo", in_json(PROGRESS, put(10**9, "steps"))),
    "progress as deep as a stack": ("ppo", in_json(PROGRESS, put(nested(500), "log"))),
    "progress that is a list": ("ppo", text(PROGRESS, b"[]")),
    "progress without a field": ("ppo", in_json(PROGRESS, lambda data: {"steps": 1})),
    "a log of text": ("ppo", in_json(PROGRESS, put(["x"], "log", "loss"))),
    "columns of two lengths": ("ppo", in_json(PROGRESS, put([1.0] * 50, "signals", "policy/kl"))),
    "measurements of other episodes": ("ppo", in_json(PROGRESS, put(FEW, "points"))),
    "no number as a bound": ("ppo", in_json(PROGRESS, put(float("nan"), "best_lower"))),
    "a list of tensors": ("ppo", in_tensors(lambda data: [data])),
    "an average of another network": ("ppo", in_tensors(weight)),
    "a rate that is text": ("ppo", in_tensors(group)),
    "moments of another shape": ("ppo", in_tensors(moments)),
    "scales that are no numbers": ("ppo", in_tensors(put([float("nan")], "seam", "tuner", "scales"))),
    "more updates than there can be": ("ppo", in_tensors(put(10**30, "seam", "tuner", "signals", "updates"))),
    "weights that are no numbers": (
        "ppo",
        in_tensors(put(torch.full((1,), float("nan")), "seam", "parameters", "policy", "log_std")),
    ),
    "a signal that there is not": ("ppo", in_tensors(put(1, "seam", "tuner", "signals", "forget_all"))),
    "methods of other networks": ("ppo", in_tensors(put({}, "seam", "tuner", "methods", 0, "states"))),
    "a random state beyond its end": ("ppo", in_tensors(put(10**6, "random", "numpy", 2))),
    "a random state of torch's": ("ppo", in_tensors(put(torch.zeros(3), "random", "torch"))),
    "a normaliser of other observations": ("ppo", in_tensors(put(torch.zeros(9), "normalizer", "obs_mean"))),
    "a variance below zero": ("ppo", in_tensors(put(-torch.ones(2, dtype=torch.float64), "normalizer", "obs_var"))),
    "no normaliser": ("ppo", in_tensors(put(None, "normalizer"))),
    "no best policy": ("ppo", in_tensors(put({"steps": 1, "policy": {}, "normalizer": None}, "best"))),
    "transitions of another world": (
        "sac",
        in_arrays("checkpoint/replay.npz", lambda held: {**held, "observations": np.zeros((3, 1, 9))}),
    ),
    "a place beyond the buffer": ("sac", in_arrays("checkpoint/replay.npz", put(np.array(10**9), "pos"))),
    "objects among the transitions": (
        "sac",
        in_arrays("checkpoint/replay.npz", put(np.array([None], dtype=object), "actions")),
    ),
    "situation of text": ("ppo", in_json(BEFORE, put("high", "situation", "target_return"))),
    "a situation with another field": ("ppo", in_json(BEFORE, put(1, "situation", "env"))),
    "no episodes before": ("ppo", in_json(BEFORE, put({"returns": [], "lengths": [], "seeds": []}, "target"))),
    "episodes of other seeds": ("ppo", in_json(BEFORE, put([1, 2, 3], "selection", "seeds"))),
    "before that is null": ("ppo", text(BEFORE, b"null")),
    "a probe of another world": ("sac", in_arrays("probe.npz", lambda held: {**held, "observation": np.zeros((8, 9))})),
    "a probe that is none": ("sac", text("probe.npz", b"PK\x03\x04")),
    "a run that is a list": ("ppo", text("run.json", b"[1]")),
    "a run as deep as a stack": ("ppo", text("run.json", b"[" * 10**5)),
    "a monitor without a head": ("ppo", text("monitor.csv", b"\xff\xfe\n")),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_a_damaged_run_is_one_line(case: str, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, damage = FOLDERS[case]
    folder = copied(killed / name, tmp_path / "run")
    damage(folder)
    with pytest.raises((SourceError, ConfigError)) as caught:
        resumed(monkeypatch, name, folder)
    said = str(caught.value)
    assert "\n" not in said
    assert str(folder) in said
    assert len(said) < 900


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_an_undamaged_run_goes_on(name: str, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stopped):
        resumed(monkeypatch, name, copied(killed / name, tmp_path / "run"))


REPORTS: dict[str, Change] = {
    "no numbers": put("abc", "wall_seconds"),
    "an agent that is a list": put([], "agent"),
    "a curve of text": put(["x"], "curve"),
    "no target": put(None, "target"),
    "episodes of two lengths": put([1.0], "target", "before", "returns"),
    "notes that are a number": put(3, "notes"),
    "another format": put(2, "format"),
    "as deep as a stack": put(nested(500), "situation"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("report")
    report().write(place)
    return (place / "report.json").read_text()


@pytest.mark.parametrize("case", REPORTS)
def test_a_damaged_report_is_one_line(case: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(REPORTS[case](json.loads(told))))
    with pytest.raises(AcclimateError) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
