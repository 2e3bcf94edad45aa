"""How a file looks: questions to a glimpse of it, from which the table of kinds is made."""

from __future__ import annotations

import re
from collections.abc import Callable

from acclimate.files.glimpse import Glimpse, words

Look = Callable[[Glimpse], bool]


def begins(*starts: bytes) -> Look:
    """Ask whether the file begins with one of these."""
    return lambda file: file.head.startswith(starts)


def begins_as_text(*starts: bytes) -> Look:
    """Ask the same of a text, whatever its case and what is blank before it."""
    return lambda file: file.head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(starts)


def holds(*names: str) -> Look:
    """Ask whether a zip holds all of these."""
    return lambda file: not file.is_folder and set(names) <= set(file.names)


def folder_with(*names: str) -> Look:
    """Ask whether a folder holds one of these."""
    return lambda file: file.is_folder and not set(names).isdisjoint(file.names)


def holds_ending(*endings: str) -> Look:
    """Ask whether something in a zip ends with one of these."""
    return lambda file: not file.is_folder and any(name.endswith(endings) for name in file.names)


def says(*texts: str) -> Look:
    """Ask whether a pickle has all of these texts."""
    return lambda file: set(texts) <= set(file.words)


def says_some(*starts: str) -> Look:
    """Ask whether a pickle has a text that begins with one of these."""
    return lambda file: any(word.startswith(starts) for word in file.words)


def says_first(*starts: str) -> Look:
    """Ask whether the first text of a pickle, mostly a module, begins with one of these."""
    return lambda file: any(word.startswith(starts) for word in file.words[:1])


def either(*looks: Look) -> Look:
    """Ask whether one of these is so."""
    return lambda file: any(look(file) for look in looks)


def is_normalizer(pickled: bytes) -> bool:
    """Return whether a pickle, of which the beginning will do, is SB3's ``VecNormalize``: what it makes first."""
    first = ("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize")
    return pickled.startswith(b"\x80") and words(pickled)[:2] == first


def is_sbx(file: Glimpse) -> bool:
    """Ask for a zip as SBX has SB3 write it: without torch's members, as its networks are pickled."""
    if file.is_folder or "data" not in file.names or "policy.pth" in file.names:
        return False
    return holds_ending(".pkl", ".msgpack")(file) or re.search(rb'"(sbx|flax|jax)\.', file.member("data")) is not None


def is_agent_in_folder(file: Glimpse) -> bool:
    """Ask for a zip of the folder into which an agent's zip was unpacked."""
    folders = {name.removesuffix("policy.pth") for name in file.names if name.endswith("/policy.pth")}
    return not file.is_folder and any(f"{folder}data" in file.names for folder in folders)


def is_cut_zip(file: Glimpse) -> bool:
    """Ask for the beginning of a zip without its end, where its directory is."""
    start = file.head[:4]
    return len(start) > 1 and b"PK\x03\x04".startswith(start) and not file.names


def is_empty_zip(file: Glimpse) -> bool:
    """Ask for a zip that holds nothing."""
    return file.head.startswith(b"PK\x05\x06") and not file.names


def is_safetensors(file: Glimpse) -> bool:
    """Ask for the length of a header, and JSON where it begins."""
    return file.head[8:9] == b"{" and int.from_bytes(file.head[:8], "little") <= 100_000_000


def is_onnx(file: Glimpse) -> bool:
    """Ask for a protobuf that begins with a small number, its version, and with a text or the graph."""
    return re.match(rb"\x08[\x01-\x1f][\x12\x1a\x22\x3a\x42]", file.head) is not None


def is_text(file: Glimpse) -> bool:
    """Ask for UTF-8 without control characters, of which the last character may be cut in two."""
    whole = file.head.decode(errors="ignore")
    blank = "\t\r\n\f"
    complete = len(whole.encode()) >= len(file.head) - 3
    return bool(whole) and complete and all(c.isprintable() or c in blank for c in whole)
