"""Volumes with rules of their own of how much history is kept, in place of those of the settings.

Kept in the registry as `policies/<volume id>`. Every collection goes by them, whoever starts it and
whatever else that one is told.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import msgspec

from cas.catalog import ReadTransaction
from cas.errors import NotFoundError
from cas.formats import REGISTRY_ID
from cas.maintenance.policy import VersionPolicy
from cas.nodes import NodeStore, SeenNodes
from cas.objects import Entry, decode, encode
from cas.paths import Names, join_names
from cas.registry import head_of
from cas.repository import Repository
from cas.retention import CalendarSpan, Retention
from cas.trees import iterate, lookup

_FOLDER: Final = b"policies"


class PolicyRecord(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a volume's history, as `VersionPolicy` says it."""

    every: CalendarSpan
    states: Retention
    versions: int | None
    audit: CalendarSpan | None


def policy_path(volume_id: bytes) -> Names:
    """Return the path of a volume's record in the registry."""
    return (_FOLDER, volume_id.hex().encode())


def policies(nodes: NodeStore, transaction: ReadTransaction) -> dict[bytes, VersionPolicy]:
    """Return the rules of the volumes that have their own, by their ids.

    Raises:
        FormatError: one cannot be read.
    """
    seen = SeenNodes(nodes, transaction)
    folder = lookup(seen, head_of(transaction, REGISTRY_ID).root.content, _FOLDER)
    if folder is None:
        return {}
    return {
        bytes.fromhex(name.decode()): policy_in(entry)
        for name, entry in iterate(seen, folder.content)
    }


def policy_in(entry: Entry) -> VersionPolicy:
    """Return the rules that an entry of the registry holds.

    Raises:
        FormatError: it holds something else.
    """
    record = decode(entry.content, PolicyRecord)
    return VersionPolicy(
        every=record.every, states=record.states, versions=record.versions, audit=record.audit
    )


def volume_policy(repository: Repository, volume_id: bytes) -> VersionPolicy | None:
    """Return the rules that a volume has of its own; None where those of the settings hold.

    Raises:
        FormatError: they cannot be read.
    """
    with repository.registry.view() as view:
        entry = view.get(join_names(policy_path(volume_id)))
        return None if entry is None else policy_in(entry)


def set_volume_policy(
    repository: Repository, name: str, policy: VersionPolicy | None, *, author: str = ""
) -> None:
    """Give a volume rules of its own, or none (None). What was given up before does not come back.

    Raises:
        NotFoundError: there is no such volume.
    """
    volume_id = repository.volume(name).id
    path = join_names(policy_path(volume_id))
    if policy is None:
        with suppress(NotFoundError), repository.registry.edit(author=author) as edit:
            edit.remove(path)
        return
    record = PolicyRecord(policy.every, policy.states, policy.versions, policy.audit)
    with repository.registry.edit(author=author) as edit:
        edit.make_directory(_FOLDER.decode(), parents=True)
        edit.put_record(path, encode(record))
