"""Agents on the Hugging Face Hub, fetched at one commit and then read like any file."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from acclimate.errors import SourceError

_ADDRESS = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+?)(?:/(?P<file>[\w./-]+\.zip))?/?")
# What lies beside an agent and is read with it.
_BESIDE = re.compile(r"(?:.*/)?(?:config\.yml|args\.yml|env_kwargs\.yml|[\w-]*vec_?normalize[\w-]*\.pkl)")
_MAX_FILE = 2 * 2**30
# A normaliser may have any name, and is no larger than this; a replay buffer mostly is.
_MAX_NORMALIZER = 16 * 2**20
# Zips of the Hub that hold no agent.
_OTHER_ZIPS = ("train_eval_metrics.zip",)


def fetch(address: str, *, revision: str | None = None) -> tuple[Path, str]:
    """Return the local path of the agent's zip at `address`, and the commit that it belongs to.

    Args:
        address: ``hf://org/repo`` where the repository holds one agent, or ``hf://org/repo/file.zip``.
        revision: A branch, tag or commit; the main branch without it.

    Raises:
        SourceError: There is no such repository, file or connection, or the Hub's client is not installed.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise SourceError(f"{address}: is no address of an agent; write hf://org/repo or hf://org/repo/file.zip.")
    try:
        import huggingface_hub
    except ImportError:
        raise SourceError(f"{address}: needs the Hub's client; pip install 'acclimate[hub]'.") from None
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        info = huggingface_hub.HfApi().model_info(match["repo"], revision=revision, files_metadata=True)
        commit, sizes = str(info.sha), {file.rfilename: file.size or 0 for file in info.siblings or ()}
        name = match["file"] or _agent_in(list(sizes), address)
        _check_size(name, sizes, address)
        path = _download(match["repo"], name, commit)
        for beside in sizes:
            if _belongs(beside, sizes[beside], name):
                _download(match["repo"], beside, commit)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SourceError(
            f"{address}: cannot be fetched ({reason}); check the name, the revision and the connection."
        ) from error
    return path, commit


def _agent_in(files: list[str], address: str) -> str:
    """Return the one zip of a repository that holds an agent."""
    zips = [name for name in files if name.endswith(".zip") and PurePosixPath(name).name not in _OTHER_ZIPS]
    top = [name for name in zips if "/" not in name]
    found = top or zips
    if len(found) != 1:
        if not found:
            raise SourceError(
                f"{address}: holds no zip, but {', '.join(files[:5]) or 'nothing'}; an agent is the zip that SB3's "
                "`model.save` writes."
            )
        listed = ", ".join(found[:5])
        raise SourceError(f"{address}: holds {len(found)} agents ({listed}); name one: {address.rstrip('/')}/FILE.zip.")
    return found[0]


def _belongs(beside: str, size: int, agent: str) -> bool:
    """Return whether a file is fetched with the agent: known by its name, or a pickle in the agent's folder."""
    if _BESIDE.fullmatch(beside):
        return size <= _MAX_FILE
    path = PurePosixPath(beside)
    return path.suffix == ".pkl" and path.parent == PurePosixPath(agent).parent and size <= _MAX_NORMALIZER


def _check_size(name: str, sizes: dict[str, Any], address: str) -> None:
    if name not in sizes:
        listed = ", ".join(sorted(file for file in sizes if file.endswith(".zip"))[:5]) or "no zip"
        raise SourceError(f"{address}: the repository has no `{name}`, but {listed}.")
    if sizes[name] > _MAX_FILE:
        raise SourceError(f"{address}: {sizes[name]} bytes are more than an agent may have ({_MAX_FILE}); refused.")


def _download(repo: str, name: str, commit: str) -> Path:
    import huggingface_hub

    return Path(huggingface_hub.hf_hub_download(repo, name, revision=commit))
