"""Figures that pages repeat are those of the tables of docs/benchmarks.md, which the benchmarks write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmarks.studies.__main__ import BY_FAMILY, FIRST, HERE
from benchmarks.studies.tables import by_family, headline

from acclimate.studies.comparing import read
from acclimate.studies.findings import Findings
from acclimate.studies.page import markdown
from acclimate.studies.study import Study

ROOT = Path(__file__).parents[2]
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CHANGELOG.md")}
MEASURED = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
FACTORS = re.compile(r"([\d.]+) to ([\d.]+)\s+times\s+(as\s+fast\s+as\s+SB3(?:'s\s+`predict`)?|for\s+images)")
IN_WORDS = re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten)\s+times\b|\btenth\s+of\s+the\s+time\b")


def after(heading: str, end: str = "\n\n\n") -> str:
    """Return the part of the page behind a heading."""
    found = MEASURED.partition(heading)[2]
    assert found, heading
    return found.partition(end)[0]


def rows(table: str) -> list[list[str]]:
    """Return the cells of the rows of tables, without the marks for bold."""
    lines = [line for line in table.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip().replace("**", "") for cell in line.strip("|").split("|")] for line in lines]


def first(cell: str) -> float:
    return float(cell.split()[0].replace(",", ""))


def measured() -> dict[str, list[float]]:
    """Return the factors over SB3 that a user gets without building anything, by what is claimed of them."""
    engine = rows(after("the kernel of `acclimate native` not built:", "| both on the engine"))[1:]
    single = [row for row in rows(after("<!-- predict: begin -->", "<!--"))[1:] if "at once" not in row[0]]
    return {
        "as fast as SB3": [first(row[5]) for row in engine if "NatureCNN" not in row[0]],
        "for images": [first(row[5]) for row in engine if "NatureCNN" in row[0]],
        "as fast as SB3's `predict`": [first(row[3]) for row in single],
    }


@pytest.mark.parametrize("page", TEXTS)
def test_factors_of_speed_are_those_of_the_tables(page: str) -> None:
    claims = FACTORS.findall(TEXTS[page])
    assert claims
    for low, high, what in claims:
        found = measured()[" ".join(what.split())]
        for claimed, is_measured in ((float(low), min(found)), (float(high), max(found))):
            assert is_measured - 0.5 <= claimed <= is_measured + 0.1, what
    assert not IN_WORDS.findall(TEXTS[page]), "a factor in words is one that nothing checks"


@pytest.mark.parametrize("name", ["families", "choose", "parts_on", "parts_off", "methods", "methods_sac"])
def test_tables_are_made_of_the_committed_cells(name: str) -> None:
    study, folder = Study.load(HERE / f"{name}.yaml"), ROOT / "benchmarks" / "results" / "studies" / name
    findings = Findings(study, *read(study, folder))
    made = by_family(findings) if name in BY_FAMILY else markdown(findings)
    assert findings.cells
    assert made.strip() in MEASURED
    assert name != FIRST or headline(findings) in TEXTS["README.md"]
