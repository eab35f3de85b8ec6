"""Which part of the server a path means: pure functions from names to places.

/                                       the root, a collection with `dav` in it
/dav/                                   the volumes that the user may see
/dav/<volume>/...                       one volume
/dav/<volume>/.snapshots/               its snapshots
/dav/<volume>/.snapshots/<name>/...     the volume as a snapshot has it
/remote.php/webdav/...                  the user's home volume, as ownCloud has it
/remote.php/dav/files/<user>/...        that user's home volume, as Nextcloud has it
/remote.php/dav/uploads/<user>/...      resumable uploads, as Nextcloud has them

`.snapshots` stands at the root of a volume under each of its addresses.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from dav.paths import TargetPath, href

Names = tuple[str, ...]

SNAPSHOTS_NAME: Final = ".snapshots"
"""Where a volume's root shows its past; an entry of this name there is not served."""
_PAST_DEPTH: Final = 2  # `.snapshots` and the snapshot's name, before the path in the snapshot


class Place(Enum):
    """The kinds of places."""

    ROOT = "root"
    VOLUMES = "volumes"
    VOLUME = "volume"
    SNAPSHOTS = "snapshots"
    SNAPSHOT = "snapshot"
    UPLOADS = "uploads"
    NOWHERE = "nowhere"


class Location(NamedTuple):
    """A path of the server, taken apart.

    `prefix` are the names before the place's own path, `names` that path; `volume` is the volume's
    name, or for uploads the user's. `is_collection_form` says that the path ended in a slash.
    Below `.snapshots`, `names` begin with that and the snapshot's name.
    """

    place: Place
    prefix: Names
    names: Names = ()
    volume: str = ""
    is_collection_form: bool = False

    @property
    def path(self) -> str:
        """The path inside the volume or the snapshot, without slashes at its ends."""
        return "/".join(self.names[len(self._before) :])

    @property
    def snapshot(self) -> str:
        """The name of the snapshot, empty where this is not inside one."""
        return self.names[1] if self.place is Place.SNAPSHOT else ""

    @property
    def is_past(self) -> bool:
        """Whether this is `.snapshots` or something below it, where nothing ever changes."""
        return self.place is Place.SNAPSHOTS or self.place is Place.SNAPSHOT

    @property
    def is_volume_root(self) -> bool:
        """Whether this is the root of a volume."""
        return self.place is Place.VOLUME and not self.names

    def href(self, *, is_collection: bool) -> str:
        """Return the percent-encoded absolute path."""
        return href((*self.prefix, *self.names), is_collection=is_collection)

    def href_of(self, path: str, *, is_collection: bool) -> str:
        """Return the percent-encoded absolute path of another path in the same volume."""
        names = path.split("/") if path else ()
        return href((*self.prefix, *self._before, *names), is_collection=is_collection)

    @property
    def _before(self) -> Names:
        """The names that lead to the snapshot."""
        return self.names[:_PAST_DEPTH] if self.is_past else ()


def locate(target: TargetPath, user: str) -> Location:
    """Return the place that a target means to a user."""
    names, collection_form = target.names, target.is_collection_form
    match names:
        case ():
            return Location(Place.ROOT, (), is_collection_form=True)
        case ("dav",):
            return Location(Place.VOLUMES, ("dav",), is_collection_form=collection_form)
        case ("dav", volume, *_):
            size = 2
            place = Place.VOLUME
        case ("remote.php", "webdav", *_):
            size, volume = 2, user
            place = Place.VOLUME
        case ("remote.php", "dav", "files", volume, *_):
            size = 4
            place = Place.VOLUME
        case ("remote.php", "dav", "uploads", volume, *_):
            size = 4
            place = Place.UPLOADS
        case _:
            return Location(Place.NOWHERE, names, is_collection_form=collection_form)
    inside = names[size:]
    if place is Place.VOLUME and inside[:1] == (SNAPSHOTS_NAME,):
        place = Place.SNAPSHOT if len(inside) >= _PAST_DEPTH else Place.SNAPSHOTS
    return Location(place, names[:size], inside, volume, collection_form)
