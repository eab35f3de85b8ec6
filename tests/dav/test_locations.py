from __future__ import annotations

import pytest

from dav.locations import Place, locate
from dav.paths import parse_target


@pytest.mark.parametrize(
    ("raw", "place", "volume", "path"),
    [
        ("/", Place.ROOT, "", ""),
        ("/dav", Place.VOLUMES, "", ""),
        ("/dav/", Place.VOLUMES, "", ""),
        ("/dav/team", Place.VOLUME, "team", ""),
        ("/dav/team/a/b", Place.VOLUME, "team", "a/b"),
        ("/remote.php/webdav/", Place.VOLUME, "me", ""),
        ("/remote.php/webdav/a", Place.VOLUME, "me", "a"),
        ("/remote.php/dav/files/you/a", Place.VOLUME, "you", "a"),
        ("/remote.php/dav/uploads/you/t/1", Place.UPLOADS, "you", "t/1"),
        ("/remote.php/dav/files", Place.NOWHERE, "", ""),
        ("/remote.php", Place.NOWHERE, "", ""),
        ("/DAV/team", Place.NOWHERE, "", ""),
    ],
)
def test_paths_mean_places(raw: str, place: Place, volume: str, path: str) -> None:
    location = locate(parse_target(raw), "me")
    assert (location.place, location.volume, location.path) == (place, volume, path)


def test_hrefs_are_those_that_were_asked_for() -> None:
    location = locate(parse_target("/remote.php/webdav/a%20b/c"), "me")
    assert location.href(is_collection=False) == "/remote.php/webdav/a%20b/c"
    assert location.href_of("x/y", is_collection=True) == "/remote.php/webdav/x/y/"
    assert location.href_of("", is_collection=True) == "/remote.php/webdav/"


def test_a_volumes_root_is_known() -> None:
    assert locate(parse_target("/dav/team/"), "me").is_volume_root
    assert not locate(parse_target("/dav/team/a"), "me").is_volume_root
    assert not locate(parse_target("/dav/"), "me").is_volume_root
