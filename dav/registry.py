"""The decoded registry: users, app passwords, grants and volumes as every request needs them.

Decoding is done once per change. A request asks for the registry's mark, a matter of
microseconds, and takes the decoded state if the mark is the one it was decoded at. So a change
by any other process is seen by the next request.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import cas
from dav import records
from dav.records import AppPassword, Device, Grant, User


class State(NamedTuple):
    """The registry at one moment. Nobody changes the mappings.

    `app_passwords` is keyed by digest, `devices` by id, `grants` by volume id, then user name;
    `volumes` is sorted by name.
    """

    users: Mapping[str, User]
    app_passwords: Mapping[bytes, AppPassword]
    grants: Mapping[bytes, Mapping[str, Grant]]
    volumes: tuple[cas.VolumeInfo, ...]
    devices: Mapping[str, Device] = MappingProxyType({})


class Registry:
    """Reads the registry of one repository, decoding what has changed. Thread-safe."""

    def __init__(self, repository: cas.Repository) -> None:
        self.repository = repository
        self._lock = threading.Lock()
        self._volume = repository.registry
        self._marked: tuple[bytes | None, State] = (None, State({}, {}, {}, ()))
        self._contents: dict[str, bytes] = {}

    def state(self) -> State:
        """Return the registry as it is now."""
        mark = self._volume.mark()
        known, state = self._marked
        if known == mark:
            return state
        with self._lock, self._volume.view() as view:
            # The view may be newer than the mark: then it is only decoded once more.
            state = self._decode(view)
            self._marked = (mark, state)
        return state

    def _decode(self, view: cas.View) -> State:
        """Decode the parts that have changed; the others are shared with the last state."""
        _, state = self._marked
        contents = {part: _content(view, part) for part in _PARTS}
        changed = {part for part in _PARTS if contents[part] != self._contents.get(part)}
        if records.USERS in changed:
            users = _records(view, records.USERS, User)
            state = state._replace(users={user.name: user for user in users})
        if records.TOKENS in changed:
            tokens = _records(view, records.TOKENS, AppPassword)
            state = state._replace(app_passwords={token.digest: token for token in tokens})
        if records.GRANTS in changed:
            grants: dict[bytes, dict[str, Grant]] = {}
            for grant in _records(view, records.GRANTS, Grant):
                grants.setdefault(grant.volume_id, {})[grant.user] = grant
            state = state._replace(grants=grants)
        if records.DEVICES in changed:
            devices = _records(view, records.DEVICES, Device)
            state = state._replace(devices={device.id: device for device in devices})
        state = state._replace(volumes=tuple(self.repository.volumes()))
        # Last, so that a record that cannot be decoded is met again and never passed over.
        self._contents = contents
        return state


_PARTS = (records.USERS, records.TOKENS, records.GRANTS, records.DEVICES)
_Record = TypeVar("_Record", User, AppPassword, Grant, Device)


def _content(view: cas.View, part: str) -> bytes:
    """Return what stands for all that is below a part, empty where nothing is."""
    entry = view.get(part)
    return entry.content if entry is not None else b""


def _records(view: cas.View, part: str, expected: type[_Record]) -> Iterator[_Record]:
    """Yield the records below a part; none where there is no such directory."""
    if view.get(part) is None:
        return
    for _, entry in view.walk(part):
        if not entry.is_directory:
            yield records.decode(entry.content, expected)


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
