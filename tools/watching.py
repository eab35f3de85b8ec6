"""Showing how long work gets on, and what it finds."""

from __future__ import annotations

import cas
from tools.names import json_name, printable, short_time
from tools.output import NoProgress, Output, Progress

_STATES_SHOWN = 3
_REGISTRY = "(registry)"
_COMMIT_DIGITS = 64


class StagePrinter(cas.Watcher):
    """Shows how long work gets on."""

    def __init__(self, output: Output, progress: Progress) -> None:
        self._output = output
        self._progress = progress

    def stage(self, name: str, total: int | None = None) -> None:
        """Say what is being done now."""
        self._output.detail(name)
        if total is not None:
            self._progress.expect(total, 0)

    def waiting(self, processes: list[cas.WaitedFor]) -> None:
        """Say who is waited for."""
        shown = ", ".join(map(_waited_for_text, processes))
        self._output.warn(f"waiting for {shown}; to stop now does no harm")

    def queued(self) -> None:
        """Say that this has to wait for its turn."""
        _say_queued(self._output)

    def advance(self, steps: int) -> None:
        """Show that it goes on."""
        self._progress.advance(steps, 0)


class DamagePrinter(cas.DamageWatcher):
    """Prints what a check finds, as it finds it; one that is quiet only which paths are hit."""

    def __init__(
        self, output: Output, progress: Progress | None = None, *, quiet: bool = False
    ) -> None:
        self._output = output
        self._progress = progress or NoProgress()
        self._is_quiet = quiet
        self._is_first = True

    def damage(self, damage: cas.Damage) -> None:
        """Print one thing that is wrong."""
        if self._is_quiet:
            return
        self._output.message("damage", _damage_members(damage))
        self._output.text(f"{damage.kind}: {printable(damage.message)}")

    def affected(self, affected: cas.Affected) -> None:
        """Print a path that cannot be read."""
        if self._is_first:
            self._is_first = False
            self._output.text("\nThese cannot be read, in whole or in part:")
        members = {
            **json_name("volume", affected.volume),
            **json_name("path", affected.path),
            "states": list(affected.states),
        }
        self._output.message("affected", members)
        where = printable(f"{affected.volume or _REGISTRY}:/{affected.path}")
        self._output.text(f"  {where}{_states_text(affected.states)}")

    def stage(self, name: str, total: int | None = None) -> None:
        """Show how much will be read."""
        self._output.detail(name)
        self._progress.expect(0, total or 0)

    def queued(self) -> None:
        """Say that this has to wait for its turn."""
        _say_queued(self._output)

    def advance(self, steps: int) -> None:
        """Show how much was read."""
        self._progress.advance(1, steps)


def _waited_for_text(each: cas.WaitedFor) -> str:
    if not each.since_ns:
        return f"process {each.process}"
    where = f" in {printable(each.volume)}" if each.volume else ""
    return f"process {each.process}, for a write{where} since {short_time(each.since_ns)}"


def _say_queued(output: Output) -> None:
    output.warn("waiting for another gc, check, repair or replicate; to stop now does no harm")


def _damage_members(damage: cas.Damage) -> dict[str, object]:
    return {
        "kind": damage.kind.value,
        "reason": damage.message,
        "pack": damage.pack.hex() or None,
        "offset": damage.offset or None,
        "object": damage.object_id.hex() or None,
        "object_kind": damage.object_kind.name.lower() if damage.object_kind else None,
    }


def _states_text(states: tuple[str, ...]) -> str:
    """Return in which states a path is hit; nothing if only in the present one."""
    past = [f"@{state}" if len(state) < _COMMIT_DIGITS else f"@{state[:12]}…" for state in states]
    if "" in states:
        past = ["now", *(f"@{state}" for state in states if state)]
    if past == ["now"]:
        return ""
    more = f" and {len(past) - _STATES_SHOWN:,} more" if len(past) > _STATES_SHOWN else ""
    return f"  ({', '.join(past[:_STATES_SHOWN])}{more})"
