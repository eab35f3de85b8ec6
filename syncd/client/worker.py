"""One link at work: the engine's turns, and what is between them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from cas import wire
from syncd.client.links import Link, Mode
from syncd.client.memory import give_back
from syncd.client.places import state_file
from syncd.client.reporting import LinkReport, is_in, is_like
from syncd.client.status import LinkStatus, Phase
from syncd.client.tokens import tokens_of
from syncd.disk.linked import Linked, open_linked
from syncd.disk.linked_disk import LinkedDisk
from syncd.disk.state import LinkState
from syncd.disk.unwanted import remove_unwanted
from syncd.engine import Engine, Turn
from syncd.following import forget_remote
from syncd.manner import Manner
from syncd.names import conflict_name
from syncd.numbering import last_node
from syncd.ports import StoppedError
from syncd.reasons import is_full, words
from syncd.remote.client import Remote
from syncd.remote.connection import Connection
from syncd.remote.credentials import Credentials
from syncd.remote.errors import NoRoomError, RemoteError, SignedOutError
from syncd.remote.feed import Listener
from syncd.remote.pace import Backoff, PatientBucket, TokenBucket
from syncd.skipping import Skipped, SkippingServer
from syncd.transfers import LinkTransfers
from syncd.trees import NodeIds

_ASK_SECONDS: Final = 300.0
"""How often the server is asked although it has said nothing."""
_MANY_TURNS: Final = 50
_PAUSE_SECONDS: Final = 1.0
_SIGNED_OUT_SECONDS: Final = 60.0
_FULL_SECONDS: Final = 10.0
_LONG_SECONDS: Final = 5.0
_RESTS: Final = 3
"""How long the engine rests beside the transfers, in lengths of its turn."""
_LONGEST_REST_SECONDS: Final = 2.0


class SystemTime:
    """This machine's clocks."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970, UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return seconds of a clock that is never set."""
        return time.monotonic()


class _Open(NamedTuple):
    """What is open while a link is at work."""

    engine: Engine
    disk: LinkedDisk
    transfers: LinkTransfers


class LinkWorker:
    """Keeps one linked folder in sync; see `Worker`.

    Args:
        link: the folder and the place.
        up, down: limits that all links share.
        new_mode: permission bits of new files.
    """

    def __init__(self, link: Link, up: TokenBucket, down: TokenBucket, new_mode: int) -> None:
        self._link = link
        self._new_mode = new_mode
        self._state = LinkState(state_file(link.id))
        self._report = LinkReport(link, self._state)
        tokens = Credentials(tokens_of(link))
        self._remote = Remote(Connection(link.server, tokens, up=up, down=down))
        self._patient = Remote(
            Connection(link.server, tokens, up=PatientBucket(up), down=PatientBucket(down))
        )
        self._stopped = threading.Event()
        self._gate = threading.Condition()
        self._is_paused = link.is_paused
        self._accepts_deletes = False
        self._turns_in_a_row = 0
        self._busy_since_s = math.inf
        self._wake: Callable[[], None] = lambda: None

    # Called by any thread.

    def status(self) -> LinkStatus:
        """See `Worker`."""
        return self._report.status()

    def token(self) -> str:
        """See `Worker`."""
        return self._remote.connection.token()

    def pause(self) -> None:
        """See `Worker`."""
        with self._gate:
            self._is_paused = True
        self._wake()

    def resume(self, *, accepts_deletes: bool) -> None:
        """See `Worker`."""
        with self._gate:
            self._is_paused = False
            self._accepts_deletes = self._accepts_deletes or accepts_deletes
            self._gate.notify_all()
        self._wake()

    def stop(self) -> None:
        """See `Worker`."""
        self._stopped.set()
        self._remote.connection.close()
        self._patient.connection.close()
        with self._gate:
            self._gate.notify_all()
        self._wake()

    # The worker's own thread.

    def run(self) -> None:
        """See `Worker`."""
        backoff = Backoff()
        while not self._stopped.is_set():
            try:
                self._work(backoff)
            except StoppedError as error:
                self._report.enter(Phase.STOPPED, str(error))
                self._rest(None)
            except RemoteError as error:
                self._stumble(error, backoff)
            except OSError as error:
                if not is_full(error):
                    raise
                self._report.enter(Phase.FULL, words(error))
                self._rest(_FULL_SECONDS)
        self._state.close()

    def _stumble(self, error: RemoteError, backoff: Backoff) -> None:
        """Show why it does not go on, and wait before the next attempt."""
        if self._stopped.is_set():
            return
        phase, seconds = Phase.OFFLINE, backoff.pause()
        if isinstance(error, SignedOutError):
            phase, seconds = Phase.SIGNED_OUT, _SIGNED_OUT_SECONDS
        elif isinstance(error, NoRoomError):
            phase = Phase.FULL
        self._report.enter(phase, str(error))
        self._rest(seconds)

    def _rest(self, seconds: float | None) -> None:
        with self._gate:
            if not self._stopped.is_set():
                self._gate.wait(seconds)

    def _work(self, backoff: Backoff) -> None:
        """Open everything, and take turns until something breaks off."""
        self._report.enter(Phase.STARTING)
        self._wait_while_paused()
        with ExitStack() as opened:
            opens = self._open(opened)
            self._wake = opens.disk.wake
            while not self._stopped.is_set():
                if self._is_paused:
                    opens.transfers.halt()
                    self._wait_while_paused()
                    continue
                try:
                    self._turn(opens.engine, opens.disk)
                except RemoteError as error:
                    self._stumble(error, backoff)
                else:
                    backoff.reset()

    def _turn(self, engine: Engine, disk: LinkedDisk) -> None:
        with self._gate:
            if self._accepts_deletes:
                engine.accept_deletions()
                self._accepts_deletes = False
        self._busy_since_s = min(self._busy_since_s, time.monotonic())
        if self._report.status().phase not in {Phase.IN_SYNC, Phase.FULL}:
            self._report.enter(Phase.SYNCING, sequence=engine.sequence)
        began_s = time.monotonic()
        turn = engine.turn()
        if turn is Turn.MOVING:
            # Each large file that comes or goes ends in a turn; many of them have one together.
            self._rest(min(_RESTS * (time.monotonic() - began_s), _LONGEST_REST_SECONDS))
        if turn is Turn.AGAIN:
            self._report.enter(Phase.SYNCING, sequence=engine.sequence)
            self._turns_in_a_row += 1
            if self._turns_in_a_row > _MANY_TURNS:
                self._rest(_PAUSE_SECONDS)  # Nothing needs so many: something goes in a circle.
            return
        self._turns_in_a_row = 0
        if turn is Turn.IN_SYNC:
            self._come_to_rest(disk)
        phase, detail = Phase.IN_SYNC, ""
        if turn is Turn.FULL:
            phase, detail = Phase.FULL, engine.lack_of_room()
        elif turn is Turn.MOVING or (turn is Turn.WAITING and not self._report.status().problems):
            phase = Phase.SYNCING  # Files are being written: they follow when they are whole.
        self._report.enter(phase, detail, sequence=engine.sequence)
        again_s = engine.next_try_s()
        seconds = _ASK_SECONDS if again_s is None else again_s - time.monotonic()
        disk.wait(max(min(seconds, _ASK_SECONDS), 0.0))
        if seconds >= _ASK_SECONDS:
            engine.ask_server()

    def _come_to_rest(self, disk: LinkedDisk) -> None:
        """Tidy up after work: what is kept is bounded, and a long sync's memory is given back."""
        disk.nodes.tidy()
        busy_s, self._busy_since_s = time.monotonic() - self._busy_since_s, math.inf
        if busy_s > _LONG_SECONDS:
            give_back()

    def _wait_while_paused(self) -> None:
        with self._gate:
            while self._is_paused and not self._stopped.is_set():
                self._report.enter(Phase.PAUSED)
                self._gate.wait()

    def _open(self, opened: ExitStack) -> _Open:
        link = self._link
        linked = open_linked(Path(link.root), link.id, self._state, self._copy_name, self._new_mode)
        opened.callback(linked.close)
        self._report.enter(Phase.SCANNING)
        welcome = self._remote.welcome()
        place = wire.Place(
            bytes.fromhex(link.volume_id), link.path.encode("utf-8", "surrogateescape")
        )
        ids = NodeIds(last_node(self._state.base, self._state))
        skipped = self._choose(linked)
        disk = LinkedDisk(linked, link.id, welcome.keys, ids, lambda: skipped.paths)
        opened.callback(disk.close)
        disk.start()
        transfers = LinkTransfers(
            self._remote, self._patient, place, disk, welcome.keys, self._report
        )
        opened.callback(transfers.close)
        manner = Manner(
            link.device,
            sends=link.mode is not Mode.DOWNLOAD_ONLY,
            takes=link.mode is not Mode.UPLOAD_ONLY,
            later_wins=partial(is_in, folders=link.later_wins),
            may_merge=partial(is_like, patterns=link.merge_texts),
            holders=skipped.holders,
        )
        engine = Engine(
            place,
            manner,
            self._state,
            disk,
            SkippingServer(self._remote, skipped),
            transfers,
            self._report,
            SystemTime(),
            ids,
        )

        def news(_: wire.Place, sequence: int) -> None:
            engine.hint(sequence)
            disk.wake()

        listener = Listener(self._remote, [place], news)
        listener.start()
        opened.callback(listener.close)
        return _Open(engine, disk, transfers)

    def _choose(self, linked: Linked) -> Skipped:
        """Take what the user has chosen not to have here, and remove what that is new for."""
        skipped = Skipped(self._state)
        said = sorted(self._link.skipped)
        if skipped.said != said:
            for path in said:
                remove_unwanted(linked, path)
            with self._state.transaction():
                skipped.set(said)
                forget_remote(self._state)
        return skipped

    def _copy_name(self, path: str, number: int) -> str:
        folder, slash, name = path.rpartition("/")
        taken = iter(range(number))
        made = conflict_name(
            name, self._link.device, time.time_ns(), lambda _: next(taken, None) is not None
        )
        return f"{folder}{slash}{made}"
