"""The sections of docs/benchmarks.md that commands write, each between its two markers."""

from __future__ import annotations

from pathlib import Path

from acclimate.files.atomic import write_atomic

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"


def put(section: str, body: str, where: Path | None = None) -> None:
    """Replace what stands between `<!-- section: begin -->` and its end; a section that is missing is added."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    where = where or PAGE
    page = where.read_text(encoding="utf-8")
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    write_atomic(where, f"{head}{begin}\n{body}\n{end}{tail}")
