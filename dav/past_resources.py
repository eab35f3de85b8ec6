"""Resources for WsgiDAV's own methods: the past below `.snapshots`, which only reads."""

from __future__ import annotations

from typing import NoReturn

import msgspec
from wsgidav.dav_error import HTTP_CREATED, HTTP_FORBIDDEN, HTTP_NO_CONTENT, DAVError
from wsgidav.dav_provider import DAVCollection

import cas
from dav.identity import Right
from dav.locations import SNAPSHOTS_NAME
from dav.past import snapshot_entry
from dav.resources import FileResource, FolderResource, Session, Upload


class SnapshotsResource(DAVCollection):
    """The list of a volume's snapshots."""

    def __init__(self, session: Session, volume: cas.Volume) -> None:
        super().__init__(f"/{volume.name}/{SNAPSHOTS_NAME}", session.environ)
        self._session = session
        self._volume = volume

    def get_member_names(self) -> list[str]:
        """Return the names of the snapshots."""
        return [snapshot.name for snapshot in self._volume.snapshots()]

    def get_member_list(self) -> list[PastFolder]:
        """Return the snapshots, none of them opened."""
        return [
            PastFolder(self._session, self._volume, snapshot, "", snapshot_entry(snapshot))
            for snapshot in self._volume.snapshots()
        ]

    def get_member(self, name: str) -> PastFolder | PastFile | None:
        """Return a snapshot's root, None where there is none."""
        return _inside(self._session, self._volume, name, "")

    def prevent_locking(self) -> bool:
        """Return True."""
        return True

    def support_etag(self) -> bool:
        """Return False."""
        return False

    def get_etag(self) -> None:
        """Return None."""
        return


class _Past:
    """What files and folders of a snapshot have in common; mixed in before the live classes."""

    session: Session
    volume: cas.Volume
    snapshot: cas.Snapshot
    inside: str

    @property
    def view(self) -> cas.View:
        """The snapshot's pinned state."""
        return self.session.past(self.volume, self.snapshot.name)[1]

    def prevent_locking(self) -> bool:
        """Return True."""
        return True

    def set_property_value(self, name: str, value: object, *, dry_run: bool = False) -> NoReturn:
        """Raise a refusal: 403."""
        raise DAVError(HTTP_FORBIDDEN)

    def set_last_modified(self, dest_path: str, time_stamp: str, *, dry_run: bool) -> NoReturn:
        """Raise a refusal: 403."""
        raise DAVError(HTTP_FORBIDDEN)

    def handle_delete(self) -> NoReturn:
        """Raise a refusal: 403."""
        raise DAVError(HTTP_FORBIDDEN)

    def handle_move(self, dest_path: str) -> NoReturn:
        """Raise a refusal: 403."""
        raise DAVError(HTTP_FORBIDDEN)

    def handle_copy(self, dest_path: str, *, depth_infinity: bool) -> NoReturn:
        """Copy the resource out of the past in one operation.

        Raises:
            DAVError: 201 where the destination is new: WsgiDAV would say 204.
        """
        volume, path = self.session.target(dest_path)
        edit = self.session.edit(volume, path)
        view, inside, volume_id = self.view, self.inside, self.volume.id
        entry = view.entry(inside)
        if entry.is_directory and not depth_infinity:
            entry = msgspec.structs.replace(entry, content=b"", size=0, files=0, folders=0)
        edit.attach(
            path, entry, epoch=view.epoch, nodes=view.nodes, source=inside, source_volume=volume_id
        )
        [applied] = self.session.commit(edit)
        raise DAVError(HTTP_CREATED if applied.created else HTTP_NO_CONTENT)


class PastFile(_Past, FileResource):
    """A file of a snapshot."""

    def __init__(
        self,
        session: Session,
        volume: cas.Volume,
        snapshot: cas.Snapshot,
        path: str,
        entry: cas.Entry,
    ) -> None:
        super().__init__(session, volume, path, entry)
        self.snapshot = snapshot
        self.path = _address(volume, snapshot, path)

    def begin_write(self, *, content_type: str | None = None) -> Upload:
        """Raise a refusal: 403."""
        raise DAVError(HTTP_FORBIDDEN)


class PastFolder(_Past, FolderResource):
    """A folder of a snapshot, or its root."""

    def __init__(
        self,
        session: Session,
        volume: cas.Volume,
        snapshot: cas.Snapshot,
        path: str,
        entry: cas.Entry,
    ) -> None:
        super().__init__(session, volume, path, entry)
        self.snapshot = snapshot
        self.path = _address(volume, snapshot, path)

    def get_used_bytes(self) -> None:
        """Return None: the past counts against no quota."""

    def get_available_bytes(self) -> None:
        """Return None: the past counts against no quota."""

    def wrap(self, path: str, entry: cas.Entry) -> PastFolder | PastFile | None:
        """Return a member's resource, None for what WebDAV cannot show."""
        return _wrap(self.session, self.volume, self.snapshot, path, entry)

    def get_member(self, name: str) -> PastFolder | PastFile | None:
        """Return one member, None where there is none."""
        return _inside(self.session, self.volume, self.snapshot.name, self._member_path(name))

    def create_empty_resource(self, name: str) -> FileResource:
        """Raise a refusal: 403."""
        raise DAVError(HTTP_FORBIDDEN)

    def create_collection(self, name: str) -> FolderResource:
        """Raise a refusal: 403."""
        raise DAVError(HTTP_FORBIDDEN)


def past_resource(
    session: Session, volume_name: str, snapshot: str, path: str
) -> SnapshotsResource | PastFolder | PastFile | None:
    """Return what is at a path of a snapshot, or the list of them; None where nothing is.

    Args:
        session: whose right to read counts.
        volume_name: the volume's name.
        snapshot: the snapshot's name, empty for the list.
        path: the path inside it.
    """
    try:
        volume = session.repository.volume(volume_name)
    except (cas.NotFoundError, cas.InvalidError):
        return None
    if session.right(volume, path) < Right.READ:
        return None
    if not snapshot:
        return SnapshotsResource(session, volume)
    return _inside(session, volume, snapshot, path)


def _inside(
    session: Session, volume: cas.Volume, name: str, path: str
) -> PastFolder | PastFile | None:
    try:
        snapshot, view = session.past(volume, name)
        entry = view.get(path)
    except (cas.NotFoundError, cas.InvalidError):
        return None
    if not path:
        entry = snapshot_entry(snapshot)
    return None if entry is None else _wrap(session, volume, snapshot, path, entry)


def _wrap(
    session: Session, volume: cas.Volume, snapshot: cas.Snapshot, path: str, entry: cas.Entry
) -> PastFolder | PastFile | None:
    if entry.is_directory:
        return PastFolder(session, volume, snapshot, path, entry)
    return PastFile(session, volume, snapshot, path, entry) if entry.is_file else None


def _address(volume: cas.Volume, snapshot: cas.Snapshot, path: str) -> str:
    return f"/{volume.name}/{SNAPSHOTS_NAME}/{snapshot.name}/{path}".rstrip("/")
