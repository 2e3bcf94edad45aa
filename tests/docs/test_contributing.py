"""The worked example of CONTRIBUTING.md is done to a copy of the repository, and the laws then hold for its method."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Worked example")[2]

FILE = re.compile(r"in the folder `([^`]+)`, called `([^`]+)`:\n\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"in (?:`(\w+)`|the (table)) of `([^`]+)`:\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"with its import there, `([^`]+)`")

LAWS = "ppo-mlp-decay or test_every_registered or test_round_trips_to_data[decay]"
NAMES = "test_every_method_of_ours or test_the_public_names or test_the_page_of_the_methods"
DOCUMENT = "import runpy; runpy.run_module('docs.methods', run_name='__main__')"
"""What `make docs` does; in the process of the tests, as most of the time is that of its imports."""
TESTS = ["tests/laws/test_methods.py", "tests/docs/test_docs.py"]
OPTIONS = ["-m", "nightly or not nightly", *(f"-pno:{plugin}" for plugin in ("cacheprovider", "randomly", "xdist"))]


def insert(path: Path, table: str, line: str) -> None:
    """Write a line below the one that opens a table: a Python literal by its name, or the head of Markdown's."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    named = 0 if table == "table" else next(i for i, text in enumerate(lines) if text.startswith(table))
    opened = next(i for i in range(named, len(lines)) if lines[i].rstrip().endswith(("{", "[", "|---|---|")))
    lines.insert(opened + 1, line)
    path.write_text("".join(lines), encoding="utf-8")


def follow(root: Path) -> None:
    """Do to the repository at `root` what the example says."""
    ((folder, name, code),) = FILE.findall(TEXT)
    (root / folder / name).write_text(code, encoding="utf-8")
    for literal, markdown, path, line in LINE.findall(TEXT):
        insert(root / path, literal or markdown, line)
    (imported,) = IMPORT.findall(TEXT)
    cases = root / "tests" / "cases.py"
    text = cases.read_text(encoding="utf-8")
    cases.write_text(text.replace("\nfrom acclimate", f"\n{imported}\nfrom acclimate", 1), encoding="utf-8")


def test_the_worked_example_makes_a_method_for_which_the_laws_hold(tmp_path: Path) -> None:
    assert len(LINE.findall(TEXT)) == 4
    for name in ("src", "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", "old_runs")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    follow(tmp_path)
    run = f"{DOCUMENT}; import sys, pytest; sys.exit(pytest.main({[*TESTS, *OPTIONS, '-k', f'{LAWS} or {NAMES}']}))"
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path / "src"), str(tmp_path))), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = sum(map(int, re.findall(r"^(\d+) passed", done.stdout, re.MULTILINE)))
    assert passed >= 11, done.stdout  # eight laws, three of the names
