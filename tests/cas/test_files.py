"""Uploads and readers: the bytes that went in, from any offset, whatever the writes were."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cas
from tests.support.corpus import seeded_bytes

MiB = 1024 * 1024


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cas.Volume]:
    with cas.create(tmp_path_factory.mktemp("files") / "store") as repository:
        yield repository.create_volume("v")


def content_of(volume: cas.Volume, data: bytes, step: int = MiB) -> cas.Content:
    with volume.upload() as upload:
        for start in range(0, len(data), step):
            assert upload.write(data[start : start + step]) == len(data[start : start + step])
        content = upload.finish()
        with volume.edit() as edit:
            edit.rely_on(upload)
            edit.put("file", content)
    return content


def reader_of(volume: cas.Volume) -> cas.FileReader:
    with volume.view() as view:
        return view.open("file")


KINDS = {
    "random": seeded_bytes(1, 9 * MiB + 17),
    "zeros": bytes(7 * MiB + 1),
    "log": b"".join(b"%d all is well\n" % number for number in range(500_000)),
    "text": b"all work and no play\n" * 300_000,
    "database": b"SQLite format 3\0" + seeded_bytes(2, 5 * MiB),
    "small": b"hello",
    "one chunk": seeded_bytes(3, 16_000),
    "empty": b"",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_in_comes_out(volume: cas.Volume, kind: str) -> None:
    data = KINDS[kind]
    content = content_of(volume, data)
    assert content.size == len(data)
    with reader_of(volume) as reader:
        assert reader.size == len(data)
        assert reader.read() == data
        assert reader.read() == b""
        assert b"".join(reader.chunks()) == data


@pytest.mark.parametrize("kind", KINDS)
def test_the_content_id_does_not_depend_on_how_the_bytes_came(
    volume: cas.Volume, kind: str
) -> None:
    data = KINDS[kind]
    expected = content_of(volume, data)
    for step in (1 * MiB + 1, 333_333, 5 * MiB):
        assert content_of(volume, data, step) == expected
    if len(data) < 100_000:
        assert content_of(volume, data, 7) == expected
    for buffer in (bytearray(data), memoryview(data)):
        upload = volume.upload()
        upload.write(buffer)
        assert upload.finish() == expected


def test_the_callers_buffer_may_be_used_again(volume: cas.Volume) -> None:
    buffer = bytearray(b"first")
    upload = volume.upload()
    upload.write(buffer)
    buffer[:] = b"wrong"
    with volume.edit() as edit:
        edit.put("file", upload)
    assert reader_of(volume).read() == b"first"


LONG = seeded_bytes(7, 3 * MiB) + bytes(2 * MiB) + seeded_bytes(8, 4 * MiB)


@pytest.fixture(scope="module")
def long_file(volume: cas.Volume) -> bytes:
    upload = volume.upload()
    upload.write(LONG)
    with volume.edit() as edit:
        edit.put("long", upload)
    return LONG


@pytest.mark.usefixtures("long_file")
def test_any_range_is_read(volume: cas.Volume) -> None:
    @settings(max_examples=60)
    @given(start=st.integers(0, 9 * MiB + 5), length=st.integers(0, 3 * MiB))
    def check(start: int, length: int) -> None:
        stop = start + length
        with volume.view() as view, view.open("long") as reader:
            assert b"".join(reader.chunks(start, stop)) == LONG[start:stop]
            reader.seek(start)
            assert (
                b"".join(iter(lambda: reader.read(stop - reader.tell()), b"")) == (LONG[start:stop])
            )
            assert reader.tell() == max(start, min(stop, len(LONG)))

    check()


def test_a_reader_seeks_as_files_do(volume: cas.Volume, long_file: bytes) -> None:
    with volume.view() as view, view.open("long") as reader:
        assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)
        assert reader.seek(-5, io.SEEK_END) == len(long_file) - 5
        assert reader.read() == long_file[-5:]
        assert reader.seek(10) == 10
        assert reader.seek(5, io.SEEK_CUR) == 15
        assert reader.seek(len(long_file) + 10) == len(long_file) + 10
        assert reader.read(10) == b""
        with pytest.raises(cas.InvalidError):
            reader.seek(-1)
        reader.seek(0)
        assert io.BufferedReader(reader).read(100_000) == long_file[:100_000]


def test_a_reader_outlives_its_view_and_later_changes(volume: cas.Volume, long_file: bytes) -> None:
    with volume.edit() as edit:
        edit.copy("long", "short-lived")
    with volume.view() as view:
        reader = view.open("short-lived")
    pieces = reader.chunks()
    first = bytes(next(pieces))
    with volume.edit() as edit:
        edit.remove("short-lived")
    assert first + b"".join(pieces) == long_file


def test_an_upload_is_not_visible_before_it_is_put_and_never_when_given_up(
    volume: cas.Volume,
) -> None:
    with volume.view() as view:
        before = list(view.walk())
    with volume.upload() as upload:
        upload.write(bytes(MiB))
    with pytest.raises(cas.InvalidError):
        upload.write(b"more")
    with pytest.raises(cas.InvalidError):
        upload.finish()
    finished = volume.upload()
    finished.finish()
    with pytest.raises(cas.InvalidError):
        finished.finish()
    with volume.view() as view:
        assert list(view.walk()) == before


def test_a_change_in_the_middle_stores_little(volume: cas.Volume) -> None:
    data = bytearray(seeded_bytes(9, 12 * MiB))
    content_of(volume, bytes(data))
    before = volume.upload()
    before.write(data)
    before.finish()
    data[6 * MiB : 6 * MiB] = b"!"
    changed = volume.upload()
    changed.write(data)
    stored = {p: p.size for p in before.relies.packs}
    changed.finish()
    grown = sum(p.size - stored.get(p, p.size) for p in changed.relies.packs)
    assert grown < MiB
    with volume.edit() as edit:
        edit.rely_on(changed)


def test_uploads_of_many_threads_do_not_mix(volume: cas.Volume) -> None:
    contents: dict[int, cas.Content] = {}

    def work(number: int) -> None:
        upload = volume.upload()
        for part in range(6):
            upload.write(seeded_bytes(100 + number, MiB)[: MiB - part])
        with volume.edit() as edit:
            edit.put(f"thread {number}", upload)
        contents[number] = cas.EMPTY_CONTENT

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(contents) == 6
    with volume.view() as view:
        for number in contents:
            expected = b"".join(seeded_bytes(100 + number, MiB)[: MiB - part] for part in range(6))
            assert view.open(f"thread {number}").read() == expected


def test_a_broken_upload_says_so_at_the_latest_when_it_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> int:
        raise OSError(5, "input/output error")

    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        with monkeypatch.context() as patched:
            patched.setattr("os.pwritev", fail)
            upload = volume.upload()
            with pytest.raises(cas.StoreError):
                _write_all(upload)
        content_of(volume, b"works again")
        assert reader_of(volume).read() == b"works again"


def _write_all(upload: cas.FileWriter) -> None:
    for number in range(20):
        upload.write(seeded_bytes(number, MiB))
    upload.finish()
