"""The decoded registry: users, app passwords, grants and volumes as every request needs them.

Decoding is done once per change. A request asks for the registry's current root, a matter of
microseconds, and takes the decoded state if the root is the one it was decoded from. So a change
by any other process is seen by the next request.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import cas
from dav import records
from dav.records import AppPassword, Grant, User


class State(NamedTuple):
    """The registry at one moment. Nobody changes the mappings.

    `app_passwords` is keyed by digest, `grants` by volume id, then user name; `volumes` is sorted
    by name.
    """

    users: Mapping[str, User]
    app_passwords: Mapping[bytes, AppPassword]
    grants: Mapping[bytes, Mapping[str, Grant]]
    volumes: tuple[cas.VolumeInfo, ...]


class Registry:
    """Reads the registry of one repository, decoding what has changed. Thread-safe."""

    def __init__(self, repository: cas.Repository) -> None:
        self.repository = repository
        self._lock = threading.Lock()
        self._root: bytes | None = None
        self._parts: dict[str, bytes] = {}
        self._state = State({}, {}, {}, ())

    def state(self) -> State:
        """Return the registry as it is now."""
        with self.repository.registry.view() as view:
            root = view.root.content
            with self._lock:
                if root != self._root:
                    self._state = self._decode(view)
                    self._root = root
                return self._state

    def _decode(self, view: cas.View) -> State:
        """Decode the parts that have changed; the others are shared with the last state."""
        state = self._state
        changed = {part for part in _PARTS if self._has_changed(view, part)}
        if records.USERS in changed:
            users = (record for _, record in _records(view, records.USERS, User))
            state = state._replace(users={user.name: user for user in users})
        if records.TOKENS in changed:
            tokens = (record for _, record in _records(view, records.TOKENS, AppPassword))
            state = state._replace(app_passwords={token.digest: token for token in tokens})
        if records.GRANTS in changed:
            grants: dict[bytes, dict[str, Grant]] = {}
            for _, grant in _records(view, records.GRANTS, Grant):
                grants.setdefault(grant.volume_id, {})[grant.user] = grant
            state = state._replace(grants=grants)
        volumes = sorted(self.repository.volumes(), key=lambda volume: volume.name)
        return state._replace(volumes=tuple(volumes))

    def _has_changed(self, view: cas.View, part: str) -> bool:
        """Return whether a part differs from the one decoded last, and note the new one."""
        entry = view.get(part)
        content = entry.content if entry is not None else b""
        if self._parts.get(part, b"") == content:
            return False
        self._parts[part] = content
        return True


_PARTS = (records.USERS, records.TOKENS, records.GRANTS)
_Record = TypeVar("_Record", User, AppPassword, Grant)


def _records(view: cas.View, directory: str, expected: type[_Record]) -> list[tuple[str, _Record]]:
    """Return the records below a directory with their paths; none where there is no directory."""
    if view.get(directory) is None:
        return []
    return [
        (path, records.decode(entry.content, expected))
        for path, entry in view.walk(directory)
        if not entry.is_directory
    ]


def read_state(repository: cas.Repository) -> State:
    """Return the registry as it is now, for a caller that asks once."""
    return Registry(repository).state()


def ensure_directory(repository: cas.Repository, path: str, author: str) -> None:
    """Make a directory of the registry, with its parents, unless it is there."""
    with repository.registry.view() as view:
        if view.get(path) is not None:
            return
    try:
        with repository.registry.edit(author=author) as edit:
            edit.make_directory(path, parents=True)
    except cas.AlreadyExistsError:
        return  # Another process made it in between, which is as good.
