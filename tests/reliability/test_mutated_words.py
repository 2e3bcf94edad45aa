"""Bundles, runs, recipes and files beside a zip with random damage: our error, or something of use; never code."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import random
import resource
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import acclimate as ac
from acclimate.cli.options import make_task
from acclimate.errors import AcclimateError
from acclimate.formats import bundle
from acclimate.planning.plan import make_plan
from acclimate.planning.probe import Situation
from acclimate.planning.recipe import Recipe
from acclimate.training import trainer
from tests import tiny
from tests.reliability.killed import run
from tests.reliability.test_hostile_words import INTRUDER, KIBIBYTES, SECONDS, Stopped, killed, nested
from tests.reliability.test_mutations import cut, flip_bits, numbers, repeat
from tests.unit.planning.test_recipe import FULL

__all__ = ["killed"]  # a fixture

KINDS = ("bundle", "run", "recipe", "beside")
ODD: list[Any] = [
    None, -1, 0, 1, 1.5, 10**30, 10**400, 1e308, float("nan"), float("inf"), True, "", "auto", "x" * 5000, "os.system",
    INTRUDER, [], {}, [[]], [0] * 300, nested(40), {"env": 1}, {"a" * 300: 1}, [None], ["l2sp"],
    {"residual": {"width": 9}},
]  # fmt: skip
NOTHING = {"env": None, "env_kwargs": (), "wrappers": (), "shifts": ()}


def inside(data: Any, chance: random.Random) -> Any:
    """Give some places of nested data odd values, or those of other places."""
    changed = copy.deepcopy(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        whole = changed
        while True:
            keys = list(whole) if isinstance(whole, dict) else range(len(whole))
            if not keys:
                break
            key = chance.choice(list(keys))
            if isinstance(whole[key], dict | list) and whole[key] and chance.random() < 0.8:
                whole = whole[key]
                continue
            action = chance.random()
            if action < 0.15 and isinstance(whole, dict):
                whole[chance.choice([INTRUDER, "env", "", str(key) + "x"])] = whole.pop(key)
            elif action < 0.25:
                del whole[key]
            elif action < 0.35:
                whole[key] = copy.deepcopy(whole[chance.choice(list(keys))])
            else:
                whole[key] = copy.deepcopy(chance.choice(ODD))
            break
    return changed


def in_text(raw: bytes, chance: random.Random) -> bytes:
    return json.dumps(inside(json.loads(raw), chance)).encode()


def in_bytes(raw: bytes, chance: random.Random) -> bytes:
    return chance.choice([flip_bits, cut, repeat, numbers])(raw, chance) if len(raw) > 8 else b""


def in_yaml(raw: bytes, chance: random.Random) -> bytes:
    return yaml.dump(inside(yaml.safe_load(raw), chance), Dumper=yaml.SafeDumper).encode()


def in_tensors(raw: bytes, chance: random.Random) -> bytes:
    """Change what a file of torch's holds, or one of its members."""
    written = io.BytesIO()
    if chance.random() < 0.6:
        torch.save(inside(torch.load(io.BytesIO(raw), weights_only=True), chance), written)
        return written.getvalue()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(written, "w") as new:
        victim = chance.choice([name for name in old.namelist() if old.getinfo(name).file_size > 8])
        for name in old.namelist():
            new.writestr(name, in_bytes(old.read(name), chance) if name == victim else old.read(name))
    return written.getvalue()


def in_arrays(raw: bytes, chance: random.Random) -> bytes:
    """Give some arrays another shape or type, or the place of others."""
    with np.load(io.BytesIO(raw)) as data:
        held = {name: data[name] for name in data.files}
    victim, other = chance.choice(list(held)), chance.choice(list(held))
    changes: list[Callable[[np.ndarray], Any]] = [
        lambda array: array[:3] if array.ndim else array + 10**6,
        lambda array: array[..., None],
        lambda array: array.astype(np.complex128),
        lambda array: np.full(array.shape, np.nan),
        lambda array: np.zeros((1, 1, 4000, 40)),
        lambda array: held[other],
    ]
    held[victim] = chance.choice(changes)(held[victim])
    written = io.BytesIO()
    np.savez(written, **held)
    return written.getvalue()


def damaged(path: Path, chance: random.Random) -> None:
    """Damage one file, as whoever knows its form would or as a disk does."""
    forms = {".json": in_text, ".yaml": in_yaml, ".yml": in_yaml, ".pt": in_tensors, ".npz": in_arrays}
    form = forms.get(path.suffix, in_bytes) if chance.random() < 0.7 else in_bytes
    path.write_bytes(form(path.read_bytes(), chance))


class Originals:
    """What is damaged, and what is done with it then."""

    def __init__(self, place: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.runs = place, runs
        names = ("ppo", "dqn", "sac", "her", "recurrent_ppo")
        self.agents = [ac.load(tiny.model(name, normalize=name != "dqn", steps=8)) for name in names]
        for agent in self.agents:
            told = {"env_kwargs": {"sutton_barto_reward": True}, "frame_stack": 2}
            agent.origin = replace(agent.origin, env_id="CartPole-v1", config=told)
        self.bundles = [bundle.save(agent, place / agent.algorithm) for agent in self.agents]
        tiny.model("ppo", steps=0).save(place / "ppo-CartPole-v1.zip")

        def stop(*_: object) -> None:
            raise Stopped

        monkeypatch.setattr(trainer, "_learn", stop)

    def bundle(self, folder: Path, chance: random.Random) -> None:
        """Load a damaged bundle, whose hashes are made right, and make its task."""
        shutil.copytree(chance.choice(self.bundles), folder)
        manifest = folder / bundle.MANIFEST
        path = chance.choice([manifest, manifest, manifest, *folder.iterdir()])
        damaged(path, chance)
        if path != manifest and chance.random() < 0.9:
            data = json.loads(manifest.read_text())
            data["files"][path.name]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
            manifest.write_text(json.dumps(data))
        self.use(ac.load(folder))

    def beside(self, folder: Path, chance: random.Random) -> None:
        """Load a zip with damaged files beside it, and make its task."""
        folder.mkdir()
        shutil.copy(self.place / "ppo-CartPole-v1.zip", folder)
        told = {
            "config.yml": {"env_wrapper": [{"sb3_contrib.common.wrappers.TimeFeatureWrapper": {}}], "frame_stack": 2},
            "args.yml": {"env": "CartPole-v1", "env_kwargs": {"sutton_barto_reward": True}},
            "env_kwargs.yml": {"render_mode": "rgb_array", "sutton_barto_reward": False},
        }
        for name, data in told.items():
            (folder / name).write_text(yaml.safe_dump(data))
        damaged(folder / chance.choice(list(told)), chance)
        self.use(ac.load(folder, normalizer=None))

    def recipe(self, folder: Path, chance: random.Random) -> None:
        """Read a damaged recipe and plan a run by it."""
        folder.mkdir()
        FULL.save(folder / "recipe.yaml")
        damaged(folder / "recipe.yaml", chance)
        make_plan(chance.choice(self.agents[:3]), Recipe.load(folder / "recipe.yaml"), Situation(), home=False)

    def run(self, folder: Path, chance: random.Random) -> None:
        """Resume a damaged run up to where it would train."""
        case = chance.choice(["ppo", "ppo", "sac"])
        shutil.copytree(self.runs / case, folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "tfevents" not in path.name]
        damaged(chance.choice([*files, *(folder / "checkpoint").iterdir()]), chance)
        run(case, folder, averaging=0.5)

    def use(self, agent: ac.Agent) -> None:
        agent.predict(tiny.observations(agent.observation_space, n=2), deterministic=True)
        make_task(NOTHING, agent).make().close()


@pytest.fixture
def originals(tmp_path: Path, killed: Path, monkeypatch: pytest.MonkeyPatch) -> Originals:
    code = "import gymnasium\ngymnasium.register('World-v0', 'gymnasium.envs.classic_control:CartPoleEnv')\n"
    (tmp_path / "intruder.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return Originals(tmp_path / "originals", killed, monkeypatch)


def survive(originals: Originals, kind: str, folder: Path, seeds: range) -> int:
    """Read a damaged file for each seed; return how many were of use."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used, messages = 0, []
    for seed in seeds:
        shutil.rmtree(folder, ignore_errors=True)
        start = time.perf_counter()
        try:
            getattr(originals, kind)(folder, random.Random(seed))
        except AcclimateError as error:
            messages.append(str(error))
        except Stopped:
            used += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}") from error
        else:
            used += 1
        assert time.perf_counter() - start < SECONDS, f"seed {seed}"
        assert "intruder" not in sys.modules, f"seed {seed}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KIBIBYTES
    assert [text for text in messages if "\n" in text or len(text) > 1_000] == []
    return used


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_damage_gives_our_errors_or_is_harmless(kind: str, originals: Originals, tmp_path: Path) -> None:
    used = survive(originals, kind, tmp_path / "damaged", range(60))
    assert 0 < used < 60


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_of_each_kind(kind: str, originals: Originals, tmp_path: Path) -> None:
    used = survive(originals, kind, tmp_path / "damaged", range(1000, 3000))
    print(f"{kind}: 2000 damaged, {used} of use, {2000 - used} refused")
    assert 0 < used < 2000
