"""Writers of agents: one module per format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from acclimate.errors import ExportError

if TYPE_CHECKING:
    from acclimate.agents.agent import Agent


def save(agent: Agent, path: str | Path) -> Path:
    """Write `agent` in the format that the ending of `path` names; return where it is.

    Raises:
        ExportError: The ending names no format that can be written, or one that cannot hold this agent.
    """
    path = Path(path)
    if path.suffix == "":
        from acclimate.formats import bundle

        return bundle.save(agent, path)
    if path.suffix == ".zip":
        if agent.methods:
            names = " and ".join(f"`{method.name}`" for method in agent.methods)
            raise ExportError(
                f"{path}: {names} in its networks cannot end as a stock network, and a zip holds nothing else; save "
                f"the bundle, a folder: {path.with_suffix('')}"
            )
        from acclimate.formats.sb3 import write as sb3

        return sb3.save(agent, path)
    raise ExportError(f"{path}: no format `{path.suffix or path.name}`; write a .zip, or a folder without an ending.")
