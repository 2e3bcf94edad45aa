"""The layers of docs/architecture.md, held by parsing the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "acclimate"

TABLE = SRC.parents[1] / "docs" / "architecture.md"
SB3 = {"stable_baselines3", "sb3_contrib"}


def modules() -> dict[str, Path]:
    """Return each module of the package by its dotted name below `acclimate` ("" is the package itself)."""
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def typing_only(tree: ast.Module) -> set[ast.AST]:
    """Return the nodes under `if TYPE_CHECKING:`, which nothing executes."""
    return {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }


def imports(name: str, *, deferred: bool = True) -> Iterator[str]:
    """Yield the dotted names that a module imports, inside its functions too unless `deferred` is false."""
    tree = TREES[name]
    skipped = typing_only(tree)
    if not deferred:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        skipped |= {n for f in ast.walk(tree) if isinstance(f, functions) for s in f.body for n in ast.walk(s)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full.removeprefix("acclimate.") in MODULES else str(node.module)


def ours(name: str, *, deferred: bool = True) -> set[str]:
    """Return the modules of the package that a module imports."""
    found = {
        full.removeprefix("acclimate").removeprefix(".")
        for full in imports(name, deferred=deferred)
        if full.split(".")[0] == "acclimate"
    }
    return {module for module in found if module in MODULES and module not in (name, "")}


@pytest.mark.parametrize(
    "name", [n for n in MODULES if n.split(".")[0] in ("method", "methods", "select", "net", "tuner")]
)
def test_methods_do_not_know_sb3(name: str) -> None:
    assert {full.split(".")[0] for full in imports(name)} & SB3 == set()


def test_nobody_imports_the_command_line() -> None:
    users = {name for name in MODULES for other in ours(name) if other.split(".")[0] == "cli"}
    assert {name for name in users if name.split(".")[0] not in ("cli", "__main__")} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] == "cli"])
def test_commands_import_nothing_heavy_at_their_top(name: str) -> None:
    light = {
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
    }
    assert {full.split(".")[0] for full in imports(name, deferred=False)} <= light
    assert {other for other in ours(name, deferred=False) if other.split(".")[0] not in ("cli", "errors")} == set()


def forbidden(tree: ast.Module) -> Iterator[str]:
    """Yield what a source of the package must not hold."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}: assert"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"line {node.lineno}: a bare except"
        elif isinstance(node, ast.ExceptHandler) and "Exception" in {
            n.id
            for n in ast.walk(node.type)
            if isinstance(n, ast.Name)  # type: ignore[arg-type]
        }:
            yield f"line {node.lineno}: except Exception"
        elif isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            unsafe = any(k.arg == "weights_only" and ast.unparse(k.value) == "False" for k in node.keywords)
            if (
                call in ("eval", "exec", "pickle.load", "pickle.loads", "cloudpickle.loads", "cloudpickle.load")
                or unsafe
            ):
                yield f"line {node.lineno}: {call}"


@pytest.mark.parametrize("name", MODULES)
def test_no_shortcuts_that_fail_users(name: str) -> None:
    assert list(forbidden(TREES[name])) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_file_is_one_idea(name: str) -> None:
    """Files stay under 300 lines, functions under 50, and no name says "something or other"."""
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) < 300
    long = [n.name for n in ast.walk(TREES[name]) if isinstance(n, ast.FunctionDef) and n.end_lineno - n.lineno >= 50]  # type: ignore[operator]
    assert long == []
    assert name.rpartition(".")[2] not in ("utils", "common", "helpers", "base", "misc", "manager")


def test_the_guards_see_what_they_forbid() -> None:
    bad = "assert x\neval(x)\npickle.load(f)\ntorch.load(f, weights_only=False)\n"
    caught = "try: pass\nexcept (OSError, Exception): pass\ntry: pass\nexcept: pass"
    assert len(list(forbidden(ast.parse(bad + caught)))) == 6
