"""The subclass by which an SB3 algorithm tells the seam what it is about to do."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from acclimate.seam.decisions import Decisions


class Engine(Protocol):
    """What collects rollouts and trains in the place of a model's own methods, with their arguments."""

    def collect(self, *args: Any, **kwargs: Any) -> Any:
        """Fill the buffer as the model's own `collect_rollouts` does."""

    def train(self, *args: Any, **kwargs: Any) -> None:
        """Update as the model's own `train` does."""


class Told(Protocol):
    """What is told when a rollout and when an update begins: the seam."""

    engine: Engine | None
    decisions: Decisions

    def rollout(self) -> AbstractContextManager[None]:
        """Surround a rollout."""
        ...

    def update(self) -> AbstractContextManager[None]:
        """Surround an update of the model's own `train`."""
        ...

    def counted(self) -> AbstractContextManager[None]:
        """Surround an update by whatever trains, and count it."""
        ...

    def skip(self) -> None:
        """Pass over an update that has no rows."""
        ...


def reached(stock: type, seam: Told) -> type[BaseAlgorithm]:
    """Return a subclass of an algorithm that tells the seam when a rollout and when an update begins."""

    class Reached(stock):  # type: ignore[misc, valid-type]
        """A Stable-Baselines3 algorithm whose training the seam reaches."""

        def collect_rollouts(self, *args: Any, **kwargs: Any) -> Any:
            with seam.rollout():
                if seam.engine is not None:
                    return seam.engine.collect(*args, **kwargs)
                return super().collect_rollouts(*args, **kwargs)

        def train(self, *args: Any, **kwargs: Any) -> None:
            if not seam.decisions.enough:
                seam.skip()
            elif seam.engine is not None:
                with seam.counted():
                    seam.engine.train(*args, **kwargs)
            else:
                with seam.counted(), seam.update():
                    super().train(*args, **kwargs)

        def _sample_action(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            action, stored = super()._sample_action(*args, **kwargs)
            return seam.decisions.stored(stored) if seam.decisions.wanted else (action, stored)

        def _store_transition(
            self, buffer: Any, action: Any, new_obs: Any, reward: Any, dones: Any, infos: Any
        ) -> None:
            super()._store_transition(buffer, action, new_obs, reward, dones, infos)
            # Off-policy, SB3 sets these when the environments are reset and never again.
            self._last_episode_starts = np.asarray(dones, dtype=bool)

    Reached.__name__, Reached.__qualname__ = stock.__name__, stock.__qualname__
    return Reached
