"""What a study says, against numbers computed by hand, and where a reader finds them."""

from __future__ import annotations

import dataclasses
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from acclimate.shifts import parse
from acclimate.studies import page, wording
from acclimate.studies.cell import Cell, Key, Played, Steps
from acclimate.studies.findings import Findings
from acclimate.studies.study import Case, Row, Study
from acclimate.tasks.task import Task
from tests.unit.reports.test_browser import CHROMIUM, Browser

CASES = tuple(
    Case(name=f"length {by}", agent="agent.zip", task=Task("CartPole-v1").shifted(parse(f"length={by}")))
    for by in (3, 4)
)
STUDY = Study(cases=CASES, rows=(Row(name="acclimate"), Row(name="kl <b>")), seeds=3, episodes=2, points=2)
FLAT = {  # of each row the mean returns of its seeds, in the changed world and at home
    "as it is": ([20.0], [100.0]),
    "nothing": ([10.0], [10.0]),
    "random": ([15.0], [20.0]),
    "naive": ([30.0, 40.0, 20.0], [100.0, 60.0, 20.0]),
    "competent": ([60.0, 70.0, 80.0], [60.0, 60.0, 60.0]),
    "scratch": ([20.0, 20.0, 20.0], [20.0, 20.0, 20.0]),
    "acclimate": ([80.0, 85.0, 90.0], [100.0, 90.0, 80.0]),
    "kl <b>": ([61.0, 69.0, 80.0], [100.0, 100.0, 100.0]),
}


def cells(wobble: float = 2.0) -> dict[Key, Cell]:
    """Return the same returns in both cases; episodes differ by the same amount in all rows."""
    found = {}
    for case in CASES:
        for row, (target, source) in FLAT.items():
            for seed, (there, home) in enumerate(zip(target, source, strict=True)):
                played = Played(
                    steps=100, target=(there - wobble, there + wobble), source=(home - wobble, home + wobble)
                )
                trained = len(target) > 1
                found[Key(seed, case.name, row)] = Cell(
                    case=case.name,
                    row=row,
                    seed=seed,
                    last=played,
                    best=played if trained else None,
                    kept=played if row == "acclimate" else None,
                    curve=((0, 20.0), (50, 10.0), (100, there)) if trained else (),
                    steps=Steps(
                        training=100, probing=5, methods=7, measuring=30, measuring_source=40, methods_source=2
                    ),
                )
    return found


def findings(**more: object) -> Findings:
    return Findings(STUDY, {**cells(), **more}, {})  # type: ignore[dict-item]


def test_gain_difference_and_home_by_hand() -> None:
    found = findings()
    leader = {each.row: each for each in found.board}
    assert found.board[0].row == "acclimate"
    assert {each.row for each in found.board[-3:]} == {"as it is", "nothing", "random"}
    # (85 - 20) / (100 - 20)
    assert leader["acclimate"].gain.value == pytest.approx(65 / 80)
    assert leader["as it is"].gain.value == 0
    # Episodes differ alike in all rows, so that only the seeds count: Student over three, in two cases alike.
    apart = np.array([20.0, 15.0, 10.0]) / 80
    assert leader["acclimate"].against is not None
    assert leader["acclimate"].against.value == pytest.approx(apart.mean())
    error = apart.std(ddof=1) / math.sqrt(3) / math.sqrt(2)
    half = stats.t.ppf(0.975, 4) * error
    assert leader["acclimate"].against.high == pytest.approx(apart.mean() + half)
    # 80, 85 and 90 against 60, 70 and 80: all pairs but one tie.
    assert leader["acclimate"].probability is not None
    assert leader["acclimate"].probability.value == pytest.approx(8.5 / 9)
    # (90 - 20) / (100 - 20)
    assert leader["acclimate"].home is not None
    assert leader["acclimate"].home.value == pytest.approx(70 / 80)
    assert leader["acclimate"].kept == leader["acclimate"].gain.value
    assert leader["naive"].kept is None
    assert (leader["naive"].steps, leader["naive"].measuring, leader["naive"].at_home) == (112, 30, 42)
    assert set(leader["scratch"].behind) == {"length 3", "length 4"}
    assert leader["kl <b>"].behind == ()


def test_curves_by_hand() -> None:
    line = findings().lines["length 3"]["naive"]
    assert line.dip == -10.0
    assert line.area == pytest.approx(np.mean([(15 + (10 + end) / 2) / 2 for end in (30, 40, 20)]))
    # Below 20 on the way: a triangle down to 10, and back up, clipped at 20.
    assert line.lost_on_the_way == pytest.approx((-5 + -5) / 2)
    wanted = findings().scales["length 3"].wanted
    assert wanted == 60.0
    reached = findings().lines["length 3"]["competent"].reached(60.0)
    assert reached == {"runs": 3, "reached": 3, "median_steps": 100.0}
    assert line.reached(60.0) == {"runs": 3, "reached": 0, "median_steps": None}


def test_a_world_that_pays_otherwise_has_a_scale_of_its_own() -> None:
    paid = Study(cases=(Case(name="pay", agent="a.zip", task=Task("CartPole-v1").shifted(parse("reward_scale=2"))),))
    some = {}
    for key, cell in cells().items():
        if key.case == "length 3" and key.row != "kl <b>":
            some[Key(key.seed, "pay", key.row)] = cell
    found = Findings(paid, some, {})
    assert found.scales["pay"].unit == 85 - 20, "the best row's"
    assert found.home("pay", "naive") is None


def test_a_seed_that_is_missing_is_told_and_only_common_seeds_are_compared() -> None:
    some = {key: cell for key, cell in cells().items() if key != Key(1, "length 3", "competent")}
    found = Findings(STUDY, some, {Key(1, "length 3", "competent"): "it fell over"})
    assert found.missing == {Key(1, "length 3", "competent"): "it fell over"}
    apart = found.difference("length 3", "acclimate", "competent")
    assert apart is not None
    assert apart.mean == pytest.approx(15 / 80)
    assert apart.n == 2
    text = page.html(found)
    assert "it fell over" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "Take `acclimate`: it makes good 81% of what the change took"),
        ({"acclimate": 74.0}, "cannot be told from the competent user"),
        ({"acclimate": 30.0, "kl <b>": 30.0}, "Take `competent`"),
        (dict.fromkeys(("acclimate", "kl <b>", "competent", "naive", "scratch"), 5.0), "leave it as it is"),
    ],
)
def test_the_advice(change: dict[str, float], said: str) -> None:
    some = {}
    for key, cell in cells().items():
        if key.row in change:
            returns = (change[key.row] - 3 * key.seed, change[key.row] + 9 - 3 * key.seed)
            cell = Cell(
                case=cell.case, row=cell.row, seed=cell.seed, last=Played(steps=1, target=returns, source=(1.0, 2.0))
            )
        some[key] = cell
    assert said in wording.advice(Findings(STUDY, some, {}))


class Table(HTMLParser):
    """The cells of the first table of a page, by row and column."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[tuple[str, str], str] = {}
        self.row, self.column, self.header = "", "", False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.header = self.header or tag == "header"
        if self.header and tag == "tr":
            self.row = named.get("data-row") or ""
        self.column = (named.get("data-column") or "") if tag == "td" else ""

    def handle_endtag(self, tag: str) -> None:
        self.header = self.header and tag != "header"

    def handle_data(self, data: str) -> None:
        if self.header and self.row and self.column:
            self.found[self.row, self.column] = data


def test_the_first_screen_has_each_rows_difference_home_and_cost() -> None:
    table = Table()
    table.feed(page.html(findings()))
    for row in FLAT:
        for column in ("gain [95 %]", "kept at home [95 %]", "target steps", "measuring", "steps at home"):
            assert re.search(r"\d", table.found[row, column]), (row, column)
        if row != "competent":
            assert re.fullmatch(
                r"[+-]\d\.\d\d \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]", table.found[row, "minus competent [95 %]"]
            )
    assert table.found["acclimate", "kept at home [95 %]"].startswith("88%")


def test_each_seed_is_shown_where_they_are_few() -> None:
    rows = {row[0]: row for row in wording.case_rows(findings(), "length 3")}
    assert rows["naive"][1] == "30 (30, 40, 20)"
    assert "98 %" in wording.coverage(3) or "9" in wording.coverage(3)
    assert "One seed" in wording.coverage(1)


def test_what_is_written_can_be_read_back(tmp_path: Path) -> None:
    page.write(findings(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"compare.html", "compare.json", "compare.csv", "compare.md"}
    assert (tmp_path / "compare.csv").read_text().count("\n") == 1 + len(cells())
    assert "| kl <b> |" in (tmp_path / "compare.md").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [1300, 420])
def test_in_a_browser_it_asks_for_nothing_and_fits(width: int, tmp_path: Path) -> None:
    page.write(findings(), tmp_path)
    browser = Browser(tmp_path / "profile")
    try:
        browser.start()
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.open(tmp_path / "compare.html")
        asked = [each["request"]["url"] for each in browser.of("Network.requestWillBeSent")]
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        assert browser.of("Log.entryAdded", "Runtime.exceptionThrown") == []
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
        assert browser.value("document.querySelectorAll('header tbody tr').length") == len(FLAT)
        assert browser.value("[...document.images].every(image => image.naturalWidth > 100)")
        assert browser.value("document.querySelector('header tbody th').getBoundingClientRect().bottom < 700")
        assert "kl <b>" in browser.value("document.body.innerText"), "a name is no markup"
    finally:
        browser.close()


def test_seconds_to_a_return_are_the_share_that_its_steps_have() -> None:
    told = {key: dataclasses.replace(cell, learning=(2.0, 4.0, 8.0)[key.seed]) for key, cell in cells().items()}
    line = Findings(STUDY, told, {}).lines["length 3"]["acclimate"]
    assert line.seconds_to(50) == pytest.approx(2.0), "half of the median seed's"
    assert Findings(STUDY, cells(), {}).lines["length 3"]["acclimate"].seconds_to(50) is None


def test_odds_over_other_cases_are_those_of_the_cases_as_they_differ() -> None:
    """Three cases in which all, none and nearly all pairs of runs are ahead: Student's interval over three numbers."""
    third = dataclasses.replace(CASES[0], name="length 5")
    study = dataclasses.replace(STUDY, cases=(*CASES, third))
    told = {
        **cells(),
        **{Key(k.seed, third.name, k.row): dataclasses.replace(c, case=third.name) for k, c in cells().items()},
    }
    shift = {"length 3": 100.0, "length 4": -100.0}
    for key, cell in told.items():
        if key.row == "acclimate" and key.case in shift:
            target = tuple(value + shift[key.case] for value in cell.last.target)
            told[key] = dataclasses.replace(cell, last=dataclasses.replace(cell.last, target=target))
    (leader,) = [one for one in Findings(study, told, {}).board if one.row == "acclimate"]
    chances = [1.0, 0.0, 8.5 / 9]  # of nine pairs one is a tie
    half = stats.t.ppf(0.975, 2) * np.std(chances, ddof=1) / np.sqrt(3)
    assert leader.wider_probability.value == pytest.approx(np.mean(chances))
    assert leader.wider_probability.high - leader.wider_probability.value == pytest.approx(half)
