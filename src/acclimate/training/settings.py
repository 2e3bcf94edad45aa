"""Which settings of the pretrained agent the training does not go on with, said one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from acclimate.agents.agent import Agent
from acclimate.sb3 import settings

TOLD = frozenset(["learning_rate", "stats_window_size", "learning_starts", "action_noise", "buffer_size"])
"""What other lines of a run tell, or what decides nothing that is learnt."""


def changed(prior: Agent, hyperparameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each setting that the training changes, or that could not be read, with what came of it.

    Args:
        prior: the pretrained agent, under the algorithm that trains.
        hyperparameters: of the model that is trained; what is absent stays as it was saved.
    """
    saved = prior.blueprint.hyperparameters
    trained = {**saved, **hyperparameters}
    unread = dict(prior.origin.unread)
    for name, default in settings.defaults(prior.algorithm).items():
        if name in TOLD or name.startswith("exploration_"):
            continue
        now = trained.get(name, default)
        if name in saved and _same_form(saved[name]) != _same_form(now):
            yield name, f"{_word(saved[name])} -> {_word(now)}"
        elif name in unread and name not in saved:
            yield name, f"{_word(now)}: the file's is {unread[name]}"


def _same_form(value: Any) -> Any:
    """Return a value so that [1, step] of a file and 1 of a recipe are the same."""
    if isinstance(value, (list, tuple)) and len(value) == 2 and value[1] == "step":
        return value[0]
    return tuple(value) if isinstance(value, list) else value


def _word(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(str(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
