"""Build the kernel by the C compiler at hand, into the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from acclimate.errors import AcclimateError

SOURCES = tuple(Path(__file__).parent / name for name in ("perceptron.c", "numbers.h"))
_FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_CPU = (["-march=native"], ["-mcpu=native"], [])
"""How compilers are told to use all that this CPU has; ARM's know the second, some know neither."""


def find_compiler() -> str | None:
    """Return the C compiler: what CC names, else the first of cc, gcc and clang that is there."""
    wanted = (os.environ["CC"],) if os.environ.get("CC") else ("cc", "gcc", "clang")
    return next((found for name in wanted if (found := shutil.which(name))), None)


def folder() -> Path:
    """Return where kernels lie: ACCLIMATE_CACHE, else `acclimate` in the user's cache folder."""
    if chosen := os.environ.get("ACCLIMATE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acclimate"


def place() -> Path:
    """Return where the kernel of these sources for this CPU lies, built or not."""
    return folder() / f"perceptron-{_key()}.so"


@cache
def _key() -> str:
    """Return what a kernel depends on, in a few letters: its sources and the CPU that it was compiled for."""
    told = hashlib.sha256()
    for source in SOURCES:
        told.update(source.read_bytes())
    told.update(_cpu().encode())
    return told.hexdigest()[:16]


def _cpu() -> str:
    """Return what the CPU can do, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.lower().startswith(("flags", "features"))), platform.machine())


def build(check: Callable[[Path], None]) -> Path:
    """Compile the kernel and return where it lies.

    Args:
        check: is given the library before it takes its place, and raises if it is not right.

    Raises:
        AcclimateError: if there is no compiler, it fails, or the cache cannot be written.
    """
    compiler = find_compiler()
    if compiler is None:
        raise AcclimateError("no C compiler was found (cc, gcc or clang); install one, or name it in CC")
    target = place()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as room:
            made = Path(room) / target.name
            _compile(compiler, made)
            check(made)
            os.replace(made, target)
    except OSError as error:
        raise AcclimateError(
            f"cannot write {target} ({error.strerror}); name another folder in ACCLIMATE_CACHE"
        ) from error
    return target


def _compile(compiler: str, target: Path) -> None:
    failed = ""
    for cpu in _CPU:
        command = [compiler, *_FLAGS, *cpu, "-o", str(target), str(SOURCES[0]), "-lpthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        failed = failed or done.stderr.strip()
    raise AcclimateError(
        f"{compiler} cannot compile the kernel: {failed.splitlines()[0] if failed else 'it says nothing'}"
    )
