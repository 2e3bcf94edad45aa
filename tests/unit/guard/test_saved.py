"""A guard's file: the same guard comes back, and no other file is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import acclimate as ac
from acclimate.errors import ConfigError, SourceError
from acclimate.guard.fitting import fit
from acclimate.guard.guarded import Guarded
from acclimate.guard.saved import FORMAT, load, save
from tests.unit.guard.world import ALL, Wander, agent, fitted, random_world, task

Change = Callable[[dict[str, Any], dict[str, torch.Tensor]], None]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(fitted(*ALL, fallback="safe", action_rate=0.5), tmp_path_factory.mktemp("guards") / "guard.safetensors")


def taken_apart(file: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    with safetensors.safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()[FORMAT]), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def put_together(header: Any, tensors: dict[str, torch.Tensor], path: Path) -> Path:
    path.write_bytes(safetensors.torch.save(tensors, {FORMAT: json.dumps(header)}))
    return path


def test_the_same_guard_comes_back(file: Path) -> None:
    made, back = fitted(*ALL, fallback="safe", action_rate=0.5), load(file)
    assert back.calibration == made.calibration
    assert (back.observation_space, back.action_space) == (made.observation_space, made.action_space)
    assert back.filter.hysteresis == made.filter.hysteresis
    assert back.release.fallback == "safe"
    for one, other in ((made.filter, back.filter), (made.release, back.release)):
        assert one.state_dict().keys() == other.state_dict().keys()
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert [tier.reason for tier in back.filter.tiers] == [tier.reason for tier in made.filter.tiers]


def header_with(**more: Any) -> Change:
    return lambda header, _: header.update(more)


def tensor(name: str, value: Any) -> Change:
    def change(_: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
        tensors[name] = value(tensors[name]) if callable(value) else value

    return change


def without(name: str) -> Change:
    return lambda _, tensors: tensors.pop(name)


HOSTILE: dict[str, Change] = {
    "another version": header_with(version=2),
    "an unknown tier": header_with(tiers=["not_finite", "os.system"]),
    "tiers that are no list": header_with(tiers="bounds"),
    "a tier that it does not hold": header_with(tiers=["not_finite", "bounds"]),
    "a huge window": header_with(window=10**9),
    "a window that is none": header_with(window="16"),
    "another fallback": header_with(fallback="../x"),
    "a fallback that is no text": header_with(fallback=[1]),
    "no calibration": header_with(calibration=None),
    "more in the calibration": header_with(calibration={"task": "x", "command": "rm"}),
    "a hysteresis that cannot be": header_with(hysteresis={"enter": 9, "among": 5, "leave": 1}),
    "a huge hysteresis": header_with(hysteresis={"enter": 1, "among": 10**9, "leave": 1}),
    "a huge space": header_with(
        observation_space={"kind": "Box", "shape": [10**9], "dtype": "float32", "low": 0, "high": 1}
    ),
    "a space of another size": header_with(
        observation_space={"kind": "Box", "shape": [4], "dtype": "float32", "low": 0, "high": 1}
    ),
    "a space that is none": header_with(observation_space={"kind": "Tuple"}),
    "no space": header_with(action_space=[]),
    "a limit that is no number": tensor("limits", lambda value: value * torch.nan),
    "an endless limit": tensor("limits", lambda value: value + torch.inf),
    "a negative limit": tensor("limits", lambda value: value - 1),
    "a width of zero": tensor("bounds/width", lambda value: value * 0),
    "wide numbers": tensor("neutral", lambda value: value.double()),
    "whole numbers": tensor("neutral", lambda value: value.int()),
    "another shape": tensor("mahalanobis/whiten", lambda value: value[:2]),
    "too few references": tensor("knn/references", lambda value: value[:2]),
    "another size of units": tensor("latent/mean", lambda value: value[:-1]),
    "an axis more": tensor("standard/mean", lambda value: value[None]),
    "a tensor more": lambda _, tensors: tensors.update(extra=torch.zeros(1)),
    "a tensor less": without("rate/slowness"),
    "an unsafe safe action": tensor("safe", lambda value: value + 5),
    "no steps of actions": tensor("step", lambda value: value * 0),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_no_guard_is_refused_in_one_line(change: Change, file: Path, tmp_path: Path) -> None:
    header, tensors = taken_apart(file)
    load(put_together(header, tensors, tmp_path / "unchanged"))
    change(header, tensors)
    with pytest.raises(SourceError) as caught:
        load(put_together(header, tensors, tmp_path / "changed"))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "changed") in str(caught.value)


def test_a_choice_that_is_none_stands_for_no_observation(tmp_path: Path) -> None:
    """A network would be asked for the ninth of four."""
    made, world = random_world("a2c")
    header, tensors = taken_apart(save(fit(made, world, episodes=10, alarms=0.9), tmp_path / "guard"))
    load(put_together(header, tensors, tmp_path / "same"))
    for wrong in (9.0, -1.0, 0.5):
        tensors["neutral"] = torch.tensor([wrong])
        with pytest.raises(SourceError, match="what stands for an observation is none"):
            load(put_together(header, tensors, tmp_path / "changed"))


@pytest.mark.parametrize(
    "narrower",
    [
        {"latent/mean": lambda value: value[:3], "latent/whiten": lambda value: value[:3, :3]},
        {"dropout/masks": lambda value: value[:, :-1]},
        {"dropout/gain": lambda value: value[:-1]},
    ],
    ids=["latent", "masks", "outputs"],
)
def test_the_inside_of_a_policy_of_other_sizes(narrower: dict[str, Any], tmp_path: Path) -> None:
    """A file may say that it is of this policy, by its hash."""
    inside = ac.load(agent().model.__class__("MlpPolicy", Wander(), n_steps=8, policy_kwargs={"net_arch": [8]}))
    inside.model.policy.mlp_extractor.policy_net.append(torch.nn.Dropout(0.2))
    made = fit(inside, task(), episodes=10, alarms=0.9, tiers=["latent", "uncertainty"])
    header, tensors = taken_apart(save(made, tmp_path / "guard"))
    Guarded(inside, load(put_together(header, tensors, tmp_path / "same")))
    for name, change in narrower.items():
        tensors[name] = change(tensors[name]).contiguous()
    with pytest.raises(ConfigError, match="a policy of other sizes"):
        Guarded(inside, load(put_together(header, tensors, tmp_path / "changed")))


NO_LENGTH, SHORT = (2**63).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"{}"


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\xff" * 64, b"\x00" * 64, NO_LENGTH, SHORT])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(SourceError, match="no guard that can be read"):
        load(tmp_path / "file")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SourceError, match="no guard that can be read"):
            load(path)


def test_a_file_cut_off_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    for end in range(0, len(data), len(data) // 40):
        (tmp_path / "cut").write_bytes(data[:end])
        with pytest.raises(SourceError):
            load(tmp_path / "cut")
