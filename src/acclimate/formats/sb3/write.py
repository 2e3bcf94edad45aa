"""Plain SB3 zips and pickled normalisers: what stock SB3 loads and trains on."""

from __future__ import annotations

import io
from pathlib import Path
from pickle import PicklingError

from acclimate.errors import ExportError, MisfitError
from acclimate.files.atomic import write_atomic
from acclimate.formats.saved import Saved
from acclimate.formats.sb3 import belonging, sidecar, vecnormalize


def save(agent: Saved, path: Path) -> Path:
    """Write the agent's zip at `path` and its normaliser beside it; return the zip's path.

    The normaliser is ``vecnormalize.pkl`` in the same folder, or in a folder named like the zip where
    another agent's normaliser already lies in the first place; `load` looks in both.

    Raises:
        MisfitError: Its networks carry methods, or it cannot be pickled.
        ExportError: The folder cannot be written, or holds a normaliser that would be taken for this one's.
        ConfigError: A file cannot be written.
    """
    if agent.methods:
        names = " and ".join(f"`{method.name}`" for method in agent.methods)
        raise MisfitError(
            f"{path}: {names} in its networks cannot end as a stock network, and a zip holds nothing else; save "
            f"the bundle, a folder: {path.with_suffix('')}"
        )
    # Serialised by SB3 from a model that SB3 built: nothing of ours gets into the file.
    buffer = io.BytesIO()
    try:
        agent.copy().model.save(buffer)
    except (PicklingError, TypeError) as error:
        raise MisfitError(f"{path}: it holds what SB3 cannot pickle ({error}); leave that out of the agent.") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = _normalizer_path(agent, path)
        if target is not None and agent.normalizer is not None:
            target.parent.mkdir(exist_ok=True)
            data = vecnormalize.write(agent.normalizer, agent.observation_space, agent.action_space)
            write_atomic(target, data)
        write_atomic(path, buffer.getbuffer())
    except OSError as error:
        raise ExportError(f"{path}: cannot be written ({error.strerror or error}); choose another folder.") from error
    return path


def _normalizer_path(agent: Saved, path: Path) -> Path | None:
    """Return where the agent's normaliser goes: where `load` will look first and nobody else's lies."""
    found = sidecar.normalizer(path)
    others = any(other != path for other in path.parent.glob("*.zip"))
    if agent.normalizer is None:
        other = next(belonging.others_beside(path, agent.observation_space), None)
        found = found or (other.path if other else None)
        if found is not None:
            raise ExportError(
                f"{found}: would be taken for the normaliser of {path.name}, which has none; choose another folder."
            )
        return None
    own = path.parent / path.stem / sidecar.NORMALIZERS[0]
    if found is None:
        return path.with_name(sidecar.NORMALIZERS[0])
    return own if others or found.parent != path.parent else found
