"""A device for tests: a folder, and a real `syncd` process that keeps it in sync."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.linked import tree_of
from tests.support.network import LOOPBACK
from tests.support.processes import casdav_environment
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.server import Server


@dataclass
class Device:
    name: str
    base: Path
    server: Server
    process: subprocess.Popen[bytes] | None = field(default=None)
    port: int = 0
    """Where it finds the server, if not at the server's own port."""

    @property
    def root(self) -> Path:
        return self.base / self.name

    @property
    def log(self) -> str:
        return (self.base / f"{self.name}.log").read_text(errors="replace")

    def command(
        self, *words: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `syncd`."""
        done = subprocess.run(
            [sys.executable, "-m", "syncd", *words],
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def _environment(self) -> dict[str, str]:
        return casdav_environment({"SYNCD_HOME": str(self.base / f"home-{self.name}")})

    def link(self, *options: str, volume: str = "") -> None:
        self.command(
            "link",
            *("--server", f"http://{LOOPBACK}:{self.port or self.server.port}"),
            *("--volume", volume or self.server.user, "--user", self.server.user),
            *("--root", str(self.root), "--name", self.name, "--password-file", "-"),
            *options,
            stdin=self.server.password,
        )

    def start(self) -> None:
        with (self.base / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "syncd", "run"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, f"the daemon of {self.name}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        return self.command("status", check=False).returncode != 11

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code

    def status(self) -> dict[str, Any]:
        (found,) = json.loads(self.command("status", "--json", check=False).stdout)
        assert isinstance(found, dict)
        return found

    def tree(self) -> dict[str, bytes | str | None]:
        """Return what the user sees; looked at anew where something went meanwhile."""
        while True:
            with suppress(FileNotFoundError):
                return tree_of(self.root)


def wait_until_sent(server: Server, **files: bytes) -> None:
    """Wait until the server has these files; `plan_txt` is `plan.txt`, `notes__a` is `notes/a`."""

    def are_there() -> bool:
        return all(
            server.request("GET", name.replace("__", "/").replace("_", "."))[2] == content
            for name, content in files.items()
        )

    wait_until(are_there, f"the server to have {', '.join(files)}", timeout_seconds=60)


def wait_for_same(*devices: Device) -> dict[str, bytes | str | None]:
    """Wait until all devices are in sync and hold the same; return what."""

    def same() -> bool:
        if any(device.status()["phase"] != "in sync" for device in devices):
            return False
        trees = [device.tree() for device in devices]
        return all(tree == trees[0] for tree in trees)

    wait_until(same, "the devices to hold the same", timeout_seconds=120)
    return devices[0].tree()
