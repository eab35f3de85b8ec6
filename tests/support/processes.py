"""Running the real command line as its users do: as a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.encrypted import encrypted_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT: Final = Path(__file__).resolve().parents[2]


def casdav_command() -> list[str]:
    """Return the words that start `casdav`: the console script where it is installed."""
    script = Path(sys.executable).with_name("casdav")
    if script.exists():
        return [str(script)]
    return [sys.executable, "-c", "from tools.start import main; main()"]


def casdav_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which this checkout's packages are found from any directory."""
    return {
        **os.environ,
        "CASDAV_CONFIG": os.devnull,  # Not the settings file of the person who runs the tests.
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        **encrypted_environment(),
        **(extra or {}),
    }


def run_casdav(
    *arguments: str | Path,
    store: Path | str | None = None,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    timeout_seconds: float = 120.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run one `casdav` command to its end and return what it printed.

    Args:
        *arguments: the words after `casdav`.
        store: the repository, given as `CASDAV_STORE`; None leaves the default.
        stdin: text for standard input.
        environment: variables beside those of this process.
        timeout_seconds: when to kill it.
        check: whether an exit code other than 0 fails the test, with all that it printed.
    """
    completed = subprocess.run(
        [*casdav_command(), *map(str, arguments)],
        input=stdin,
        env=casdav_environment(
            {**({"CASDAV_STORE": str(store)} if store else {}), **(environment or {})}
        ),
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if check:
        assert completed.returncode == 0, (
            f"casdav {' '.join(map(str, arguments))} ended with {completed.returncode}\n"
            f"{completed.stdout}{completed.stderr}"
        )
    return completed


def end_group(process: subprocess.Popen[bytes], signal_number: int = signal.SIGKILL) -> int:
    """Signal the process group that the process leads, wait for its end, return its exit code.

    The process must have been started with `start_new_session=True`.
    """
    with contextlib.suppress(ProcessLookupError):  # The whole group may have ended already.
        os.killpg(process.pid, signal_number)
    return process.wait(timeout=60)
