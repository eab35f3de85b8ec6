"""Which part of the server a path means: pure functions from names to places.

/                                       the root, a collection with `dav` in it
/dav/                                   the volumes that the user may see
/dav/<volume>/...                       one volume
/remote.php/webdav/...                  the user's home volume, as ownCloud has it
/remote.php/dav/files/<user>/...        that user's home volume, as Nextcloud has it
/remote.php/dav/uploads/<user>/...      resumable uploads, as Nextcloud has them
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from dav.paths import TargetPath, href

Names = tuple[str, ...]


class Place(Enum):
    """The kinds of places."""

    ROOT = "root"
    VOLUMES = "volumes"
    VOLUME = "volume"
    UPLOADS = "uploads"
    NOWHERE = "nowhere"


class Location(NamedTuple):
    """A path of the server, taken apart.

    `prefix` are the names before the place's own path, `names` that path; `volume` is the volume's
    name, or for uploads the user's. `is_collection_form` says that the path ended in a slash.
    """

    place: Place
    prefix: Names
    names: Names = ()
    volume: str = ""
    is_collection_form: bool = False

    @property
    def path(self) -> str:
        """The path inside the volume, without slashes at its ends."""
        return "/".join(self.names)

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
        return href((*self.prefix, *names), is_collection=is_collection)


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
    return Location(place, names[:size], names[size:], volume, collection_form)
