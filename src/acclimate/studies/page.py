"""The report of a study: one page that needs nothing but itself, and JSON, CSV and Markdown beside it."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from acclimate.agents.agent import Agent
from acclimate.errors import AcclimateError, ConfigError
from acclimate.files.atomic import write_atomic
from acclimate.reports.chart import DARK, LIGHT
from acclimate.studies import baselines, chart, wording
from acclimate.studies.findings import NOT_YET, Findings
from acclimate.studies.lines import lines
from acclimate.studies.study import Case
from acclimate.studies.worker import CELLS

PAGE = "compare.html"
UNTRAINED_LINES = {
    "as it is": "agent.predict(observation, deterministic=True)",
    "nothing": "zeros within the bounds of a Box; of discrete actions the best constant",
    "random": "env.action_space.sample()",
}


def write(findings: Findings, folder: Path, *, trust: bool = False) -> None:
    """Write the page and what stands beside it; whatever of it fails costs none of the rest."""
    write_atomic(folder / "compare.json", json.dumps(wording.as_json(findings), indent=1))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(wording.csv_rows(findings))
    write_atomic(folder / "compare.csv", text.getvalue())
    write_atomic(folder / "compare.md", markdown(findings))
    write_atomic(folder / PAGE, html(findings, folder, trust=trust))


def markdown(findings: Findings) -> str:
    """Return the leaderboard and the table of each case as Markdown."""
    parts = [
        wording.advice(findings),
        "",
        *_table(wording.board_rows(findings)),
        "",
        wording.coverage(_fewest(findings)),
        "",
    ]
    for case in findings.lines:
        parts += [
            f"### {case}",
            "",
            wording.scale_words(findings, case),
            "",
            *_table(wording.case_rows(findings, case)),
            "",
        ]
    missing = [f"- {where}: {' '.join(why.split())}" for where, why in _missing(findings)]
    return "\n".join([*parts, *(["Missing cells:", "", *missing, ""] if missing else [])])


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    head, *rest = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return [head, f"|{'---|' * len(rows[0])}", *rest]


def html(findings: Findings, folder: Path | None = None, *, trust: bool = False) -> str:
    """Return the page, which is self-contained and asks nothing of any network."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("compare.html.j2").render(_context(findings, folder, trust))


def _context(findings: Findings, folder: Path | None, trust: bool) -> dict[str, Any]:
    study = findings.study
    head, *board = wording.board_rows(findings)
    return {
        "advice": wording.advice(findings),
        "head": head,
        "board": board,
        "behind": [(leader.row, case) for leader in findings.board for case in leader.behind],
        "wider": [(leader.row, wording.wider(leader)) for leader in findings.board if leader.wider],
        "coverage": wording.coverage(_fewest(findings)),
        "pictures": _pictures(findings),
        "cases": [(n, wording.scale_words(findings, n), wording.case_rows(findings, n)) for n in findings.lines],
        "unscaled": [(name, wording.scale_words(findings, name)) for name in findings.unscaled],
        "links": _links(findings, folder),
        "notes": _notes(findings),
        "code": _code(findings, trust),
        "missing": _missing(findings),
        "study": _described(findings),
        "seeds": study.seeds,
        "episodes": study.episodes,
        "points": study.points,
        "point_episodes": study.point_episodes,
        "ended": len(findings.cells),
        "all": len(findings.cells) + len(findings.missing),
    }


def _missing(findings: Findings) -> list[tuple[str, str]]:
    """Return the cells that failed, each with the reason, and how many have not been run yet."""
    failed = [(str(key), why) for key, why in findings.missing.items() if why != NOT_YET]
    waiting = len(findings.missing) - len(failed)
    return [*failed, *([(f"{waiting} cells", NOT_YET)] if waiting else [])]


def _fewest(findings: Findings) -> int:
    """Return the number of seeds that the trained row with the fewest has."""
    lines_ = [line for rows in findings.lines.values() for row, line in rows.items() if wording.is_trained(row)]
    return min((len(line.cells) for line in lines_), default=0)


def _pictures(findings: Findings) -> dict[str, dict[str, str]]:
    if not any(wording.is_trained(leader.row) for leader in findings.board):
        return {}
    return {
        name: {
            f"{theme}_{size}": _data(draw(findings, colours, narrow=size == "narrow"))
            for theme, colours in (("light", LIGHT), ("dark", DARK))
            for size in ("wide", "narrow")
        }
        for name, draw in (("curves", chart.curves), ("trade", chart.trade))
    }


def _data(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _links(findings: Findings, folder: Path | None) -> list[tuple[str, str]]:
    """Return the reports that cells of ours have of their own."""
    found = []
    for key in sorted(findings.cells, key=lambda key: (key.case, key.row, key.seed)):
        if findings.cells[key].report and (folder is None or (folder / CELLS / key.folder / "run").exists()):
            found.append((str(key), f"{CELLS}/{key.folder}/run/report.html"))
    return found


def _notes(findings: Findings) -> list[tuple[str, str]]:
    """Return what cells say of themselves, once for all seeds."""
    found = {(f"{key.case} | {key.row}", note) for key, cell in findings.cells.items() for note in cell.notes}
    return sorted(found)


def _code(findings: Findings, trust: bool) -> list[tuple[str, str]]:
    """Return the lines of each row; of the baselines those of the first case of each algorithm."""
    study, found = findings.study, []
    agents = _agents(findings, trust)
    for row in study.names:
        ours = study.row(row)
        if row in UNTRAINED_LINES:
            found.append((row, UNTRAINED_LINES[row]))
        elif ours is not None:
            recipe = yaml.safe_dump({"steps": study.steps, **ours.recipe}, sort_keys=False)
            found.append((row, f"acclimate.finetune(agent, task, recipe, source=source)\n# recipe:\n{recipe}".rstrip()))
        else:
            for case, agent in agents:
                ways = baselines.way(row, agent, case.saved)
                name = f"{row}, {agent.algorithm} ({case.name})"
                found.append((name, lines(agent, ways, case.steps or study.steps)))
    return found


def _agents(findings: Findings, trust: bool) -> list[tuple[Case, Agent]]:
    """Return the first case of each algorithm, with its agent; one that cannot be read has no lines."""
    found: dict[str, tuple[Case, Agent]] = {}
    for case in findings.study.cases:
        try:
            agent = case.loaded(trust=trust)
        except AcclimateError:
            continue
        found.setdefault(agent.algorithm, (case, agent))
    return list(found.values())


def _described(findings: Findings) -> str:
    try:
        return yaml.safe_dump(findings.study.to_config(), sort_keys=False, width=110)
    except ConfigError as error:
        return f"# {error}"
