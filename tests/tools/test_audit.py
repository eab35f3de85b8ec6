"""`casdav audit`: who came in and who changed what, and whether that record still holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import cas
from dav import records
from dav.audit import append
from dav.records import Attempt
from tests.support.server import running_server
from tools.exits import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

PASSWORD = "correct horse battery staple"


@pytest.fixture
def drive(casdav: Casdav) -> Casdav:
    casdav("user", "add", "alice", "--admin", "--password-stdin", stdin=PASSWORD + "\n")
    with cas.open(casdav.store) as repository:
        for number in range(1, 4):
            attempt = Attempt(number * 10**9, "alice", "192.0.2.1", "password")
            append(repository, [attempt], 0)
        append(
            repository,
            [Attempt(5 * 10**9, "mallory", "192.0.2.6", "password", "wrong credentials", "", 7)],
            0,
        )
        with repository.volume("alice").edit(author="alice", device="laptop") as edit:
            edit.put("letter\n.txt", cas.EMPTY_CONTENT)
    return casdav


def test_sign_ins_and_changes_are_listed_newest_first(drive: Casdav) -> None:
    found = drive("audit", "list", "--json").lines
    times = [event["time_ns"] for event in found]
    assert times == sorted(times, reverse=True)
    kinds = [event["kind"] for event in found]
    assert kinds.count("sign-in") == 3
    refused = [event for event in found if event["kind"] == "refused"]
    assert [(each["user"], each["count"]) for each in refused] == [("mallory", 7)]
    assert any(event["what"] == "user alice created" for event in found)
    text = drive("audit", "list").out
    assert "(7 times)" in text
    assert "192.0.2.6" in text


def test_a_listing_is_narrowed(drive: Casdav) -> None:
    def listed(*words: str) -> list[dict[str, object]]:
        return drive("audit", "list", "--json", *words).lines

    assert {event["kind"] for event in listed("--kind", "refused")} == {"refused"}
    assert {event["user"] for event in listed("--user", "mallory")} == {"mallory"}
    assert len(listed("--limit", "2")) == 2
    assert all(event["kind"] == "change" for event in listed("--newer", "1d"))
    assert all(event["kind"] != "change" for event in listed("--older", "1d"))
    files = [event for event in listed("--volume", "alice") if event.get("path")]
    assert [(event["path"], event["from"]) for event in files] == [("letter\n.txt", "laptop")]
    drive("audit", "list", "--volume", "nobody", code=None)


def test_every_link_holds_and_can_be_compared_with_earlier(drive: Casdav, tmp_path: Path) -> None:
    known = tmp_path / "known.json"
    known.write_text(drive("audit", "verify", "--json").out)
    document = json.loads(known.read_text())
    assert document["holds"] is True
    assert document["sign_ins"]["last"] == 4
    with cas.open(drive.store) as repository:
        append(repository, [Attempt(9, "alice", "", "password")], 0)
        with repository.volume("alice").edit() as edit:
            edit.make_directory("more")
    assert "every link holds" in drive("audit", "verify", "--known", known).out
    names = {chain["name"]: chain for chain in document["chains"]}
    for chain in document["chains"]:
        chain["newest"] = "ab" * 32
    assert "alice" in names
    known.write_text(json.dumps(document))
    drive("audit", "verify", "--known", known, code=Exit.INTEGRITY)
    known.write_text("{}")
    drive("audit", "verify", "--known", known, code=Exit.USAGE)


def test_a_record_that_was_taken_away_is_named(drive: Casdav) -> None:
    with cas.open(drive.store) as repository, repository.registry.edit() as edit:
        edit.remove(f"{records.AUDIT}/{0:09d}/{2:012d}")
    ended = drive("audit", "verify", code=Exit.INTEGRITY)
    assert "sign-ins: record 2 is missing" in ended.err
    assert drive("audit", "verify", "--json", code=Exit.INTEGRITY).document["holds"] is False


def test_a_server_records_who_comes_in_and_who_is_refused(tmp_path: Path, casdav: Casdav) -> None:
    with running_server(tmp_path / "served") as server:
        assert server.request("PUT", "file", b"x")[0] == 201
        server.password = "wrong"
        assert server.request("GET", "file")[0] == 401
        assert server.stop() == 0  # all that waits is written
    ended = casdav("--store", tmp_path / "served", "audit", "list", "--json")
    found = [event for event in ended.lines if event["kind"] != "change"]
    assert [(event["kind"], event["user"], event["from"]) for event in found] == [
        ("refused", "alice", "127.0.0.1"),
        ("sign-in", "alice", "127.0.0.1"),
    ]
    assert "wrong" not in json.dumps([event["what"] for event in found]).replace("wrong cred", "")
