"""Files made to harm: none runs anything, and each gives one plain error of ours."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import acclimate as ac
from acclimate.formats.sb3 import vecnormalize
from acclimate.sb3.normalizer import Normalizer
from tests import tiny

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """Return the members of an honest zip."""
    path = tmp_path_factory.mktemp("plain") / "ppo.zip"
    tiny.model("ppo").save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


class Run:
    """Pickles to a call of anything."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def bomb(marker: Path, how: str = "system") -> Run:
    code = f"open({str(marker)!r}, 'w').close()"
    return Run(os.system, f"touch {marker}") if how == "system" else Run(exec, code)


def with_field(members: Members, key: str, pickled: bytes) -> Members:
    data = json.loads(members["data"])
    data[key] = {":type:": "<class 'x'>", ":serialized:": base64.b64encode(pickled).decode()}
    return {**members, "data": json.dumps(data).encode()}


def refuse(path: Path, marker: Path, *, match: str = "", kind: type[Exception] = ac.SourceError, **more: Any) -> None:
    with pytest.raises(kind, match=match) as caught:
        ac.load(path, **more)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    assert str(path) in message
    assert not marker.exists()


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


def test_the_payload_of_these_tests_is_live(plain: Members, tmp_path: Path, marker: Path) -> None:
    """Without the safe reader it does run: stock SB3 unpickles even fields it does not know."""
    path = pack(tmp_path / "a.zip", with_field(plain, "unknown", pickle.dumps(bomb(marker))))
    PPO.load(path)
    assert marker.exists()


@pytest.mark.parametrize("how", ["system", "exec"])
@pytest.mark.parametrize("key", ["observation_space", "action_space", "policy_class", "policy_kwargs"])
def test_code_in_a_field_that_is_decoded(plain: Members, tmp_path: Path, marker: Path, key: str, how: str) -> None:
    path = pack(tmp_path / "a.zip", with_field(plain, key, pickle.dumps(bomb(marker, how))))
    refuse(path, marker, match="asks for", kind=ac.UnsafeFileError)


@pytest.mark.parametrize("key", ["unknown", "lr_schedule", "clip_range", "_last_obs", "__class__", "env"])
def test_code_in_a_field_that_is_not_decoded_is_left_alone(
    plain: Members, tmp_path: Path, marker: Path, key: str
) -> None:
    agent = ac.load(pack(tmp_path / "a.zip", with_field(plain, key, pickle.dumps(bomb(marker)))))
    assert not marker.exists()
    assert key in dict(agent.origin.unread)


def test_code_inside_policy_kwargs(plain: Members, tmp_path: Path, marker: Path) -> None:
    value = {"net_arch": [8, 8], "features_extractor_kwargs": {"features_dim": bomb(marker, "exec")}}
    path = pack(tmp_path / "a.zip", with_field(plain, "policy_kwargs", pickle.dumps(value)))
    refuse(path, marker, match=r"builtins\.exec", kind=ac.UnsafeFileError)


def test_tensors_inside_policy_kwargs_are_not_opened(plain: Members, tmp_path: Path, marker: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": bomb(marker)}, buffer)
    call = Run(torch.storage._load_from_bytes, buffer.getvalue())
    path = pack(tmp_path / "a.zip", with_field(plain, "policy_kwargs", pickle.dumps({"net_arch": call})))
    refuse(path, marker, match="_load_from_bytes")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("stable_baselines3.common.policies", "os.system"),
        ("numpy", "testing._private.utils.exec"),
        ("torch.storage", "__builtins__['eval']"),
        ("numpy.f2py.crackfortran", "myeval"),
        ("torch.utils.collect_env", "run"),
        ("stable_baselines3.common.save_util", "load_from_pkl"),
    ],
)
def test_dangerous_globals_of_known_packages(
    plain: Members, tmp_path: Path, marker: Path, module: str, name: str
) -> None:
    raw = b"\x80\x04" + _text(module) + _text(name) + b"\x93" + _text(f"touch {marker}") + b"\x85R."
    for key in ("observation_space", "policy_class", "policy_kwargs"):
        refuse(pack(tmp_path / "a.zip", with_field(plain, key, raw)), marker)


def _text(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def test_a_global_named_by_a_call(plain: Members, tmp_path: Path, marker: Path) -> None:
    """`getattr(module, name)(...)`, the way around a filter of names."""
    made = b"\x80\x04" + _text("numpy") + _text("dtype") + b"\x93" + _text("f4") + b"\x85R"
    called = made + _text(f"touch {marker}") + b"\x85R."
    refuse(
        pack(tmp_path / "a.zip", with_field(plain, "observation_space", called)),
        marker,
        match="result of a call",
    )
    named = made + _text("system") + b"\x93."
    refuse(
        pack(tmp_path / "a.zip", with_field(plain, "observation_space", named)),
        marker,
        match="computes the name",
    )


def test_attributes_written_on_a_class(plain: Members, tmp_path: Path, marker: Path) -> None:
    """`BUILD` on a class would change it for the whole process."""
    raw = b"\x80\x04" + _text("gymnasium.spaces.box") + _text("Box") + b"\x93}" + _text("sample") + b"Nsb."
    refuse(
        pack(tmp_path / "a.zip", with_field(plain, "observation_space", raw)),
        marker,
        match="writes attributes",
        kind=ac.UnsafeFileError,
    )
    assert tiny.BOX.sample() is not None


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x04cos\nsystem\n(Vtouch\ntR.",
        b"\x80\x02(cos\nsystem\nVtouch\no.",
        b"(Vtouch\nios\nsystem\n.",
        b"\x80\x04\x82\x01.",
        b"\x80\x04Ppersistent\n.",
        b"\x80\x05\x97.",
    ],
    ids=["global", "obj", "inst", "extension", "persistent", "buffer"],
)
def test_opcodes_that_no_value_needs(plain: Members, tmp_path: Path, marker: Path, raw: bytes) -> None:
    refuse(pack(tmp_path / "a.zip", with_field(plain, "action_space", raw)), marker, kind=ac.UnsafeFileError)


def test_code_in_tensors(plain: Members, tmp_path: Path, marker: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": bomb(marker)}, buffer)
    legacy = io.BytesIO()
    torch.save({"w": bomb(marker)}, legacy, _use_new_zipfile_serialization=False)
    for content in (buffer.getvalue(), legacy.getvalue(), pickle.dumps(bomb(marker))):
        for name in ("policy.pth", "policy.optimizer.pth", "pytorch_variables.pth"):
            refuse(pack(tmp_path / "a.zip", {**plain, name: content}), marker, kind=ac.UnsafeFileError)


def test_a_zip_bomb(plain: Members, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "a.zip"
    for name in ("data", "policy.pth", "system_info.txt"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for other, content in plain.items():
                archive.writestr(other, content if other != name else bytes(80 * 2**20))
        refuse(path, marker, match="grows beyond", kind=ac.UnsafeFileError)


def test_a_zip_that_lies_about_a_size(plain: Members, tmp_path: Path, marker: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in plain.items():
            archive.writestr(name, content if name != "system_info.txt" else bytes(2**22))
    raw = path.read_bytes().replace(struct.pack("<L", 2**22), struct.pack("<L", 100))
    path.write_bytes(raw)
    refuse(path, marker)


def test_a_bomb_inside_the_tensors(plain: Members, tmp_path: Path, marker: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(2**20)}, buffer)
    packed = io.BytesIO()
    with zipfile.ZipFile(buffer) as inner, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for info in inner.infolist():
            archive.writestr(info.filename, inner.read(info))
    refuse(pack(tmp_path / "a.zip", {**plain, "policy.pth": packed.getvalue()}), marker, match="compressed")


@pytest.mark.parametrize("name", ["../evil.pth", "/etc/passwd", "data/../x", "policy.pth\x00.txt", "C:\\x", "setup.py"])
def test_members_with_other_names(plain: Members, tmp_path: Path, marker: Path, name: str) -> None:
    (tmp_path / "deep").mkdir()
    path = pack(tmp_path / "deep" / "a.zip", plain)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo()
        info.filename = name
        archive.writestr(info, b"x")
    if "\x00" in name:  # zipfile cuts such a name: what is left is there twice.
        refuse(path, marker, match="twice")
    else:
        refuse(path, marker, match="belongs to no SB3 agent", kind=ac.UnsafeFileError)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_there_twice(plain: Members, tmp_path: Path, marker: Path) -> None:
    path = pack(tmp_path / "a.zip", plain)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data", with_field(plain, "policy_class", pickle.dumps(bomb(marker)))["data"])
    refuse(path, marker, match="twice", kind=ac.UnsafeFileError)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR])
def test_members_that_are_no_files(plain: Members, tmp_path: Path, marker: Path, kind: int) -> None:
    path = pack(tmp_path / "a.zip", {name: content for name, content in plain.items() if name != "policy.pth"})
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("policy.pth")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refuse(path, marker, match="not a plain file", kind=ac.UnsafeFileError)


def test_encrypted_members(plain: Members, tmp_path: Path, marker: Path) -> None:
    path = pack(tmp_path / "a.zip", plain)
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = raw.find(signature)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(signature, at + 4)
    path.write_bytes(raw)
    refuse(path, marker, match="encrypted", kind=ac.UnsafeFileError)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions(plain: Members, tmp_path: Path, marker: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in plain.items():
            archive.writestr(name, content)
    refuse(path, marker, match="compressed by method", kind=ac.UnsafeFileError)


def test_truncated_archives(plain: Members, tmp_path: Path, marker: Path) -> None:
    whole = pack(tmp_path / "a.zip", plain).read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        (tmp_path / "a.zip").write_bytes(whole[: int(share * len(whole))])
        refuse(tmp_path / "a.zip", marker)


def test_reordered_archives_load_the_same(plain: Members, tmp_path: Path) -> None:
    obs = tiny.observations(tiny.BOX)
    straight = ac.load(pack(tmp_path / "a.zip", plain))
    turned = ac.load(pack(tmp_path / "b.zip", dict(reversed(plain.items()))))
    np.testing.assert_array_equal(
        straight.predict(obs, deterministic=True)[0], turned.predict(obs, deterministic=True)[0]
    )


def test_absent_members(plain: Members, tmp_path: Path, marker: Path) -> None:
    for absent in ("data", "policy.pth"):
        members = {name: content for name, content in plain.items() if name != absent}
        refuse(pack(tmp_path / "a.zip", members), marker, match=f"no member `{absent}`")
    refuse(pack(tmp_path / "a.zip", {}), marker)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"net_arch": [10**6, 10**6]},
        {"net_arch": [8] * 900},
        {"net_arch": [10**15]},
        {"net_arch": {"pi": [8, 8], "vf": [60_000, 60_000]}},
        {"net_arch": [10**400]},
        {"net_arch": [8, 8], "log_std_init": 10**30},
        {"net_arch": [-1]},
        {"net_arch": ["8"]},
        {"net_arch": [8, 8], "made_up": 1},
    ],
)
def test_networks_of_huge_or_odd_shape(plain: Members, tmp_path: Path, marker: Path, kwargs: dict[str, Any]) -> None:
    refuse(pack(tmp_path / "a.zip", with_field(plain, "policy_kwargs", pickle.dumps(kwargs))), marker)


def test_spaces_of_huge_shape(plain: Members, tmp_path: Path, marker: Path) -> None:
    discrete = b"\x80\x04" + _text("gymnasium.spaces.discrete") + _text("Discrete") + b"\x93)\x81}"
    for size in (b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff", b"K\x00", b"\x8a\x09" + b"\xff" * 8 + b"\x00"):
        for key in ("observation_space", "action_space"):
            refuse(
                pack(tmp_path / "a.zip", with_field(plain, key, discrete + _text("n") + size + b"sb.")),
                marker,
            )


def test_arrays_that_claim_more_than_they_bring(plain: Members, tmp_path: Path, marker: Path) -> None:
    raw = pickle.dumps(tiny.BOX, protocol=4)
    for claim in (
        b"K\x7f\x85",
        b"J\xff\xff\xff\x7f\x85",
        b"J\xff\xff\xff\xff\x85",
        b"\x8a\x09" + b"\xff" * 8 + b"\x00\x85",
    ):
        changed = raw.replace(b"K\x03\x85", claim)
        assert changed != raw
        refuse(pack(tmp_path / "a.zip", with_field(plain, "observation_space", changed)), marker)


@pytest.mark.parametrize("kind", ["O", "V8", "U4", "M8[s]", "O8"])
def test_arrays_of_objects(plain: Members, tmp_path: Path, marker: Path, kind: str) -> None:
    raw = pickle.dumps(tiny.BOX, protocol=4).replace(_text("f4"), _text(kind))
    refuse(pack(tmp_path / "a.zip", with_field(plain, "observation_space", raw)), marker, match="plain numbers")


def test_tensors_without_memory(plain: Members, tmp_path: Path, marker: Path) -> None:
    for tensor in (
        torch.zeros(1).expand(10**12),
        torch.zeros(1).as_strided((10**6, 10**6), (0, 0)),
        torch.zeros(3, device="meta"),
        torch.eye(3).to_sparse(),
    ):
        buffer = io.BytesIO()
        torch.save({"w": tensor}, buffer)
        refuse(pack(tmp_path / "a.zip", {**plain, "policy.pth": buffer.getvalue()}), marker)


def test_weights_that_do_not_fit(plain: Members, tmp_path: Path, marker: Path) -> None:
    weights = torch.load(io.BytesIO(plain["policy.pth"]), weights_only=True)
    name = "action_net.weight"
    for changed in (
        {key: value for key, value in weights.items() if key != name},
        {**weights, "more": torch.zeros(2)},
        {**weights, name: torch.zeros(2, 9)},
    ):
        buffer = io.BytesIO()
        torch.save(changed, buffer)
        refuse(pack(tmp_path / "a.zip", {**plain, "policy.pth": buffer.getvalue()}), marker)


def test_deeply_nested_json(plain: Members, tmp_path: Path, marker: Path) -> None:
    for deep in (b"[" * 10**5, b'{"a":' * 10**5, b"[" * 10**5 + b"]" * 10**5):
        refuse(pack(tmp_path / "a.zip", {**plain, "data": deep}), marker, match="JSON")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff\xfe", b'{"policy_class": 1}', b"1" * 5000])
def test_data_that_is_none(plain: Members, tmp_path: Path, marker: Path, data: bytes) -> None:
    refuse(pack(tmp_path / "a.zip", {**plain, "data": data}), marker)


@pytest.mark.parametrize(
    "body",
    [
        b")" + b"\x85" * 10**5,
        b"]" + b"\x85" * 10**5 + b"]" + b"a" * 1,
        b"}" + b")" + b"\x85" * 10**5 + b"Ns",
        b"]" + b"2a" * 10**5,
        b"]\x94" + b"]h\x00ah\x00a\x94" * 30,
        b"Nr\xff\xff\xff\x7f",
        b"N" * (10**6 + 1),
        b"\x96" + struct.pack("<Q", 2**40),
        b"\x8e" + struct.pack("<Q", 2**62),
    ],
    ids=["deep", "deep-list", "deep-key", "itself", "doubling", "memo", "long", "bytearray", "bytes"],
)
def test_pickle_bombs(plain: Members, tmp_path: Path, marker: Path, body: bytes) -> None:
    for key in ("observation_space", "policy_kwargs", "policy_class"):
        refuse(pack(tmp_path / "a.zip", with_field(plain, key, b"\x80\x04" + body + b".")), marker)


def test_tensor_pickle_bombs(plain: Members, tmp_path: Path, marker: Path) -> None:
    """A key that is a tuple a hundred thousand deep overflows the C stack of whoever hashes it."""
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(1)}, buffer)
    for body in (b"})" + b"\x85" * 10**5 + b"Ns.", b"N" * (10**6 + 1) + b"."):
        packed = io.BytesIO()
        with zipfile.ZipFile(buffer) as inner, zipfile.ZipFile(packed, "w") as archive:
            for info in inner.infolist():
                archive.writestr(
                    info.filename, inner.read(info) if "data.pkl" not in info.filename else b"\x80\x02" + body
                )
        for content in (packed.getvalue(), b"\x80\x02" + body):
            refuse(pack(tmp_path / "a.zip", {**plain, "policy.pth": content}), marker)


def test_settings_out_of_range_are_left_out(plain: Members, tmp_path: Path) -> None:
    data = json.loads(plain["data"])
    odd = {
        "n_steps": -3,
        "batch_size": 0,
        "gamma": float("nan"),
        "learning_rate": "1e-3",
        "n_epochs": True,
        "ent_coef": 10**400,
    }
    agent = ac.load(pack(tmp_path / "a.zip", {**plain, "data": json.dumps({**data, **odd}).encode()}))
    assert set(odd) <= set(dict(agent.origin.unread))
    assert not set(odd) & set(agent.blueprint.hyperparameters)


def test_a_huge_replay_buffer_is_not_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "dqn.zip"
    tiny.model("dqn").save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    data = {**json.loads(members["data"]), "buffer_size": 10**15, "n_envs": 10**9}
    agent = ac.load(pack(path, {**members, "data": json.dumps(data).encode()}))
    assert agent.model.replay_buffer.buffer_size < 10**8
    assert agent.model.buffer_size == 10**15


class TestNormalizer:
    """The pickle beside the zip gets the same care."""

    @pytest.fixture
    def path(self, plain: Members, tmp_path: Path) -> Path:
        return pack(tmp_path / "a.zip", plain)

    def test_code(self, path: Path, tmp_path: Path, marker: Path) -> None:
        (tmp_path / "vecnormalize.pkl").write_bytes(pickle.dumps(bomb(marker)))
        with pytest.raises(ac.UnsafeFileError, match="asks for"):
            ac.load(path)
        assert not marker.exists()

    def test_code_within_the_statistics(self, path: Path, tmp_path: Path, marker: Path) -> None:
        good = vecnormalize.write(Normalizer.identity(tiny.BOX), tiny.BOX, tiny.REACH)
        for part in (b"clip_obs", b"training", b"old_reward"):
            call = b"cos\nsystem\n" + _text(f"touch {marker}") + b"\x85R"
            at = good.index(part) + len(part)
            (tmp_path / "vecnormalize.pkl").write_bytes(good[:at] + b"\x940" + call + _text("x") + good[at:])
            with pytest.raises(ac.SourceError):
                ac.load(path)
            assert not marker.exists()

    @pytest.mark.parametrize(
        "raw", [b"", b".", b"\x80\x04N.", b"\x80\x04" + b")" + b"\x85" * 10**5 + b".", b"PK\x03\x04"]
    )
    def test_rubbish(self, path: Path, tmp_path: Path, raw: bytes) -> None:
        (tmp_path / "vec_normalize.pkl").write_bytes(raw)
        with pytest.raises(ac.SourceError, match="vec_normalize"):
            ac.load(path)

    def test_statistics_that_are_not_finite(self, path: Path, tmp_path: Path) -> None:
        bad = Normalizer.identity(tiny.BOX)
        bad.obs_var[1] = np.nan
        (tmp_path / "vecnormalize.pkl").write_bytes(vecnormalize.write(bad, tiny.BOX, tiny.REACH))
        with pytest.raises(ac.SourceError, match="not finite"):
            ac.load(path)


def test_config_files_are_data(plain: Members, tmp_path: Path, marker: Path) -> None:
    path = pack(tmp_path / "CartPole-v1.zip", plain)
    for text in (
        f"!!python/object/apply:os.system ['touch {marker}']",
        f"normalize: !!python/object/apply:os.system ['touch {marker}']",
        f"normalize: \"__import__('os').system('touch {marker}')\"",
        "a: &a [x]\n" + "\n".join(f"b{i}: &b{i} [*{'a' if i == 0 else f'b{i - 1}'}{', *a' * 9}]" for i in range(9)),
        "[" * 5000,
    ):
        (tmp_path / "config.yml").write_text(text)
        ac.load(path, normalizer=None)
        assert not marker.exists()
