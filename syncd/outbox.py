"""The one commit that may be on its way: written down before it is sent, until it is answered.

An answer that was lost is asked for again with the same key, also after a restart. So the device
knows what it has committed, and never takes its own change for somebody else's.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from cas import wire
from syncd.committing import operations
from syncd.following import RemoteTree
from syncd.plan import Action, Step
from syncd.ports import Server, State
from syncd.reasons import words
from syncd.remote.errors import (
    ConflictError,
    GoneError,
    MissingError,
    NoRoomError,
    RefusedError,
)

_KEY: Final = "commit"
_NODES_KEY: Final = "nodes of the commit"
_MAKES: Final = frozenset({Action.MAKE_FOLDER, Action.PUT})


def nodes_on_their_way(state: State) -> dict[bytes, int]:
    """Return the nodes that the commit on its way makes, by path."""
    encoded = state.read(_NODES_KEY)
    return msgspec.msgpack.decode(encoded, type=dict[bytes, int]) if encoded else {}


class RefusedStepsError(Exception):
    """The server will not take these steps as they are; trying at once again does not help."""

    def __init__(self, error: RefusedError) -> None:
        super().__init__(str(error))
        self._error = error

    def blamed(self, steps: Sequence[Step]) -> list[tuple[Step, str]]:
        """Return which of the steps it was, with the reason; none where that is not known."""
        error = self._error
        failures = {failure.index: failure for failure in error.refusal.failures}
        if failures:
            return [
                (step, failures[index].message or failures[index].kind)
                for index, step in enumerate(steps)
                if index in failures
            ]
        reason = words(error)
        if isinstance(error, MissingError | NoRoomError):
            return [(step, reason) for step in steps if step.action is Action.PUT]
        return [(steps[0], reason)] if len(steps) == 1 else []


class Outbox:
    """Sends commits, one at a time.

    Args:
        place, device: whose.
        state: where the commit on its way is written down.
        server: where it goes.
        new_key: gives a key that no commit has had.
    """

    def __init__(
        self,
        place: wire.Place,
        device: str,
        state: State,
        server: Server,
        new_key: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._place = place
        self._device = device
        self._state = state
        self._server = server
        self._new_key = new_key
        encoded = state.read(_KEY)
        self._waiting = wire.decode_message(encoded, wire.CommitRequest) if encoded else None
        self._nodes = nodes_on_their_way(state)
        self.is_careful = False

    @property
    def is_waiting(self) -> bool:
        """Whether a commit was sent of which it is not known what came of it."""
        return self._waiting is not None

    def nodes_of(self, key: str) -> Mapping[bytes, int] | None:
        """Return which nodes the commit with a key has made at which paths.

        None where it is not the commit that was sent last.
        """
        is_mine = self._waiting is not None and self._waiting.key == key
        return self._nodes if is_mine else None

    def commit(
        self, steps: Sequence[Step], bases: Sequence[Sequence[bytes]], remote: RemoteTree
    ) -> bool:
        """Commit steps.

        Returns:
            whether they are all that has happened since the state of `remote`, which is then
            `forget`'s caller's to bring up to date. Otherwise the changes are to be asked for.

        Raises:
            ConflictError: what they expect does not hold.
            RefusedStepsError: the server will not take them.
            RemoteError: there was no answer: `is_waiting` stays.
        """
        request = wire.CommitRequest(
            self._place,
            self._new_key(),
            remote.sequence,
            operations(steps, bases),
            device=self._device,
        )
        nodes = {os.fsencode(step.path): step.node for step in steps if step.action in _MAKES}
        with self._state.transaction():
            self._state.write(_KEY, wire.encode_message(request))
            self._state.write(_NODES_KEY, msgspec.msgpack.encode(nodes))
        self._waiting, self._nodes = request, nodes
        committed = self._send(len(steps))
        if committed.is_repeated or committed.before != remote.sequence:
            return False
        remote.sequence = committed.sequence
        return True

    def send_again(self) -> None:
        """Send the commit again that has no answer yet; raises as `commit` does."""
        if self._waiting is not None:
            self._send(len(self._waiting.operations))

    def _send(self, count: int) -> wire.Committed:
        assert self._waiting is not None  # noqa: S101 - only then it is called
        try:
            committed = self._server.commit(self._waiting)
        except GoneError:
            raise
        except ConflictError:
            self.forget()
            raise
        except RefusedError as error:
            self.forget()
            is_of_one = bool(error.refusal.failures) or isinstance(
                error, MissingError | NoRoomError
            )
            self.is_careful = count > 1 and not is_of_one
            raise RefusedStepsError(error) from error
        self.is_careful = False
        return committed

    def forget(self) -> None:
        """What came of the commit is in the trees, or it was refused."""
        if self._waiting is not None:
            with self._state.transaction():
                self._state.write(_KEY, b"")
                self._state.write(_NODES_KEY, b"")
            self._waiting, self._nodes = None, {}
