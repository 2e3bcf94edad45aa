"""A normaliser beside a zip under a name of the user's own: found or refused, never passed over."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

import acclimate as ac
from acclimate.cli import main
from acclimate.formats.sb3 import vecnormalize
from acclimate.sb3.normalizer import Normalizer
from acclimate.sb3.vocabulary import OFF_POLICY
from tests import tiny

TELLING = [name for name, (algorithm, *_) in tiny.MODELS.items() if algorithm not in OFF_POLICY]
SILENT = [name for name, (algorithm, *_) in tiny.MODELS.items() if algorithm in OFF_POLICY]
SCALED = [name for name in TELLING if tiny.MODELS[name][2] is tiny.BOX]


def saved(folder: Path, name: str = "ppo", *statistics: str, normalize: bool = True, **more: Any) -> BaseAlgorithm:
    """Write `agent.zip`, and its normaliser under each of these names."""
    folder.mkdir(exist_ok=True)
    model = tiny.model(name, normalize=normalize, **more)
    model.save(folder / "agent.zip")
    for each in statistics:
        (folder / each).parent.mkdir(exist_ok=True)
        vec(model).save(str(folder / each))
    return model


def vec(model: BaseAlgorithm) -> VecNormalize:
    found = model.get_vec_normalize_env()
    assert found is not None
    return found


def another(folder: Path, name: str, shape: str = "ppo") -> None:
    """Put the normaliser of another agent into a folder."""
    space, actions = tiny.MODELS[shape][2:4]
    (folder / name).write_bytes(vecnormalize.write(Normalizer.identity(space), space, actions))


def silently(path: Path, **more: Any) -> ac.Agent:
    """Load an agent, of which nothing may have to be said."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ac.load(path, **more)


@pytest.mark.parametrize("trust", [False, True], ids=["safe", "trust"])
@pytest.mark.parametrize(
    "file", ["best_vecnorm.pkl", "stats.pkl", "agent_vecnorm.pkl", "vecnorm", "agent/stats.pkl", "a_vecnormalize.pkl"]
)
def test_the_only_one_is_taken_and_said(file: str, trust: bool, tmp_path: Path) -> None:
    model = saved(tmp_path, "ppo", file)
    with pytest.warns(UserWarning, match=r"the only normaliser beside it") as said:
        agent = ac.load(tmp_path / "agent.zip", trust=trust)
    assert str(tmp_path / file) in str(said[0].message)
    assert agent.origin.normalizer == str(tmp_path / file)
    assert agent.normalizer is not None
    np.testing.assert_array_equal(agent.normalizer.obs_mean, vec(model).obs_rms.mean)
    assert silently(tmp_path / "agent.zip", normalizer=None, trust=trust).normalizer is None
    assert silently(tmp_path / "agent.zip", normalizer=tmp_path / file, trust=trust).normalizer is not None


@pytest.mark.parametrize("name", SCALED)
def test_it_acts_as_it_was_trained(name: str, tmp_path: Path) -> None:
    model = saved(tmp_path, name, "stats.pkl")
    with pytest.warns(UserWarning, match=r"stats\.pkl"):
        agent = ac.load(tmp_path / "agent.zip")
    obs = tiny.observations(tiny.BOX)
    wanted, _ = model.predict(vec(model).normalize_obs(obs), deterministic=True)
    np.testing.assert_array_equal(agent.predict(obs, deterministic=True)[0], wanted)


@pytest.mark.parametrize("name", SCALED)
def test_a_zip_that_tells_of_one_is_refused_without(name: str, tmp_path: Path) -> None:
    saved(tmp_path, name)
    another(tmp_path, "other.pkl", "her")
    (tmp_path / "replay_buffer.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ac.SourceError, match=r"trained on normalised observations, but no .*--normalizer none") as said:
        ac.load(tmp_path / "agent.zip")
    assert "\n" not in str(said.value)
    assert silently(tmp_path / "agent.zip", normalizer=None).normalizer is None


@pytest.mark.parametrize("name", TELLING)
def test_a_zip_that_tells_of_none_takes_none(name: str, tmp_path: Path) -> None:
    saved(tmp_path, name, normalize=False)
    another(tmp_path, "stats.pkl")
    assert silently(tmp_path / "agent.zip").normalizer is None


def test_a_zip_that_tells_of_none_beside_one_under_a_usual_name(tmp_path: Path) -> None:
    saved(tmp_path, normalize=False)
    another(tmp_path, "vecnormalize.pkl")
    with pytest.raises(
        ac.SourceError, match=r"without a normaliser.*vecnormalize\.pkl lies beside it.*--normalizer none"
    ):
        ac.load(tmp_path / "agent.zip")
    assert silently(tmp_path / "agent.zip", normalizer=None).normalizer is None
    assert silently(tmp_path / "agent.zip", normalizer=tmp_path / "vecnormalize.pkl").normalizer is not None


def test_several_are_named(tmp_path: Path) -> None:
    saved(tmp_path, "ppo", "first.pkl", "agent/second.pkl")
    another(tmp_path, "other.pkl", "her")
    with pytest.raises(ac.SourceError, match=r"second\.pkl and first\.pkl beside it each fit.*--normalizer PATH"):
        ac.load(tmp_path / "agent.zip")
    with pytest.raises(ac.SourceError) as said:
        ac.load(tmp_path / "agent.zip")
    assert "other.pkl" not in str(said.value)
    saved(tmp_path, "ppo", "vecnormalize.pkl")
    assert silently(tmp_path / "agent.zip").origin.normalizer == str(tmp_path / "vecnormalize.pkl")


def test_one_of_other_observations_is_no_rival(tmp_path: Path) -> None:
    saved(tmp_path, "ppo", "stats.pkl")
    another(tmp_path, "other.pkl", "her")
    with pytest.warns(UserWarning, match=r"stats\.pkl"):
        assert ac.load(tmp_path / "agent.zip").origin.normalizer == str(tmp_path / "stats.pkl")


@pytest.mark.parametrize("normalize", [False, True], ids=["raw", "normalised"])
@pytest.mark.parametrize("name", SILENT)
def test_a_zip_that_does_not_tell(name: str, normalize: bool, tmp_path: Path) -> None:
    """Off-policy algorithms keep the last observation twice with and without a normaliser."""
    saved(tmp_path, name, normalize=normalize)
    assert silently(tmp_path / "agent.zip").normalizer is None
    another(tmp_path, "stats.pkl", name)
    with pytest.raises(ac.SourceError, match=r"does not tell.*stats\.pkl beside it would fit.*--normalizer none"):
        ac.load(tmp_path / "agent.zip")
    assert silently(tmp_path / "agent.zip", normalizer=None).normalizer is None
    assert silently(tmp_path / "agent.zip", normalizer=tmp_path / "stats.pkl").normalizer is not None
    (tmp_path / "stats.pkl").rename(tmp_path / "vecnormalize.pkl")
    assert silently(tmp_path / "agent.zip").normalizer is not None


@pytest.mark.parametrize("absent", ["_last_original_obs", "_last_obs"])
def test_fields_that_are_not_there_tell_nothing(absent: str, tmp_path: Path) -> None:
    saved(tmp_path, "ppo", "stats.pkl")
    edit(tmp_path / "agent.zip", lambda data: data.pop(absent))
    with pytest.raises(ac.SourceError, match="does not tell"):
        ac.load(tmp_path / "agent.zip")


def test_a_model_that_never_trained_tells_nothing(tmp_path: Path) -> None:
    saved(tmp_path, "ppo", "stats.pkl", steps=0)
    with pytest.raises(ac.SourceError, match="does not tell"):
        ac.load(tmp_path / "agent.zip")


def test_a_config_beside_it_tells_too(tmp_path: Path) -> None:
    saved(tmp_path, "sac", "stats.pkl")
    (tmp_path / "config.yml").write_text("normalize: true\n")
    with pytest.warns(UserWarning, match=r"stats\.pkl"):
        assert ac.load(tmp_path / "agent.zip").normalizer is not None


def test_a_config_that_tells_of_rewards_alone(tmp_path: Path) -> None:
    """What scaled nothing that the agent sees is not missed, and still found where it lies."""
    model = saved(tmp_path)
    (tmp_path / "config.yml").write_text("normalize: \"{'norm_obs': False, 'norm_reward': True}\"\n")
    assert silently(tmp_path / "agent.zip").normalizer is None
    vec(model).save(str(tmp_path / "stats.pkl"))
    with pytest.warns(UserWarning, match=r"stats\.pkl"):
        assert ac.load(tmp_path / "agent.zip").normalizer is not None
    another(tmp_path, "second.pkl")
    with pytest.raises(ac.SourceError, match="each fit"):
        ac.load(tmp_path / "agent.zip")


def test_a_config_that_tells_of_none(tmp_path: Path) -> None:
    saved(tmp_path, "sac", normalize=False)
    another(tmp_path, "stats.pkl")
    (tmp_path / "config.yml").write_text("normalize: false\n")
    assert silently(tmp_path / "agent.zip").normalizer is None


def test_one_that_scales_rewards_alone_is_found(tmp_path: Path) -> None:
    model = tiny.model("ppo", normalize=True)
    vec(model).norm_obs = False
    model.save(tmp_path / "agent.zip")
    vec(model).save(str(tmp_path / "stats.pkl"))
    with pytest.warns(UserWarning, match=r"stats\.pkl"):
        agent = ac.load(tmp_path / "agent.zip")
    assert agent.normalizer is not None
    assert not agent.normalizer.norm_obs


def test_what_lies_beside_it_runs_nothing(tmp_path: Path) -> None:
    model, marker = saved(tmp_path), tmp_path / "it-ran"
    (tmp_path / "0").mkdir()
    os.mkfifo(tmp_path / "1")  # who reads it waits

    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ac.SourceError, match="but no vecnormalize"):
        ac.load(tmp_path / "agent.zip")
    vec(model).clip_obs = Bomb()  # type: ignore[assignment]
    vec(model).save(str(tmp_path / "b.pkl"))
    with pytest.raises(ac.UnsafeFileError, match=r"b\.pkl: asks for"):
        ac.load(tmp_path / "agent.zip")
    assert not marker.exists()


def test_a_raw_agent_is_not_saved_where_it_would_not_load(tmp_path: Path) -> None:
    agent = ac.load(tiny.model("ppo"))
    another(tmp_path, "other.pkl", "her")
    agent.save(tmp_path / "mine.zip")
    assert silently(tmp_path / "mine.zip").normalizer is None
    another(tmp_path, "stats.pkl")
    with pytest.raises(ac.ExportError, match=r"stats\.pkl: would be taken for the normaliser of mine\.zip"):
        agent.save(tmp_path / "mine.zip")


@pytest.mark.zoo
@tiny.needs_zoo
@pytest.mark.parametrize("path", tiny.ZIPS, ids=lambda path: str(path.relative_to(tiny.ZOO)))
def test_real_zips_tell_what_lies_beside_them(path: Path, tmp_path: Path) -> None:
    """Each says it of itself, or is off-policy; where it does, a normaliser is found under another name too."""
    agent = silently(path)
    told = agent.origin.normalized
    assert (told is None) == (agent.algorithm in OFF_POLICY)
    assert told in (None, agent.normalizer is not None)
    if told:
        assert agent.origin.normalizer is not None
        shutil.copy(path, tmp_path / "agent.zip")
        shutil.copy(agent.origin.normalizer, tmp_path / "walk.pkl")
        with pytest.warns(UserWarning, match=r"walk\.pkl"):
            again = ac.load(tmp_path / "agent.zip")
        np.testing.assert_array_equal(again.normalizer.obs_mean, agent.normalizer.obs_mean)


@pytest.mark.filterwarnings("default:.*the only normaliser:UserWarning")
def test_the_command_line_says_which(tmp_path: Path) -> None:
    saved(tmp_path, "ppo", "stats.pkl")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "agent.zip")])
    assert result.exit_code == 0
    assert result.stderr.startswith(f"acclimate: note: {tmp_path / 'agent.zip'}: {tmp_path / 'stats.pkl'}, the only")
    assert f"({tmp_path / 'stats.pkl'})" in result.stdout
    told = json.loads(CliRunner().invoke(main, ["inspect", "--json", str(tmp_path / "agent.zip")]).stdout)
    assert told["normalizer"]["file"] == str(tmp_path / "stats.pkl")
    for command in ("evaluate", "finetune", "watch"):
        result = CliRunner().invoke(main, [command, str(tmp_path / "agent.zip"), "--env", "NoSuch-v0"])
        assert "stats.pkl, the only normaliser beside it" in result.stderr.splitlines()[0]


def edit(path: Path, change: Any) -> None:
    """Change the data of a zip."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    data = json.loads(members["data"])
    change(data)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, "data": json.dumps(data).encode()}.items():
            archive.writestr(name, content)
