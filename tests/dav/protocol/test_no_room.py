"""A user who has no room left is told so, and nobody else is."""

from __future__ import annotations

import logging

import pytest

from cas import wire
from tests.support.device import remote_of
from tests.support.drive import Client, Drive


def test_a_full_quota_is_no_fault_in_the_log(
    drive: Drive, alice: Client, caplog: pytest.LogCaptureFixture
) -> None:
    volume = drive.repository.create_volume("no-room", owner="alice", quota=10)
    with caplog.at_level(logging.WARNING):
        assert alice("PUT", "/dav/no-room/file", b"12345678").status == 201
        assert alice("COPY", "/dav/no-room/file", Destination="/dav/no-room/copy").status == 507
        remote = remote_of(drive, "alice")
        copying = wire.Copy(b"file", b"copy")
        request = wire.CommitRequest(wire.Place(volume.id), "key", 0, [copying])
        with pytest.raises(Exception, match="507"):
            remote.commit(request)
        remote.connection.close()
    assert not caplog.records
