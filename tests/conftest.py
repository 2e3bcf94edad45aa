"""What all tests share; being here, it also lets them import from ``tests``."""

import os
import re
import tempfile

import pytest

# A kernel that somebody has built for themselves is not what is tested; unit/engine/test_native.py builds its own.
os.environ.setdefault("ACCLIMATE_CACHE", os.path.join(tempfile.gettempdir(), "acclimate-tests-have-no-kernel"))

REPEATS = re.compile(
    r"""engine/(
        # A2C goes the way of PPO but for one loss: one case of each kind is enough by day.
        test_inputs\.py::test_updates_are_those_of_sb3\[A2C-(?!lower\])
        | test_native\.py::test_300_updates_are_those_of_sb3\[(1-A2C|3-A2C-(?!box)|1-PPO-(?!box)|3-PPO-multi)
        | test_(on_policy|modular)\.py::test_300_updates_are_those_of_sb3\[A2C-(multi-|True)
        # DDPG is TD3 with other settings.
        | test_(modular_off|off_policy|extracted|recall)\.py::test_\w*updates_are_those_of_sb3\[ddpg-(?!full|lower\])
        | device/test_device\.py::test_methods_train_as_under_sb3\[\S+-ddpg
        # What a method does through modules is the same whoever's critic it is.
        | test_modular_off\.py::test_300_updates_are_those_of_sb3\[(td3|dqn)-(l2sp|hold|last|mixout|side|features)
    )""",
    re.VERBOSE,
)
"""Tests that repeat by day what another case of theirs shows; `make test-all` runs them."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if REPEATS.search(item.nodeid):
            item.add_marker(pytest.mark.nightly)
