"""What the daemon says of a link: one struct for people, scripts and `--wait`."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from syncd.client.exits import Exit


class Phase(Enum):
    """What a link is doing."""

    STARTING = "starting"
    SCANNING = "looking at the folder"
    SYNCING = "syncing"
    IN_SYNC = "in sync"
    OFFLINE = "the server cannot be reached"
    SIGNED_OUT = "signed out"
    FULL = "no room"
    PAUSED = "paused"
    STOPPED = "stopped for safety"
    FAILED = "failed"


class LinkStatus(msgspec.Struct, kw_only=True):
    """The state of a link. JSON of `syncd status --json`; sizes are bytes, times seconds.

    Attributes:
        detail: why it is offline, stopped or failed.
        sequence: the newest state of the volume that is on this device.
        files_left: steps that are still to be done.
        to_upload, to_download: bytes of files that are still to go; what turns out to be there
            already counts as done.
        uploaded, downloaded: bytes of content that have gone since the daemon was started.
        upload_rate, download_rate: bytes a second, over the last seconds.
        seconds_left: at that rate, None where nobody can tell.
        problems, conflicts: how many paths the commands of these names list.
        in_sync_since: Unix time, None while it is not in sync.
    """

    id: str
    root: str
    place: str
    server: str
    phase: Phase = Phase.STARTING
    detail: str = ""
    sequence: int = 0
    files_left: int = 0
    to_upload: int = 0
    to_download: int = 0
    uploaded: int = 0
    downloaded: int = 0
    upload_rate: int = 0
    download_rate: int = 0
    seconds_left: int | None = None
    problems: int = 0
    conflicts: int = 0
    in_sync_since: float | None = None


_CODES: Final = {
    Phase.SIGNED_OUT: Exit.SIGNED_OUT,
    Phase.FULL: Exit.FULL,
    Phase.STOPPED: Exit.STOPPED,
    Phase.OFFLINE: Exit.UNREACHABLE,
    Phase.FAILED: Exit.ERROR,
}


def code_of(links: list[LinkStatus]) -> Exit:
    """Return the exit code of `syncd status`: that of the link that is worst off."""
    codes = [_code(link) for link in links]
    return max(codes, default=Exit.OK)


def _code(link: LinkStatus) -> Exit:
    if link.phase is Phase.IN_SYNC:
        return Exit.PROBLEMS if link.problems else Exit.OK
    return _CODES.get(link.phase, Exit.NOT_IN_SYNC)


def will_go_on(link: LinkStatus) -> bool:
    """Tell whether it is worth to wait: the link is at work, and nobody is needed."""
    return link.phase in {Phase.STARTING, Phase.SCANNING, Phase.SYNCING, Phase.OFFLINE}
