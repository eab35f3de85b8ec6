"""Resumable uploads."""

from __future__ import annotations

import hashlib
import random

import pytest

from dav.accounts import create_user
from dav.settings import DriveSettings
from dav.transfers import remove_expired
from tests.support.drive import Client, Drive, running_drive

PARTS = {str(number): random.Random(number).randbytes(300_000) for number in range(1, 13)}
WHOLE = b"".join(PARTS.values())
WHOLE_SHA1 = hashlib.sha1(WHOLE, usedforsecurity=False).hexdigest()


@pytest.fixture
def transfer(alice: Client, folder: str) -> str:
    path = f"/remote.php/dav/uploads/alice/{folder.split('/')[-2]}/"
    assert alice("MKCOL", path).status == 201
    return path


def files(folder: str) -> str:
    return folder.replace("/dav/alice/", "/remote.php/dav/files/alice/")


def test_parts_in_any_order_become_one_file(alice: Client, folder: str, transfer: str) -> None:
    for name in sorted(PARTS, reverse=True):
        assert alice("PUT", transfer + name, PARTS[name]).status == 201
    assert alice("PUT", transfer + "3", PARTS["3"]).status == 204
    sizes = alice("PROPFIND", transfer, Depth="1")
    assert len(sizes.responses) == len(PARTS) + 1
    assert sizes.value("{DAV:}getcontentlength", transfer + "3") == "300000"
    reply = alice(
        "MOVE",
        transfer + ".file",
        Destination=files(folder) + "whole",
        OC_Total_Length=str(len(WHOLE)),
        X_OC_Mtime="784111777.5",
        OC_Checksum=f"SHA1:{WHOLE_SHA1}",
    )
    assert (reply.status, reply.headers["x-oc-mtime"]) == (201, "accepted")
    got = alice("GET", folder + "whole")
    assert got.body == WHOLE
    assert got.headers["etag"] == reply.headers["etag"]
    assert got.headers["last-modified"] == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert alice("PROPFIND", transfer, Depth="1").status == 404


def test_an_assembled_file_is_the_same_as_one_sent_whole(
    alice: Client, folder: str, transfer: str
) -> None:
    etag = alice("PUT", folder + "sent", WHOLE).headers["etag"]
    for name, part in PARTS.items():
        alice("PUT", transfer + name, part)
    reply = alice("MOVE", transfer + ".file", Destination=files(folder) + "sent")
    assert (reply.status, reply.headers["etag"]) == (204, etag)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"OC-Total-Length": "5"}, 400),
        ({"OC-Checksum": "SHA1:" + "0" * 40}, 400),
        ({"If-Match": "*"}, 412),
        ({"X-OC-Mtime": "never"}, 400),
        ({"Destination": "/remote.php/dav/files/alice/none/file"}, 409),
        ({"Destination": "http://example.org/file"}, 502),
    ],
)
def test_a_refused_move_can_be_sent_again(
    alice: Client, folder: str, transfer: str, headers: dict[str, str], status: int
) -> None:
    alice("PUT", transfer + "1", b"12345678")
    target = {"Destination": files(folder) + "whole"}
    assert alice("MOVE", transfer + ".file", None, target | headers).status == status
    assert alice("GET", folder + "whole").status == 404
    assert alice("MOVE", transfer + ".file", None, target).status == 201
    assert alice.get(folder + "whole") == b"12345678"


def test_locks_and_overwrite_protect_the_destination(
    alice: Client, folder: str, transfer: str
) -> None:
    alice("PUT", transfer + "1", b"new")
    token = alice.lock(folder + "whole")
    target = {"Destination": files(folder) + "whole"}
    assert alice("MOVE", transfer + ".file", None, target).status == 423
    assert alice("MOVE", transfer + ".file", None, target, Overwrite="F").status == 412
    tagged = f"<{files(folder)}whole> (<{token}>)"
    assert alice("MOVE", transfer + ".file", None, target, If=tagged).status == 204


def test_a_transfer_can_be_given_up(alice: Client, transfer: str) -> None:
    alice("PUT", transfer + "1", b"x")
    assert alice("DELETE", transfer).status == 204
    assert alice("PUT", transfer + "1", b"x").status == 404
    assert alice("DELETE", transfer).status == 404
    assert alice("MKCOL", transfer).status == 201


def test_only_parts_are_put_and_only_the_file_is_moved(
    alice: Client, folder: str, transfer: str
) -> None:
    assert alice("MKCOL", transfer).status == 405
    assert alice("MKCOL", transfer + "sub").status == 403
    assert alice("PUT", transfer + ".file", b"x").status == 405
    assert alice("PUT", transfer[:-1], b"x").status == 405
    assert alice("GET", transfer + "1").status == 405
    alice("PUT", transfer + "1", b"x")
    assert alice("MOVE", transfer + "1", Destination=folder + "x").status == 403
    assert alice("COPY", transfer + "1", Destination=folder + "x").status == 405
    assert alice("COPY", folder, Destination=transfer + "2").status == 403


def test_others_transfers_are_nobodys_business(bob: Client, transfer: str) -> None:
    for method in ("PUT", "MKCOL", "DELETE", "PROPFIND"):
        assert bob(method, transfer + "1", b"" if method == "PUT" else None).status == 404


def test_a_wrong_sum_of_a_part_is_refused(alice: Client, transfer: str) -> None:
    wrong = {"OC-Checksum": "SHA1:" + "0" * 40}
    assert alice("PUT", transfer + "1", b"x", wrong).status == 400
    assert len(alice("PROPFIND", transfer, Depth="1").responses) == 1


def test_parts_that_exceed_the_quota_are_507(drive: Drive, bob: Client) -> None:
    drive.repository.set_quota("bob", 1000)
    path = "/remote.php/dav/uploads/bob/t/"
    bob("MKCOL", path)
    assert bob("PUT", path + "1", b"x" * 600).status == 201
    assert bob("PUT", path + "2", b"x" * 600).status == 507
    assert bob("PUT", path + "1", b"x" * 900).status == 204
    drive.repository.set_quota("bob", None)


def test_the_transfers_of_one_user_count_together_against_the_quota(drive: Drive) -> None:
    create_user(drive.repository, "thrifty", quota=1000)
    client = drive.client("thrifty")
    uploads = "/remote.php/dav/uploads/thrifty/"
    for transfer in ("one", "two"):
        assert client("MKCOL", uploads + transfer).status == 201
    assert client("PUT", uploads + "one/1", b"x" * 600).status == 201
    assert client("PUT", uploads + "two/1", b"x" * 600).status == 507
    assert client("PUT", uploads + "two/1", b"x" * 400).status == 201
    client.connection.close()


def test_what_is_forgotten_expires(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("expiry")
    with running_drive(directory, DriveSettings(transfer_seconds=0)) as drive:
        alice = drive.client()
        path = "/remote.php/dav/uploads/alice/"
        assert alice("MKCOL", path + "old").status == 201
        assert alice("PUT", path + "old/1", b"x").status == 404
        assert remove_expired(drive.repository, 3600) == 0
        assert alice("MKCOL", path + "new").status == 201
        with drive.repository.registry.view() as view:
            assert [name for name, _ in view.list("transfers/alice")] == ["new"]
        assert remove_expired(drive.repository, 0) == 1
        alice.connection.close()


def test_the_list_of_transfers_a_transfer_and_a_part_can_be_listed(
    drive: Drive, alice: Client, transfer: str
) -> None:
    alice("PUT", transfer + "00001", b"part")
    uploads = "/remote.php/dav/uploads/alice/"
    assert transfer in alice("PROPFIND", uploads, Depth="1").responses
    part = alice.propfind(transfer + "00001", "{DAV:}getcontentlength")
    assert part.value("{DAV:}getcontentlength") == "4"
    assert alice("PROPFIND", transfer + "00002", Depth="0").status == 404
    create_user(drive.repository, "newcomer")
    newcomer = drive.client("newcomer")
    assert newcomer("PROPFIND", uploads, Depth="1").status == 404
    own = "/remote.php/dav/uploads/newcomer/"
    assert list(newcomer("PROPFIND", own, Depth="1").responses) == [own]
    newcomer.connection.close()


@pytest.mark.parametrize(("overwrite", "status"), [("F", 412), ("f", 412), ("x", 400), ("t", 204)])
def test_a_file_that_is_there_is_replaced_only_if_that_is_wanted(
    alice: Client, folder: str, transfer: str, overwrite: str, status: int
) -> None:
    alice("PUT", folder + "whole", b"old")
    alice("PUT", transfer + "1", b"new")
    reply = alice(
        "MOVE", transfer + ".file", Destination=files(folder) + "whole", Overwrite=overwrite
    )
    assert reply.status == status
    assert alice.get(folder + "whole") == (b"new" if status == 204 else b"old")


def test_a_part_of_unknown_length_counts_against_the_quota(drive: Drive) -> None:
    create_user(drive.repository, "frugal", quota=100)
    client = drive.client("frugal")
    transfer = "/remote.php/dav/uploads/frugal/one/"
    client("MKCOL", transfer)
    assert client("PUT", transfer + "1", iter([b"x" * 90])).status == 201
    reply = client("PUT", transfer + "2", iter([b"x" * 90]))
    assert (reply.status, reply.conditions) == (507, ["quota-not-exceeded"])
    assert transfer + "2" not in client("PROPFIND", transfer, Depth="1").responses
    client.connection.close()
