"""Open packs: append, sync, and what a failing disk leaves. The disk's failures are faked."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cas.errors import StoreError, StoreFullError
from cas.formats import PACK_RECORD_LIMIT, PACK_SIZE_TARGET
from cas.ids import Kind, ObjectId
from cas.packfile import HEADER_SIZE, RECORD_OVERHEAD, PackKind, Record, read_footer, scan
from cas.packs import OpenPack, PackWriter


def record(number: int, size: int = 10) -> Record:
    return Record(Kind.CHUNK, ObjectId(number.to_bytes(32, "big")), size, 0, bytes([number]) * size)


@pytest.fixture
def make_pack(tmp_path: Path) -> Iterator[Callable[[], OpenPack]]:
    made: list[OpenPack] = []

    def make() -> OpenPack:
        made.append(OpenPack(tmp_path, bytes(16), PackKind.DATA, ordinal=len(made)))
        return made[-1]

    yield make
    for pack in made:
        pack.abandon()


def records_in(pack: OpenPack) -> list[tuple[bytes, bytes]]:
    content = pack.path.read_bytes()
    found = scan(lambda offset, size: content[offset : offset + size], len(content), pack.id)
    return [(place.id, stored) for place, stored in found]


class FailingSync:
    """Stands for os.fdatasync of a disk that fails when told to; counts the calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails = False
        self.calls = 0
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, _descriptor: int) -> None:
        self.calls += 1
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_what_is_appended_is_found_where_it_is_said_to_be(
    make_pack: Callable[[], OpenPack],
) -> None:
    pack = make_pack()
    written = [record(number, 3 * number) for number in range(5)]
    locations = pack.append(written[:2]) + pack.append(written[2:])
    content = pack.path.read_bytes()
    for number, (location, each) in enumerate(zip(locations, written, strict=True)):
        start = location.offset + RECORD_OVERHEAD
        assert content[start : start + location.stored_size] == each.stored
        assert location.number == number
    pack.finish()
    content = pack.path.read_bytes()
    footer = read_footer(lambda offset, size: content[offset : offset + size], len(content))
    assert footer.places == pack.places


def test_more_buffers_than_one_call_takes_are_all_written(
    make_pack: Callable[[], OpenPack],
) -> None:
    pack = make_pack()
    written = [record(number % 250, number % 7) for number in range(1500)]
    pack.append(written)
    assert records_in(pack) == [(each.id, each.stored) for each in written]


def test_a_short_write_is_gone_on_with(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = make_pack()

    def write_half(descriptor: int, buffers: list[bytes], offset: int) -> int:
        whole = b"".join(buffers)
        return os.pwrite(descriptor, whole[: len(whole) // 2], offset)

    monkeypatch.setattr(os, "pwritev", write_half)
    pack.append([record(1, 1000), record(2, 1000)])
    assert [found for found, _ in records_in(pack)] == [record(1).id, record(2).id]


def test_a_write_without_room_leaves_the_pack_as_it_was(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = make_pack()
    pack.append([record(1)])
    before = pack.path.read_bytes()

    def write_some(descriptor: int, buffers: list[bytes], offset: int) -> int:
        os.pwrite(descriptor, b"".join(buffers)[:7], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", write_some)
        with pytest.raises(StoreFullError):
            pack.append([record(2)])
    assert pack.path.read_bytes() == before
    assert not pack.failed
    pack.append([record(3)])
    assert [found for found, _ in records_in(pack)] == [record(1).id, record(3).id]


def test_what_was_synced_is_not_synced_again(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = FailingSync(monkeypatch)
    pack = make_pack()
    pack.append([record(1)])
    pack.sync()
    pack.sync()
    assert sync.calls == 1
    pack.append([record(2)])
    pack.sync()
    assert sync.calls == 2


def test_records_after_a_failed_write_are_synced_though_the_size_is_as_before(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that runs during a write that fails in the end has synced none of what comes next."""
    sync = FailingSync(monkeypatch)
    pack = make_pack()
    first = [record(1)] * 256  # exactly the buffers of one call
    calls = 0

    def fail_at_second(descriptor: int, buffers: list[bytes], offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:
            pack.sync()  # as another thread's commit does at this moment
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.pwrite(descriptor, b"".join(buffers), offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", fail_at_second)
        with pytest.raises(StoreFullError):
            pack.append([*first, record(2)])
    before = sync.calls
    pack.append(first)
    pack.sync()
    assert sync.calls == before + 1


def test_after_a_failed_sync_a_pack_is_never_trusted_again(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = FailingSync(monkeypatch)
    pack = make_pack()
    pack.append([record(1)])
    sync.fails = True
    with pytest.raises(StoreError):
        pack.sync()
    sync.fails = False
    assert pack.failed
    with pytest.raises(StoreError, match="send the data again"):
        pack.sync()


def test_a_full_pack_is_handed_over_and_the_next_begun(make_pack: Callable[[], OpenPack]) -> None:
    writer = PackWriter(make_pack)
    big = [record(number, 8 * 1024 * 1024) for number in range(9)]
    written, full = writer.append(big)
    assert len(full) == 2
    assert all(pack.size >= PACK_SIZE_TARGET for pack in full)
    assert sum(len(locations) for _, locations in written) == len(big)
    current = writer.take_current()
    assert current is not None
    assert current not in full
    assert writer.take_current() is None


def test_a_pack_holds_a_bounded_number_of_records(make_pack: Callable[[], OpenPack]) -> None:
    writer = PackWriter(make_pack)
    written, full = writer.append([record(1, 0)] * (2 * PACK_RECORD_LIMIT + 5))
    assert [len(pack.places) for pack in full] == [PACK_RECORD_LIMIT] * 2
    assert [len(locations) for _, locations in written] == [PACK_RECORD_LIMIT] * 2 + [5]


def test_a_failed_pack_is_left_for_a_new_one(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = FailingSync(monkeypatch)
    writer = PackWriter(make_pack)
    ((failed, _),), _ = writer.append([record(1)])
    sync.fails = True
    with pytest.raises(StoreError):
        failed.sync()
    ((pack, _),), _ = writer.append([record(2)])
    assert pack is not failed


def test_small_commits_are_written_over_zeros_that_were_synced_before(
    make_pack: Callable[[], OpenPack],
) -> None:
    pack = make_pack()
    sizes = []
    for number in range(20):
        pack.append([record(number, 4000)])
        pack.sync()
        sizes.append(pack.path.stat().st_size)
    assert sizes[0] == RECORD_OVERHEAD + 4000 + HEADER_SIZE  # one commit alone needs no room
    assert len(set(sizes[1:])) == 1
    assert len(records_in(pack)) == 20
    pack.finish()
    content = pack.path.read_bytes()
    assert len(content) == pack.size
    footer = read_footer(lambda offset, size: content[offset : offset + size], len(content))
    assert footer.places == pack.places


def test_a_stream_is_not_followed_by_zeros(make_pack: Callable[[], OpenPack]) -> None:
    pack = make_pack()
    pack.append([record(1, 10)])
    pack.sync()
    for number in range(5):
        pack.append([record(number, 100_000)])
    assert pack.path.stat().st_size == pack.size


def test_a_full_disk_takes_records_without_the_room_behind_them(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = make_pack()
    pack.append([record(1)])
    pack.sync()
    write = os.pwritev

    def write_what_fits(descriptor: int, buffers: list[bytes], offset: int) -> int:
        return write(descriptor, [b"".join(buffers)[:5000]], offset)

    monkeypatch.setattr(os, "pwritev", write_what_fits)
    pack.append([record(2, 4000)])
    assert [len(stored) for _, stored in records_in(pack)] == [10, 4000]


def test_an_append_that_fails_takes_the_room_away_with_it(
    make_pack: Callable[[], OpenPack], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = make_pack()
    for number in range(2):
        pack.append([record(number)])
        pack.sync()

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", fail)
        with pytest.raises(StoreFullError):
            pack.append([record(2)])
    assert pack.path.stat().st_size == pack.size
    pack.append([record(3)])
    assert [stored for _, stored in records_in(pack)] == [bytes([n]) * 10 for n in (0, 1, 3)]


def test_a_pack_that_became_full_before_the_disk_did_is_still_handed_over(
    make_pack: Callable[[], OpenPack],
) -> None:
    made = 0

    def make_one() -> OpenPack:
        nonlocal made
        made += 1
        if made > 1:
            raise StoreFullError("no room, as the test wants it")
        return make_pack()

    writer = PackWriter(make_one)
    with pytest.raises(StoreFullError):
        writer.append([record(1, 0)] * (PACK_RECORD_LIMIT + 1))
    made = 0
    _, full = writer.append([record(2)])
    assert [len(pack.places) for pack in full] == [PACK_RECORD_LIMIT]


def test_threads_append_without_losing_a_record(make_pack: Callable[[], OpenPack]) -> None:
    writer = PackWriter(make_pack)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(200):
                writer.append([record(number, number)])
        except BaseException as error:  # noqa: BLE001 - shown by the assert below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pack = writer.take_current()
    assert pack is not None
    assert failures == []
    assert sorted(len(stored) for _, stored in records_in(pack)) == sorted(list(range(8)) * 200)
