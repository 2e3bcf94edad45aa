"""How often episodes ended in success, in every form of the report; nothing where the environment does not tell."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.evaluation.evaluate import Evaluation
from acclimate.reports import successes
from acclimate.reports.findings import Measured, Point
from acclimate.reports.pages import html, markdown
from acclimate.reports.report import Report, evaluations, read
from tests.unit.findings import played, report


def telling(successes: int, *, untold: int = 0) -> Evaluation:
    """Return 50 episodes of which the first ones succeed and the last ones do not tell."""
    told = [place < successes for place in range(50 - untold)] + [None] * untold
    return dataclasses.replace(played(440, 270), successes=np.array(told, dtype=object))


def with_success(**changes: Any) -> Report:
    target = Measured(telling(5), telling(45), telling(40))
    return report(**({"target": target, "source": Measured(telling(50), telling(49))} | changes))


def flat(text: str) -> str:
    """Return a page's words."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).replace("\N{NO-BREAK SPACE}", " ").split())


SENTENCE = (
    "The tuned agent succeeds in 90.0 % of the episodes on the target task where the pretrained one succeeded in "
    "10.0 %: +80.0 points (95 % interval +63.9 to +88.0, 50 paired episodes)."
)


def test_every_form_tells_it() -> None:
    found = with_success()
    for text in (html(found), markdown(found), str(found)):
        assert SENTENCE in flat(text)
    rows = successes.success_rows(found)
    assert [(row.task, row.agent, row.share, row.episodes) for row in rows] == [
        ("target", "before", "10.0 %", "50"),
        ("target", "after", "90.0 %", "50"),
        ("target", "end of training", "80.0 %", "50"),
        ("source", "before", "100.0 %", "50"),
        ("source", "after", "98.0 %", "50"),
    ]
    assert rows[1].interval == "78.6 to 95.7 %"
    for row in rows:
        assert f"| {row.task} | {row.agent} | {row.share} | {row.interval} | {row.episodes} |" in markdown(found)
        assert " ".join(row) in flat(html(found))
        assert " | ".join(row) in re.sub(r" *\| *", " | ", str(found))
    assert all("intervals are Wilson's" in flat(text) for text in (html(found), markdown(found)))


def test_a_world_that_does_not_tell_has_no_word_of_it() -> None:
    found = report()
    assert successes.success_rows(found) == []
    assert successes.success_sentence(found) is None
    assert not any("success" in text.lower() for text in (html(found), markdown(found), str(found)))
    assert found.to_json()["success_difference"] is None


@pytest.mark.parametrize(
    ("target", "kept", "said"),
    [
        (Measured(telling(5), telling(5)), "pretrained", "It succeeds in 10.0 % of the episodes on the target task."),
        (Measured(played(440, 270), telling(45)), "tuned", "The tuned agent succeeds in 90.0 % of the episodes on the"),
        (Measured(telling(45), played(440, 270)), "tuned", None),
        (Measured(telling(5, untold=20), telling(30)), "tuned", "+83.3 points"),
        (Measured(telling(20), telling(20)), "tuned", ": 0.0 points (95 % interval -"),
    ],
)
def test_what_is_said_where_only_some_tells(target: Measured, kept: Any, said: str | None) -> None:
    sentence = successes.success_sentence(report(target=target, kept=kept, source=None))
    assert (sentence is None) == (said is None)
    assert said is None or said in sentence


def test_it_is_in_the_files_of_a_run(tmp_path: Path) -> None:
    found = with_success(curve=(Point(0, telling(5)), Point(100, telling(30))))
    found.write(tmp_path)
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["target"]["after"]["success"] == pytest.approx(0.9)
    assert data["success_difference"]["mean"] == pytest.approx(0.8)
    back = read(tmp_path)
    assert back.success_difference == found.success_difference
    assert back.to_json() == found.to_json()
    with np.load(tmp_path / "evaluations.npz") as curve:
        assert curve["successes"].sum(axis=1).tolist() == [5, 30]
        assert curve["successes"].dtype == bool
    for partly in (telling(5, untold=1), played(440, 270)):
        told = np.load(io.BytesIO(evaluations((Point(0, telling(5)), Point(9, partly)))))
        assert "successes" not in told
