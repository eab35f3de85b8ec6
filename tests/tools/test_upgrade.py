"""`casdav upgrade`: what it says where there is nothing to do, and where it cannot help."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav


def set_version(casdav: Casdav, version: int) -> None:
    path = casdav.store / "config"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))


def test_the_newest_format_is_left_alone(casdav: Casdav) -> None:
    before = (casdav.store / "config").read_bytes()
    assert casdav("upgrade").out == "format 1 is the newest: nothing to do\n"
    assert casdav("upgrade", "--json", "--dry-run").document == {
        "store": str(casdav.store),
        "found": 1,
        "format": 1,
        "dry_run": True,
        "steps": [],
    }
    assert (casdav.store / "config").read_bytes() == before


def test_a_newer_format_is_refused_by_every_command(casdav: Casdav) -> None:
    set_version(casdav, 2)
    for command in (("upgrade",), ("ls", "v:/"), ("stats",), ("serve",)):
        assert "use a newer casdav" in casdav(*command, code=1).err


def test_an_older_format_is_pointed_here(casdav: Casdav) -> None:
    set_version(casdav, 0)
    assert "run `casdav upgrade`" in casdav("ls", "v:/", code=1).err
    assert "no way from format 0" in casdav("upgrade", code=1).err


def test_without_a_repository(casdav: Casdav) -> None:
    assert "no repository" in casdav("upgrade", "--store", "/nowhere", code=10).err
