"""Break what README guarantees, one promise at a time, and see the test that holds it fail.

    python -m tests.mutants            # all of them: a line each, and exit code 1 if one survives
    python -m tests.mutants kept       # those of promises whose name contains this

Each is made in a copy of `src`, where one expression is replaced; its test must pass without it and fail with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutant:
    """One promise broken."""

    promise: str
    """The one in README."""
    name: str
    file: str
    """Below `src/acclimate`."""
    old: str
    """Stands there once."""
    new: str
    test: str
    """Below `tests`; it must fail."""


PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "nightly or not nightly")
JUDGING, FINETUNE = "unit/runs/test_judging.py", "unit/runs/test_finetune.py"
JUDGED = "self.case.recipe.evaluation.judging_episodes, JUDGING_SEED"
MUTANTS = (
    Mutant(
        "The kept agent",
        "keeping by the mean alone",
        "runs/judging.py",
        "low = sure_gain(gains)",
        "low = gains.mean()",
        f"{JUDGING}::test_a_mean_that_may_be_chance_keeps_nothing",
    ),
    Mutant(
        "The kept agent",
        "a normal bound",
        "runs/judging.py",
        "low = sure_gain(gains)",
        "low = gains.mean() - 1.645 * gains.std(ddof=1) / asked**0.5",
        f"{JUDGING}::test_a_deep_fall_among_small_gains_keeps_nothing",
    ),
    Mutant(
        "The kept agent",
        "on the episodes that chose",
        "runs/episodes.py",
        JUDGED,
        JUDGED.replace("JUDGING_SEED", "CHOOSING_SEED"),
        f"{JUDGING}::test_what_judges_is_what_was_asked_for_and_has_chosen_nothing",
    ),
    Mutant(
        "The kept agent",
        "on the episodes of the measurements",
        "runs/episodes.py",
        JUDGED,
        JUDGED.replace("JUDGING_SEED", "SELECTION_SEED"),
        f"{JUDGING}::test_what_judges_is_what_was_asked_for_and_has_chosen_nothing",
    ),
    Mutant(
        "The kept agent",
        "on 5 episodes",
        "runs/episodes.py",
        JUDGED,
        "5, JUDGING_SEED",
        f"{JUDGING}::test_what_judges_is_what_was_asked_for_and_has_chosen_nothing",
    ),
    Mutant(
        "The kept agent",
        "too few are enough",
        "statistics/judgement.py",
        "FEWEST = 20",
        "FEWEST = 2",
        f"{JUDGING}::test_below_twenty_episodes_nothing_is_judged",
    ),
    Mutant(
        "The kept agent",
        "both agents judged",
        "runs/judging.py",
        "{name: lambda one=one: play.choosing(trained.show(one))",
        "{name: lambda one=one: play.judging(trained.show(one))",
        f"{JUDGING}::test_one_is_chosen_by_episodes_that_judge_nothing",
    ),
    Mutant(
        "Every step is charged",
        "rollouts of methods are free",
        "training/job.py",
        "self.job.charged + self.steps + self.seam.tuner.context.charged",
        "self.job.charged + self.steps",
        f"{FINETUNE}::test_every_step_that_is_charged_was_taken",
    ),
    Mutant(
        "Every step is charged",
        "the probe is free",
        "training/job.py",
        "self.job.charged + self.steps + self.seam.tuner.context.charged",
        "self.steps + self.seam.tuner.context.charged",
        f"{FINETUNE}::test_every_step_that_is_charged_was_taken",
    ),
    Mutant(
        "Paired evaluation",
        "each episode has a seed of its own",
        "evaluation/evaluate.py",
        "slot.begin(seed)",
        "slot.begin(None)",
        "unit/evaluation/test_evaluate.py",
    ),
    Mutant(
        "Your files",
        "written in place",
        "files/atomic.py",
        "os.replace(temporary, path)",
        "path.write_bytes(temporary.read_bytes()[:1])",
        "unit/files/test_atomic.py",
    ),
    Mutant(
        "Your files",
        "claimed twice",
        "runs/folder.py",
        "if known.exists():\n            raise",
        "if False:\n            raise",
        "reliability/test_resume.py::test_another_recipe_a_finished_run_and_a_damaged_one",
    ),
    Mutant(
        "Fast, and the same",
        "targets follow at half the rate",
        "engine/learning/targets.py",
        "self._moves += 1",
        "self._moves, tau = self._moves + 1, tau / 2",
        "laws/test_engine.py::test_the_engine_trains_as_sb3_does[sac-mlp-full]",
    ),
    Mutant(
        "A shift is real",
        "not checked to have taken effect",
        "tasks/task.py",
        "shift.verify(self._wrap(env), self._wrap(before))",
        "pass",
        "unit/shifts/test_every_shift.py::test_a_shift_that_a_wrapper_undoes_is_found_out",
    ),
    Mutant(
        "Safe loading",
        "a call in a pickle is made",
        "files/pickles.py",
        "if not known or not name.isidentifier():",
        "if not name.isidentifier():",
        "reliability/test_hostile_files.py",
    ),
)


def passes(test: str, source: Path) -> bool:
    """Run a test on a copy of the source and return whether it passes.

    Raises:
        SystemExit: There is no such test.
    """
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [*PYTEST, f"tests/{test}"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "TMPDIR": scratch},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        raise SystemExit(f"{test}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.returncode == 0


def killed(mutant: Mutant) -> bool:
    """Return whether the mutant's test passes without it and fails with it."""
    with tempfile.TemporaryDirectory() as copy:
        source = Path(copy) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        path = source / "acclimate" / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) != 1:
            raise SystemExit(
                f"{mutant.name}: {mutant.file} holds {mutant.old!r} {text.count(mutant.old)} times, not once"
            )
        whole = passes(mutant.test, source)
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        return whole and not passes(mutant.test, source)


def main() -> None:
    """Make the chosen mutants and say which were killed."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    survived = 0
    for mutant in MUTANTS:
        if wanted in mutant.promise:
            dead = killed(mutant)
            survived += not dead
            print(
                f"{'killed' if dead else 'SURVIVED':<9} {mutant.promise}: {mutant.name}, by {mutant.test}", flush=True
            )
    raise SystemExit(1 if survived else 0)


if __name__ == "__main__":
    main()
