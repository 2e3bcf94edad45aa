"""The page in a real browser, driven over a pipe by the DevTools protocol."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.findings import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-pipe"
)


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        self._buffer, self._number, self.events = b"", 0, []
        self._session: str | None = None

        def connect() -> None:
            """Put the pipes on the descriptors 3 and 4, where Chromium speaks."""
            high = [fcntl.fcntl(end, fcntl.F_DUPFD, 64) for end in (to_read, to_write)]
            for end, number in zip(high, (3, 4), strict=True):
                os.dup2(end, number)

        self.process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={profile}"],
            pass_fds=(3, 4),
            preexec_fn=connect,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)

    def start(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path) -> None:
        self.call("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def of(self, *methods: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] in methods]

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._write)
        os.close(self._read)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            read = os.read(self._read, 65_536)
            assert read, "the browser ended"
            self._buffer += read
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not looked at in a real browser")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    report().write(tmp_path / "run")
    page = tmp_path / "run" / "report.html"
    browser = Browser(tmp_path / "profile")
    try:
        browser.start()
        browser.call("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        browser.open(page)
        assert browser.value("document.title") == "Better on the target task: HalfCheetah-v5 with gravity=0.5"
        assert browser.value("document.getElementById('verdict').dataset.verdict") == "better"
        assert "50 paired episodes" in browser.value("document.querySelector('header').innerText")
        assert browser.value("document.documentElement.scrollWidth") == 390  # nothing sticks out on a phone
        assert browser.value("document.querySelector('img').naturalWidth") == 840  # the narrow chart
        browser.value("document.querySelector('button[data-copy]').click()")
        assert browser.value("getSelection().toString()").startswith("import acclimate as ac")
        colours = []
        for scheme in ("light", "dark"):
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            colours.append(browser.value("getComputedStyle(document.body).backgroundColor"))
        assert colours == ["rgb(243, 245, 248)", "rgb(14, 17, 22)"]
        asked = {sent["request"]["url"] for sent in browser.of("Network.requestWillBeSent")}
        assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
        assert browser.of("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") == []
    finally:
        browser.close()
