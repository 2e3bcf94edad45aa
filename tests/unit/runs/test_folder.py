"""A folder is one run's, and a run that never began leaves nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from acclimate.errors import ConfigError, SourceError
from acclimate.planning.recipe import Recipe, WarmStart
from acclimate.runs.folder import RunFolder

MINE = {"agent": "abc", "task": "Dot", "source": None}


def test_it_holds_the_recipe_and_the_versions(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "b")
    folder.open(Recipe(steps=5), MINE, resume=False)
    assert Recipe.load(folder.path / "recipe.yaml") == Recipe(steps=5)
    versions = json.loads((folder.path / "environment.json").read_text())
    assert versions["torch"]
    assert versions["stable-baselines3"]
    assert not folder.is_finished
    with pytest.raises(ConfigError, match=r"already holds a run.*--resume"):
        folder.open(Recipe(steps=5), MINE, resume=False)
    folder.open(Recipe(steps=5), MINE, resume=True)


def test_resuming_names_the_field_that_differs(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open(Recipe(steps=5), MINE, resume=True)
    for recipe, identity, field in (
        (Recipe(steps=6), MINE, "recipe.steps"),
        (Recipe(steps=5, warm_start=WarmStart(tie=0.5)), MINE, "recipe.warm_start.tie"),
        (Recipe(steps=5), {**MINE, "agent": "xyz"}, "agent"),
        (Recipe(steps=5), {**MINE, "task": {"env": "Dot", "shifts": []}}, "task"),
    ):
        with pytest.raises(ConfigError, match=rf"another {field}: resume"):
            folder.open(recipe, identity, resume=True)


@pytest.mark.parametrize("name", ["agent.zip", "vecnormalize.pkl", "vec_normalize.pkl"])
def test_what_lies_there_already_is_not_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("of the agent that is to be tuned")
    with pytest.raises(ConfigError, match=rf"{name} .*overwrite"):
        RunFolder(tmp_path).open(Recipe(), MINE, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.open(Recipe(), MINE, resume=False)
    (folder.path / "monitor.csv").write_text("#")
    (folder.path / "before.json").write_text("{}")
    (folder.path / ".report.json.1234.tmp").write_text("{")
    (folder.path / ".checkpoint.1234.tmp").mkdir()
    folder.abandon()
    assert not folder.path.exists()


def test_others_files_and_checkpoints_stay(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    folder = RunFolder(tmp_path)
    folder.open(Recipe(), MINE, resume=False)
    folder.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    folder.open(Recipe(), MINE, resume=False)
    (tmp_path / "checkpoint").mkdir()
    folder.abandon()
    assert (tmp_path / "run.json").exists()


def test_what_a_kill_left_half_written_goes_when_the_run_is_resumed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open(Recipe(), MINE, resume=False)
    (tmp_path / ".checkpoint.1234.tmp").mkdir()
    (tmp_path / ".agent.zip.99.tmp").write_text("half")
    (tmp_path / ".before.mp4.99.mp4").write_text("half")
    for name in ("recipe.yaml", "environment.json"):
        (tmp_path / name).unlink()
    folder.open(Recipe(), MINE, resume=True)
    assert not list(tmp_path.glob(".*"))
    assert Recipe.load(tmp_path / "recipe.yaml") == Recipe()
    assert (tmp_path / "environment.json").exists()


def test_a_kill_at_the_very_first_file_leaves_the_folder_free(tmp_path: Path) -> None:
    (tmp_path / ".run.json.1234.tmp").write_text("{")
    (tmp_path / ".notes.tmp").write_text("mine")
    RunFolder(tmp_path).open(Recipe(), MINE, resume=False)
    assert [path.name for path in tmp_path.glob(".*")] == [".notes.tmp"]


def test_a_checkpoint_that_a_kill_left_aside_is_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open(Recipe(), MINE, resume=False)
    (tmp_path / ".checkpoint.old").mkdir()
    folder.abandon()
    assert (tmp_path / "run.json").exists()
    assert (tmp_path / "checkpoint").exists()


def test_a_finished_run_stays_whatever_is_raised_on_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open(Recipe(), MINE, resume=False)
    (tmp_path / "report.json").write_text("{}")
    error = ValueError()
    with pytest.raises(ValueError), folder.claimed(Recipe(), MINE, resume=True):  # noqa: PT011
        raise error
    assert (tmp_path / "run.json").exists()
    assert not getattr(error, "__notes__", [])


def test_a_damaged_file_of_the_run_is_a_clear_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.open(Recipe(), MINE, resume=False)
    (tmp_path / "run.json").write_text('{"rec')
    with pytest.raises(SourceError, match=r"run\.json cannot be read"):
        folder.open(Recipe(), MINE, resume=True)


@pytest.mark.skipif(os.name == "nt", reason="folders of POSIX")
def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="not a folder you may write to"):
        RunFolder(tmp_path / "file" / "run").open(Recipe(), MINE, resume=False)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="not a folder you may write to"):
        RunFolder(tmp_path / "run").open(Recipe(), MINE, resume=False)
    assert not (tmp_path / "run").exists()
