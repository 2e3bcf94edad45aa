"""Every real agent acts as SB3's own loader makes it act, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import acclimate as ac
from tests import tiny
from tests.contract import stock


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Return what stock SB3 does, from a process of its own."""
    out = tmp_path_factory.mktemp("stock") / "actions.npz"
    subprocess.run([sys.executable, stock.__file__, str(tiny.ZOO), str(out)], check=True, timeout=300)
    with np.load(out) as found:
        return dict(found)


# One process of stock SB3 serves all of them, so they stay on one worker.
@pytest.mark.xdist_group("zoo")
@pytest.mark.parametrize("path", tiny.zoo_params())
def test_same_actions_as_stock_sb3(path: Path, expected: dict[str, np.ndarray]) -> None:
    name = str(path.relative_to(tiny.ZOO))
    raw, full = ac.load(path, normalizer=None), ac.load(path)
    obs = stock.observations(raw.observation_space)
    for agent, kind in ((raw, "raw"), (full, "scaled")):
        actions, _ = agent.predict(obs, deterministic=True)
        assert len(actions) == 64
        np.testing.assert_array_equal(actions, expected[f"{kind}/{name}"], strict=True)


@pytest.mark.parametrize("path", tiny.zoo_params())
def test_a_single_observation_and_the_critic(path: Path) -> None:
    agent = ac.load(path)
    obs = stock.observations(agent.observation_space)
    one, _ = agent.predict(obs[3], deterministic=True)
    np.testing.assert_allclose(one, agent.predict(obs, deterministic=True)[0][3], rtol=1e-4, atol=1e-5)
    values = agent.values(obs)
    if agent.algorithm == "ars":
        assert values is None
    else:
        assert values.shape == (64,)
        assert np.isfinite(values).all()
        assert values.std() > 0


@pytest.mark.parametrize("path", tiny.zoo_params())
def test_the_algorithm_is_that_of_the_folder(path: Path) -> None:
    agent = ac.load(path)
    folder = path.parts[-3]
    assert agent.algorithm == ("sac" if folder == "her" else folder)
    assert agent.origin.env_id == path.parent.name.rsplit("_", 1)[0]
    assert agent.origin.steps == agent.model.num_timesteps > 0
    needed = "normalize: true" if "normalize" in agent.origin.config else ""
    assert (agent.normalizer is not None) == bool(needed)
