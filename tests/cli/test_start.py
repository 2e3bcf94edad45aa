"""What is imported before a command needs it, and how the command line begins."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from acclimate.cli import main

HEAVY = ("torch", "numpy", "gymnasium", "stable_baselines3", "yaml", "matplotlib")


def run(*args: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import atexit, json, sys\n"
        f"atexit.register(lambda: print(json.dumps([m for m in {HEAVY} if m in sys.modules])))\n"
        f"from acclimate.cli import main\nmain({list(args)!r}, prog_name='acclimate')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "args",
    [("--help",), ("finetune", "--help"), ("--version",), ("finetun",), ("finetune", "a.zip", "--evn", "x")],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_before_a_command_runs(args: tuple[str, ...]) -> None:
    assert json.loads(run(*args).stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("name", ["", *main.commands])
def test_help_has_no_marks_of_its_making(name: str) -> None:
    shown = CliRunner().invoke(main, [*name.split(), "--help"], terminal_width=80).output
    assert shown.startswith("Usage: ")
    assert not set("\\\b") & set(shown)
    if name == "finetune":
        assert "acclimate finetune ppo-Hopper-v3.zip --shift gravity=1.5 -n 100000 --out runs/heavy" in shown


def test_module_form() -> None:
    done = subprocess.run([sys.executable, "-m", "acclimate", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("acclimate, version ")


def test_importing_the_package_is_light() -> None:
    code = f"import sys, acclimate as ac; dir(ac); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
