"""What processes cost: CPU time of commands and of running servers, and their memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True)
class Cost:
    """What one command took, all processes that it started included. Seconds; memory in bytes."""

    cpu: float
    wall: float
    memory: int


# Linux counts the memory of whoever started a process as the process's own, as far as it goes
# beyond: a test run of 500 MiB would seem to be what every command needs. So a small process
# starts the command, and tells what that took.
_LAUNCHER: Final = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - start
cpu = usage.ru_utime + usage.ru_stime
report = [os.waitstatus_to_exitcode(status), cpu, wall, usage.ru_maxrss * 1024]
os.write(int(sys.argv[1]), json.dumps(report).encode())
"""


def _as_installed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment such that Python may keep its bytecode, as an installed program has.

    Where that is switched off, each start compiles all modules anew: 0.1 s that no user waits for.
    """
    return {n: value for n, value in environment.items() if n != "PYTHONDONTWRITEBYTECODE"}


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end and return its cost.

    Raises:
        AssertionError: it failed; with what it printed.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as report:
        try:
            completed = subprocess.run(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(writing), *map(str, command)],
                env=_as_installed({**os.environ, **(environment or {})}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(writing,),
                check=False,
            )
        finally:
            os.close(writing)
        printed = completed.stderr.decode(errors="replace")
        assert completed.returncode == 0, printed
        code, cpu, wall, memory = json.loads(report.read())
    assert code == 0, f"{command[0]} ended with {code}: {printed}"
    return Cost(cpu, wall, memory)


class Group:
    """The processes of a server: all those in the process group that it leads."""

    def __init__(self, leader: int) -> None:
        self._leader = leader

    def cpu_seconds(self) -> float:
        """Return the CPU time that the living processes have taken since they started."""
        return sum(map(_cpu_seconds, self._members()))

    def memory(self) -> int:
        """Return the present memory use in bytes, shared pages included."""
        return self._memory("VmRSS")

    def written(self) -> int:
        """Return the bytes that the living processes have had written to disks so far."""
        total = 0
        for member in self._members():
            for line in Path(f"/proc/{member}/io").read_text().splitlines():
                if line.startswith("write_bytes:"):
                    total += int(line.split()[1])
        return total

    def reset_peak(self) -> int:
        """Forget the greatest memory use so far; return the present one in bytes."""
        for member in self._members():
            Path(f"/proc/{member}/clear_refs").write_text("5")
        return self.memory()

    def peak(self) -> int:
        """Return the greatest memory use since `reset_peak` in bytes, shared pages included."""
        return self._memory("VmHWM")

    def _memory(self, name: str) -> int:
        total = 0
        for member in self._members():
            for line in Path(f"/proc/{member}/status").read_text().splitlines():
                if line.startswith(f"{name}:"):
                    total += int(line.split()[1]) * 1024
        return total

    def _members(self) -> list[int]:
        members = []
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(directory.name)) == self._leader:
                    members.append(int(directory.name))
            except ProcessLookupError:  # It has ended meanwhile.
                continue
        return members


def _cpu_seconds(process: int) -> float:
    # The clock id that clock_getcpuclockid(3) makes of a process id: nanoseconds, all threads.
    return time.clock_gettime((~process << 3) | 2)


def directory_size(directory: Path) -> int:
    """Return the bytes that the files below a directory take on the disk."""
    return sum(
        path.lstat().st_blocks * 512 for path in directory.rglob("*") if not path.is_symlink()
    )
