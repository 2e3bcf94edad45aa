"""A study of real agents that is killed twice at random ends, but for times, byte for byte as one that was not."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from acclimate.shifts import parse
from acclimate.studies.cell import Key
from acclimate.studies.comparing import keys
from acclimate.studies.study import Case, Row, Study
from acclimate.studies.worker import CELLS
from acclimate.tasks.task import Task
from tests.tiny import ZOO, needs_zoo
from tests.unit.studies.test_comparing import page, started, table

CARTPOLE = ZOO / "ppo" / "CartPole-v1_1" / "CartPole-v1.zip"
LANDER = ZOO / "dqn" / "LunarLander-v2_1" / "LunarLander-v2.zip"


def asked() -> Study:
    cases = (
        Case(name="longer pole", agent=str(CARTPOLE), task=Task("CartPole-v1").shifted(parse("length=4"))),
        Case(name="heavier lander", agent=str(LANDER), task=Task("LunarLander-v3").shifted(parse("gravity=1.19"))),
    )
    rows = [Row(name="acclimate")] + [Row(name=name, recipe={"methods": [name]}) for name in ("l2sp", "lora")]
    return Study(cases=cases, rows=tuple(rows), seeds=5, steps=5000, episodes=10)


@needs_zoo
@pytest.mark.nightly
def test_killed_twice_it_has_the_same_table(tmp_path: Path) -> None:
    study = asked()
    study.save(tmp_path / "asked.yaml")
    every = list(keys(study))
    assert len(every) == 2 * (3 + 6 * 5)
    killed, chance = tmp_path / "killed", random.Random(time.time_ns())
    for ended in sorted(chance.sample(range(1, len(every)), 2)):
        going = started(tmp_path, killed, 2)
        while len(list(killed.glob(f"{CELLS}/*/cell.json"))) < ended and going.poll() is None:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 2))
        os.killpg(going.pid, signal.SIGKILL)
        going.wait()
    for folder in (killed, tmp_path / "whole"):
        assert started(tmp_path, folder, 2).wait() == 0
    assert table(killed) == table(tmp_path / "whole")
    assert len(table(killed)) == 1 + len(every)
    assert page(killed) == page(tmp_path / "whole")
    assert Key(4, "heavier lander", "lora").folder in {path.name for path in (killed / CELLS).iterdir()}
