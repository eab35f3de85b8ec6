"""The repositories in tests/data: made by older versions, or damaged, and what becomes of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

import cas
from tests.support.checking import assert_sound, check
from tests.support.samples import DAMAGES, describe, describe_entry

DATA: Final = Path(__file__).parents[1] / "data" / "repositories"
EXPECTED: Final = json.loads((DATA / "format-1.json").read_text())


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the sample whose name is the parameter."""
    location = tmp_path / "store"
    shutil.copytree(DATA / request.param, location)
    return location


@pytest.mark.parametrize("copied", ["format-1"], indirect=True)
def test_what_the_first_version_wrote_is_read_and_written_on(copied: Path) -> None:
    with cas.open(copied) as repository:
        assert as_json(repository) == EXPECTED
        assert_sound(repository)
        with repository.volume("alice").edit() as edit:
            edit.copy("moved", "once more")
        repository.volume("alice").create_snapshot("third")
    with cas.open(copied) as repository:
        found = as_json(repository)
        assert found["alice"]["@first"] == EXPECTED["alice"]["@first"]
        assert "third" in {snapshot.name for snapshot in repository.volume("alice").snapshots()}
        assert_sound(repository)


@pytest.mark.parametrize("copied", ["format-1-after-a-crash"], indirect=True)
def test_what_the_first_version_acknowledged_before_a_crash_is_there(copied: Path) -> None:
    with cas.open(copied) as repository:
        found = as_json(repository)["alice"]
        for name in ("@first", "@second"):
            assert found[name] == EXPECTED["alice"][name]
        with repository.volume("alice").view() as view:
            assert view.entry("after").size == 5_000
            assert view.get("moved") is None
            assert view.entry("moved again").files == 150
        assert [change[3] for change in found["changes"][-2:]] == ["crash", "crash"]
        assert_sound(repository)


@pytest.mark.parametrize("copied", sorted(DAMAGES), indirect=True)
def test_what_is_damaged_is_told_and_never_served(copied: Path) -> None:
    with opened(copied) as repository:
        if repository is None:
            return
        is_whole = True
        for name, expected in EXPECTED.items():
            for path, entry in expected["now"].items():
                content = read(repository, name, os.fsdecode(bytes.fromhex(path)))
                is_whole = is_whole and content is not None
                assert content in {None, entry[-1]}
        assert check(repository, cas.Share()).damages or is_whole


@contextmanager
def opened(location: Path) -> Iterator[cas.Repository | None]:
    """Open a repository; None if it says that it is damaged."""
    try:
        repository = cas.open(location)
    except cas.IntegrityError:
        yield None
        return
    with repository:
        yield repository


def read(repository: cas.Repository, volume: str, path: str) -> str | None:
    """Return the hash of what is read at a path, None if that is refused."""
    try:
        with repository.volume(volume).view() as view:
            return str(describe_entry(view, view.entry(path))[-1])
    except cas.CasError:
        return None


def as_json(repository: cas.Repository) -> Any:  # noqa: ANN401
    return json.loads(json.dumps(describe(repository)))
