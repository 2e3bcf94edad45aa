"""Files and folders that the documentation names are there."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "acclimate"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
OF_THE_ROOT = re.compile(r"(?:src|docs|tests|benchmarks|examples)(?:/[\w.-]+)*/?")
OF_THE_PACKAGE = re.compile(r"[a-z_][a-z0-9_]*(?:/[a-z_][a-z0-9_]*)*(?:\.py|/)?")
"""Names alone: what has a capital, a hyphen or another ending is an agent, a report or an address of somebody else."""


def paths(text: str) -> Iterator[str]:
    """Yield what stands in backticks and looks like a file or a folder of the repository."""
    for code in CODE.findall(FENCED.sub("", text)):
        if "/" in code and (OF_THE_ROOT.fullmatch(code) or OF_THE_PACKAGE.fullmatch(code)):
            yield code


def exists(path: str) -> bool:
    """Tell whether a path is there, with or without its ending, from the root or below the package."""
    return any((base / f"{path}{ending}").exists() for base in (ROOT, PACKAGE) for ending in ("", ".py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_lead_somewhere(page: Path) -> None:
    assert [path for path in paths(page.read_text(encoding="utf-8")) if not exists(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_are_run_are_there(page: Path) -> None:
    named = set(re.findall(r"python -m\s+((?:benchmarks|tests|docs)[\w.]*\w)", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if importlib.util.find_spec(name) is None] == []


def test_what_looks_like_a_path_and_what_is_there() -> None:
    text = (
        "`src/acclimate/errors.py`, `nets/net`, `engine/`, `docs/methods.md`, `tests/laws`; `ppo/CartPole-v1.zip`, "
        "`runs/heavy/report.html`, `hf://org/repo`, `shifts.Shift`, `a / b`\n```bash\n`not/this`\n```\n`sources/inert`"
    )
    found = ["src/acclimate/errors.py", "nets/net", "engine/", "docs/methods.md", "tests/laws", "sources/inert"]
    assert list(paths(text)) == found
    assert [path for path in found if not exists(path)] == ["sources/inert"]
