"""What an address names: the place in a volume or a snapshot, and what is there."""

from __future__ import annotations

from typing import NamedTuple

import cas
from dav.conditions import ABSENT, EntityTag, State
from dav.dates import NANOSECONDS
from dav.etags import etag
from dav.identity import Right
from dav.locations import Location
from dav.past import read_only
from dav.status import HttpError


class Resource(NamedTuple):
    """A path of a volume with what is there: `entry` is None where nothing is.

    `info` and `volume` are the volume's, `right` is what the principal may do there. The root of
    a snapshot has an entry that stands for it; what it holds is at the root of its view.
    """

    location: Location
    volume: cas.Volume
    info: cas.VolumeInfo
    right: Right
    entry: cas.Entry | None

    @property
    def path(self) -> str:
        """The path inside the volume or the snapshot."""
        return self.location.path

    @property
    def is_past(self) -> bool:
        """Whether this is below `.snapshots`, or that itself."""
        return self.location.is_past

    @property
    def tree_name(self) -> str:
        """What the path is in, for messages: VOLUME or VOLUME@SNAPSHOT."""
        snapshot = self.location.snapshot
        return f"{self.info.name}@{snapshot}" if snapshot else self.info.name

    @property
    def is_directory(self) -> bool:
        """Whether a folder is there."""
        return self.entry is not None and self.entry.is_directory

    @property
    def is_hidden(self) -> bool:
        """Whether something is there that WebDAV cannot show, such as a symbolic link."""
        return self.entry is not None and not (self.entry.is_directory or self.entry.is_file)

    @property
    def href(self) -> str:
        """The percent-encoded absolute path; a folder's ends in a slash."""
        return self.location.href(is_collection=self.is_directory)

    def visible_entry(self) -> cas.Entry:
        """Return the entry.

        Raises:
            HttpError: 404 where nothing is there or nothing that can be shown, or where a file is
                addressed as if it were a folder.
        """
        entry = self.entry
        if entry is None or self.is_hidden:
            raise HttpError(404, f"there is no {self.path!r} in {self.tree_name!r}")
        if entry.is_file and self.location.is_collection_form:
            raise HttpError(404, f"{self.path!r} is a file; its address has no slash at the end")
        return entry

    def etag(self) -> EntityTag | None:
        """Return the strong entity tag, None where nothing is there."""
        return None if self.entry is None else EntityTag(etag(self.volume, self.entry))

    def check_writable(self) -> None:
        """Raise unless the principal may write here.

        Raises:
            HttpError: 403.
        """
        if self.is_past:
            raise read_only()
        if self.right < Right.WRITE:
            raise HttpError(
                403, f"you may read {self.info.name!r}, not change it", condition="need-privileges"
            )


def state_of(resource: Resource) -> State:
    """Return a resource as HTTP's conditions see it."""
    entry = resource.entry
    if entry is None or resource.is_hidden:
        return ABSENT
    return State(EntityTag(etag(resource.volume, entry)), entry.mtime_ns // NANOSECONDS)


def representation_headers(resource: Resource) -> list[tuple[str, str]]:
    """Return ETag and OC-ETag of what is there."""
    tag = resource.etag()
    return [] if tag is None else [("ETag", f'"{tag.opaque}"'), ("OC-ETag", f'"{tag.opaque}"')]
