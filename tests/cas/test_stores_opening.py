"""Locations as people write them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import UnknownServiceError

import cas
from cas.errors import InvalidError, NotFoundError
from cas.stores import s3
from cas.stores.bucket_location import parse_bucket_location
from cas.stores.local import LocalStore
from cas.stores.memory import MemoryStore
from cas.stores.opening import open_store


def test_a_path_is_a_local_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    for location in (tmp_path / "a b", str(tmp_path / "a b"), "a b", "./a b", Path("a b")):
        store = open_store(location)
        assert isinstance(store, LocalStore)
        assert store.location == str(tmp_path / "a b")


def test_a_file_url_is_a_local_store(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    for location in (
        f"file://{tmp_path}/a%20b",
        f"file:{tmp_path}/a%20b",
        f"FILE://localhost{tmp_path}/a b",
    ):
        assert open_store(location).location == str(tmp_path / "a b")


def test_a_missing_directory_is_made_only_if_asked(tmp_path: Path) -> None:
    location = f"file://{tmp_path}/not/there"
    with pytest.raises(NotFoundError):
        open_store(location)
    assert open_store(location, create=True).location == str(tmp_path / "not/there")
    assert open_store(location).location == str(tmp_path / "not/there")


def test_memory_is_a_new_store_each_time() -> None:
    first = open_store("memory:")
    first.put("packs/00/00", b"content")
    assert isinstance(first, MemoryStore)
    assert list(open_store("memory:", create=True).list("packs")) == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("", "empty"),
        ("ftp://host/path", "unknown kind of location"),
        ("backup:2026", r"\./backup:2026"),
        ("file://host/path", "file:///path"),
        ("file:relative", "file:///path"),
        ("file:///path?query", "file:///path"),
        ("memory:name", "has no name"),
    ],
)
def test_what_is_not_understood_is_refused_and_said_why(location: str, reason: str) -> None:
    with pytest.raises(InvalidError, match=reason):
        open_store(location)


def test_a_name_with_a_colon_can_be_written_as_a_path(tmp_path: Path) -> None:
    location = f"{tmp_path}/backup:2026"
    assert open_store(location, create=True).location == location


def test_who_has_no_bucket_does_not_wait_for_its_library() -> None:
    code = "import cas, sys; print([name for name in sys.modules if 'boto' in name])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("durability", ["local", "remote"])
def test_a_bucket_that_is_not_there_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr("cas.stores.s3.pause", lambda *_: False)
    url = f"s3://mistyped?endpoint=http://127.0.0.1:9&region=us-east-1&durability={durability}"
    with pytest.raises(cas.StoreError):
        cas.create(f"{url}&local={tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_a_client_is_made_without_a_look_at_all_services_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """boto3 lists 400 directories for each kind of description, half of the time that it takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    looked_at: set[str] = set()
    really = os.listdir

    def noted(path: str) -> list[str]:
        looked_at.add(Path(path).name)
        return really(path)

    monkeypatch.setattr("os.listdir", noted)
    s3.S3(parse_bucket_location("s3://bucket?region=eu-west-1")).close()
    assert looked_at == {"s3"}


@pytest.mark.parametrize("service", ["sts", "sso"])
def test_credentials_may_come_from_other_services(service: str) -> None:
    """A role that is assumed and a single sign-on are asked for by clients of the same session."""
    client = s3.make_session().client(
        service, region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.close()
    with pytest.raises(UnknownServiceError):
        s3.make_session().client("no such service", region_name="eu-west-1")
