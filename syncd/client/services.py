"""Starting the daemon with the user's session: systemd, launchd, or Windows' task scheduler.

One small class for each system. Where none of them is there, the daemon is started in the
background by itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, Protocol
from xml.sax.saxutils import escape

from syncd.client import places
from syncd.client.control import Question, ask
from syncd.client.exits import Failure

_SYSTEM: Final[str] = sys.platform
_NAME: Final = "syncd"
_LABEL: Final = "io.casdav.syncd"
_ANSWER_SECONDS: Final = 10


class Service(Protocol):
    """How a system runs the daemon for a user."""

    def start(self) -> str:
        """Start it, now and with each session; return in words what was done."""

    def stop(self) -> str:
        """End it, and do not start it any more; return in words what was done."""


def command() -> list[str]:
    """Return the words that run the daemon in the foreground."""
    found = shutil.which(_NAME, path=str(Path(sys.executable).parent))
    return [found, "run"] if found else [sys.executable, "-m", "syncd", "run"]


class Systemd:
    """A unit of the user's systemd (systemd.unit(5))."""

    def unit_file(self) -> Path:
        """Return where the unit is."""
        base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(base) / "systemd" / "user" / f"{_NAME}.service"

    def unit(self) -> str:
        """Return the unit."""
        words = " ".join(f'"{_quoted(word)}"' for word in command())
        named = os.environ.get(places.HOME_VARIABLE)
        home = f'Environment="{places.HOME_VARIABLE}={_quoted(named)}"\n' if named else ""
        return (
            "[Unit]\nDescription=casdav: folders in sync\n\n"
            f"[Service]\nExecStart={words}\n{home}"
            "Restart=on-failure\nNice=5\nIOSchedulingPriority=6\nNoNewPrivileges=yes\n\n"
            "[Install]\nWantedBy=default.target\n"
        )

    def start(self) -> str:
        """See `Service`."""
        links_unit = self.unit_file()
        links_unit.parent.mkdir(parents=True, exist_ok=True)
        links_unit.write_text(self.unit())
        _run("systemctl", "--user", "daemon-reload")
        _run("systemctl", "--user", "enable", "--now", f"{_NAME}.service")
        return f"started by systemd ({links_unit})"

    def stop(self) -> str:
        """See `Service`."""
        _run("systemctl", "--user", "disable", "--now", f"{_NAME}.service")
        return "ended; systemd does not start it any more"


class Launchd:
    """An agent of launchd (launchd.plist(5))."""

    def plist_file(self) -> Path:
        """Return where the agent's description is."""
        return Path.home() / "Library" / "LaunchAgents" / f"{_LABEL}.plist"

    def plist(self) -> str:
        """Return the agent's description."""
        words = "".join(f"<string>{escape(word)}</string>" for word in command())
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" '
            '"http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
            f'<plist version="1.0"><dict><key>Label</key><string>{_LABEL}</string>'
            f"<key>ProgramArguments</key><array>{words}</array>"
            "<key>RunAtLoad</key><true/>"
            "<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>"
            "<key>ProcessType</key><string>Background</string></dict></plist>\n"
        )

    def start(self) -> str:
        """See `Service`."""
        plist = self.plist_file()
        plist.parent.mkdir(parents=True, exist_ok=True)
        plist.write_text(self.plist())
        _run("launchctl", "bootstrap", f"gui/{os.getuid()}", str(plist))
        return f"started by launchd ({plist})"

    def stop(self) -> str:
        """See `Service`."""
        _run("launchctl", "bootout", f"gui/{os.getuid()}/{_LABEL}")
        self.plist_file().unlink(missing_ok=True)
        return "ended; launchd does not start it any more"


class WindowsTask:
    """A task that runs when the user logs on."""

    def words(self) -> list[str]:
        """Return the command that makes the task."""
        task = subprocess.list2cmdline(command())
        return ["schtasks", "/Create", "/F", "/SC", "ONLOGON", "/TN", _NAME, "/TR", task]

    def start(self) -> str:
        """See `Service`."""
        _run(*self.words())
        _run("schtasks", "/Run", "/TN", _NAME)
        return "started by the task scheduler"

    def stop(self) -> str:
        """See `Service`."""
        ask(places.control_socket(), Question(do="stop"))
        _run("schtasks", "/Delete", "/F", "/TN", _NAME)
        return "ended; the task scheduler does not start it any more"


class Background:
    """A process of its own, where there is no service manager."""

    def start(self) -> str:
        """See `Service`."""
        log = places.log_file()
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log.open("ab") as output:
            subprocess.Popen(  # noqa: S603 - our own program
                command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return f"started in the background, until you log out or `syncd stop` (log: {log})"

    def stop(self) -> str:
        """See `Service`."""
        ask(places.control_socket(), Question(do="stop"))
        return "ended"


def service_of_this_system(*, in_background: bool) -> Service:
    """Return how this system runs the daemon; `in_background` without its service manager."""
    if in_background:
        return Background()
    if _SYSTEM == "darwin":
        return Launchd()
    if _SYSTEM == "win32":
        return WindowsTask()
    has_systemd = Path("/run/systemd/system").is_dir() and bool(os.environ.get("XDG_RUNTIME_DIR"))
    return Systemd() if has_systemd else Background()


def _quoted(word: str) -> str:
    """Return a word for between double quotes in a unit (systemd.syntax(7))."""
    return word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        raise Failure(f"{words[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise Failure(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
