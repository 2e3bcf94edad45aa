"""The sections of the page that commands write."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import page


def test_a_section_is_replaced_or_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "page.md"
    file.write_text("# Head\n<!-- one: begin -->\nold\n<!-- one: end -->\ntail\n")
    monkeypatch.setattr(page, "PAGE", file)
    page.put("one", "new")
    page.put("two", "more")
    assert file.read_text() == (
        "# Head\n<!-- one: begin -->\nnew\n<!-- one: end -->\ntail\n\n<!-- two: begin -->\nmore\n<!-- two: end -->\n"
    )
