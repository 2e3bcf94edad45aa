"""The pretrained agents that come with the package, for the demo and for first steps.

`benchmarks/pretrain.py --shipped` made them; `index.json` beside them says how, and what they return.
"""

from __future__ import annotations

from pathlib import Path

from acclimate.errors import SourceError, suggest

_FOLDER = Path(__file__).parent


def path(name: str = "ppo-LunarLander-v3") -> Path:
    """Return where the zip of a shipped agent is; its normaliser, if it has one, lies beside it.

    Args:
        name: The agent, `<algorithm>-<environment>`.

    Returns:
        The path of a plain Stable-Baselines3 zip.

    Raises:
        SourceError: No such agent is shipped.
    """
    agents = {zipped.stem: zipped for zipped in _FOLDER.glob("*.zip")}
    if name not in agents:
        raise SourceError(f"No agent `{name}` is shipped. {suggest(name, agents)}")
    return agents[name]
