"""Agents of every algorithm: what SB3 saves, we load; what we save, SB3 loads and trains on."""

from __future__ import annotations

import pickletools
import random
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import acclimate as ac
from acclimate.sb3.vocabulary import ALGORITHMS
from tests import tiny


@pytest.mark.parametrize("name", tiny.MODELS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    model = tiny.model(name)
    model.save(tmp_path / "theirs.zip")
    obs = tiny.observations(model.observation_space)
    expected, _ = model.predict(obs, deterministic=True)

    agent = ac.load(tmp_path / "theirs.zip")
    assert agent.algorithm == tiny.MODELS[name][0]
    assert agent.blueprint.policy == tiny.MODELS[name][1]
    assert agent.observation_space == model.observation_space
    assert agent.action_space == model.action_space
    np.testing.assert_array_equal(agent.predict(obs, deterministic=True)[0], expected, strict=True)

    (tmp_path / "ours").mkdir()
    written = agent.save(tmp_path / "ours" / "agent.zip")
    again = ALGORITHMS[agent.algorithm].load(written, env=DummyVecEnv([lambda: tiny.world(name)]), device="cpu")
    np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], expected, strict=True)
    if name == "her":
        again.learning_starts += again.num_timesteps  # SB3's buffer has nothing to give before an episode ends
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again.learn(16, reset_num_timesteps=False)
    assert again.num_timesteps > model.num_timesteps


@pytest.mark.parametrize("name", ["ppo", "dqn", "sac", "td3", "tqc", "crossq", "a2c", "qrdqn"])
def test_optimizers_and_counters_survive(name: str, tmp_path: Path) -> None:
    model = tiny.model(name)
    model.save(tmp_path / "a.zip")
    first = ac.load(tmp_path / "a.zip")
    assert not [field for field, _ in first.origin.unread if "optimizer" in field]
    for agent in (first, first.copy(), ac.load(model)):
        assert agent.model.num_timesteps == model.num_timesteps
        assert agent.model._n_updates == model._n_updates
        parts = agent.parts()
        for name_, state in ac.load(model).parts().optimizers.items():
            moments = parts.optimizers[name_]["state"]
            assert moments.keys() == state["state"].keys() != set()
            for index, entries in state["state"].items():
                assert all(
                    torch.equal(torch.as_tensor(entries[k]), torch.as_tensor(moments[index][k])) for k in entries
                )
    if hasattr(model, "log_ent_coef"):
        assert torch.equal(first.model.log_ent_coef, model.log_ent_coef)
    if hasattr(model, "exploration_rate"):
        assert first.model.exploration_rate == model.exploration_rate


def test_what_we_write_holds_nothing_of_ours(tmp_path: Path) -> None:
    """A user without Acclimate can open it: no pickle names one of our modules."""
    agent = ac.load(tiny.model("ppo", normalize=True))
    agent.save(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert b"acclimate" not in b"".join(archive.read(name) for name in archive.namelist() if name == "data")
    names = [str(arg) for _, arg, _ in pickletools.genops((tmp_path / "vecnormalize.pkl").read_bytes())]
    assert not [name for name in names if "acclimate" in name]


def test_predict_scales_raw_observations_as_vec_normalize() -> None:
    model = tiny.model("ppo", normalize=True)
    agent = ac.load(model)
    obs = tiny.observations(tiny.BOX, n=16)
    vec = model.get_vec_normalize_env()
    expected, _ = model.predict(vec.normalize_obs(obs), deterministic=True)
    np.testing.assert_array_equal(agent.predict(obs, deterministic=True)[0], expected)
    np.testing.assert_array_equal(agent.predict(obs[2], deterministic=True)[0].shape, tiny.REACH.shape)
    assert not np.array_equal(expected, model.predict(obs, deterministic=True)[0])


def test_a_recurrent_agent_carries_its_state() -> None:
    model = tiny.model("recurrent_ppo")
    agent = ac.load(model)
    obs = tiny.observations(tiny.BOX, n=4)
    actions, state = agent.predict(obs, deterministic=True)
    later, _ = agent.predict(obs, state, np.zeros(4, bool), deterministic=True)
    theirs, _ = model.predict(obs, state, np.zeros(4, bool), deterministic=True)
    np.testing.assert_array_equal(later, theirs)
    assert not np.array_equal(actions, later)
    assert agent.values(obs).shape == (4,)


def test_values_are_those_of_the_critic() -> None:
    obs = tiny.observations(tiny.BOX, n=5)
    tensor = torch.as_tensor(obs)
    models = {name: tiny.model(name) for name in ("ppo", "dqn", "qrdqn", "sac", "tqc")}
    with torch.no_grad():
        q1, q2 = models["sac"].critic(tensor, models["sac"].actor(tensor, deterministic=True))
        quantiles = models["tqc"].critic(tensor, models["tqc"].actor(tensor, deterministic=True))
        expected = {
            "ppo": models["ppo"].policy.predict_values(tensor)[:, 0],
            "dqn": models["dqn"].q_net(tensor).max(dim=1).values,
            "qrdqn": models["qrdqn"].quantile_net(tensor).mean(dim=1).max(dim=1).values,
            "sac": torch.minimum(q1, q2)[:, 0],
            "tqc": quantiles.mean(dim=(1, 2)),
        }
    for name, values in expected.items():
        np.testing.assert_allclose(ac.load(models[name]).values(obs), values.numpy())
    assert ac.load(tiny.model("ars")).values(obs) is None


def test_a_copy_shares_nothing() -> None:
    agent = ac.load(tiny.model("sac", normalize=True))
    twin = agent.copy()
    obs = tiny.observations(tiny.BOX)
    before, _ = agent.predict(obs, deterministic=True)
    np.testing.assert_array_equal(twin.predict(obs, deterministic=True)[0], before)
    for parameter in twin.model.policy.parameters():
        parameter.data.add_(1.0)
    twin.normalizer.obs_mean[:] = 7.0
    for optimizer in (twin.model.actor.optimizer, twin.model.critic.optimizer):
        for state in optimizer.state.values():
            state["exp_avg"].fill_(3.0)
    np.testing.assert_array_equal(agent.predict(obs, deterministic=True)[0], before)
    assert not any((s["exp_avg"] == 3.0).all() for s in agent.model.actor.optimizer.state.values())


def test_a_live_model_is_copied_and_left_alone() -> None:
    model = tiny.model("ppo", normalize=True)
    env, before = model.env, {name: t.clone() for name, t in model.policy.state_dict().items()}
    agent = ac.load(model)
    for parameter in agent.model.policy.parameters():
        parameter.data.zero_()
    assert model.env is env
    assert all(torch.equal(before[name], tensor) for name, tensor in model.policy.state_dict().items())
    assert agent.model.env is None
    assert agent.origin.steps == model.num_timesteps


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    tiny.model("ppo-gsde").save(tmp_path / "a.zip")
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    ac.load(tmp_path / "a.zip").copy()
    assert (torch.rand(1), np.random.rand(), random.random()) == expected


def test_loaded_normalizers_of_every_kind_train_on(tmp_path: Path) -> None:
    for name in ("ppo", "her"):
        agent = ac.load(tiny.model(name, normalize=True))
        agent.save(tmp_path / name / "agent.zip")
        env = VecNormalize.load(
            str(tmp_path / name / "vecnormalize.pkl"), DummyVecEnv([lambda name=name: tiny.world(name)])
        )
        obs = tiny.observations(agent.observation_space)
        scaled = env.normalize_obs(obs)
        ours = agent.normalizer.normalize_obs(obs)
        for key in obs if isinstance(obs, dict) else [...]:
            np.testing.assert_array_equal(ours[key], scaled[key], strict=True)
        model = ALGORITHMS[agent.algorithm].load(tmp_path / name / "agent.zip", env=env)
        model.learn(8)


def test_a_normaliser_never_lands_on_another_agents(tmp_path: Path) -> None:
    first, second = (ac.load(tiny.model("ppo", normalize=True, steps=n)) for n in (8, 32))
    raw = ac.load(tiny.model("ppo"))
    assert not np.array_equal(first.normalizer.obs_mean, second.normalizer.obs_mean)
    first.save(tmp_path / "first.zip")
    second.save(tmp_path / "second.zip")
    with pytest.raises(ac.ExportError, match=r"would be taken for the normaliser of raw\.zip"):
        raw.save(tmp_path / "raw.zip")
    assert not (tmp_path / "raw.zip").exists()
    for agent, name in ((first, "first.zip"), (second, "second.zip")):
        np.testing.assert_array_equal(ac.load(tmp_path / name).normalizer.obs_mean, agent.normalizer.obs_mean)
    second.save(tmp_path / "second.zip")
    first.save(tmp_path / "first.zip")
    np.testing.assert_array_equal(ac.load(tmp_path / "second.zip").normalizer.obs_mean, second.normalizer.obs_mean)
    np.testing.assert_array_equal(ac.load(tmp_path / "first.zip").normalizer.obs_mean, first.normalizer.obs_mean)


def test_saving_where_it_cannot_be(tmp_path: Path) -> None:
    agent = ac.load(tiny.model("ppo", steps=0))
    (tmp_path / "file").write_text("")
    with pytest.raises(ac.ExportError, match="cannot be written"):
        agent.save(tmp_path / "file" / "a.zip")
    with pytest.raises(ac.ExportError, match="no format"):
        agent.save(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["ppo", "sac", "dqn"])
def test_loading_leaves_the_random_numbers_and_fills_every_weight(name: str) -> None:
    model, state = tiny.model(name, steps=0), torch.get_rng_state()
    agent = ac.load(model)
    assert torch.equal(state, torch.get_rng_state())
    for key, value in model.policy.state_dict().items():
        assert torch.equal(agent.model.policy.state_dict()[key], value)


def test_a_loaded_gsde_agent_explores_by_drawn_numbers() -> None:
    """Its exploration matrix is drawn when it is built: never what happened to lie in memory."""
    model = tiny.model("sac-gsde", steps=0)
    torch.manual_seed(0)
    drawn = [ac.load(model).model.policy.actor.action_dist.exploration_mat.detach() for _ in range(2)]
    assert torch.equal(*drawn)
    assert 0.001 < drawn[0].abs().max() < 1.0
