"""Files that are something else: each is named for what it is, with a way forward, wherever it is given."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

import acclimate as ac
from acclimate.cli import main
from acclimate.files.glimpse import Glimpse
from acclimate.formats import bundle, kinds
from acclimate.training.replay import carry
from tests import tiny

AGAIN = "copy or download it again"
FETCH = "download the file itself"
IN_LOOP = "tune it in that training loop with `acclimate.attach`"
NAMED = "it tells no spaces: name its environment, by --env"
COPIED = "copy the weights into them"


@pytest.fixture(scope="module")
def model() -> BaseAlgorithm:
    return tiny.model("ppo", normalize=True)


@pytest.fixture(scope="module")
def good(model: BaseAlgorithm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the zip of an agent."""
    path = tmp_path_factory.mktemp("good") / "good.zip"
    model.save(path)
    return path


def zipped(path: Path, **members: Any) -> Path:
    """Write a zip; `__` in a member's name is a slash, `_0` a dot."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_0", "."), content)
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def torched(path: Path, value: Any, **more: Any) -> Path:
    torch.save(value, path, **more)
    return path


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_bytes(b"x")
    return path


def members(good: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(good) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


class Agent(nn.Module):
    """A network as CleanRL has it."""

    def __init__(self, head: str = "actor_mean") -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        setattr(self, head, nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.critic(obs)


def sbx_zip(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    data = json.loads(members(good)["data"])
    data["policy_class"] |= {"__module__": "sbx.ppo.policies"}
    return zipped(at / "sbx.zip", data=json.dumps(data), _stable_baselines3_version="2.6.0", system_info_0txt="")


def nested(path: Path, good: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(good, name)
    return path


def repacked(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    with zipfile.ZipFile(at / "again.zip", "w") as archive:
        archive.writestr("good/", "")
        for name, content in members(good).items():
            archive.writestr(f"good/{name}", content)
        archive.writestr("__MACOSX/good/._data", b"")
    return at / "again.zip"


def unpacked(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    with zipfile.ZipFile(good) as archive:
        archive.extractall(at / "unpacked")
    return at / "unpacked"


def tarred(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    with tarfile.open(at / "good.tar", "w") as archive:
        archive.add(good, "good.zip")
    return at / "good.tar"


def statistics(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    model.get_vec_normalize_env().save(str(at / "mine.pkl"))  # type: ignore[union-attr]
    return at / "mine.pkl"


def buffer(at: Path, name: str) -> Path:
    tiny.model(name).save_replay_buffer(at / "buffer.pkl")
    return at / "buffer.pkl"


def scripted(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    torch.jit.trace(Agent(), torch.zeros(1, 3)).save(str(at / "policy.pt"))
    return at / "policy.pt"


def arrays(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    np.savez(at / "a.npz", weights=np.zeros(3))
    return at / "a.npz"


def hdf5(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    with h5py.File(at / "model.h5", "w") as file:
        file["kernel"] = np.zeros((3, 4))
    return at / "model.h5"


def part_of_a_bundle(at: Path, model: BaseAlgorithm, good: Path) -> Path:
    return bundle.save(ac.load(model), at / "bundle") / bundle.WEIGHTS


def link(at: Path, target: str) -> Path:
    (at / "link.zip").symlink_to(target)
    return at / "link.zip"


Make = Callable[[Path, Any, Path], Path]
RSL = {"model_state_dict": Agent("actor").state_dict(), "optimizer_state_dict": {}, "iter": 3, "infos": None}

# what it is: (what makes one, what the message says it is, the way forward)
FILES: dict[str, tuple[Make, str, str]] = {
    "policy alone": (
        lambda at, model, good: model.policy.save(at / "bc.zip") or at / "bc.zip",
        "a policy alone, as SB3's `policy.save` writes it",
        "type(model.policy).load(FILE)",
    ),
    "policy alone, before torch 1.6": (
        lambda at, model, good: torched(
            at / "bc.pt",
            {"state_dict": model.policy.state_dict(), "data": {"observation_space": tiny.BOX}},
            _use_new_zipfile_serialization=False,
        ),
        "a policy alone",
        "type(model.policy).load(FILE)",
    ),
    "policy.pth": (
        lambda at, model, good: written(at / "policy.pth", members(good)["policy.pth"]),
        "a state dict of an SB3 policy",
        "torch.load(FILE)",
    ),
    "state dict of SB3 in a checkpoint": (
        lambda at, model, good: torched(at / "agent.pt", {"agent": model.policy.state_dict(), "step": 1}),
        "a state dict of an SB3 policy",
        "torch.load(FILE)",
    ),
    "pickled model": (
        lambda at, model, good: torched(at / "model.pt", model.policy),
        "an object of SB3, pickled as a whole",
        "`model.save`",
    ),
    "SB2 zip": (
        lambda at, model, good: zipped(at / "sb2.zip", data='{"gamma": 0.99}', parameters=b"", parameter_list="[]"),
        "an agent of Stable-Baselines 2",
        COPIED,
    ),
    "SB2 pickle": (
        lambda at, model, good: written(
            at / "sb2.pkl",
            b"\x80\x04\x8c\x24stable_baselines.common.policies____\x8c\x09MlpPolicy\x93.".replace(b"____", b"\x00" * 4),
        ),
        "a pickled agent of Stable-Baselines 2",
        COPIED,
    ),
    "SBX": (sbx_zip, "an agent of SBX", COPIED),
    "SBX, its policy a member": (
        lambda at, model, good: zipped(at / "sbx.zip", data=members(good)["data"], policy_0pkl=b"flax"),
        "an agent of SBX",
        COPIED,
    ),
    "CleanRL's PPO": (
        lambda at, model, good: torched(at / "ppo.pt", Agent().state_dict()),
        "the state dict of an agent of CleanRL",
        NAMED,
    ),
    "CleanRL's DQN": (
        lambda at, model, good: torched(at / "dqn.pth", Agent("network").state_dict()),
        "the state dict of an agent of CleanRL",
        NAMED,
    ),
    "CleanRL by its ending": (
        lambda at, model, good: torched(at / "sac.cleanrl_model", ({"fc1.weight": torch.zeros(1)},)),
        "the state dict of an agent of CleanRL",
        NAMED,
    ),
    "rsl_rl": (lambda at, model, good: torched(at / "model_3.pt", RSL), "a checkpoint of rsl_rl", NAMED),
    "state dict": (
        lambda at, model, good: torched(at / "net.pt", nn.Linear(3, 2).state_dict()),
        "a file of torch's, such as weights alone",
        IN_LOOP,
    ),
    "state dict, before torch 1.6": (
        lambda at, model, good: torched(
            at / "net.pt", nn.Linear(3, 2).state_dict(), _use_new_zipfile_serialization=False
        ),
        "a file of torch's",
        IN_LOOP,
    ),
    "pickled module": (
        lambda at, model, good: torched(at / "net.pt", nn.Sequential(nn.Linear(3, 2))),
        "a network of torch, pickled as a whole",
        IN_LOOP,
    ),
    "TorchScript": (scripted, "a network of TorchScript", IN_LOOP),
    "ONNX": (
        lambda at, model, good: written(at / "policy.onnx", b"\x08\x07\x12\x07pytorch\x1a\x042.13:\x10graph"),
        "a network of ONNX",
        NAMED,
    ),
    ".keras": (
        lambda at, model, good: zipped(at / "m.keras", metadata_0json="{}", config_0json="{}", model_0weights_0h5=b""),
        "a network of Keras",
        NAMED,
    ),
    ".h5": (hdf5, "a network of Keras", NAMED),
    "SavedModel": (
        lambda at, model, good: folder(at / "saved", "saved_model.pb", "fingerprint.pb"),
        "a SavedModel of TensorFlow",
        COPIED,
    ),
    "safetensors": (
        lambda at, model, good: (
            safetensors.torch.save_file({"w": torch.zeros(3)}, at / "w.safetensors") or at / "w.safetensors"
        ),
        "a file of weights alone (safetensors)",
        "`acclimate.attach`",
    ),
    "weights of a bundle": (part_of_a_bundle, "one file of a bundle", "name the bundle's folder"),
    "Git LFS": (
        lambda at, model, good: written(
            at / "a.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1234\n"
        ),
        "a pointer of Git LFS",
        "`git lfs pull` brings it",
    ),
    "git-annex, unlocked": (
        lambda at, model, good: written(at / "a.zip", b"/annex/objects/SHA256E-s1234--abc.zip\n"),
        "a pointer of git-annex",
        "`git annex get` brings it",
    ),
    "git-annex, locked": (
        lambda at, model, good: link(at, ".git/annex/objects/x/y/SHA256E-s1234--abc.zip"),
        "a pointer of git-annex",
        "`git annex get` brings it",
    ),
    "link to nothing": (
        lambda at, model, good: link(at, "elsewhere.zip"),
        "a link to a file that is not there",
        "copy that file too",
    ),
    "web page": (
        lambda at, model, good: written(at / "a.zip", b"\n <!DOCTYPE html><html><title>404</title></html>"),
        "a web page",
        FETCH,
    ),
    "error of a hub": (
        lambda at, model, good: written(at / "a.zip", b'{"error": "Repository not found"}'),
        """a JSON text in the place of the file ('{"error": "Repository not found"}')""",
        FETCH,
    ),
    "text": (
        lambda at, model, good: written(at / "a.zip", b"Entry not found"),
        "a text ('Entry not found')",
        "`model.save`",
    ),
    "cut in the tensors": (
        lambda at, model, good: written(at / "a.zip", good.read_bytes()[:-300]),
        "a zip that was cut short",
        AGAIN,
    ),
    "cut in half": (
        lambda at, model, good: written(at / "a.zip", good.read_bytes()[: good.stat().st_size // 2]),
        "a zip that was cut short",
        AGAIN,
    ),
    "two bytes of a zip": (lambda at, model, good: written(at / "a.zip", b"PK"), "a zip that was cut short", AGAIN),
    "empty file": (lambda at, model, good: written(at / "a.zip", b""), "an empty file", AGAIN),
    "empty zip": (lambda at, model, good: zipped(at / "a.zip"), "an empty zip", AGAIN),
    "gzip": (
        lambda at, model, good: written(at / "a.zip.gz", gzip.compress(good.read_bytes())),
        "a packed file",
        "unpack it",
    ),
    "tar": (tarred, "a packed file", "unpack it"),
    "rar": (lambda at, model, good: written(at / "a.rar", b"Rar!\x1a\x07\x01\x00xx"), "a packed file", "unpack it"),
    "7z": (lambda at, model, good: written(at / "a.7z", b"7z\xbc\xaf\x27\x1c\x00\x04"), "a packed file", "unpack it"),
    "zip of a zip": (
        lambda at, model, good: nested(at / "a.zip", good, "runs/good.zip"),
        "a zip with a zip in it (runs/good.zip)",
        "unpack it, and name the zip in it",
    ),
    "zip of a folder": (repacked, "a zip of the folder of an unpacked agent", "zip the files in the folder"),
    "unpacked zip": (unpacked, "an unpacked zip of an SB3 agent", "zip the files in it"),
    "other zip": (
        lambda at, model, good: zipped(at / "a.zip", README_0md="hello", src__main_0py=""),
        "a zip of other files (README.md, src/main.py)",
        "with `data` and `policy.pth` in it",
    ),
    "other folder": (
        lambda at, model, good: folder(at / "logs", "events.out", "progress.csv"),
        "a folder with events.out, progress.csv in it",
        "it holds no agent (no bundle/, no zip)",
    ),
    "empty folder": (lambda at, model, good: folder(at / "logs"), "a folder with nothing in it", "it holds no agent"),
    "npz": (arrays, "arrays of NumPy", "`model.save`"),
    "other pickle": (
        lambda at, model, good: written(at / "agent.pkl", pickle.dumps({"obs_rms": 1})),
        "a pickle, and of no agent",
        "`model.save`",
    ),
    "nothing known": (
        lambda at, model, good: written(at / "clip.mp4", b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00"),
        "no zip, and nothing else that is known here",
        "`model.save`",
    ),
    "normaliser": (statistics, "a normaliser (SB3's VecNormalize)", "this file with --normalizer"),
    "replay buffer": (lambda at, model, good: buffer(at, "sac"), "a replay buffer", "this file with --replay-buffer"),
}
BROKEN = {"cut in the tensors", "cut in half", "two bytes of a zip", "empty file", "empty zip"}
IN_PLACE = BROKEN | {name for name, (_, _, forward) in FILES.items() if "brings it" in forward or forward == FETCH}
IN_PLACE |= {"link to nothing", "gzip", "tar", "rar", "7z"}


def refused(call: Callable[[], object], path: Path) -> str:
    """Return the message of a refusal, having checked that it is one line about this file."""
    with pytest.raises(ac.SourceError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(f"{path}: is ")
    assert "\n" not in message
    assert len(message.removeprefix(str(path))) < 330
    return message


@pytest.mark.parametrize("trust", [False, True], ids=["safe", "trust"])
@pytest.mark.parametrize("name", FILES)
def test_as_an_agent(name: str, trust: bool, model: BaseAlgorithm, good: Path, tmp_path: Path) -> None:
    make, what, forward = FILES[name]
    path = make(tmp_path, model, good)
    message = refused(lambda: ac.load(path, trust=trust), path)
    assert what in message
    assert forward in message
    assert "remove it" not in message
    assert (AGAIN in message) == (name in BROKEN), "a good file of another kind need not be copied"


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"normaliser"} | {"agent"}))
def test_as_a_normaliser(name: str, model: BaseAlgorithm, good: Path, tmp_path: Path) -> None:
    make, what, forward = FILES.get(name, (lambda at, model, good: good, "the zip of an SB3 agent", ""))
    path = make(tmp_path, model, good)
    if name == "other pickle":  # its reader says what it asks for
        with pytest.raises(ac.UnsafeFileError, match="where SB3's VecNormalize belongs"):
            ac.load(good, normalizer=path)
        return
    message = refused(lambda: ac.load(good, normalizer=path), path)
    assert what in message
    assert (forward if name in IN_PLACE else "`VecNormalize.save` wrote, or none") in message


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"replay buffer", "other pickle"} | {"agent"}))
def test_as_a_replay_buffer(name: str, model: BaseAlgorithm, good: Path, tmp_path: Path) -> None:
    make, what, forward = FILES.get(name, (lambda at, model, good: good, "the zip of an SB3 agent", ""))
    path = make(tmp_path, model, good)
    message = refused(lambda: carry(model, str(path)), path)
    assert what in message
    assert (forward if name in IN_PLACE else "`model.save_replay_buffer` wrote") in message


def test_every_row_of_the_table_is_there_for_a_file(model: BaseAlgorithm, good: Path, tmp_path: Path) -> None:
    found = {kinds.of(Glimpse(good))}
    for number, (make, _, _) in enumerate(FILES.values()):
        (tmp_path / str(number)).mkdir()
        found.add(kinds.of(Glimpse(make(tmp_path / str(number), model, good))))
    assert [kind.name for kind in kinds.KINDS if kind not in found] == []


@pytest.mark.parametrize("name", tiny.MODELS)
def test_parts_of_every_algorithm_are_known(name: str, tmp_path: Path) -> None:
    model = tiny.model(name, steps=0)
    model.policy.save(tmp_path / "policy.zip")
    torch.save(model.policy.state_dict(), tmp_path / "policy.pth")
    torch.save(model.policy, tmp_path / "whole.pt")
    for file, what in {
        "policy.zip": "a policy alone",
        "policy.pth": "of an SB3 policy",
        "whole.pt": "an object of SB3",
    }.items():
        assert what in refused(lambda file=file: ac.load(tmp_path / file), tmp_path / file)


@pytest.mark.parametrize("name", ["sac", "dqn", "her"])
def test_replay_buffers_of_every_class_are_known(name: str, tmp_path: Path) -> None:
    assert kinds.of(Glimpse(buffer(tmp_path, name))) is kinds.BUFFER


def test_a_pickle_that_only_speaks_of_a_normaliser_is_none(tmp_path: Path) -> None:
    for content in ({"wrapper": VecNormalize}, "stable_baselines3.common.vec_env.vec_normalize", [0]):
        assert kinds.of(Glimpse(written(tmp_path / "a.pkl", pickle.dumps(content)))) is not kinds.NORMALIZER


def test_the_ways_forward_lead_there(model: BaseAlgorithm, good: Path, tmp_path: Path) -> None:
    """What the messages say to do with a policy and with its weights gives the agent."""
    model.policy.save(tmp_path / "policy.zip")
    torch.save(model.policy.state_dict(), tmp_path / "policy.pth")
    obs = tiny.observations(tiny.BOX)
    wanted, _ = model.predict(obs, deterministic=True)
    policies: dict[str, Callable[[BaseAlgorithm], Any]] = {
        "policy.zip": lambda fresh: type(fresh.policy).load(tmp_path / "policy.zip").state_dict(),
        "policy.pth": lambda fresh: torch.load(tmp_path / "policy.pth"),
    }
    for file, weights in policies.items():
        fresh = tiny.model("ppo", steps=0)
        assert not np.array_equal(fresh.predict(obs, deterministic=True)[0], wanted)
        fresh.policy.load_state_dict(weights(fresh))
        fresh.save(tmp_path / f"{file}-agent.zip")
        for source in (tmp_path / f"{file}-agent.zip", fresh):
            np.testing.assert_array_equal(ac.load(source).predict(obs, deterministic=True)[0], wanted)


def test_nothing_is_unpickled_to_know_it(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"

    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {marker}",)

    for content in ({"model_state_dict": Bomb(), "optimizer_state_dict": 1, "iter": 1}, Bomb(), OrderedDict(a=Bomb())):
        torch.save(content, tmp_path / "a.pt")
        refused(lambda: ac.load(tmp_path / "a.pt"), tmp_path / "a.pt")
        torch.save(content, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
        refused(lambda: ac.load(tmp_path / "b.pt"), tmp_path / "b.pt")
        (tmp_path / "c.pkl").write_bytes(pickle.dumps(content))
        refused(lambda: ac.load(tmp_path / "c.pkl"), tmp_path / "c.pkl")
    assert not marker.exists()


def test_names_in_a_file_stay_on_the_line(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", **{"bad\nname\x1b[31m{start}" + "x" * 500: ""})
    message = refused(lambda: ac.load(path), path)
    assert "\x1b" not in message
    assert "bad\\nname" in message


def test_a_look_at_a_large_pickle_is_short(tmp_path: Path) -> None:
    """A text that claims four gigabytes, and texts without an end."""
    claims = b"\x80\x04\x8d" + struct.pack("<Q", 2**32) + b"stable"
    for content in (claims, b"\x80\x04" + b"\x8c\x01a" * 200_000):
        glimpse = Glimpse(written(tmp_path / "a.pkl", content))
        assert len(glimpse.words) <= 10_000
        assert kinds.of(glimpse) is kinds.PICKLE


def test_an_agent_packed_behind_something_else_is_one(good: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", b"#!/bin/sh\n" + good.read_bytes())
    assert kinds.of(Glimpse(path)) is kinds.AGENT


def test_a_file_that_may_not_be_read(good: Path, tmp_path: Path) -> None:
    path = shutil.copy(good, tmp_path / "a.zip")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user reads everything")
    with pytest.raises(ac.SourceError, match=r"a\.zip: cannot be read"):
        ac.load(path)


@pytest.mark.parametrize("command", ["inspect", "evaluate", "finetune", "watch"])
@pytest.mark.parametrize("name", ["rsl_rl", "policy alone", "Git LFS"])
def test_every_command_says_so(command: str, name: str, model: BaseAlgorithm, good: Path, tmp_path: Path) -> None:
    make, what, forward = FILES[name]
    path = make(tmp_path, model, good)
    for arguments in ((path,), (good, "--normalizer", path)):
        result = CliRunner().invoke(main, [command, *map(str, arguments)])
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"acclimate: {path}: is ")
        assert what in line
    assert forward in CliRunner().invoke(main, [command, str(path)]).stderr
