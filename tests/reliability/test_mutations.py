"""Real zips with random damage: either our error or a correct agent, in bounded time and memory."""

from __future__ import annotations

import io
import json
import random
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import acclimate as ac
from acclimate.formats.sb3 import vecnormalize
from tests import tiny

SECONDS = 10.0
GIBIBYTE = 2**20  # in the kilobytes that getrusage counts


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return zips to damage: the small ones of the zoo, and tiny ones of each kind of algorithm."""
    folder = tmp_path_factory.mktemp("originals")
    for name in ("ppo", "dqn", "sac", "ars-linear", "recurrent_ppo", "her"):
        tiny.model(name).save(folder / f"{name}.zip")
    small = [path for path in tiny.ZIPS if path.stat().st_size < 400_000]
    return [path.read_bytes() for path in [*sorted(folder.glob("*.zip")), *small]]


def flip_bits(raw: bytes, chance: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.choice([1, 1, 2, 8, 64])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(raw: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(raw))
    return raw[:start] + raw[start + chance.randrange(1, 1 + len(raw) // 4) :]


def repeat(raw: bytes, chance: random.Random) -> bytes:
    start, size, at = chance.randrange(len(raw)), chance.randrange(1, 2000), chance.randrange(len(raw))
    return raw[:at] + raw[start : start + size] + raw[at:]


def numbers(raw: bytes, chance: random.Random) -> bytes:
    """Write extreme numbers over some bytes, where lengths and sizes are."""
    changed = bytearray(raw)
    for _ in range(chance.choice([1, 4])):
        at = chance.randrange(len(changed) - 8)
        changed[at : at + 4] = chance.choice([b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", bytes(4), b"\x00\x00\x00\x80"])
    return bytes(changed)


def in_member(change: Callable[[bytes, random.Random], bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Damage what is inside one member and pack it with right checksums, so that it is read at all."""

    def changed(raw: bytes, chance: random.Random) -> bytes:
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(packed, "w") as new:
            victim = chance.choice(["data", "data", "policy.pth", chance.choice(old.namelist())])
            for name in old.namelist():
                content = old.read(name)
                new.writestr(name, change(content, chance) if name == victim and len(content) > 8 else content)
        return packed.getvalue()

    return changed


def in_json(raw: bytes, chance: random.Random) -> bytes:
    """Give some fields of the data the values of others, or odd ones."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "data":
                data = json.loads(content)
                odd = [
                    None,
                    -1,
                    0,
                    1e308,
                    10**30,
                    "",
                    [],
                    {},
                    True,
                    [[]],
                    {":serialized:": "gARdlC4="},
                    *data.values(),
                ]
                for _ in range(chance.choice([1, 3, 10])):
                    data[chance.choice(sorted(data))] = chance.choice(odd)
                content = json.dumps(data).encode()
            new.writestr(name, content)
    return packed.getvalue()


MUTATIONS = [
    flip_bits, cut, repeat, numbers, in_json,
    in_member(flip_bits), in_member(cut), in_member(repeat), in_member(numbers), in_json,
]  # fmt: skip


def survive(originals: list[bytes], path: Path, seeds: range) -> int:
    """Load a damaged zip for each seed; return how many still loaded."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded, messages = 0, []
    for seed in seeds:
        chance = random.Random(seed)
        path.write_bytes(MUTATIONS[seed % len(MUTATIONS)](chance.choice(originals), chance))
        start = time.perf_counter()
        try:
            agent = ac.load(path)
        except ac.SourceError as error:
            messages.append(str(error))
        else:
            loaded += 1
            # A flipped bit can make a weight so large that the network overflows: that is a correct load.
            if max(weight.abs().max() for weight in agent.model.policy.state_dict().values()) < 1e9:
                actions, _ = agent.predict(tiny.observations(agent.observation_space, n=2), deterministic=True)
                assert len(actions) == 2, f"seed {seed}"
        assert time.perf_counter() - start < SECONDS, f"seed {seed} took {time.perf_counter() - start:.1f} s"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < GIBIBYTE
    assert [text for text in messages if "\n" in text or len(text) > 700] == []
    return loaded


def test_damaged_zips_give_our_errors_or_load(originals: list[bytes], tmp_path: Path) -> None:
    loaded = survive(originals, tmp_path / "a.zip", range(200))
    assert 0 < loaded < 200


@pytest.mark.nightly
def test_two_thousand_damaged_zips(originals: list[bytes], tmp_path: Path) -> None:
    survive(originals, tmp_path / "a.zip", range(1000, 3000))


def test_damaged_normalizers(tmp_path: Path) -> None:
    path = tmp_path / "vecnormalize.pkl"
    raw = vecnormalize.write(ac.load(tiny.model("ppo", normalize=True)).normalizer, tiny.BOX, tiny.REACH)
    for seed in range(400):
        chance = random.Random(seed)
        path.write_bytes(chance.choice([flip_bits, cut, repeat, numbers])(raw, chance))
        try:
            found = vecnormalize.read(path)
        except ac.SourceError:
            continue
        assert np.isfinite(found.obs_mean).all(), f"seed {seed}"
