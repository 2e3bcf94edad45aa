"""Make the files again: an environment for each framework, and its script in it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = {
    "keras_3": ("torch==2.13.0", "numpy", "h5py", "keras==3.15.1"),
    "rsl_rl_2": ("torch==2.13.0", "numpy", "gitpython", "tensordict==0.15.3", "rsl-rl-lib==2.3.3 --no-deps"),
    "rsl_rl_5": ("torch==2.13.0", "numpy", "tensordict==0.15.3", "rsl-rl-lib==5.5.1 --no-deps"),
}
"""What each needs; rsl_rl asks for loggers and a simulator's image library, none of which its networks use."""


def main() -> None:
    """Run the scripts of the frameworks that are named, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PACKAGES))
    names = parser.parse_args().names or list(PACKAGES)
    for name in names:
        if name not in PACKAGES:
            raise SystemExit(f"no framework `{name}`; there are {', '.join(PACKAGES)}")
        python = environment(name)
        folder = HERE / "files" / name
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([python, HERE / f"{name}.py", folder], check=True)
        print(f"{name}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def environment(name: str) -> Path:
    """Return the interpreter of an environment with the packages, made where it is missing."""
    folder = ROOT / "build" / "references" / name
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        for package in PACKAGES[name]:
            command = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", *package.split()]
            subprocess.run(command, check=True)
    return python


if __name__ == "__main__":
    main()
