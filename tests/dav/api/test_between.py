"""What happens between sending and committing: collections, other processes, waiting requests."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

import cas
from cas import wire
from dav.access_tokens import access_tokens
from dav.registry import read_state
from syncd.remote.client import Remote
from syncd.remote.connection import Connection
from syncd.remote.credentials import FixedToken
from syncd.remote.errors import MissingError, UnreachableError
from tests.support.device import Device, LocalFile, remote_of
from tests.support.drive import running_drive
from tests.support.network import LOOPBACK
from tests.support.server import running_server
from tests.support.volumes import put
from tests.support.waiting import wait_until


def test_what_a_collection_took_is_sent_again(tmp_path: Path) -> None:
    with running_drive(tmp_path) as drive:
        remote = remote_of(drive, "alice")
        place = wire.Place(drive.repository.volume("alice").id)
        file = LocalFile(random.Random(1).randbytes(2_000_000), remote.welcome().keys)
        remote.send(place, file.packed(), file.nodes.values())
        drive.repository.engine.chunks.open_packs.seal_current()
        cas.collect_garbage(drive.repository, grace_seconds=0)
        operation = wire.PutFile(b"file", file.content, 5)
        request = wire.CommitRequest(place, "key", 0, [operation])
        with pytest.raises(MissingError) as caught:
            remote.commit(request)
        missing = caught.value.missing
        while missing.chunks or missing.nodes:
            nodes = [file.nodes[node_id] for node_id in missing.nodes]
            remote.send(place, file.packed(missing.chunks), nodes)
            missing = remote.missing(place, file.chunks, file.nodes)
        remote.commit(request)
        cas.collect_garbage(drive.repository, grace_seconds=0)
        assert cas.check_repository(drive.repository, reading=cas.Share(1, 1)).is_sound
        remote.connection.close()


def test_workers_know_what_was_sent_to_each_other(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with running_server(store, "--workers", "3") as server:
        with cas.open(str(store)) as repository:
            user = read_state(repository).users[server.user]
            token = access_tokens(repository, cas.SystemClock().now_ns).issue(user)
            place = wire.Place(repository.volume(server.user).id)
        remotes = [
            Remote(Connection(f"http://{LOOPBACK}:{server.port}", FixedToken(token)))
            for _ in range(8)
        ]
        keys = remotes[0].welcome().keys
        for number, remote in enumerate(remotes):
            file = LocalFile(random.Random(number).randbytes(400_000), keys)
            remote.send(place, file.packed(), file.nodes.values())
            path = b"file%d" % number
            operation = wire.PutFile(path, file.content, 5)
            request = wire.CommitRequest(place, f"key{number}", 0, [operation])
            done = [each.commit(request) for each in remotes]
            assert len({(each.before, each.sequence) for each in done}) == 1
            assert sum(not each.is_repeated for each in done) == 1
        for remote in remotes:
            remote.connection.close()


def test_waiting_requests_leave_threads_for_others(tmp_path: Path) -> None:
    with running_drive(tmp_path) as drive:  # 8 threads
        volume = drive.repository.volume("alice")
        place = wire.Place(volume.id)
        since = volume.sequence()
        remotes = [remote_of(drive, "alice") for _ in range(4)]
        answers: list[wire.Delta] = []

        def wait(remote: Remote) -> None:
            answers.append(remote.delta(place, since, wait_seconds=60))

        threads = [threading.Thread(target=wait, args=(remote,)) for remote in remotes[:2]]
        for thread in threads:
            thread.start()
        wait_until(lambda: drive.app.waiting_count == 2, "two requests to wait")
        rest = drive.client("alice")
        query = f"volume={volume.id.hex()}&since={since}&wait=60"
        reply = rest("GET", f"/api/v1/sync/delta?{query}")
        assert (reply.status, int(reply.headers["retry-after"]) > 0) == (503, True)
        put(volume, "news")
        for thread in threads:
            thread.join(30)
        assert [len(answer.changes) for answer in answers] == [1, 1]
        rest.connection.close()
        for remote in remotes:
            remote.connection.close()


def test_a_client_gives_up_on_a_server_that_is_gone(device: Device) -> None:
    remote = Remote(Connection("http://127.0.0.1:1", FixedToken("x")))
    threading.Timer(0.2, remote.connection.close).start()
    with pytest.raises(UnreachableError):
        remote.head(device.place)
