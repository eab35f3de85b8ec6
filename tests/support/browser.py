"""A real browser: Chromium without a window, told what to do by its DevTools protocol."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from websockets.sync.client import ClientConnection, connect

from tests.support.network import LOOPBACK
from tests.support.processes import end_group
from tests.support.programs import find_program
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SECONDS: Final = 60.0
_FLAGS: Final = (
    "--headless=new",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-sandbox",  # it does not run as root otherwise, and it shows our pages alone
    "--password-store=basic",
    "--remote-debugging-port=0",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOOPBACK}",
)


class Tab:
    """One tab. What it says of broken rules and failed requests is gathered in `complaints`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self._loads = 0
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    @property
    def url(self) -> str:
        """The address that the tab shows."""
        return str(self.value("location.href"))

    def open(self, url: str) -> None:
        """Go to an address and wait until the page is there."""
        before = self._loads
        failed = self._call("Page.navigate", url=url).get("errorText")
        assert not failed, f"{url}: {failed}"
        self._wait_for_load(before)

    def saves(self, url: str) -> bool:
        """Go to an address; return whether that is a file to be saved, and the page stays."""
        self._call("Browser.setDownloadBehavior", behavior="deny")
        return bool(self._call("Page.navigate", url=url).get("isDownload"))

    def fill(self, selector: str, text: str) -> None:
        """Type into the field that a CSS selector finds."""
        self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        self._call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click what a CSS selector finds, and wait for the page that it leads to."""
        before = self._loads
        self.value(f"document.querySelector({json.dumps(selector)}).click()")
        self._wait_for_load(before)

    def texts(self, selector: str) -> list[str]:
        """Return what is shown of all elements that a CSS selector finds."""
        found = f"document.querySelectorAll({json.dumps(selector)})"
        texts = self.value(f"Array.from({found}, each => each.innerText)")
        assert isinstance(texts, list)
        return texts

    def value(self, expression: str) -> object:
        """Return what an expression is in the page, as JSON can carry it."""
        result = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def _wait_for_load(self, before: int) -> None:
        while self._loads == before:
            self._take(self._connection.recv(_SECONDS))

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        words = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(words))
        while True:
            answer = self._take(self._connection.recv(_SECONDS))
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result = answer["result"]
                assert isinstance(result, dict)
                return result

    def _take(self, text: str | bytes) -> dict[str, Any]:
        message = json.loads(text)
        assert isinstance(message, dict)
        match message.get("method"):
            case "Page.loadEventFired":
                self._loads += 1
            case "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(message["params"]["exceptionDetails"]["text"])
        return message


@contextmanager
def running_browser(directory: Path) -> Iterator[Tab]:
    """Give an empty tab of a Chromium that keeps what it has in a directory and knows nothing."""
    program = find_program("chromium")
    assert program is not None, "chromium is not installed"
    log_path = directory / "chromium.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={directory / 'profile'}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with connect(_tab_url(process, log_path), max_size=None, proxy=None) as connection:
            yield Tab(connection)
    finally:
        end_group(process)


def _tab_url(process: subprocess.Popen[bytes], log_path: Path) -> str:
    said = re.compile(r"DevTools listening on (ws://\S+)")

    def listening() -> bool:
        text = log_path.read_text(errors="replace")
        assert process.poll() is None, f"chromium ended:\n{text}"
        return said.search(text) is not None

    wait_until(listening, "chromium to listen", timeout_seconds=_SECONDS)
    found = said.search(log_path.read_text(errors="replace"))
    assert found is not None
    with connect(found[1], max_size=None, proxy=None) as connection:
        connection.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
        targets = json.loads(connection.recv(_SECONDS))["result"]["targetInfos"]
    (page,) = [each["targetId"] for each in targets if each["type"] == "page"]
    return f"{found[1].partition('/devtools/')[0]}/devtools/page/{page}"
