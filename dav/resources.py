"""Resources for WsgiDAV's own methods: what a provider hands out in somebody else's application.

Our own application asks `dav.methods` instead. Reads of one request see one state, a PUT becomes
visible at its end or not at all, and COPY, MOVE and DELETE are single operations.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, NoReturn

from wsgidav.dav_error import (
    HTTP_CONFLICT,
    HTTP_CREATED,
    HTTP_FORBIDDEN,
    HTTP_NO_CONTENT,
    HTTP_NOT_FOUND,
    DAVError,
)
from wsgidav.dav_provider import DAVCollection, DAVNonCollection
from wsgidav.util import parse_time_string

import cas
from dav.dates import NANOSECONDS
from dav.errors import answer_for, message_for
from dav.etags import etag
from dav.grants import Rights
from dav.identity import Principal, Right
from dav.locations import SNAPSHOTS_NAME
from dav.paths import is_representable
from dav.properties import content_type

Environ = dict[str, Any]


class Session:
    """What the resources of one request share: the user, and the pinned views.

    After a change the views are taken anew, so that the request sees what it did.
    """

    def __init__(
        self, repository: cas.Repository, rights: Rights, principal: Principal, environ: Environ
    ) -> None:
        self.repository = repository
        self.rights = rights
        self.principal = principal
        self.environ = environ
        self._views: dict[str, tuple[cas.Volume, cas.View]] = {}
        self._past: dict[tuple[bytes, str], tuple[cas.Snapshot, cas.View]] = {}
        # WsgiDAV tells no end of a request. With the environment these views go, too, and give
        # up their pins by themselves; a finaliser must not close them: it may run anywhere, also
        # in a thread that holds the lock which closing takes.

    def view(self, volume_name: str) -> tuple[cas.Volume, cas.View]:
        """Return a volume and its pinned view.

        Raises:
            NotFoundError: there is no such volume.
        """
        if volume_name not in self._views:
            volume = self.repository.volume(volume_name)
            self._views[volume_name] = (volume, volume.view())
        return self._views[volume_name]

    def past(self, volume: cas.Volume, name: str) -> tuple[cas.Snapshot, cas.View]:
        """Return a snapshot and its pinned view.

        Raises:
            NotFoundError: there is none of this name.
        """
        key = volume.id, name
        if key not in self._past:
            self._past[key] = volume.at_snapshot(name)
        return self._past[key]

    def right(self, volume: cas.Volume, path: str) -> Right:
        """Return what the user may do at a path."""
        return self.rights.right(self.principal, volume.info, path)

    def resource(self, volume_name: str, path: str) -> FolderResource | FileResource | None:
        """Return the resource at a path of a volume, None where there is none to show."""
        try:
            volume, view = self.view(volume_name)
            entry = None if path.partition("/")[0] == SNAPSHOTS_NAME else view.get(path)
        except (cas.NotFoundError, cas.InvalidError):
            return None
        if entry is None or self.right(volume, path) < Right.READ:
            return None
        return self.wrap(volume, path, entry)

    def wrap(
        self, volume: cas.Volume, path: str, entry: cas.Entry
    ) -> FolderResource | FileResource | None:
        """Return the resource for an entry, None for what WebDAV cannot show."""
        if entry.is_directory:
            return FolderResource(self, volume, path, entry)
        return FileResource(self, volume, path, entry) if entry.is_file else None

    def edit(self, volume: cas.Volume, path: str) -> cas.Edit:
        """Return an edit of a volume.

        Raises:
            DAVError: 403 where the user may not write at the path, or nobody.
        """
        if path.partition("/")[0] == SNAPSHOTS_NAME or self.right(volume, path) < Right.WRITE:
            raise DAVError(HTTP_FORBIDDEN)
        # WsgiDAV has checked its own locks by now. Those of the repository's table are for our
        # methods' clients: a change that they forbid is refused with 423.
        return volume.edit(author=self.principal.name)

    def commit(self, edit: cas.Edit) -> list[cas.Applied]:
        """Commit an edit and let the request see it; return what it did.

        Raises:
            DAVError: it was refused.
        """
        try:
            edit.commit()
        except cas.CasError as error:
            refuse(error)
        _close_all(self._views, self._past)
        return edit.outcome

    def target(self, dest_path: str) -> tuple[cas.Volume, str]:
        """Return volume and path of a destination, relative to the share.

        Raises:
            DAVError: 403 where it is not inside a volume, 409 where there is no such volume.
        """
        names = [name for name in dest_path.split("/") if name]
        if len(names) <= 1 or not all(map(is_representable, names)):
            raise DAVError(HTTP_FORBIDDEN)
        try:
            volume, _ = self.view(names[0])
        except cas.NotFoundError as error:
            raise DAVError(HTTP_CONFLICT) from error
        return volume, "/".join(names[1:])


def refuse(error: cas.CasError) -> NoReturn:
    """Raise an error of the engine as WsgiDAV's.

    Raises:
        DAVError: always.
    """
    raise DAVError(answer_for(error).status, context_info=message_for(error)) from error


def _close_all(*pinned: dict[Any, tuple[Any, cas.View]]) -> None:
    for views in pinned:
        for _, view in views.values():
            view.close()
        views.clear()


class _Common:
    """What files and folders have in common; mixed into WsgiDAV's classes."""

    session: Session
    volume: cas.Volume
    inside: str
    entry: cas.Entry
    environ: Environ

    @property
    def view(self) -> cas.View:
        """The pinned state that the resource is of."""
        return self.session.view(self.volume.name)[1]

    def get_creation_date(self) -> float:
        """Return seconds since the epoch."""
        return (self.entry.created_ns or self.entry.mtime_ns) / NANOSECONDS

    def get_last_modified(self) -> float:
        """Return seconds since the epoch."""
        return self.entry.mtime_ns / NANOSECONDS

    def get_etag(self) -> str:
        """Return the content id, without quotes as WsgiDAV wants it."""
        return etag(self.volume, self.entry)

    def support_etag(self) -> bool:
        """Return True."""
        return True

    def set_last_modified(self, dest_path: str, time_stamp: str, *, dry_run: bool) -> bool:
        """Set the time of the resource: seconds since the epoch or an HTTP date, as text."""
        del dest_path
        seconds = parse_time_string(time_stamp)
        if seconds is None:
            raise DAVError(HTTP_CONFLICT)
        edit = self.session.edit(self.volume, self.inside)
        if not dry_run:
            edit.set_properties(self.inside, mtime_ns=int(seconds * NANOSECONDS))
            self.session.commit(edit)
        return True

    def handle_delete(self) -> bool:
        """Remove the resource with all that is in it, in one operation."""
        if not self.inside:
            raise DAVError(HTTP_FORBIDDEN)
        edit = self.session.edit(self.volume, self.inside)
        edit.remove(self.inside)
        self.session.commit(edit)
        return True

    def handle_copy(self, dest_path: str, *, depth_infinity: bool) -> bool:
        """Copy the resource in one operation.

        Raises:
            DAVError: 201 where the destination is new: WsgiDAV would say 204.
        """
        volume, path = self.session.target(dest_path)
        edit = self.session.edit(volume, path)
        if volume.id == self.volume.id and self.inside:
            edit.copy(self.inside, path, recursive=depth_infinity)
        else:
            self._attach_to(edit, path)
        [applied] = self.session.commit(edit)
        raise DAVError(HTTP_CREATED if applied.created else HTTP_NO_CONTENT)

    def handle_move(self, dest_path: str) -> bool:
        """Move the resource in one operation, or between volumes in two.

        Raises:
            DAVError: 201 where the destination is new: WsgiDAV would say 204.
        """
        volume, path = self.session.target(dest_path)
        if not self.inside:
            raise DAVError(HTTP_FORBIDDEN)
        removal = self.session.edit(self.volume, self.inside)
        edit = self.session.edit(volume, path)
        if volume.id == self.volume.id:
            edit.move(self.inside, path)
            [applied] = self.session.commit(edit)
        else:
            self._attach_to(edit, path)
            [applied] = self.session.commit(edit)
            expect = cas.EntryIs(self.volume.entry_id(self.entry))
            removal.remove(self.inside, expect=expect)
            self.session.commit(removal)
        raise DAVError(HTTP_CREATED if applied.created else HTTP_NO_CONTENT)

    def _attach_to(self, edit: cas.Edit, path: str) -> None:
        """Have the edit put at `path` what is here."""
        view, inside, volume_id = self.view, self.inside, self.volume.id
        entry = view.entry(inside)
        edit.attach(
            path, entry, epoch=view.epoch, nodes=view.nodes, source=inside, source_volume=volume_id
        )


class FileResource(_Common, DAVNonCollection):
    """A file."""

    def __init__(self, session: Session, volume: cas.Volume, path: str, entry: cas.Entry) -> None:
        DAVNonCollection.__init__(self, f"/{volume.name}/{path}", session.environ)
        self.session = session
        self.volume = volume
        self.inside = path
        self.entry = entry
        self._upload: Upload | None = None

    def get_content_length(self) -> int:
        """Return the bytes of the file."""
        return self.entry.size

    def get_content_type(self) -> str:
        """Return the media type, stored or guessed."""
        return content_type(self.name, self.entry)

    def support_ranges(self) -> bool:
        """Return True."""
        return True

    def get_content(self) -> io.BufferedReader:
        """Return a verified, seekable reader."""
        return io.BufferedReader(self.view.open(self.entry, self.path), 256 * 1024)

    def begin_write(self, *, content_type: str | None = None) -> Upload:
        """Return what takes the new content; nothing is visible before `end_write`."""
        edit = self.session.edit(self.volume, self.inside)
        self._upload = Upload(self.volume.upload(), edit, content_type or "")
        return self._upload

    def end_write(self, *, with_errors: bool) -> None:
        """Make what was written the file's content, or forget it."""
        upload, self._upload = self._upload, None
        if upload is None:
            return
        if with_errors or not upload.is_complete(self.environ):
            upload.writer.abort()
            if not with_errors:
                raise DAVError(400, "the body ended early; nothing was stored")
            return
        upload.edit.put(self.inside, upload.writer, content_type=upload.content_type)
        [applied] = self.session.commit(upload.edit)
        if applied.new is not None:
            self.entry = applied.new


class FolderResource(_Common, DAVCollection):
    """A folder."""

    def __init__(self, session: Session, volume: cas.Volume, path: str, entry: cas.Entry) -> None:
        DAVCollection.__init__(self, f"/{volume.name}/{path}".rstrip("/"), session.environ)
        self.session = session
        self.volume = volume
        self.inside = path
        self.entry = entry

    def get_used_bytes(self) -> int | None:
        """Return the bytes of all files below; None where no quota counts them."""
        return self.entry.size

    def get_available_bytes(self) -> int | None:
        """Return what the quota leaves, None without a quota."""
        quota = self.volume.info.quota
        return None if quota is None else max(0, quota - self.view.root.size)

    def get_member_names(self) -> list[str]:
        """Return the names that can be shown."""
        return [member.name for member in self.get_member_list()]

    def get_member_list(self) -> list[FolderResource | FileResource]:
        """Return the members, from one read of the folder."""
        members = (
            self.wrap(self._member_path(name), entry)
            for name, entry in self.view.list(self.inside)
            if is_representable(name) and (self.inside or name != SNAPSHOTS_NAME)
        )
        return [member for member in members if member is not None]

    def wrap(self, path: str, entry: cas.Entry) -> FolderResource | FileResource | None:
        """Return a member's resource, None for what WebDAV cannot show."""
        return self.session.wrap(self.volume, path, entry)

    def get_member(self, name: str) -> FolderResource | FileResource | None:
        """Return one member, None where there is none."""
        return self.session.resource(self.volume.name, self._member_path(name))

    def create_empty_resource(self, name: str) -> FileResource:
        """Return a new file: for PUT one that its `end_write` makes, for LOCK an empty one."""
        path = self._member_path(name)
        empty = cas.Entry(cas.EntryKind.EMPTY_FILE, 0, 0, 0o644, b"")
        made = FileResource(self.session, self.volume, path, empty)
        if self.environ.get("REQUEST_METHOD") != "PUT":
            edit = self.session.edit(self.volume, path)
            edit.put(path, cas.EMPTY_CONTENT)
            [applied] = self.session.commit(edit)
            made.entry = applied.new or empty
        return made

    def create_collection(self, name: str) -> FolderResource:
        """Make a folder and return it."""
        path = self._member_path(name)
        edit = self.session.edit(self.volume, path)
        edit.make_directory(path)
        [applied] = self.session.commit(edit)
        if applied.new is None:
            raise DAVError(HTTP_NOT_FOUND)
        return FolderResource(self.session, self.volume, path, applied.new)

    def _member_path(self, name: str) -> str:
        if not is_representable(name):
            raise DAVError(HTTP_FORBIDDEN)
        return f"{self.inside}/{name}" if self.inside else name


class Upload:
    """The file object that WsgiDAV writes a PUT's body to."""

    def __init__(self, writer: cas.FileWriter, edit: cas.Edit, content_type: str) -> None:
        self.writer = writer
        self.edit = edit
        self.content_type = content_type
        self._size = 0

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        self._size += len(data)
        return self.writer.write(data)

    def writelines(self, blocks: Iterable[bytes]) -> None:
        """Take all blocks."""
        for block in blocks:
            self.write(block)

    def close(self) -> None:
        """Do nothing: `end_write` decides what becomes of the bytes."""

    def is_complete(self, environ: Environ) -> bool:
        """Whether as many bytes came as were announced; WsgiDAV does not look."""
        announced = environ.get("CONTENT_LENGTH")
        return not announced or int(announced) == self._size
