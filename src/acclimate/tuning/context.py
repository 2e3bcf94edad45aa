"""Data and judgement for methods, and what they cost."""

from __future__ import annotations

from collections.abc import Callable

from acclimate.errors import SurgeryError
from acclimate.nets.experience import Batch

Rollouts = Callable[[int], Batch]
Judge = Callable[[], tuple[float, int]]

_SOURCE = "the source task"


class Context:
    """Data and judgement for a method, and what they cost.

    Whoever runs a method gives what it has. A method that asks for what is not there is an error that says
    so. Methods that ask for the same data share it, and it is charged once.
    """

    def __init__(
        self,
        *,
        source: Rollouts | None = None,
        target: Rollouts | None = None,
        evaluate: Judge | None = None,
        seed: int = 0,
    ) -> None:
        """Hold the sources of data.

        Args:
            source: returns as many consecutive steps of the pretrained policy in the source task, from the same
                first one at each call.
            target: the same in the target task.
            evaluate: returns the mean return of the policy as it is now in the target task, and the environment
                steps that this took.
            seed: for what a method draws itself.
        """
        self._worlds = {_SOURCE: source, "the target task": target}
        self._known: dict[str, Batch] = {}
        self._evaluate = evaluate
        self.seed = seed
        self.charged = 0
        """Environment steps that methods asked for beyond the training's own."""
        self.charged_source = 0
        """Those of them that were taken in the source task."""

    def source(self, steps: int) -> Batch:
        """Return steps of the pretrained policy in the source task, and charge those that are new.

        Raises:
            SurgeryError: if no source task was given.
        """
        return self._steps(_SOURCE, steps)

    def target(self, steps: int) -> Batch:
        """Return steps of the pretrained policy in the target task, and charge those that are new.

        Raises:
            SurgeryError: if no target task was given.
        """
        return self._steps("the target task", steps)

    @property
    def evaluates(self) -> bool:
        """Whether the policy can be evaluated here."""
        return self._evaluate is not None

    def evaluate(self) -> float:
        """Return the mean return of the policy as it is now in the target task, and charge the steps.

        Raises:
            SurgeryError: if nobody can evaluate here.
        """
        if self._evaluate is None:
            raise SurgeryError("the method wants the policy evaluated, and nothing here can; give `evaluate`")
        score, steps = self._evaluate()
        self.charged += steps
        return score

    def _steps(self, world: str, steps: int) -> Batch:
        rollouts = self._worlds[world]
        if rollouts is None:
            raise SurgeryError(f"the method wants {steps} steps of {world}, which was not given; give that task")
        known = self._known.get(world)
        if known is None or len(known) < steps:
            new = steps - (0 if known is None else len(known))
            self.charged += new
            self.charged_source += new if world == _SOURCE else 0
            known = self._known[world] = rollouts(steps)
        return known.rows(slice(steps))
