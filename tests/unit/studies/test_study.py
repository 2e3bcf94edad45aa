"""A study is the same in YAML, and nothing in it is taken on trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acclimate.errors import ConfigError
from acclimate.shifts import parse
from acclimate.studies.study import Case, Row, Study
from acclimate.tasks.task import Task

CASE = Case(name="longer", agent="agent.zip", task=Task("CartPole-v1").shifted(parse("length=4")))


def test_it_is_the_same_in_yaml(tmp_path: Path) -> None:
    other = Case(
        name="both",
        agent="hf://org/repo",
        task=Task("Pendulum-v1", env_kwargs={"g": 5.0}).shifted(parse("mass=2"), parse("sensor_noise=0.1")),
        source=Task("Pendulum-v1"),
        steps=77,
        saved={"learning_rate": "lin_0.001"},
        normalizer=None,
    )
    rows = (Row(name="kl", recipe={"methods": [{"kl": {"weight": 2.0, "states": "source"}}]}),)
    study = Study(cases=(CASE, other), rows=rows, baselines=("competent",), seeds=3, steps=500)
    study.save(tmp_path / "study.yaml")
    assert Study.load(tmp_path / "study.yaml") == study
    assert study.names == ("as it is", "nothing", "random", "competent", "kl")
    assert CASE.home == Task("CartPole-v1")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"seeds": 0}, "study.seeds is 0"),
        ({"episodes": 1}, "study.episodes is 1"),
        ({"cases": ()}, "at least one"),
        ({"cases": (CASE, CASE)}, "`longer` is there twice"),
        ({"rows": (Row(name="naive"),)}, "`naive` is there twice"),
        ({"baselines": ("clever",)}, "no `clever`"),
        ({"engine": "gpu"}, "give auto or sb3"),
        ({"rows": (Row(name="x", recipe={"steps": 3}),)}, "`steps` is the study's"),
        ({"rows": (Row(name="x", recipe={"stepz": 3}),)}, "no field `stepz`"),
        ({"rows": (Row(name="x", recipe={"methods": ["nope"]}),)}, "nope"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Study(**{"cases": (CASE,), **wrong})


@pytest.mark.parametrize(
    "text",
    [
        "cases: [{name: a, agent: a.zip, task: 'os:system-v0'}]",
        "cases: [{name: a, agent: a.zip, task: {env: X-v0, wrappers: [{own: {place: 'os:system'}}]}}]",
        "cases: !!python/object/apply:os.system [ls]",
        "cases: [{name: a, agent: a.zip, task: X-v0, more: 1}]",
        "[1, 2]",
    ],
)
def test_a_file_imports_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ConfigError):
        Study.load(tmp_path / "study.yaml")
