"""The report as pages: HTML that needs nothing but itself, and Markdown with the same content."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from acclimate.reports import chart, successes, wording
from acclimate.reports.findings import Findings

CLIPS = {"before.mp4": "Before: the pretrained agent", "after.mp4": "After: the agent that was kept"}
EMBEDDED = 12_000_000
"""Bytes of a clip above which the page names the file and does not hold it."""
COPY = """document.addEventListener("click", function (event) {
  var button = event.target.closest("button[data-copy]");
  if (!button) return;
  var code = button.parentElement.querySelector("code");
  var range = document.createRange();
  range.selectNodeContents(code);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  button.textContent = "Selected";
  if (!navigator.clipboard) return;
  navigator.clipboard.writeText(code.textContent).then(
    function () { button.textContent = "Copied"; }, function () {});
});"""


def html(findings: Findings, folder: Path | None = None, *, charts: bool = True) -> str:
    """Return the self-contained page.

    Args:
        findings: Of the run.
        folder: Where `before.mp4` and `after.mp4` are, if there are clips.
        charts: Whether the page has them.
    """
    # The policy is the second lock: even a page with a hole could fetch nothing.
    allowed = base64.b64encode(hashlib.sha256(COPY.encode()).digest()).decode()
    pictures = {
        f"{name}_{size}": _data("image/png", chart.draw(findings, theme=theme, narrow=size == "narrow"))
        for name, theme in (("light", chart.LIGHT), ("dark", chart.DARK))
        for size in (("wide", "narrow") if charts else ())
    }
    page = _templates(escape=True).get_template("report.html.j2")
    return page.render(_context(findings), script=COPY, script_hash=allowed, charts=pictures, clips=_clips(folder))


def markdown(findings: Findings) -> str:
    """Return the page as Markdown; its picture is `curve.png` beside it."""
    return _templates(escape=False).get_template("report.md.j2").render(_context(findings))


def _context(findings: Findings) -> dict[str, Any]:
    return {
        "report": findings,
        "headline": wording.headline(findings),
        "target_sentence": wording.target_sentence(findings),
        "source_sentence": wording.source_sentence(findings),
        "evidence_sentence": wording.evidence_sentence(findings),
        "unseen_sentence": wording.unseen_sentence(findings),
        "rows": wording.rows(findings),
        "success_sentence": successes.success_sentence(findings),
        "success_rows": successes.success_rows(findings),
        "success_note": successes.NOTE,
        "costs": wording.costs(findings),
        "usage": wording.usage(findings),
        "signals": wording.signals(findings),
        "situation": [(name.replace("_", " "), _value(value)) for name, value in findings.situation.items()],
        "recipe": yaml.safe_dump(dict(findings.recipe), sort_keys=False) if findings.recipe else "",
    }


def _value(value: Any) -> str:
    return wording.figure(value) if isinstance(value, float) else "-" if value is None else str(value)


def _templates(*, escape: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = _typeset
    environment.filters["cell"] = _cell
    environment.filters["sentence"] = _sentence
    return environment


def _typeset(text: str) -> str:
    """Give numbers a true minus and an unbroken percent sign, and `->` an arrow."""
    text = str(text).replace("->", "\N{RIGHTWARDS ARROW}").replace(" %", "\N{NO-BREAK SPACE}%")
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)


def _sentence(text: str) -> Markup:
    """Typeset a sentence, with what stands between backticks as code."""
    parts = [escape(_typeset(part)) for part in str(text).split("`")]
    if len(parts) % 2 == 0:  # a backtick without its partner is one
        return Markup("`").join(parts)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def _cell(text: str) -> str:
    """Keep foreign text inside its cell: no markup, no new line, no bar."""
    flat = " ".join(str(text).split())
    for mark in ("\\", "`", "*", "_", "[", "]", "|"):
        flat = flat.replace(mark, f"\\{mark}")
    return flat.replace("&", "&amp;").replace("<", "&lt;")


def _clips(folder: Path | None) -> list[dict[str, str]]:
    found = []
    for name, label in CLIPS.items() if folder else ():
        path = folder / name
        if path.is_file():
            small = path.stat().st_size <= EMBEDDED
            data = _data("video/mp4", path.read_bytes()) if small else ""
            found.append({"label": label, "name": name, "data": data})
    return found


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
