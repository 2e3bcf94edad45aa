"""The house: packages in one order, and what no file may hold. docs/architecture.md says what each is for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = [
    "errors",
    "schedule",
    "statistics",
    "files",
    "parallel",
    "nets",
    "config",
    "registry",
    "catalogue",
    "tuning",
    "shifts",
    "tasks",
    "methods",
    "sb3",
    "seam",
    "formats",
    "engine",
    "agents",
    "evaluation",
    "guard",
    "attacks",
    "reports",
    "exporting",
    "planning",
    "diagnosis",
    "training",
    "runs",
    "studies",
    "cli",
    "__main__",
]
"""A file imports from its own package and from those before it; imports in functions and for types count."""
ENGINE = ("arrays", "threads", "learning", "on_policy off_policy", "modules device", "choice")
"""The same inside the engine; two on one floor do not know each other."""
SB3 = set(
    ["parallel", "tasks", "sb3", "seam", "formats", "engine", "agents", "diagnosis", "training", "runs", "studies"]
)
"""The packages that know Stable-Baselines3."""
LIBRARIES = {"stable_baselines3", "sb3_contrib"}
DOOR = {"acclimate.engine.choice"}
"""What the rest of the house imports of the engine; the command that builds the kernel knows the kernel too."""
LIGHT = set(
    [
        "__future__",
        "acclimate",
        "ast",
        "click",
        "collections",
        "dataclasses",
        "functools",
        "inspect",
        "itertools",
        "json",
        "math",
        "pathlib",
        "re",
        "sys",
        "textwrap",
        "typing",
        "warnings",
    ]
)
"""What a command may import before it is called."""


def named(path: Path, top: Path) -> str:
    parts = path.relative_to(top).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {named(path, ROOT / "src"): path for path in sorted((ROOT / "src" / "acclimate").rglob("*.py"))}
FILES |= {named(path, ROOT): path for path in sorted((ROOT / "benchmarks").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
HOUSE = [name for name in FILES if name.startswith("acclimate.")]


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names that are imported anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (full if full in FILES else str(node.module) for full in whole)


NEEDS = {name: set(imported(tree)) & FILES.keys() - {name} for name, tree in TREES.items()}


def package(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def floor(name: str) -> tuple[int, int]:
    """Return the place of a module's package in the order, and of its folder in that of the engine."""
    parts = [*name.split("."), ""]
    inner = [row for row, names in enumerate(ENGINE) if parts[2] in names.split()] if parts[1] == "engine" else []
    return ORDER.index(parts[1]), inner[0] if inner else -1


def sideways(name: str, other: str) -> bool:
    """Tell whether two modules stand in different folders of one floor of the engine."""
    ours, theirs = name.split(".")[1:3], other.split(".")[1:3]
    return ours[0] == theirs[0] == "engine" and floor(name) == floor(other) and ours != theirs


@pytest.mark.parametrize("name", HOUSE)
def test_imports_point_down(name: str) -> None:
    face = {"acclimate"} & NEEDS[name] if package(name) != "cli" else set()  # the face knows everything
    above = {other for other in NEEDS[name] - {"acclimate"} if floor(other) > floor(name) or sideways(name, other)}
    assert above | face == set()


def test_no_circle_of_files() -> None:
    left = {name: set(needs) for name, needs in NEEDS.items()}
    # The face of the package hands its names on; the command line asks it for the version.
    left["acclimate"] = set()
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def test_the_engine_has_one_door() -> None:
    engine = {name for name in FILES if name.startswith("acclimate.engine")}
    for name in HOUSE:
        if package(name) != "engine":
            kernel = {other for other in engine if ".native" in other} if name == "acclimate.cli.native" else set()
            assert NEEDS[name] & engine <= DOOR | kernel, name
    assert not {other for name in engine for other in NEEDS[name] if package(other) == "methods"}, "it knows no method"


def test_who_knows_stable_baselines3() -> None:
    knows = {package(name) for name in HOUSE if {full.split(".")[0] for full in imported(TREES[name])} & LIBRARIES}
    assert knows == SB3


@pytest.mark.parametrize("name", [name for name in HOUSE if package(name) == "cli"])
def test_commands_import_nothing_heavy_at_their_top(name: str) -> None:
    late = {n for f in ast.walk(TREES[name]) if isinstance(f, ast.FunctionDef) for s in f.body for n in ast.walk(s)}
    typing = {
        n for b in ast.walk(TREES[name]) if isinstance(b, ast.If) and "TYPE_CHECKING" in ast.dump(b.test)
        for s in b.body for n in ast.walk(s)
    }  # fmt: skip
    top = ast.Module([n for n in ast.walk(TREES[name]) if isinstance(n, ast.stmt) and n not in late | typing], [])
    statements = [n for n in top.body if isinstance(n, ast.Import | ast.ImportFrom)]
    found = {full for statement in statements for full in imported(ast.Module([statement], []))}
    assert {full.split(".")[0] for full in found} <= LIGHT
    assert {package(full) for full in found & FILES.keys()} <= {"", "cli", "errors"}


def forbidden(tree: ast.Module) -> Iterator[str]:
    """Yield what a source of the package must not hold."""
    unsafe = ("eval", "exec", "pickle.load", "pickle.loads", "cloudpickle.loads", "cloudpickle.load")
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert"
        elif isinstance(node, ast.ExceptHandler):
            caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"Exception"}
            if "Exception" in caught:
                yield f"line {node.lineno}: catches everything"
        elif isinstance(node, ast.Call):
            pickled = any(k.arg == "weights_only" and ast.unparse(k.value) == "False" for k in node.keywords)
            if ast.unparse(node.func) in unsafe or pickled:
                yield f"line {node.lineno}: {ast.unparse(node.func)}"


@pytest.mark.parametrize("name", HOUSE)
def test_no_shortcuts_that_fail_users(name: str) -> None:
    assert list(forbidden(TREES[name])) == []


@pytest.mark.parametrize("name", HOUSE)
def test_a_file_is_one_idea(name: str) -> None:
    """Files stay under 300 lines, functions under 50, and no name says "something or other"."""
    assert len(FILES[name].read_text(encoding="utf-8").splitlines()) <= 300
    functions = (n for n in ast.walk(TREES[name]) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    assert [f.name for f in functions if f.end_lineno - f.lineno >= 50] == []  # type: ignore[operator]
    assert name.rpartition(".")[2] not in ("utils", "common", "helpers", "base", "misc", "manager")


def test_folders_are_rooms_that_can_be_overseen() -> None:
    """At most eight files at the root, and eighteen in a folder; a method is a file, so theirs holds more."""
    house = ROOT / "src" / "acclimate"
    for folder in (house, *(path.parent for path in house.rglob("__init__.py"))):
        files = [path for path in folder.glob("*.py") if path.name not in ("__init__.py", "__main__.py")]
        most = 8 if folder == house else 1_000 if folder == house / "methods" else 18
        assert len(files) <= most, folder


def test_the_guards_see_what_they_forbid() -> None:
    bad = "assert x\neval(x)\npickle.load(f)\ntorch.load(f, weights_only=False)\n"
    caught = "try: pass\nexcept (OSError, Exception): pass\ntry: pass\nexcept: pass"
    assert len(list(forbidden(ast.parse(bad + caught)))) == 6
    assert list(imported(ast.parse("def f():\n    from acclimate.runs import folder\n    import torch.nn"))) == [
        "acclimate.runs.folder",
        "torch.nn",
    ]
    assert (
        floor("acclimate.engine.device.steps") > floor("acclimate.engine.on_policy.rows") > floor("acclimate.nets.net")
    )
    assert sideways("acclimate.engine.on_policy.rows", "acclimate.engine.off_policy.sac")
