"""What comes out of a Minari data set, against what was written into it."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from acclimate.errors import ConfigError, SourceError, SurgeryError, UnsafeFileError
from acclimate.files.dataset import read
from acclimate.methods.freeze import Freeze
from acclimate.methods.offline import Offline
from acclimate.methods.prior_replay import PriorReplay
from acclimate.nets.experience import Batch
from acclimate.nets.outputs import Point
from acclimate.schedule import Linear
from acclimate.seam.seam import Seam
from acclimate.tuning.attach import attach
from acclimate.tuning.method import chain
from tests import tiny
from tests.cases import agent
from tests.recorded import recorded, write

FLAT = spaces.Box(-1.0, 1.0, (3,), np.float32)
REACH = spaces.Box(np.array([-1.0, -0.5], np.float32), np.array([1.0, 0.5], np.float32))
SPACES = (FLAT, REACH)


def episodes(lengths: tuple[int, ...] = (2, 3)) -> list[EpisodeBuffer]:
    """Return episodes that show 10 * episode + step in every feature, and pay it; the first runs out of time."""
    return [
        EpisodeBuffer(
            observations=[np.full(3, 10 * e + t, np.float32) for t in range(n + 1)],
            actions=[np.array([0.5, 0.25], np.float32) for _ in range(n)],
            rewards=[float(10 * e + t) for t in range(n)],
            terminations=[e > 0 and t == n - 1 for t in range(n)],
            truncations=[e == 0 and t == n - 1 for t in range(n)],
        )
        for e, n in enumerate(lengths)
    ]


def sampled(rows: int, value: float = -5.0) -> Batch:
    flat = torch.full((rows, 3), value)
    return Batch(flat, torch.full((rows, 2), value), flat[:, :1], flat, torch.zeros(rows, 1))


def test_every_transition_is_read_and_none_across_episodes(tmp_path: Path) -> None:
    data = read(write(tmp_path / "set", FLAT, REACH, episodes()), *SPACES)
    assert len(data) == 5
    steps = data.steps(np.arange(5))
    assert steps.observations[:, 0].tolist() == [0, 1, 10, 11, 12]
    assert steps.next_observations[:, 0].tolist() == [1, 2, 11, 12, 13]
    assert steps.rewards.tolist() == [0, 1, 10, 11, 12]
    assert steps.dones.tolist() == [0, 0, 0, 0, 1], "running out of time is no terminal state"


@pytest.mark.parametrize("name", ["sac-mlp", "td3-mlp", "ddpg-mlp", "tqc-mlp", "crossq-mlp"])
def test_half_of_each_minibatch_is_of_the_data(name: str, tmp_path: Path) -> None:
    """Actions are in the policy's units: of bounds 1 and 0.5, 0.5 and 0.25 are half."""
    path = write(tmp_path / "set", FLAT, REACH, episodes())
    seam = Seam(agent(name, steps=0), Offline(data=path))
    new = seam.tuner.composition.minibatch(sampled(8))
    mixed = new.rewards[:, 0] >= 0
    assert int(mixed.sum()) == 4
    torch.testing.assert_close(new.actions[mixed], torch.full((4, 2), 0.5))
    assert (new.actions[~mixed] == -5).all()
    torch.testing.assert_close(new.observations[mixed, :1], new.rewards[mixed])
    torch.testing.assert_close(new.next_observations[mixed], new.observations[mixed] + 1)
    assert torch.equal(new.dones[mixed], (new.rewards[mixed] == 12).float())


def test_the_share_follows_its_schedule_and_each_update_draws_anew() -> None:
    seam = Seam(agent("sac-mlp", steps=0), Offline(data=recorded(FLAT, REACH), share=Linear(1.0, 0.0, fraction=0.5)))
    first, again = (seam.tuner.composition.minibatch(sampled(8)).rewards for _ in range(2))
    assert (first >= 0).all()
    assert torch.equal(first, again)
    seam.signals.updates = 1
    assert not torch.equal(first, seam.tuner.composition.minibatch(sampled(8)).rewards)
    seam.signals.progress = 0.25
    assert int((seam.tuner.composition.minibatch(sampled(8)).rewards >= 0).sum()) == 4
    seam.signals.progress = 0.5
    shown = sampled(8)
    assert seam.tuner.composition.minibatch(shown) is shown


@pytest.mark.parametrize("name", ["sac", "dqn"])
def test_data_are_scaled_as_the_normaliser_stands_now(name: str, tmp_path: Path) -> None:
    """The steps that SB3's own buffer holds, written to a data set: a minibatch of them is that of SB3's sample."""
    model = tiny.model(name, normalize=True)
    buffer, now = model.replay_buffer, model.get_vec_normalize_env()
    stored = buffer.actions[:6, 0]
    actions = stored.ravel() if name == "dqn" else model.policy.unscale_action(stored)
    steps = [
        EpisodeBuffer(
            observations=[buffer.observations[i, 0], buffer.next_observations[i, 0]],
            actions=[actions[i]],
            rewards=[float(buffer.rewards[i, 0])],
            terminations=[False],
            truncations=[True],
        )
        for i in range(6)
    ]
    space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    seam = Seam(model, Offline(data=write(tmp_path / "set", space, model.action_space, steps), share=1.0))
    for shift in (0.0, 2.0):
        now.obs_rms.mean = now.obs_rms.mean + shift
        now.ret_rms.var = np.array(0.25 + shift)
        sample = buffer._get_samples(np.arange(6), now)
        fields = ("observations", "actions", "rewards", "next_observations", "dones")
        blank = Batch(*(torch.zeros_like(getattr(sample, field)) for field in fields))
        new = seam.tuner.composition.minibatch(blank)
        assert new.rewards.dtype == torch.float32
        assert new.actions.dtype == sample.actions.dtype
        for row in range(6):
            match = (sample.observations - new.observations[row]).abs().amax(-1).argmin()
            for field in fields:
                torch.testing.assert_close(
                    getattr(new, field)[row], getattr(sample, field)[match], atol=1e-5, rtol=1e-5
                )


def test_images_may_have_their_channels_last() -> None:
    image = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    seam = Seam(agent("sac-cnn", steps=0), Offline(data=recorded(image, REACH), share=1.0))
    pixels = torch.zeros(4, 1, 36, 36, dtype=torch.uint8)
    blank = Batch(pixels, torch.zeros(4, 2), torch.zeros(4, 1), pixels, torch.zeros(4, 1))
    new = seam.tuner.composition.minibatch(blank)
    held = seam.tuner.composition.parts[0].states["actor"]["dataset"].value.observations
    assert new.observations.dtype == torch.uint8
    assert any(np.array_equal(new.observations[0, 0], frame[..., 0]) for frame in held)


def test_goals_are_read_from_dicts(tmp_path: Path) -> None:
    space = tiny.GOAL
    space.seed(0)
    shown = [space.sample() for _ in range(3)]
    episode = EpisodeBuffer(
        observations={key: [part[key] for part in shown] for key in space.spaces},
        actions=[np.zeros(2, np.float32)] * 2,
        rewards=[1.0, 2.0],
        terminations=[False, True],
        truncations=[False, False],
    )
    model = tiny.model("her")
    seam = Seam(model, Offline(data=write(tmp_path / "set", space, REACH, [episode]), share=1.0))
    blank = Batch(
        {key: torch.zeros(4, *part.shape) for key, part in space.spaces.items()},
        torch.zeros(4, 2),
        torch.zeros(4, 1),
        {key: torch.zeros(4, *part.shape) for key, part in space.spaces.items()},
        torch.zeros(4, 1),
    )
    new = seam.tuner.composition.minibatch(blank)
    for row in range(4):
        at = int(new.rewards[row]) - 1
        for key in space.spaces:
            np.testing.assert_allclose(new.observations[key][row], shown[at][key])
            np.testing.assert_allclose(new.next_observations[key][row], shown[at + 1][key])
    with Seam(model, Offline(data=str(tmp_path / "set"))):
        model.learn(20)


def test_an_id_is_looked_up_where_minari_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write(tmp_path / "mine" / "walk-v0", FLAT, REACH, episodes())
    assert len(read("mine/walk-v0", *SPACES)) == 5
    assert len(read(str(tmp_path / "mine" / "walk-v0" / "data"), *SPACES)) == 5
    with pytest.raises(ConfigError, match=r"offline\.data: mine/run-v0 is neither .* `minari download mine/run-v0`"):
        read("mine/run-v0", *SPACES)


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (spaces.Box(-1, 1, (4,)), REACH, r"`offline`: .* has observations Box\(.*\(4,\).*, and the agent's are Box"),
        (spaces.Box(0, 255, (3,), np.uint8), REACH, "has observations"),
        (spaces.Discrete(3), REACH, "has observations"),
        (FLAT, spaces.Discrete(2), r"has actions Discrete\(2\)"),
        (FLAT, spaces.Box(-1.0, 1.0, (2,), np.float32), "has actions"),
        (spaces.Tuple((FLAT, FLAT)), REACH, "has observations Tuple"),
    ],
)
def test_other_spaces_are_refused(
    observation: spaces.Space, action: spaces.Space, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "set", observation, action, [])
    with pytest.raises(SurgeryError, match=message):
        Seam(agent("sac-mlp", steps=0), Offline(data=path))


def test_no_environment_is_made_of_what_a_data_set_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minari makes the environment of a data set that does not tell its spaces: that is code of its author's choice."""
    path = write(tmp_path / "set", FLAT, REACH, episodes())
    description = tmp_path / "set" / "data" / "metadata.json"
    held = json.loads(description.read_text())
    (tmp_path / "marked.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = {"id": "Marked-v0", "entry_point": "marked:Env", "additional_wrappers": []}
    held["env_spec"] = json.dumps(spec)
    description.write_text(json.dumps(held))
    assert len(read(path, *SPACES)) == 5, "with its spaces, the name is not followed"
    del held["action_space"]
    description.write_text(json.dumps(held))
    with pytest.raises(UnsafeFileError, match="does not tell its action_space, and finding out would run"):
        read(path, *SPACES)
    assert "marked" not in sys.modules


def test_damaged_data_sets_are_told(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match=r"has no readable metadata\.json"):
        read(str(empty), *SPACES)
    with pytest.raises(SourceError, match="it has no episode"):
        read(write(tmp_path / "none", FLAT, REACH, []), *SPACES)
    whole, cut = episodes()
    cut = dataclasses.replace(cut, observations=cut.observations[:-1])
    with pytest.raises(SourceError, match="episode 1 has 3 rewards and"):
        read(write(tmp_path / "cut", FLAT, REACH, [whole, cut]), *SPACES)
    path = write(tmp_path / "torn", FLAT, REACH, episodes())
    (tmp_path / "torn" / "data" / "main_data.hdf5").write_bytes(b"no hdf5")
    with pytest.raises(SourceError, match="cannot be read"):
        read(path, *SPACES)
    description = tmp_path / "torn" / "data" / "metadata.json"
    description.write_text(description.read_text().replace('"hdf5"', '"arrow"'))
    with pytest.raises(SourceError, match="stored as 'arrow'; only HDF5 is read"):
        read(path, *SPACES)


def test_without_minari_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(ConfigError, match=r"pip install 'acclimate\[minari\]'"):
        read("any/thing-v0", *SPACES)


def test_it_needs_to_know_how_a_network_reads() -> None:
    with pytest.raises(SurgeryError, match="`offline` on `actor`: nobody tells how the network reads"):
        attach(Offline(data="x"), {"actor": torch.nn.Linear(3, 2)}, outputs={"actor": Point})


def test_a_loop_of_ones_own_can_change_its_minibatches() -> None:
    """What `attach` cannot do for a data set it can for steps that the context gives."""
    from acclimate.tuning.context import Context

    stored = Batch(torch.ones(4, 3), torch.ones(4, 2), torch.ones(4), torch.ones(4, 3), torch.ones(4))
    method = PriorReplay(serves="all", share=1.0, steps=4)
    tuner = attach(
        method, {"actor": torch.nn.Linear(3, 2)}, outputs={"actor": Point}, context=Context(source=lambda _: stored)
    )
    assert (tuner.minibatch(sampled(4)).rewards == 1).all()


def test_two_sources_of_rows_do_not_choose_the_same_rows() -> None:
    """The second replaces rows of the first by chance only."""
    from tests.cases import context

    model = agent("sac-mlp", steps=0)
    both = chain(PriorReplay(steps=9, share=0.5, serves="all"), Offline(data=recorded(FLAT, REACH), share=0.5))
    seam = Seam(model, both, context=context(model))
    left = [int((seam.tuner.composition.minibatch(sampled(64)).actions == -5).all(-1).sum())]
    for updates in range(1, 20):
        seam.signals.updates = updates
        left.append(int((seam.tuner.composition.minibatch(sampled(64)).actions == -5).all(-1).sum()))
    assert 10 < np.mean(left) < 22, "a quarter of 64"


def test_a_frozen_actor_leaves_the_critic_to_learn() -> None:
    model = agent("sac-mlp", steps=0)
    before = {key: value.clone() for key, value in model.policy.state_dict().items()}
    with Seam(model, chain(Offline(data=recorded(FLAT, REACH)), Freeze(on="actor"))):
        model.learn(16)
    moved = {
        key.split(".")[0] for key, value in model.policy.state_dict().items() if not torch.equal(before[key], value)
    }
    assert moved == {"critic", "critic_target"}


def test_a_checkpoint_leaves_the_data_out() -> None:
    seam = Seam(agent("sac-mlp", steps=0), Offline(data=recorded(FLAT, REACH)))
    states = seam.state_dict()["tuner"]["methods"][0]["states"]
    assert states["actor"] == {"seed": 0, "dataset": {"remade": None}}


@pytest.mark.parametrize("field", [{"data": ""}, {"share": 1.01}, {"share": Linear(0.5, -0.1)}])
def test_fields_out_of_range(field: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"offline\.{next(iter(field))}"):
        Offline(**{"data": "x", **field})
