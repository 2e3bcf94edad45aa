"""Run a study that is committed here, and write its tables into docs/benchmarks.md.

    python -m benchmarks.studies choose                 # every missing cell, then the tables
    python -m benchmarks.studies choose --table         # the tables alone
    python -m benchmarks.studies choose --seeds 1 --workers 2

It is `acclimate compare --study benchmarks/studies/choose.yaml`, with cells that are committed too: it goes on where
somebody stopped. The agents are those of the zoo, `../shared/zoo` as seen from here. `choose` is what defaults may be
chosen on; `report` is never looked at while anything is chosen, and each look at it is noted in its file.
"""

from __future__ import annotations

import argparse
import dataclasses

from acclimate.studies.comparing import compare, report
from acclimate.studies.page import markdown
from acclimate.studies.study import Study
from benchmarks.page import ROOT, put
from benchmarks.studies.tables import by_family, headline

HERE = ROOT / "benchmarks" / "studies"
FIRST = "families"
"""Whose agents the README's first table is about."""
BY_FAMILY = ("families", "methods", "methods_sac")


def main() -> None:
    """Run the missing cells and write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=sorted(path.stem for path in HERE.glob("*.yaml")))
    parser.add_argument("--seeds", type=int, help="only so many")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--case", action="append", default=[], help="only cases whose name holds this")
    parser.add_argument("--row", action="append", default=[], help="only these of our rows")
    parser.add_argument("--table", action="store_true", help="only write the tables")
    given = parser.parse_args()
    whole = Study.load(HERE / f"{given.study}.yaml")
    folder = ROOT / "benchmarks" / "results" / "studies" / given.study
    if not given.table:
        chosen = tuple(case for case in whole.cases if not given.case or any(part in case.name for part in given.case))
        rows = tuple(row for row in whole.rows if not given.row or row.name in given.row)
        part = dataclasses.replace(whole, cases=chosen, rows=rows, seeds=given.seeds or whole.seeds)
        print(compare(part, folder, workers=given.workers, say=lambda line: print(line, flush=True)))
    findings = report(whole, folder).findings
    command = f"`python -m benchmarks.studies {given.study}`"
    body = by_family(findings) if given.study in BY_FAMILY else markdown(findings)
    put(f"study {given.study}", f"{command}\n\n{body}")
    if given.study == FIRST:
        put("first table", f"{headline(findings)}\n\n({command})", ROOT / "README.md")


if __name__ == "__main__":
    main()
