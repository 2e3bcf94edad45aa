"""The documentation holds: its code runs, its commands parse, and its names are those of the package."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest

import acclimate as ac
from acclimate.cli import main
from acclimate.registry import METHODS, SHIFTS, WRAPPERS, Registry

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)( norun)?\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, bool, str]]:
    """Return the code blocks of a language: the page, whether it is to be run, and the code."""
    return [
        (page.name, not norun, code)
        for page in PAGES
        # The architecture page sketches interfaces; its blocks are no programs.
        if page.name != "architecture.md"
        for kind, norun, code in BLOCK.findall(page.read_text(encoding="utf-8"))
        if kind == language
    ]


def commands() -> list[str]:
    lines = [line for _, _, code in blocks("bash") for line in code.splitlines()]
    return [line for line in lines if line.startswith("acclimate ")]


@pytest.mark.parametrize("line", commands())
def test_commands_have_the_flags_that_are_shown(line: str) -> None:
    name, *arguments = shlex.split(line)[1:]
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, arguments)


@pytest.mark.parametrize(("page", "run", "code"), blocks("python"), ids=lambda value: str(value)[:40])
def test_python_runs_or_at_least_names_what_exists(
    page: str, run: bool, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = ast.parse(code)
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ac"
    }
    assert used <= set(ac.__all__)
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    exec(compile(ast.Module(imports, []), page, "exec"), {})
    if run:
        module = types.ModuleType("example")
        monkeypatch.setitem(sys.modules, "example", module)  # where dataclasses look their annotations up
        exec(compile(code, page, "exec"), vars(module))


def test_the_public_names_are_those_that_are_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "reference.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(ac.__all__)
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("name", ac.__all__)
def test_a_public_name_can_be_had(name: str) -> None:
    value = getattr(ac, name)
    assert value.__name__ == name
    assert value.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="laod"):
        _ = ac.laod  # type: ignore[attr-defined]


def test_no_module_hides_a_public_name() -> None:
    """Importing a module `acclimate.load` would make `acclimate.load` the module, as Python has it by default."""
    modules = {path.stem for path in Path(ac.__file__).parent.iterdir()}
    assert modules & set(ac.__all__) == set()


def test_importing_is_light_and_shifts_are_there_all_the_same() -> None:
    code = (
        "import sys, acclimate as ac\n"
        "heavy = {'torch', 'gymnasium', 'stable_baselines3'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
        "assert ac.shifts.parse('gravity=1.5') == ac.Gravity(1.5)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("registry", [SHIFTS, WRAPPERS], ids=["shifts", "wrappers"])
def test_every_shift_and_wrapper_of_ours_is_public(registry: Registry) -> None:
    classes = {registry.get(name) for name in registry.names()}
    assert {cls.__name__ for cls in classes if cls.__module__.startswith("acclimate.")} <= set(ac.__all__)


def test_the_page_of_the_methods_is_what_make_docs_writes() -> None:
    from docs.methods import PAGE, page

    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_every_method_of_ours_is_public() -> None:
    classes = {METHODS.get(name) for name in METHODS.names()}
    assert {cls.__name__ for cls in classes if cls.__module__.startswith("acclimate.")} <= set(ac.__all__)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_commands_of_the_table_are_all_of_them() -> None:
    table = re.findall(r"^\| `acclimate (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(table) == sorted(main.commands)


def test_the_plain_torch_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / "plain_torch.py"), "--quick"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert [row.split("  ")[0] for row in rows[-6:]] == [
        "naive",
        "regularised: l2sp",
        "regularised: kl",
        "dropout",
        "channel-wise",
        "from scratch",
    ]
    assert all("not evidence" in row for row in rows[-6:])
