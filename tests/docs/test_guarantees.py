"""What README guarantees is broken on purpose somewhere: `python -m tests.mutants` does it, this holds its table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]


def promises() -> set[str]:
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("## What is guaranteed")[2].partition("\n## ")[0]
    )
    return set(re.findall(r"^- \*\*(.+?)\.\*\*", section, re.MULTILINE))


def test_every_promise_is_broken_by_a_mutant() -> None:
    assert {mutant.promise for mutant in MUTANTS} == promises()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.promise}: {mutant.name}")
def test_a_mutant_can_be_made_and_has_its_test(mutant: Mutant) -> None:
    source = (ROOT / "src" / "acclimate" / mutant.file).read_text(encoding="utf-8")
    assert source.count(mutant.old) == 1
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
    file, _, name = mutant.test.partition("::")
    assert f"def {name.partition('[')[0]}" in (ROOT / "tests" / file).read_text(encoding="utf-8")
