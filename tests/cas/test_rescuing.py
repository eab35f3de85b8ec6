"""What an upload found stored is condemned by another gateway before the upload is committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cas
from tests.support.checking import assert_sound
from tests.support.corpus import seeded_bytes
from tests.support.encrypted import KEY
from tests.support.gateways import CutOff, Gateways, content, gateways, put

PRESENT_ONLY = cas.VersionPolicy(versions=1, states=cas.Retention())
DATA = seeded_bytes(1, 4 << 20)
KEPT = seeded_bytes(2, 1 << 20)


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Gateways]:
    with gateways(tmp_path, key=request.param) as bucket:
        yield bucket


def collect(repository: cas.Repository) -> cas.CollectionReport:
    return cas.collect_garbage(repository, PRESENT_ONLY, grace_seconds=0)


def remove(repository: cas.Repository, path: str) -> None:
    with repository.volume("v").edit() as edit:
        edit.remove(path)


def condemn(made: Gateways) -> None:
    """A gateway condemns packs, and is cut off before it deletes them."""
    dying = made.open("dying", wrap=lambda store: CutOff(store.bucket, store.machine_directory))
    with pytest.raises(cas.StoreError, match="line is cut"):
        collect(dying)


def upload_file(volume: cas.Volume, data: bytes) -> cas.Edit:
    upload = volume.upload()
    upload.write(data)
    edit = volume.edit()
    edit.put("b", upload)
    return edit


def upload_folder(volume: cas.Volume, data: bytes) -> cas.Edit:
    stored = volume.store([data, data[: 1 << 20]])
    outer = volume.folder()
    inner = outer.folder()
    inner.put("b", stored.contents[0], mtime_ns=1, mode=0o644)
    inner.put("c", stored.contents[1], mtime_ns=1, mode=0o644)
    inner.rely_on(stored)
    outer.put_folder("inner", inner, mtime_ns=1, mode=0o755)
    outer.rely_on(stored)
    edit = volume.edit()
    edit.put_folder("folder", outer, mtime_ns=1)
    return edit


def upload_properties(volume: cas.Volume, data: bytes) -> cas.Edit:
    edit = volume.edit()
    edit.make_directory("with", properties={"{DAV:}large": data[:20_000].hex()})
    return edit


@pytest.mark.parametrize("send", [upload_file, upload_folder, upload_properties])
def test_what_is_condemned_and_still_there_is_copied(
    made: Gateways, send: Callable[[cas.Volume, bytes], cas.Edit]
) -> None:
    one, two = made.open("one"), made.open("two")
    send(one.volume("v"), DATA).commit()
    assert_sound(two)
    with one.volume("v").view() as view:
        (path,) = (name for name, _ in view.list())
    remove(one, path)
    assert content(two) == {}
    edit = send(two.volume("v"), DATA)  # all of it is found stored
    condemn(made)
    edit.commit()
    shown = content(two)
    assert all(DATA.startswith(data) for data in shown.values())
    assert collect(one).removed_packs > 0
    for repository in (one, two, made.open("three")):
        assert content(repository) == shown
        assert_sound(repository)


def test_what_the_collection_has_written_anew_is_found_there(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "large", DATA + KEPT)
    put(one, "kept", KEPT)
    remove(one, "large")
    assert content(two) == {"kept": KEPT}
    edit = upload_file(two.volume("v"), KEPT)
    report = collect(one)
    assert report.removed_packs == report.condemned_packs > 0
    before = sum(size for _, size in made.bucket.list("packs"))
    edit.commit()
    assert sum(size for _, size in made.bucket.list("packs")) < before + len(KEPT) // 2
    for repository in (one, two, made.open("three")):
        assert content(repository) == {"kept": KEPT, "b": KEPT}
        assert_sound(repository)


def test_what_is_deleted_is_asked_for_again_and_the_edit_leaves_no_trace(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "a", DATA)
    assert content(two) == {"a": DATA}
    remove(one, "a")
    edit = upload_file(two.volume("v"), DATA)
    collect(one)
    with pytest.raises(cas.StoreError, match="send the data again") as caught:
        edit.commit()
    assert caught.value.transient
    assert content(two) == {}
    assert_sound(two)
