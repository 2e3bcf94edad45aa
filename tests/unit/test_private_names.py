"""Private names of other libraries may be gone in their next version: each stands in few places, and here.

A name is private if it begins with an underscore. It is another's unless this project defines it: in the same file, or
anywhere for `self`. Found are attributes, imports, and texts that hold nothing but such a name, as `getattr` takes it.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import zipfile
from collections.abc import Iterator
from functools import cache, reduce
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy._core import multiarray, numeric
from stable_baselines3 import DQN
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from acclimate.engine.arrays import operators
from tests import tiny

HOUSE = Path(__file__).parents[2] / "src" / "acclimate"
TREES = {path.relative_to(HOUSE).as_posix(): ast.parse(path.read_text("utf-8")) for path in HOUSE.rglob("*.py")}

TORCH, SB3, GYMNASIUM, NUMPY = "torch", "stable-baselines3", "gymnasium", "numpy"
PLACES: dict[str, dict[str, tuple[str, ...]]] = {
    TORCH: {
        # What a module holds; `nets/surgery` changes it, agents read it where a call of `nn.Module` would count.
        "_modules": ("agents/predict/", "nets/"),
        "_parameters": ("agents/predict/", "engine/", "methods/peft.py", "nets/"),
        "_buffers": ("engine/device/baked.py",),
        "_forward_hooks": ("agents/predict/layers.py", "engine/"),
        "_forward_pre_hooks": ("agents/predict/layers.py", "engine/"),
        # Classes that nothing public stands for.
        "_NormBase": ("engine/modules/",),
        "_DropoutNd": ("engine/modules/",),
        # How often a tensor was written.
        "_version": ("engine/",),
        "_validate_args": ("engine/device/numbers.py",),
        # torch's compiler, to leave it out.
        "_compile": ("sb3/building.py",),
        "_dynamo": ("sb3/building.py",),
        "__dynamo_disable": ("sb3/building.py",),
    },
    SB3: {
        # What noise on actions holds, in a file too.
        **dict.fromkeys(["_mu", "_sigma", "_theta", "_dt"], ("sb3/noise.py",)),
        **dict.fromkeys(["_dtype", "_base_noise"], ("formats/sb3/noise.py",)),
        # Counters and schedules.
        "_n_updates": ("engine/", "sb3/"),
        "_n_calls": ("engine/off_policy/dqn.py", "sb3/counters.py", "sb3/parts.py"),
        "_episode_num": ("engine/off_policy/collect.py", "sb3/"),
        "_total_timesteps": ("engine/off_policy/collect.py", "sb3/parts.py", "seam/seam.py"),
        "_current_progress_remaining": ("engine/", "sb3/parts.py"),
        "_update_current_progress_remaining": ("engine/off_policy/collect.py",),
        "_update_learning_rate": ("engine/",),
        # Of collecting steps.
        "_last_obs": ("engine/", "formats/sb3/belonging.py", "sb3/counters.py", "seam/decisions.py"),
        "_last_original_obs": ("formats/sb3/belonging.py",),
        "_last_episode_starts": ("engine/on_policy/collect.py", "seam/decisions.py"),
        "_on_step": ("engine/off_policy/collect.py",),
        "_store_transition": ("engine/off_policy/collect.py",),
        "_update_info_buffer": ("engine/",),
        "_vec_normalize_env": ("engine/",),
        "_get_samples": ("seam/minibatches.py",),
        "_current_ep_start": ("sb3/hindsight.py",),
        "_logger": ("engine/device/rehearsal.py",),
        # Of acting, saving and building.
        "_predict": ("sb3/counters.py",),
        "_get_action_dist_from_latent": ("sb3/policies/recurrent.py",),
        "_get_torch_save_params": ("sb3/counters.py", "seam/seam.py"),
        "_init_setup_model": ("formats/sb3/hyperparameters.py", "planning/arguments.py"),
        "_stats_window_size": ("formats/sb3/hyperparameters.py",),
        "_stable_baselines3_version": ("formats/sb3/",),
        # Of vectors of environments; `parallel/vector` is one.
        "_get_indices": ("parallel/vector.py",),
        "_options": ("parallel/",),
        "_reset_options": ("parallel/vector.py",),
        "_reset_seeds": ("parallel/vector.py",),
        "_seeds": ("parallel/",),
    },
    GYMNASIUM: {
        "_max_episode_steps": ("tasks/stagger.py",),
        "_dsdt": ("shifts/quantities/acrobot.py",),
        "_forward_reward_weight": ("shifts/rewards.py",),
        "_healthy_reward": ("shifts/rewards.py",),
        "_ctrl_cost_weight": ("shifts/rewards.py",),
        "_contact_cost_weight": ("shifts/rewards.py",),
        "_reward_control_weight": ("shifts/rewards.py",),
        "_reward_dist_weight": ("shifts/rewards.py",),
        "_reward_near_weight": ("shifts/rewards.py",),
        "_uph_cost_weight": ("shifts/rewards.py",),
        "_impact_cost_weight": ("shifts/rewards.py",),
    },
    NUMPY: {
        # What pickled arrays and numbers name. The reader knows the words, it calls nothing of these.
        "_core": ("files/numbers.py",),
        "_frombuffer": ("files/",),
        "_reconstruct": ("files/",),
    },
}
TABLE = {name: places for names in PLACES.values() for name, places in names.items()}
PUBLIC = {"_replace", "_asdict", "_fields", "_make"}
"""Documented for named tuples, in spite of their underscore."""
OURS = {"_insertion", "_vecnormalize_"}
"""Put on a module that a method inserts; part of a file's name."""
OPERATORS = "engine/arrays/operators.py"
OPERATOR = re.compile(r"(torch\.)?ops\b.*|(torch\.)?_C\b.*|.*(_foreach_|_fused_\w|_pointwise\b).*")
"""Operators of torch. They have a file of their own, which tries each before it is used."""


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name.strip("_") != "" and name not in PUBLIC | OURS


def text(node: ast.AST) -> str:
    """Return the text of a constant that is a name or a dotted one, otherwise nothing."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value if all(part.isidentifier() for part in node.value.split(".")) else ""
    return ""


def own(node: ast.expr) -> bool:
    """Tell whether an attribute is asked of the object itself."""
    called = isinstance(node, ast.Call) and ast.unparse(node.func) == "super"
    return called or (isinstance(node, ast.Name) and node.id in ("self", "cls"))


def defined(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a file defines: functions, classes, variables, fields, and what it gives `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and own(node.value):
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "object.__setattr__":
            yield text(node.args[1])


def named(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield each name that a file uses, and whether any file's definition makes it the project's.

    One does for what is asked of the object itself, and for a text that is no name of the table.
    """
    parts = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, own(node.value)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for full in (*modules, *(alias.name for alias in node.names)):
                yield from ((part, False) for part in full.split("."))
        elif id(node) not in parts:
            yield from ((part, part not in TABLE) for part in text(node).split("."))


KNOWN = {name: set(defined(tree)) for name, tree in TREES.items()}
ANYWHERE = set().union(*KNOWN.values())


def foreign(tree: ast.AST, here: set[str], anywhere: set[str] = ANYWHERE) -> set[str]:
    """Return the private names of others in a file.

    Args:
        tree: of the file.
        here: what it defines.
        anywhere: what the project defines.
    """
    found = {(name, ours) for name, ours in named(tree) if private(name) and not OPERATOR.fullmatch(name)}
    return {name for name, ours in found if name not in (anywhere if ours else here)}


FOUND = {name: foreign(tree, KNOWN[name]) for name, tree in TREES.items()}


def lies(file: str, place: str) -> bool:
    return file.startswith(place) if place.endswith("/") else file == place


@pytest.mark.parametrize("file", [file for file, names in FOUND.items() if names])
def test_private_names_of_others_stand_where_the_table_says(file: str) -> None:
    elsewhere = {name for name in FOUND[file] if not any(lies(file, place) for place in TABLE.get(name, ()))}
    assert elsewhere == set(), "use a public one, or what `sb3/counters` has; otherwise enter it with its place"


@pytest.mark.parametrize("name", TABLE)
def test_what_the_table_names_is_used_in_each_of_its_places(name: str) -> None:
    files = [file for file, names in FOUND.items() if name in names]
    assert [place for place in TABLE[name] if not any(lies(file, place) for file in files)] == []


def of_torch() -> list[Any]:
    normal = torch.distributions.Normal(0.0, 1.0)
    return [torch, torch.zeros(1), nn.Linear(1, 1), nn.modules.batchnorm, nn.modules.dropout, normal]


def of_sb3() -> list[Any]:
    on, off, goals = tiny.model("ppo"), tiny.model("dqn"), tiny.model("her")
    written = io.BytesIO()
    on.save(written)
    files = dict.fromkeys(zipfile.ZipFile(written).namelist())
    arguments = dict(inspect.signature(DQN.__init__).parameters)
    vector = DummyVecEnv([lambda: tiny.world("ppo")])
    buffers = [off.replay_buffer, goals.replay_buffer]  # type: ignore[attr-defined]
    wandering = OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1))
    noises = [wandering, VectorizedActionNoise(wandering, 1)]
    return [on, off, on.policy, off.policy, *buffers, *noises, vector, files, arguments]


def of_gymnasium() -> list[Any]:
    worlds = [gym.make(name) for name in ("Ant-v5", "Pusher-v5", "HumanoidStandup-v5", "Acrobot-v1")]
    limited = [world for world in worlds if isinstance(world, gym.wrappers.TimeLimit)]
    for world in worlds:
        world.close()
    return [*limited, *(world.unwrapped for world in worlds)]


HOLDERS = {TORCH: of_torch, SB3: of_sb3, GYMNASIUM: of_gymnasium, NUMPY: lambda: [np, multiarray, numeric]}


@cache
def holders(library: str) -> list[Any]:
    """Return what has the private names of a library: objects, modules, and names as keys."""
    return HOLDERS[library]()


def has(holder: Any, name: str) -> bool:
    if isinstance(holder, ModuleType):  # a module within is found without importing it
        return name in vars(holder) or (hasattr(holder, "__path__") and bool(find_spec(f"{holder.__name__}.{name}")))
    return name in holder if isinstance(holder, dict) else hasattr(holder, name)


@pytest.mark.parametrize(("library", "name"), [(library, name) for library in PLACES for name in PLACES[library]])
def test_the_installed_library_has_it(library: str, name: str) -> None:
    if name == "__dynamo_disable":  # an attribute that the compiler's own functions are given when they are called
        assert f'"{name}"' in inspect.getsource(torch._compile)
        return
    assert any(has(holder, name) for holder in holders(library))


def names_operator(tree: ast.AST) -> bool:
    dotted = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    every = [*dotted, *(f"torch.{name}" for name, _ in named(tree)), *(text(node) for node in ast.walk(tree))]
    return any(OPERATOR.fullmatch(name) for name in every)


def test_one_file_names_operators_of_torch() -> None:
    assert {file for file, tree in TREES.items() if names_operator(tree)} == {OPERATORS}


@pytest.mark.parametrize("name", [*operators.ARRAYS, operators.LINEAR, *operators.CONVOLUTIONS, *operators.LISTS])
def test_the_installed_torch_has_the_operator(name: str) -> None:
    assert callable(reduce(getattr, name.split("."), torch))


@pytest.mark.parametrize(
    "source",
    [
        "model._planted",
        "self.model._planted = 1",
        "self._planted()",
        "getattr(model, '_planted', None)",
        "NAMES = ('_planted', 'seen')",
        "'torch._planted' in sys.modules",
        "from torch.nn import _planted",
        "import torch._planted.inner",
    ],
)
def test_the_scan_finds_a_planted_name(source: str) -> None:
    assert foreign(ast.parse(source), set()) == {"_planted"}


def test_the_scan_leaves_the_projects_own() -> None:
    source = "class A:\n    def _a(self): self._b = other._b\n    def c(self): self._a(), self._elsewhere"
    tree = ast.parse(source + "\ntuple._replace(x=1), x.__dict__, f'{x}_part'")
    assert foreign(tree, set(defined(tree)), {"_a", "_b", "_elsewhere"}) == set()
    assert foreign(ast.parse("model._elsewhere"), set(), {"_elsewhere"}) == {"_elsewhere"}


@pytest.mark.parametrize("source", ["model._options", "getattr(model, '_options')"])
def test_the_scan_finds_a_name_that_the_project_has_too(source: str) -> None:
    assert "_options" in ANYWHERE
    assert foreign(ast.parse(source), set()) == {"_options"}


@pytest.mark.parametrize(
    "source", ["torch.ops.aten.add", "'ops.aten.add'", "torch._foreach_add_(a, b)", "from torch import ops", "torch._C"]
)
def test_operators_are_seen(source: str) -> None:
    assert names_operator(ast.parse(source))
