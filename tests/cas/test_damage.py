"""Damage on the disk: a read raises IntegrityError that names the file, never wrong bytes."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import cas
from cas.packfile import PackKind
from tests.support.corpus import seeded_bytes
from tests.support.damage import packs_of

FILES = {f"folder/file {number}": seeded_bytes(number, 150_000 + number) for number in range(12)}


@pytest.fixture
def location(tmp_path: Path) -> Path:
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v")
        with volume.edit() as edit:
            edit.make_directory("folder")
            for path, data in FILES.items():
                upload = volume.upload()
                upload.write(data)
                edit.put(path, upload)
    return tmp_path / "store"


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.chmod(0o600)
    path.write_bytes(content)


def read_all(location: Path) -> tuple[int, list[str]]:
    """Return how many files were read, and what was said of those that could not be."""
    sound = 0
    said: list[tuple[str, str]] = []
    with cas.open(location) as repository, repository.volume("v").view() as view:
        for path, data in FILES.items():
            try:
                with view.open(path) as reader:
                    found = reader.read()
                    assert found == data, "wrong bytes were served"
                    assert b"".join(reader.chunks()) == data
                    sound += 1
            except cas.IntegrityError as error:
                said.append((path, str(error)))
    assert [message for path, message in said if path not in message] == []
    return sound, [message for _, message in said]


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_bit_in_a_data_pack_is_reported_with_the_files_name(
    location: Path, seed: int
) -> None:
    chosen = random.Random(seed)
    (pack,) = packs_of(location, PackKind.DATA)
    flip(pack, chosen.randrange(pack.stat().st_size), chosen.randrange(8))
    sound, said = read_all(location)
    assert sound + len(said) == len(FILES)
    assert len(said) <= 1


@pytest.mark.plain
def test_a_flipped_bit_in_a_chunk_of_a_file_fails_that_file_alone(location: Path) -> None:
    (pack,) = packs_of(location, PackKind.DATA)
    at = pack.read_bytes().find(FILES["folder/file 3"][70_000:70_100])
    flip(pack, at)
    sound, (said,) = read_all(location)
    assert sound == len(FILES) - 1
    assert "folder/file 3" in said
    assert "damaged" in said


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("lose_catalog", [False, True])
def test_a_flipped_bit_in_a_tree_pack_never_serves_wrong_bytes(
    location: Path,
    seed: int,
    lose_catalog: bool,  # noqa: FBT001
) -> None:
    chosen = random.Random(seed)
    (pack,) = packs_of(location, PackKind.TREE)
    flip(pack, chosen.randrange(pack.stat().st_size), chosen.randrange(8))
    if lose_catalog:
        shutil.rmtree(location / "local" / "catalog")
    try:
        read_all(location)
    except cas.IntegrityError:
        return  # a node of the tree, the commit or the registry: nothing can be read


def test_a_flipped_bit_in_a_file_node_names_the_file(location: Path) -> None:
    with cas.open(location) as repository:
        volume = repository.volume("v")
        with volume.view() as view:
            entry = view.entry("folder/file 5")
        assert entry.kind is cas.EntryKind.NODE_FILE
        place = repository._chunks.locate([entry.content])[0]  # noqa: SLF001
    (pack,) = packs_of(location, PackKind.TREE)
    flip(pack, place.offset + 60 + place.stored_size // 2)
    sound, (said,) = read_all(location)
    assert sound == len(FILES) - 1
    assert "folder/file 5" in said


def test_a_damaged_folder_is_named(location: Path) -> None:
    with cas.open(location) as repository:
        with repository.volume("v").view() as view:
            entry = view.entry("folder")
        place = repository._chunks.locate([entry.content])[0]  # noqa: SLF001
    (pack,) = packs_of(location, PackKind.TREE)
    flip(pack, place.offset + 60 + place.stored_size // 2)
    shutil.rmtree(location / "local" / "catalog")  # which still has the node in its nursery
    with cas.open(location) as repository, repository.volume("v").view() as view:
        reads: list[Callable[[], object]] = [
            lambda: view.get("folder/file 1"),
            lambda: view.open("folder/file 1"),
            lambda: list(view.list("folder")),
            lambda: list(view.walk()),
        ]
        for read in reads:
            with pytest.raises(cas.IntegrityError, match="folder"):
                read()


@pytest.mark.parametrize("kind", [PackKind.DATA, PackKind.TREE])
def test_a_missing_or_cut_pack_is_reported(location: Path, kind: PackKind) -> None:
    (pack,) = packs_of(location, kind)
    content = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(content[: len(content) // 2])
    if kind is PackKind.DATA:
        sound, said = read_all(location)
        assert 0 < sound < len(FILES)
        assert sound + len(said) == len(FILES)
    pack.unlink()
    if kind is PackKind.DATA:
        sound, said = read_all(location)
        assert (sound, len(said)) == (0, len(FILES))
        assert all("missing" in each for each in said)
    else:
        shutil.rmtree(location / "local" / "catalog")
        with pytest.raises(cas.IntegrityError):
            cas.open(location)


def test_a_flipped_bit_in_the_nursery_is_noticed_and_a_rebuild_mends_it(tmp_path: Path) -> None:
    location = tmp_path / "store"
    repository = cas.create(location)
    volume, other = (repository.create_volume(name) for name in ("v", "other"))
    with volume.edit() as edit:
        edit.make_directory("folder")
    with volume.view() as view:
        root = view.root.content
    with repository._catalog.write() as transaction:  # noqa: SLF001
        node = bytearray(transaction.young_node(root) or b"")
        node[node.index(b"folder")] ^= 1  # still a node, but another one
        transaction.put_young_node(root, bytes(node))
    repository._nodes._trees._nodes.clear()  # noqa: SLF001
    with volume.view() as view, pytest.raises(cas.IntegrityError, match="rebuilt"):
        list(view.list())
    edit = volume.edit()
    edit.make_directory("more")
    with pytest.raises(cas.IntegrityError):
        edit.commit()
    with other.edit() as undisturbed:
        undisturbed.make_directory("more")
    for checkpoint in (repository.checkpoint, repository.close):  # neither may drop the journal
        with pytest.raises(cas.IntegrityError):
            checkpoint()
    shutil.rmtree(location / "local" / "catalog")
    with cas.open(location) as again:
        for name, expected in (("v", ["folder"]), ("other", ["more"])):
            with again.volume(name).view() as view:
                assert [path for path, _ in view.walk()] == expected


@pytest.mark.parametrize("seed", range(8))
def test_damage_is_never_made_worse_by_writing_on(location: Path, seed: int) -> None:
    """Content that is uploaded again is stored where it is sound, or the edit says it is not."""
    chosen = random.Random(seed)
    (pack,) = packs_of(location, PackKind.DATA)
    flip(pack, chosen.randrange(200, pack.stat().st_size - 200), 3)
    with cas.open(location) as repository:
        volume = repository.volume("v")
        upload = volume.upload()
        upload.write(b"something new")
        with volume.edit() as edit:
            edit.put("new", upload)
        repository.checkpoint()
    with cas.open(location) as repository, repository.volume("v").view() as view:
        assert view.open("new").read() == b"something new"
    sound, said = read_all(location)
    assert sound >= len(FILES) - 1
    assert sound + len(said) == len(FILES)


@pytest.mark.plain
def test_content_that_was_found_damaged_is_mended_by_sending_it_again(tmp_path: Path) -> None:
    content = seeded_bytes(77, 40_000)
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("home")
        put_bytes(volume, "file", content)
    flip_in_packs(tmp_path / "store", content[:64])
    with cas.open(tmp_path / "store") as repository:
        volume = repository.volume("home")
        with volume.view() as view, pytest.raises(cas.IntegrityError):
            b"".join(view.open("file").chunks())
        put_bytes(volume, "again", content)
        with volume.view() as view:
            assert content == b"".join(view.open("file").chunks())


def test_of_a_long_file_all_that_is_before_the_damage_is_read_and_nothing_behind(
    tmp_path: Path,
) -> None:
    content = b"".join(b"%d all work and no play\n" % number for number in range(500_000))
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("home")
        put_bytes(volume, "book", content)
        with volume.view() as view:
            pieces = list(map(bytes, view.open("book").chunks()))
        damaged = len(pieces) * 2 // 3
        chunks = repository._chunks  # noqa: SLF001
        place = chunks.locate([chunks.identifier.chunk(pieces[damaged])])[0]
    assert place.stored_size < place.plain_size  # so that it is read ahead
    (pack,) = packs_of(tmp_path / "store", PackKind.DATA)
    flip(pack, place.offset + 60 + place.stored_size // 2)
    with cas.open(tmp_path / "store") as repository:
        with repository.volume("home").view() as view:
            reader = view.open("book")
        for start in (0, 1_000_000):
            read = bytearray()
            with pytest.raises(cas.IntegrityError, match="book"):
                list(map(read.extend, reader.chunks(start)))
            assert read == content[start : sum(map(len, pieces[:damaged]))]


def put_bytes(volume: cas.Volume, path: str, content: bytes) -> None:
    with volume.upload() as upload:
        upload.write(content)
        with volume.edit() as edit:
            edit.put(path, upload)


def flip_in_packs(store: Path, marker: bytes) -> None:
    """Flip a bit behind these bytes, which lie in one pack as they are."""
    for pack in store.glob("packs/*/*"):
        stored = bytearray(pack.read_bytes())
        index = stored.find(marker)
        if index >= 0:
            stored[index + 100] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(stored)
            return
    raise AssertionError("no pack holds the bytes")
