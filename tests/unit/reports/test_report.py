"""The report: its judgements, its words, its files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from scipy import stats

from acclimate.errors import ConfigError
from acclimate.evaluation.evaluate import Evaluation
from acclimate.reports import chart, wording
from acclimate.reports.findings import Measured, Point
from acclimate.reports.pages import html, markdown
from acclimate.reports.report import Report, evaluations, read
from tests.unit.findings import played, report


def shifted(by: float, *, episodes: int = 50) -> Measured:
    before = played(440, 270, episodes=episodes)
    wobble = np.cos(np.arange(episodes)) * 10.0
    return Measured(before, Evaluation(before.returns + by + wobble, before.lengths, before.seeds))


@pytest.mark.parametrize(
    ("target", "verdict", "words"),
    [
        (shifted(30.0), "better", r"\d+ more \(95 % interval 2\d\.\d to 3\d\.\d, 50 paired episodes\)"),
        (shifted(-30.0), "worse", r"\d+\.\d less \(95 % interval 2\d\.\d to 3\d\.\d, 50 paired episodes\)"),
        (shifted(0.5), "same", r"the difference of \+0\.\d+ may be chance \(95 % interval -\d\.\d+ to \+\d\.\d+"),
        (shifted(300.0, episodes=20), "better", r"\d+ more"),
        (shifted(300.0, episodes=19), "unknown", r"takes 20 paired episodes and 19 were played"),
    ],
)
def test_the_verdict_is_the_paired_interval(target: Measured, verdict: str, words: str) -> None:
    found = report(target=target)
    assert found.verdict == verdict
    assert re.search(words, wording.target_sentence(found))
    assert found.to_json()["verdict"] == verdict


def test_the_pretrained_agent_kept_is_the_same_as_itself() -> None:
    before = played(440, 270)
    found = report(kept="pretrained", target=Measured(before, before, played(400, 300)), source=None)
    assert found.verdict == "same"
    assert wording.headline(found) == "The pretrained agent was kept"
    sentence = wording.target_sentence(found)
    assert "Training found nothing better" in sentence
    assert f"At the end of training the agent returned {wording.figure(played(400, 300).returns.mean())}: -" in sentence


def test_too_few_episodes_judge_nothing_and_the_report_says_so() -> None:
    before = played(440, 270)
    few = report(kept="pretrained", judged=19, target=Measured(before, before), source=None)
    assert wording.headline(few) == "Too few episodes to judge"
    assert "It takes 20 episodes to judge a tuned agent, and 19 were asked for" in wording.target_sentence(few)
    assert wording.headline(report(kept="pretrained", judged=20)) == "The pretrained agent was kept"


@pytest.mark.parametrize(("judged", "rate"), [(20, 7), (50, 17), (100, 33)])
def test_the_report_says_what_its_episodes_cannot_have_seen(judged: int, rate: int) -> None:
    """At this rate and n episodes, one draw in twenty sees nothing: (1 - 1 / rate) ** n is about 0.05."""
    assert (1 - 1 / rate) ** judged == pytest.approx(0.05, abs=0.006)
    found = report(judged=judged)
    said = f"fewer than one of {rate} episodes may not have been seen in the {judged}"
    assert all(said in shape for shape in (html(found), markdown(found), " ".join(str(found).split())))
    assert all(
        "may not have been seen" not in str(report(**no))
        for no in ({"judged": None}, {"kept": "pretrained", "judged": 50})
    )


def test_two_agents_that_never_differ_are_said_to() -> None:
    before = played(440, 270)
    sentence = wording.target_sentence(report(target=Measured(before, before)))
    assert sentence.endswith("with no difference in any of the 50 paired episodes.")


def test_forgetting_is_told_with_its_sign() -> None:
    source = played(5890, 41)
    after = Evaluation(source.returns - 100.0 + np.sin(np.arange(50.0)), source.lengths, source.seeds)
    lost, won = report(source=Measured(source, after)), report(source=Measured(after, source))
    assert lost.forgetting.value == pytest.approx(100.0, abs=0.5)
    assert re.search(r"a loss of (100|99\.\d)", wording.source_sentence(lost))
    assert re.search(r"a gain of (100|99\.\d)", wording.source_sentence(won))
    assert report(source=None).forgetting is None
    assert wording.source_sentence(report(source=None)) is None


def test_one_seed_is_no_evidence_about_the_method() -> None:
    assert report().evidence == "none"
    assert "one seed: not evidence about the method" in str(report())


def test_curve_figures_by_hand() -> None:
    def flat(level: float) -> Evaluation:
        return Evaluation(np.full(5, level), np.full(5, 9), np.arange(5))

    found = report(curve=(Point(0, flat(10.0)), Point(100, flat(4.0)), Point(200, flat(30.0))))
    assert found.worst_dip == -6.0
    assert found.auc == pytest.approx((7.0 + 17.0) / 2)
    assert report(curve=()).worst_dip is None
    assert report(curve=()).auc is None


def test_json_has_the_promised_fields_and_is_strict() -> None:
    data = json.loads(json.dumps(report().to_json(), allow_nan=False))
    names = (
        "agent task method seed steps steps_charged wall_seconds trainable_parameters total_parameters target source "
        "carried reset diagnosis kept verdict evidence forgetting worst_dip auc curve recipe environment"
    )
    assert set(names.split()) <= data.keys()
    for block in (data["target"]["before"], data["target"]["after"], data["target"]["last"], data["source"]["before"]):
        assert {"mean", "iqm", "ci95", "episodes", "seeds"} <= block.keys()
        assert block["ci95"][0] < block["mean"] < block["ci95"][1]
    assert data["target"]["before"]["mean"] == pytest.approx(report().target.before.returns.mean())


def test_an_unknown_figure_is_null() -> None:
    one = played(440, 270, episodes=1)
    data = report(target=Measured(one, one), source=None).to_json()
    assert data["target"]["before"]["ci95"] == [None, None]
    json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("changes", [{}, {"source": None, "curve": (), "kept": "pretrained"}])
def test_what_was_written_is_read_back(tmp_path: Path, changes: dict[str, Any]) -> None:
    first = report(**changes)
    first.write(tmp_path)
    again = read(tmp_path)
    assert isinstance(again, Report)
    assert again.to_json() == first.to_json()
    assert str(again) == str(first)
    assert html(again) == html(first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("target"), "'target' is missing"),
        (lambda data: data.update(format=7), "format 7 is not 1"),
        (lambda data: data["target"]["before"].update(returns=["x"]), "malformed"),
        (lambda data: data.pop("steps"), "malformed"),
    ],
)
def test_a_damaged_report_is_one_error(tmp_path: Path, change, said: str) -> None:
    data = report().to_json()
    change(data)
    (tmp_path / "report.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_what_is_no_report_is_one_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(ConfigError, match="give the folder of a finished run"):
        read(tmp_path / "report.json")


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot make the folder"):
        report().write(tmp_path / "file" / "run")


def test_the_files_of_a_run(tmp_path: Path) -> None:
    report().write(tmp_path)
    names = {"report.json", "report.md", "report.html", "curve.png", "evaluations.npz"}
    assert {path.name for path in tmp_path.iterdir()} == names  # and no temporary one
    assert image.imread(tmp_path / "curve.png").shape[:2] == (760, 1800)


def test_evaluations_have_the_layout_of_sb3(tmp_path: Path) -> None:
    """As `EvalCallback` writes it and rl_zoo3's plots read it: one row per evaluation."""
    report().write(tmp_path)
    stored = np.load(tmp_path / "evaluations.npz")
    assert sorted(stored) == ["ep_lengths", "results", "timesteps"]
    assert stored["timesteps"].tolist() == [0, 20_000, 40_000, 60_000, 80_000, 100_000]
    assert stored["results"].shape == stored["ep_lengths"].shape == (6, 5)
    assert stored["results"][1].tolist() == report().curve[1].evaluation.returns.tolist()


def test_evaluations_of_unequal_length_are_cut(tmp_path: Path) -> None:
    curve = (Point(0, played(1, 1, episodes=3)), Point(5, played(2, 1, episodes=2)))
    (tmp_path / "evaluations.npz").write_bytes(evaluations(curve))
    assert np.load(tmp_path / "evaluations.npz")["results"].shape == (2, 2)


def test_the_terminal_table_is_plain_and_narrow() -> None:
    text = str(report(notes=("no clip: the environment does not render",)))
    assert text.startswith("verdict: better  (kept: tuned)")
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 100
    after = report().target.after.returns
    low, high = report().target.after.summary()["ci95"]
    cells = [f"{after.mean():,.0f}", f"{stats.trim_mean(after, 0.25):,.0f}", f"{low:,.0f} to {high:,.0f}", "50"]
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    assert ["target", "after", *cells] in rows
    assert "1,000 of 4,000 (25 %)" in text
    assert "3 min 7 s" in text
    assert "note: no clip: the environment does not render" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2664.4, "2,664"), (99.94, "99.9"), (-0.001, "0.00"), (1.5, "1.50"), (float("nan"), "-"), (None, "-")],
)
def test_figures_are_short(value: float | None, text: str) -> None:
    assert wording.figure(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(3.21, "3.2 s"), (187.3, "3 min 7 s"), (7265.0, "2 h 1 min")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("algorithm", "line"),
    [
        ("ppo", "from stable_baselines3 import PPO"),
        ("tqc", "from sb3_contrib import TQC"),
        ("recurrent_ppo", "from sb3_contrib import RecurrentPPO"),
        ("crossq", "from sb3_contrib import CrossQ"),
    ],
)
@pytest.mark.parametrize("normalized", [True, False])
def test_the_code_to_use_the_agent_compiles_and_imports(algorithm: str, line: str, normalized: bool) -> None:
    shown = wording.usage(report(algorithm=algorithm, normalized=normalized))
    for _, code in shown:
        compile(code, "usage", "exec")
    stock = shown[1][1]
    assert stock.startswith(line)
    assert ("vecnormalize.pkl" in stock) is normalized
    exec("\n".join(row for row in stock.splitlines() if row.startswith("from ")), {})


def test_what_no_zip_can_hold_is_loaded_from_its_bundle() -> None:
    ((title, code),) = wording.usage(report(stock=False))
    assert title == "With Acclimate"
    assert 'ac.load("bundle")' in code
    assert "agent.zip" not in html(report(stock=False))


SIGNALS = {
    "steps": [0, 50, 100],
    "policy/kl": [0.0, None, 0.123456],
    "cost/steps": [8, 1e4, 19_944.0],
    "none": [None] * 3,
}


def test_signals_are_shown_with_their_first_and_last_value() -> None:
    found = report(signals=SIGNALS)
    assert wording.signals(found) == [("policy/kl", "0", "0.123"), ("cost/steps", "8", "19,944")]
    assert found.to_json()["signals"] == SIGNALS
    page = html(found)
    assert "<td>policy/kl</td>" in page
    assert "none" not in re.findall("<td>(.*?)</td>", page)
    assert "| policy/kl | 0 | 0.123 |" in markdown(found)


def test_a_report_of_before_there_were_signals_is_read() -> None:
    data = report().to_json()
    del data["signals"], data["recovered_at"]
    again = Report.from_json(data)
    assert again.signals == {}
    assert "What was measured in training" not in html(again)


def test_code_in_a_sentence_is_code() -> None:
    page = html(report(diagnosis=("consider `redo` or `<b>`: -3", "an odd ` one")))
    assert "<li>consider <code>redo</code> or <code>&lt;b&gt;</code>: \N{MINUS SIGN}3</li>" in page
    assert "<li>an odd ` one</li>" in page


def test_the_dip_says_when_it_was_over() -> None:
    rows = dict(wording.costs(report()))
    assert rows["worst dip while training"].endswith(", recovered at step 40,000")
    assert report().recovered_at == 40_000
    assert report(curve=report().curve[:2]).recovered_at is None
    assert "not recovered" in dict(wording.costs(report(curve=report().curve[:2])))["worst dip while training"]


HOSTILE = "<script>alert(1)</script> | `x` [y](javascript:z)\n# head"


def test_foreign_text_stays_text() -> None:
    """File names, task names and exceptions come from outside."""
    bad = report(agent=HOSTILE, task=HOSTILE, diagnosis=(HOSTILE,), notes=(HOSTILE,), carried=((HOSTILE, HOSTILE),))
    page, text = html(bad), markdown(bad)
    assert page.count("<script>") == 1
    assert "alert(1)</script>" not in page
    assert "<script" not in text
    assert "[y](" not in text
    assert not [row for row in text.splitlines() if row.startswith("# head")]
    row = next(row for row in text.splitlines() if "carried over |" in row)
    assert len(re.findall(r"(?<!\\)\|", row)) == 4


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    (tmp_path / "before.mp4").write_bytes(b"film")
    page = html(report(), tmp_path)
    assert page.count("<video") == 1
    assert "data:video/mp4;base64,ZmlsbQ==" in page
    assert page.count("data:image/png;base64,") == 4  # light and dark, wide and narrow
    links = re.findall(r"""(?:src|href|srcset|url|action)\s*[=(]\s*["']?([^"'\s>)]+)""", page)
    assert links
    assert all(link.startswith("data:") for link in links)
    assert "default-src 'none'" in page


def test_a_large_clip_is_named_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acclimate.reports.pages.EMBEDDED", 3)
    (tmp_path / "after.mp4").write_bytes(b"film")
    page = html(report(), tmp_path)
    assert "<video" not in page
    assert "see after.mp4 beside this page" in page


def test_the_order_of_the_page() -> None:
    page = html(report())
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert page.index('id="verdict"') < page.index("<h2>")
    assert titles == [
        "Return per episode",
        "Learning curve",
        "What was carried over and what was reset",
        "Diagnosis",
        "Cost",
        "Use the tuned agent",
        "Repeat the run",
    ]
    headings = [line for line in markdown(report()).splitlines() if line.startswith("#")]
    assert headings[0] == "# Better on the target task"
    assert headings[-2:] == ["## Use the tuned agent", "## Repeat the run"]


@pytest.mark.parametrize("changes", [{"curve": ()}, {"source": None}, {"source": None, "curve": ()}])
@pytest.mark.parametrize("narrow", [False, True])
def test_charts_of_every_shape(changes: dict[str, Any], narrow: bool) -> None:
    assert chart.draw(report(**changes), theme=chart.DARK, narrow=narrow).startswith(b"\x89PNG")
