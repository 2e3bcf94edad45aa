"""Write every training episode to one `monitor.csv`, as SB3's Monitor does."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback

from acclimate.errors import SourceError
from acclimate.files.atomic import write_atomic
from acclimate.files.plain import read_json


class MonitorFile(BaseCallback):
    """Append return, length and time of each finished training episode.

    The format is that of `stable_baselines3.common.monitor.Monitor`: a JSON comment line, then `r,l,t`. Rows after the
    step of a checkpoint that a resumed run starts from are dropped.
    """

    def __init__(self, path: Path, env_id: str, *, rows: int | None = None) -> None:
        """Open the file.

        Args:
            path: Where to write.
            env_id: Written to the header.
            rows: Episodes to keep of an earlier file; None starts anew.

        Raises:
            SourceError: The earlier file is no monitor's.
        """
        super().__init__()
        self.rows = rows or 0
        held = (
            [] if rows is None or not path.exists() else path.read_text(encoding="utf-8", errors="replace").splitlines()
        )
        if held:
            kept = held[: 2 + self.rows]
            start = _start(kept[:1], path)
            text = "\n".join(kept) + "\n"
        else:
            start = time.time()
            text = "#" + json.dumps({"t_start": start, "env_id": env_id}) + "\nr,l,t\n"
        write_atomic(path, text)
        self._start = start
        self._file = path.open("a", encoding="utf-8")

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            episode = info.get("episode")
            if episode is not None:
                self._file.write(f"{episode['r']},{episode['l']},{time.time() - self._start:.6f}\n")
                self.rows += 1
        return True

    def flush(self) -> None:
        """Bring the rows to disk."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _start(head: list[str], path: Path) -> float:
    """Return when a file was begun, which its first line says."""
    try:
        start = float(read_json(head[0][1:])["t_start"])
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise SourceError(f"{path} has no first line of SB3's monitor: remove that file, its rows are lost.") from error
    return start if math.isfinite(start) else time.time()
