"""Write docs/methods.md from the text that `acclimate methods NAME` prints: `make docs`."""

from __future__ import annotations

import re
from pathlib import Path

from acclimate import catalogue
from acclimate.files.atomic import write_atomic
from acclimate.registry import METHODS

PAGE = Path(__file__).parent / "methods.md"
SHORT = 75
"""Prose is wrapped later than this; a line that ends before, inside a paragraph, is a formula or a list's."""
HEAD = """# Methods

Fine-tuning methods by family. `acclimate methods NAME` prints the same text, and `make docs` writes this page. A recipe
names them in the order in which they are put in:

```bash
acclimate finetune agent.zip --env HalfCheetah-v5 --shift gravity=2 --method kl=0.5 --method l2sp:weight=0.1
```

In the formulas theta are the weights, theta0 and pi0 those and the policy of pretraining, J the loss of the algorithm,
lr its learning rate. Every method has a field `on` that says which networks and which parts of them it acts on
(`actor`, `critic|q`, `*:*.bias`, `!critic`). What each costs and what it brought in one small comparison:
[benchmarks](benchmarks.md).
"""


def page() -> str:
    """Return the page, of the package's own methods alone."""
    parts = [HEAD]
    for family, names in catalogue.families().items():
        own = [name for name in names if METHODS.get(name).__module__.startswith("acclimate.")]
        if not own:
            continue
        purpose = catalogue.FAMILIES.get(family)
        parts.append(f"## {family.capitalize()}\n")
        parts.append(f"{purpose[0].upper()}{purpose[1:]}.\n" if purpose else "")
        parts += [section(name) for name in own]
    return "\n".join(part for part in parts if part)


def section(name: str) -> str:
    """Return what is said of one method."""
    facts = catalogue.explain(name)
    lines = [f"### `{name}`", "", prose(facts["doc"]), "", "| field | default | |", "|---|---|---|"]
    for field in facts["fields"]:
        lines.append(
            f"| `{field['name']}` | {cell(default(field['default']))} | {cell(prose(field['doc'], flat=True))} |"
        )
    kept = "leaves the function unchanged" if facts["preserves"] else "changes the function"
    ends = "a stock network" if facts["foldable"] else "no stock network"
    return "\n".join([*lines, "", f"Putting it in {kept}; it ends as {ends}.", ""])


def prose(text: str, *, flat: bool = False) -> str:
    """Return a docstring as Markdown that shows what it says.

    Args:
        text: plain text with names between backticks.
        flat: put it on one line; otherwise the lines of formulas stay apart.
    """
    lines = [] if flat else text.splitlines()
    for place, line in enumerate(lines[:-1]):
        if line.strip() and lines[place + 1].strip() and len(line) < SHORT:
            lines[place] = f"{line}\x00"
    joined = " ".join(text.split()) if flat else "\n".join(line.strip() for line in lines)
    pieces = joined.split("`")
    for place in range(0, len(pieces), 2):
        pieces[place] = re.sub(r"([*_\[\]])", r"\\\1", pieces[place]).replace("<", "&lt;")
    shown = "`".join(pieces).replace("\x00", "\\")
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", shown)


def default(text: str) -> str:
    """Return a default as code, and in words where there is none."""
    return text if text == "required" else f"`{text}`"


def cell(text: str) -> str:
    """Return text that stays inside its cell of a table."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    write_atomic(PAGE, page())
