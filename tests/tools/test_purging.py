"""`casdav purge`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import cas
from tests.support.volumes import put, remove

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav


@pytest.fixture
def gone(casdav: Casdav) -> Casdav:
    """A volume that once had `draft`, later `secret`, and has `copy` of it."""
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        put(volume, "draft", b"one")
        volume.create_snapshot("before")
        with volume.edit() as edit:
            edit.move("draft", "secret")
        put(volume, "secret", b"two")
        with volume.edit() as edit:
            edit.copy("secret", "copy")
        remove(volume, "secret")
    return casdav


def test_a_dry_run_says_what_would_go_and_changes_nothing(gone: Casdav) -> None:
    assert gone("purge", "v:/secret", "--dry-run").out.splitlines() == [
        "would purge v:/secret: 2 contents of files, 6 B",
        "it was at /draft, /secret",
        "snapshots without it from now on: before",
        "1 of the contents stay, as they are elsewhere: v:/copy",
    ]
    assert gone("cat", "v@before:/draft").out == "one"


def test_names_that_are_not_utf_8_are_exact_in_json(casdav: Casdav) -> None:
    with cas.open(casdav.store) as repository:
        volume = repository.volume("v")
        put(volume, "\udcff", b"one")
        with volume.edit() as edit:
            edit.copy("\udcff", "\udcfe")
        remove(volume, "\udcff")
    printed = json.loads(casdav("purge", "v:/\udcff", "--yes", "--json").out)
    assert (printed["paths"], printed["paths_base64"]) == (["\ufffd"], ["/w=="])
    assert printed["shared_at"] == [{"volume": "v", "path": "\ufffd", "path_base64": "/g=="}]


def test_it_asks_and_then_no_older_state_gives_it_back(gone: Casdav) -> None:
    answer = gone("purge", "v:/secret", code=2)
    assert "--yes" in answer.err
    printed = gone("purge", "v:/secret", "--yes", "--json").out
    assert json.loads(printed) == {
        "volume": "v",
        "path": "secret",
        "paths": ["draft", "secret"],
        "contents": 2,
        "size": 6,
        "shared": 1,
        "shared_at": [{"volume": "v", "path": "copy"}],
        "snapshots": ["before"],
        "purged": True,
    }
    assert "was purged with 'secret'" in gone("cat", "v@before:/draft", code=1).err
    assert gone("cat", "v:/copy").out == "two"
    assert "draft" in gone("ls", "v@before:/").out


def test_an_export_of_the_past_leaves_it_out_and_says_so(gone: Casdav) -> None:
    gone("purge", "v:/secret", "--yes")
    target = gone.store.parent / "exported"
    answer = gone("export", "v@before:/", target, code=3)
    assert "purged" in answer.err
    assert not (target / "draft").exists()


def test_what_is_there_is_refused(gone: Casdav) -> None:
    assert "remove it first" in gone("purge", "v:/copy", "--yes", code=14).err


def test_log_marks_what_was_purged_at_once_and_not_what_came_after(gone: Casdav) -> None:
    gone("purge", "v:/secret", "--yes")
    with cas.open(gone.store) as repository:
        put(repository.volume("v"), "secret", b"two")
    came, *before = gone("log", "v:/secret", "--all").out.splitlines()[1:]
    assert "(purged)" not in came
    assert len(before) > 1
    assert all(line.endswith("(purged)") for line in before if "moved away" not in line)
    printed = [
        json.loads(line)
        for line in gone("log", "v:/secret", "--json", "--all").out.split("\n")
        if line
    ]
    assert printed[0]["new"]["kept"]
    assert not any(each["new"]["kept"] for each in printed[1:] if each["new"])
    assert not any(each["old"]["kept"] for each in printed if each["old"])


def test_what_was_purged_is_not_kept_in_the_list_of_what_was_deleted(gone: Casdav) -> None:
    (before,) = gone("undelete", "v:/", "--list", "--all", "--json").lines
    gone("purge", "v:/secret", "--yes")
    (after,) = gone("undelete", "v:/", "--list", "--all", "--json").lines
    assert (before["path"], before["kept"]) == ("secret", True)
    assert (after["path"], after["kept"]) == ("secret", False)
