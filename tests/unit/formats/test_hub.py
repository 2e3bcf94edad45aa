"""Agents from a Hub: a stand-in of its API on this machine, and the same safe reader."""

from __future__ import annotations

import hashlib
import http.server
import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import acclimate as ac
from acclimate.formats import hub
from tests import tiny

huggingface_hub = pytest.importorskip("huggingface_hub")

COMMITS = {"main": "a" * 40, "v1": "b" * 40}


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers what the client asks of the Hub: about a model at a revision, and for its files."""

    files: dict[str, dict[str, bytes]]
    asked: list[str]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0].strip("/")
        self.asked.append(path)
        if path.startswith("api/models/org/agent"):
            revision = path.partition("/revision/")[2] or "main"
            commit = COMMITS.get(revision, revision)
            if commit in self.files:
                siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files[commit].items()]
                data = json.dumps({"id": "org/agent", "sha": commit, "siblings": siblings, "tags": []}).encode()
                return self.reply(200, data, body, commit)
        if path.startswith("org/agent/resolve/"):
            commit, _, name = path.removeprefix("org/agent/resolve/").partition("/")
            if name in self.files.get(commit, {}):
                return self.reply(200, self.files[commit][name], body, commit)
        return self.reply(404, b'{"error": "not found"}', body, "", error="RepoNotFound")

    def reply(self, code: int, data: bytes, body: bool, commit: str, error: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """Serve a repository of one normalised agent, whose older revision has no normaliser."""
    agent = ac.load(tiny.model("ppo", normalize=True))
    agent.save(tmp_path / "made" / "ppo-Hopper-v3.zip")
    zip_, pkl = ((tmp_path / "made" / name).read_bytes() for name in ("ppo-Hopper-v3.zip", "vecnormalize.pkl"))
    base = {"ppo-Hopper-v3.zip": zip_, "config.yml": b"normalize: true", "README.md": b"#", "replay.mp4": b"0" * 999}
    handler = type("Handler", (Hub,), {"asked": [], "files": {}})
    handler.files = {COMMITS["main"]: {**base, "vec_normalize.pkl": pkl}, COMMITS["v1"]: base}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for place in ("huggingface_hub.constants", "huggingface_hub.hf_api", "huggingface_hub.file_download"):
        monkeypatch.setattr(f"{place}.ENDPOINT", address, raising=False)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", address, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setenv("HF_ENDPOINT", address)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_repository_with_its_normaliser(site: type[Hub], tmp_path: Path) -> None:
    agent = ac.load("hf://org/agent")
    expected = ac.load(tmp_path / "made" / "ppo-Hopper-v3.zip")
    obs = tiny.observations(tiny.BOX)
    np.testing.assert_array_equal(
        agent.predict(obs, deterministic=True)[0], expected.predict(obs, deterministic=True)[0]
    )
    assert agent.normalizer is not None
    assert agent.origin.revision == COMMITS["main"]
    assert agent.origin.env_id == "Hopper-v3"
    fetched = [path.rsplit("/", 1)[1] for path in site.asked if "/resolve/" in path]
    assert set(fetched) == {"ppo-Hopper-v3.zip", "config.yml", "vec_normalize.pkl"}
    # Every file is asked for at the commit, so that none can change in between.
    assert {path.split("/")[3] for path in site.asked if "/resolve/" in path} == {COMMITS["main"]}


def test_a_normaliser_under_another_name(site: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    files = site.files[COMMITS["main"]]
    files["stats.pkl"] = files.pop("vec_normalize.pkl")
    files["replay_buffer.pkl"] = b"0" * (len(files["stats.pkl"]) + 1)
    files["elsewhere/stats.pkl"] = files["stats.pkl"]
    monkeypatch.setattr(hub, "_MAX_NORMALIZER", len(files["stats.pkl"]))
    with pytest.warns(UserWarning, match=r"stats\.pkl, the only normaliser beside it"):
        assert ac.load("hf://org/agent").normalizer is not None
    fetched = [path.partition(COMMITS["main"] + "/")[2] for path in site.asked if "/resolve/" in path]
    assert set(fetched) == {"ppo-Hopper-v3.zip", "config.yml", "stats.pkl"}


def test_a_repository_of_something_else(site: type[Hub]) -> None:
    files = site.files[COMMITS["main"]]
    files["ppo.cleanrl_model"] = files.pop("ppo-Hopper-v3.zip")
    with pytest.raises(ac.SourceError, match=r"holds no zip, but .*ppo\.cleanrl_model"):
        ac.load("hf://org/agent")


def test_a_revision_and_a_file(site: type[Hub]) -> None:
    with pytest.raises(ac.SourceError, match=r"normalised observations"):
        ac.load("hf://org/agent/ppo-Hopper-v3.zip", revision="v1")
    agent = ac.load("hf://org/agent/ppo-Hopper-v3.zip", revision="v1", normalizer=None)
    assert agent.origin.revision == COMMITS["v1"]


def test_code_on_the_hub_is_not_run(site: type[Hub], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, (f"touch {tmp_path / 'ran'}",)

    site.files[COMMITS["main"]]["vec_normalize.pkl"] = pickle.dumps(Evil())
    with pytest.raises(ac.UnsafeFileError):
        ac.load("hf://org/agent")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://org/absent", "cannot be fetched"),
        ("hf://org/agent/absent.zip", "has no `absent.zip`, but ppo-Hopper-v3.zip"),
        ("hf://agent", "no address"),
        ("hf://org/agent/../../x.zip", ""),
        ("hf://org/agent/README.md", "no address"),
    ],
)
def test_addresses_that_lead_nowhere(site: type[Hub], address: str, message: str) -> None:
    with pytest.raises(ac.SourceError, match=message):
        ac.load(address)


def test_repositories_with_several_agents(site: type[Hub]) -> None:
    files = site.files[COMMITS["main"]]
    files["train_eval_metrics.zip"] = b"x"
    ac.load("hf://org/agent")
    files["other.zip"] = files["ppo-Hopper-v3.zip"]
    with pytest.raises(ac.SourceError, match=r"holds 2 agents \(ppo-Hopper-v3.zip, other.zip\); name one"):
        ac.load("hf://org/agent")


def test_the_client_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ac.SourceError, match=r"pip install 'acclimate\[hub\]'"):
        hub.fetch("hf://org/agent")
