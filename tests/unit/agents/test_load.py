"""The door: what is found beside a zip, and what is refused with which words."""

from __future__ import annotations

import base64
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

import acclimate as ac
from acclimate.formats import bundle
from acclimate.formats.sb3 import vecnormalize
from acclimate.sb3.normalizer import Normalizer
from tests import tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `agent.zip` and `vecnormalize.pkl` of one agent."""
    folder = tmp_path_factory.mktemp("saved")
    ac.load(tiny.model("ppo", normalize=True)).save(folder / "agent.zip")
    return folder


@pytest.mark.parametrize(
    ("zip_name", "normalizer"),
    [
        ("a.zip", "vecnormalize.pkl"),
        ("a.zip", "vec_normalize.pkl"),
        ("a.zip", "a/vecnormalize.pkl"),
        ("a.zip", "a/vec_normalize.pkl"),
        ("best_model.zip", "Hopper-v3/vecnormalize.pkl"),
        ("rl_model_5000_steps.zip", "rl_model_vecnormalize_5000_steps.pkl"),
    ],
)
def test_a_normaliser_is_found_under_its_usual_names(
    saved: Path, tmp_path: Path, zip_name: str, normalizer: str
) -> None:
    folder = tmp_path / "Hopper-v3_1"
    (folder / normalizer).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(saved / "agent.zip", folder / zip_name)
    shutil.copy(saved / "vecnormalize.pkl", folder / normalizer)
    agent = ac.load(folder / zip_name)
    expected = vecnormalize.read(saved / "vecnormalize.pkl")
    np.testing.assert_array_equal(agent.normalizer.obs_mean, expected.obs_mean)
    np.testing.assert_array_equal(agent.normalizer.obs_var, expected.obs_var)
    assert agent.normalizer.ret_var == expected.ret_var
    assert ac.load(folder / zip_name, normalizer=None).normalizer is None


def test_a_checkpoint_takes_its_own_normaliser(saved: Path, tmp_path: Path) -> None:
    shutil.copy(saved / "agent.zip", tmp_path / "m_10_steps.zip")
    for steps, mean in ((10, 1.0), (20, 2.0)):
        statistics = Normalizer.identity(tiny.BOX)
        statistics.obs_mean[:] = mean
        written = vecnormalize.write(statistics, tiny.BOX, tiny.REACH)
        (tmp_path / f"m_vecnormalize_{steps}_steps.pkl").write_bytes(written)
    assert ac.load(tmp_path / "m_10_steps.zip").normalizer.obs_mean[0] == 1.0


def test_an_agent_known_to_need_a_normaliser(saved: Path, tmp_path: Path) -> None:
    shutil.copy(saved / "agent.zip", tmp_path / "a.zip")
    config = tmp_path / "config.yml"
    for text in (
        "!!python/object/apply:collections.OrderedDict\n- - - normalize\n    - true\n",
        "normalize: true",
        "normalize: \"{'norm_obs': True, 'norm_reward': False}\"",
        'normalize: "dict(norm_obs=True)"',
    ):
        config.write_text(text)
        with pytest.raises(ac.SourceError, match=r"normalised observations.*normalizer=None"):
            ac.load(tmp_path / "a.zip")
        assert ac.load(tmp_path / "a.zip", normalizer=None).normalizer is None
        assert ac.load(tmp_path / "a.zip", normalizer=saved / "vecnormalize.pkl").normalizer is not None
    for text in ("normalize: false", "normalize: \"{'norm_obs': False, 'norm_reward': True}\"", "gamma: 0.9"):
        config.write_text(text)
        assert ac.load(tmp_path / "a.zip").normalizer is None


def test_wrappers_said_beside_the_zip_are_told(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.yml").write_text("env_wrapper: some.Wrapper\nframe_stack: 4\nsecret: 1\n")
    (tmp_path / "args.yml").write_text("env: Walker2d-v3\nenv_kwargs: {a: 1}\n")
    origin = ac.load(tmp_path).origin
    assert origin.config == {"env_wrapper": "some.Wrapper", "frame_stack": 4, "env_kwargs": {"a": 1}}
    assert origin.env_id == "Walker2d-v3"


@pytest.mark.parametrize(
    ("path", "env_id"),
    [
        ("ppo-CartPole-v1.zip", "CartPole-v1"),
        ("CartPole-v1.zip", "CartPole-v1"),
        ("recurrent_ppo-Hopper-v3.zip", "Hopper-v3"),
        ("LunarLanderContinuous-v2_3/best_model.zip", "LunarLanderContinuous-v2"),
        ("model.zip", None),
    ],
)
def test_the_environment_is_read_off_the_name(saved: Path, tmp_path: Path, path: str, env_id: str | None) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    shutil.copy(saved / "agent.zip", tmp_path / path)
    assert ac.load(tmp_path / path).origin.env_id == env_id


def test_a_normaliser_of_other_observations(saved: Path, tmp_path: Path) -> None:
    other = ac.load(tiny.model("her", normalize=True))
    other.save(tmp_path / "her.zip")
    with pytest.raises(ac.SourceError, match=r"normaliser holds observations of shape .* not \(3,\)"):
        ac.load(saved / "agent.zip", normalizer=tmp_path / "vecnormalize.pkl")
    with pytest.raises(ac.SourceError, match="normaliser holds"):
        ac.load(saved / "agent.zip", normalizer=other.normalizer)


def test_folders(saved: Path, tmp_path: Path) -> None:
    assert ac.load(saved).normalizer is not None
    assert ac.load(saved / "agent").origin.path == str(saved / "agent.zip")
    with pytest.raises(ac.SourceError, match="holds no agent"):
        ac.load(tmp_path)
    for name in ("a.zip", "b.zip"):
        shutil.copy(saved / "agent.zip", tmp_path / name)
    with pytest.raises(ac.SourceError, match=r"holds 2 zips \(a.zip, b.zip\)"):
        ac.load(tmp_path)
    shutil.copy(saved / "agent.zip", tmp_path / "agent.zip")
    assert ac.load(tmp_path).origin.path == str(tmp_path / "agent.zip")
    with pytest.raises(ac.SourceError, match="no such file"):
        ac.load(tmp_path / "absent.zip")


def test_a_run_folder_is_read_from_its_bundle(saved: Path, tmp_path: Path) -> None:
    agent = ac.load(saved)
    bundle.save(agent, tmp_path / "bundle")
    (tmp_path / "agent.zip").write_text("not even a zip")
    again = ac.load(tmp_path)
    obs = tiny.observations(tiny.BOX)
    np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], agent.predict(obs, deterministic=True)[0])
    assert ac.load(tmp_path, normalizer=None).normalizer is None
    assert ac.load(tmp_path / "bundle").blueprint == agent.blueprint


class OwnExtractor(BaseFeaturesExtractor):
    """A class that only this process knows."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, features_dim=3)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return obs * 2.0


@pytest.mark.parametrize("name", tiny.MODELS)
def test_trust_opens_stock_sb3(name: str, tmp_path: Path) -> None:
    model = tiny.model(name)
    model.save(tmp_path / "a.zip")
    agent = ac.load(tmp_path / "a.zip", trust=True)
    assert agent.algorithm == tiny.MODELS[name][0]
    obs = tiny.observations(model.observation_space)
    np.testing.assert_array_equal(agent.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])


def test_classes_of_ones_own_need_trust(tmp_path: Path) -> None:
    model = tiny.model("ppo", policy_kwargs={"features_extractor_class": OwnExtractor, "net_arch": [4]})
    model.save(tmp_path / "a.zip")
    with pytest.raises(ac.UnsafeFileError, match="trust=True"):
        ac.load(tmp_path / "a.zip")
    obs = tiny.observations(tiny.BOX)
    expected, _ = model.predict(obs, deterministic=True)
    for agent in (ac.load(tmp_path / "a.zip", trust=True), ac.load(model), ac.load(model).copy()):
        np.testing.assert_array_equal(agent.predict(obs, deterministic=True)[0], expected)
    with pytest.raises(ac.MisfitError, match="class of its own"):
        bundle.save(ac.load(model), tmp_path / "bundle")


def test_trust_tells_why_sb3_fails(tmp_path: Path, saved: Path) -> None:
    with zipfile.ZipFile(saved / "agent.zip") as old, zipfile.ZipFile(tmp_path / "a.zip", "w") as new:
        data = json.loads(old.read("data"))
        raw = cloudpickle.dumps(tiny.BOX).replace(b"gymnasium.spaces", b"gymnasiun.spaces")
        data["observation_space"][":serialized:"] = base64.b64encode(raw).decode()
        for name in old.namelist():
            new.writestr(name, old.read(name) if name != "data" else json.dumps(data))
    with pytest.raises(ac.SourceError, match=r"SB3's own loader fails \(ModuleNotFoundError"):
        ac.load(tmp_path / "a.zip", trust=True)


def test_a_live_model_of_another_kind() -> None:
    class Mine(PPO):
        """An algorithm of one's own."""

    with pytest.raises(ac.SourceError, match="`Mine` is no algorithm of SB3"):
        ac.load(Mine("MlpPolicy", tiny.world("ppo"), n_steps=4, batch_size=4))


def test_tensors_in_the_format_before_torch_1_6(saved: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved / "agent.zip") as old, zipfile.ZipFile(tmp_path / "a.zip", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".pth"):
                buffer = io.BytesIO()
                found = torch.load(io.BytesIO(content), weights_only=True)
                torch.save(found, buffer, _use_new_zipfile_serialization=False)
                content = buffer.getvalue()
            new.writestr(name, content)
    agent, expected = ac.load(tmp_path / "a.zip"), ac.load(saved / "agent.zip")
    weights = agent.model.policy.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in expected.model.policy.state_dict().items())
    assert not [field for field, _ in agent.origin.unread if "optimizer" in field]


def test_schedules_are_not_read_but_constants_are(tmp_path: Path) -> None:
    tiny.model("ppo", learning_rate=lambda left: left * 1e-3, clip_range=0.17, steps=0).save(tmp_path / "a.zip")
    agent = ac.load(tmp_path / "a.zip")
    assert "learning_rate" not in agent.blueprint.hyperparameters
    assert "learning_rate" in dict(agent.origin.unread)
    assert agent.blueprint.hyperparameters["clip_range"] == 0.17
    assert agent.blueprint.hyperparameters["n_steps"] == 8
    assert agent.model.clip_range(1.0) == 0.17
