"""The committed studies: fixed pairs, and nothing that is chosen on is reported."""

from __future__ import annotations

import pytest
from benchmarks.studies.__main__ import HERE

from acclimate.studies.study import Study
from tests.tiny import needs_zoo


def study(name: str) -> Study:
    return Study.load(HERE / f"{name}.yaml")


def test_what_is_chosen_on_is_not_reported() -> None:
    choose, report = study("choose"), study("report")
    assert (len(choose.cases), len(report.cases)) == (16, 12)
    kinds = [{shift.name for case in each.cases for shift in case.task.shifts} for each in (choose, report)]
    assert not kinds[0] & kinds[1]
    assert set(choose.names) >= {"as it is", "naive", "competent", "scratch", "acclimate"}


@needs_zoo
@pytest.mark.parametrize("name", ["choose", "report"])
def test_the_agents_and_the_worlds_are_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE.parents[1])
    for case in study(name).cases:
        if not (HERE.parents[1] / str(case.agent)).exists():
            pytest.skip("the zoo lies elsewhere")
        assert case.name.lower().startswith(case.loaded().algorithm)
        assert case.task.observation_space is not None
