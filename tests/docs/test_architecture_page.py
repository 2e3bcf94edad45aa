"""docs/architecture.md against the code: its packages, the corridor, and where each of its seven paths leads."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stable_baselines3 import PPO

import acclimate as ac
from acclimate.cli import main
from acclimate.engine.choice import attach
from acclimate.engine.on_policy.update import OnPolicyUpdate
from acclimate.formats import readers, writers
from acclimate.formats.sb3 import read as sb3
from acclimate.methods.full import Full
from acclimate.registry import METHODS, SHIFTS
from acclimate.runs import judging
from acclimate.seam.seam import Seam
from tests import tiny
from tests.cases import agent as sb3_agent
from tests.unit.test_architecture import ORDER
from tests.world import agent, recipe, task

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")


class ReachedError(Exception):
    """Raised where a path leads."""


def reached(*_: Any, **__: Any) -> Any:
    raise ReachedError


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table below a title."""
    part = PAGE.partition(f"## {title}")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:2] == "| "][1:]


def test_the_packages_stand_in_the_order_that_a_test_holds() -> None:
    assert [name.strip("`") for name, _ in rows("The packages, lowest first")] == [n for n in ORDER if n != "__main__"]


@pytest.mark.parametrize("row", rows("The corridor"), ids=lambda row: row[0])
def test_each_stop_of_the_corridor_is_there(row: list[str]) -> None:
    stop, file, made_by = row
    module = importlib.import_module("acclimate." + file.strip("`").replace("/", "."))
    wanted = re.findall(r"^`(\w+)`", stop)
    elsewhere = re.findall(r"in `([\w/]+)`", made_by)
    makers = [] if elsewhere else re.findall(r"`(\w+(?:\.\w+)*)`", made_by)
    for name in wanted + makers:
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None) or getattr(ac, part, None)
        assert found is not None, f"{file} has no {name}"
    for path in elsewhere:
        importlib.import_module("acclimate." + path.replace("/", "."))


def test_there_are_seven_paths() -> None:
    assert len(rows("Seven paths")) == 7


def test_where_a_zip_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny.model("ppo", steps=0).save(tmp_path / "agent.zip")
    monkeypatch.setattr(sb3, "read", reached)
    with pytest.raises(ReachedError):
        ac.load(tmp_path / "agent.zip")


def test_where_ppos_update_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = sb3_agent("ppo-mlp")
    seam = Seam(model, Full(), total_steps=64)
    assert attach(seam, PPO, "auto")[0] == "acclimate"
    monkeypatch.setattr(OnPolicyUpdate, "train", reached)
    with pytest.raises(ReachedError), seam:
        model.learn(64)


def test_where_it_is_decided_which_agent_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "surely_better", reached)
    with pytest.raises(ReachedError):
        ac.finetune(agent("ppo"), task("ppo", offset=0.5), recipe(), progress=False)


@pytest.mark.parametrize(("table", "home"), [(METHODS, "methods"), (SHIFTS, "shifts")])
def test_where_methods_and_shifts_are(table: Any, home: str) -> None:
    places = {table.get(name).__module__.split(".")[1] for name in table.names()}
    assert places == {home}


def test_where_formats_are() -> None:
    assert {reader.__module__ for reader in readers.READERS} == {"acclimate.formats.readers"}
    assert {writer.__module__.rpartition(".")[0] for writer in writers.WRITERS.values()} <= {
        "acclimate.formats",
        "acclimate.formats.sb3",
    }


def test_where_commands_are() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    folder = Path(importlib.import_module("acclimate.cli").__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "group", "here", "options"}
    assert files == set(main.commands)
    assert all(name in shown for name in files)
