"""Encrypted repositories: what the disk shows, what is noticed, and who is let in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import zstandard
from cryptography.exceptions import InvalidTag

import cas
from cas.ids import Identifier
from cas.keys import open_keys
from tests.support.checking import assert_sound, check
from tests.support.corpus import seeded_bytes
from tests.support.independent_reader import IndependentReader

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY: Final = cas.KeyFile(bytes(range(32)))
QUICK: Final = {"passes": 1, "memory_kib": 64}
TEXT: Final = b"".join(b"line %d of a text that compresses well\n" % n for n in range(9_000))
FILES: Final = {
    "geheim/Kündigung.txt": b"a short secret in one chunk",
    "geheim/text": TEXT,
    "geheim/random": seeded_bytes(3, 700_000),
    **{f"viele/datei-nummer-{number:03}": b"inhalt %d" % number for number in range(60)},
}
NAMES: Final = ("geheimer-band", "eigentuemerin", "verfasserin", "laptop-zuhause", "stichtag-eins")


def fill(repository: cas.Repository) -> None:
    volume = repository.create_volume(NAMES[0], owner=NAMES[1])
    with volume.edit(author=NAMES[2], device=NAMES[3]) as edit:
        edit.make_directory("geheim")
        edit.make_directory("viele")
        for path, content in FILES.items():
            upload = volume.upload()
            upload.write(content)
            edit.put(path, upload, content_type="application/x-vertraulich")
    volume.create_snapshot(NAMES[4], author=NAMES[2])
    lock = cas.Lock(
        token="urn:uuid:ein-geheimer-schluessel",
        volume_id=volume.id,
        path="geheim/text",
        principal="schlosserin",
        expires_ns=2**62,
    )
    repository.locks.acquire(lock)
    repository.scratch.put(b"zuletzt:eigentuemerin", b"gestern abend um acht")
    with volume.edit(author=NAMES[2]) as edit:
        edit.move("viele", "umbenannt-in-dies")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A closed encrypted repository."""
    with cas.create(tmp_path / "store", key=KEY) as repository:
        fill(repository)
    return tmp_path / "store"


def unlock() -> cas.Credential:
    return KEY


def secrets_of_the_corpus() -> Iterator[bytes]:
    """Yield what must be nowhere: blocks of content, compressed too, names, and public ids."""
    yield from (name.encode() for name in NAMES)
    yield from (part.encode() for path in FILES for part in path.split("/"))
    yield from (b"umbenannt-in-dies", b"application/x-vertraulich", b"schlosserin")
    yield from (b"ein-geheimer-schluessel", b"zuletzt:eigent", b"gestern abend")
    for content in FILES.values():
        frame = zstandard.ZstdCompressor(level=1).compress(content)
        for data in (content, frame[12:]):
            yield from (data[at : at + 12] for at in range(0, max(len(data) - 12, 1), 4_096))
        public = Identifier().chunk(content)
        yield from (public, public.hex().encode())


def leaks(directory: Path) -> list[tuple[str, bytes]]:
    wanted = [secret for secret in secrets_of_the_corpus() if len(secret) > 5]
    return [
        (path.name, secret)
        for path in directory.rglob("*")
        if path.is_file()
        for content in [path.read_bytes()]
        for secret in wanted
        if secret in content
    ]


def test_no_byte_of_the_disk_tells_of_names_content_or_public_ids(store: Path) -> None:
    assert leaks(store) == []


def test_nor_does_it_while_the_repository_is_open_or_after_a_kill(store: Path) -> None:
    with cas.open(store, unlock=unlock) as repository:
        volume = repository.volume(NAMES[0])
        with volume.edit(author=NAMES[2]) as edit:
            upload = volume.upload()
            upload.write(TEXT[:5_000])
            edit.put("geheim/Kündigung.txt", upload)
        assert list((store / "local" / "open").iterdir())
        assert leaks(store) == []
        shutil.copytree(store, store.parent / "copy")
    with cas.open(store.parent / "copy", unlock=unlock) as copy:  # its process counts as dead
        with copy.volume(NAMES[0]).view() as view:
            assert view.open("geheim/Kündigung.txt").read() == TEXT[:5_000]
        assert_sound(copy)


def test_a_plain_repository_is_found_out_by_the_same_search(tmp_path: Path) -> None:
    with cas.create(tmp_path / "plain", key=None) as repository:
        if repository.key is not None:
            pytest.skip("all repositories are encrypted in this run")
        fill(repository)
    found = {secret for _, secret in leaks(tmp_path / "plain")}
    assert {name.encode() for name in NAMES} <= found
    assert any(Identifier().chunk(content) in found for content in FILES.values())


def test_all_is_there_after_opening_again_and_without_the_catalog(store: Path) -> None:
    for _ in range(2):
        with cas.open(store, unlock=unlock) as repository:
            assert_content(repository)
            assert_sound(repository)
        shutil.rmtree(store / "local" / "catalog")


def assert_content(repository: cas.Repository) -> None:
    with repository.volume(NAMES[0]).view() as view:
        for path, content in FILES.items():
            assert view.open(path.replace("viele", "umbenannt-in-dies")).read() == content
    assert repository.volume(NAMES[0]).snapshot(NAMES[4]).name == NAMES[4]


def test_the_document_alone_is_enough_to_read_it(store: Path) -> None:
    reader = IndependentReader(store, KEY.content)
    volume_id = reader.volumes()[NAMES[0].encode()]
    found = dict(reader.walk(reader.root(volume_id)))
    for path, content in FILES.items():
        entry = found[path.replace("viele", "umbenannt-in-dies").encode()]
        assert reader.read(entry) == content


def test_a_passphrase_opens_it_for_the_document_too(tmp_path: Path) -> None:
    typed, composed = "Scho\u0308n", "Sch\u00f6n"
    with cas.create(tmp_path / "store", key=cas.Passphrase(typed, **QUICK)) as repository:
        fill(repository)
    cas.open(tmp_path / "store", unlock=lambda: cas.Passphrase(composed)).close()
    assert NAMES[0].encode() in IndependentReader(tmp_path / "store", composed).volumes()
    with pytest.raises(cas.WrongKeyError, match="password does not open"):
        cas.open(tmp_path / "store", unlock=lambda: cas.Passphrase("Schon"))


@pytest.mark.parametrize(
    "wrong", [cas.KeyFile(bytes(32)), cas.Passphrase("guess"), cas.RepositoryKey(bytes(32))]
)
def test_a_wrong_key_opens_nothing_and_changes_nothing(store: Path, wrong: cas.Credential) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    with pytest.raises(cas.WrongKeyError):
        cas.open(store, unlock=lambda: wrong)
    with pytest.raises(cas.WrongKeyError):
        cas.rebuild_index(store, unlock=lambda: wrong)
    with pytest.raises(cas.WrongKeyError):
        cas.add_key(store, lambda: wrong, cas.KeyFile(bytes(32)))
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test_equal_files_look_different_in_two_repositories(tmp_path: Path) -> None:
    sizes = []
    for name in ("one", "other"):
        with cas.create(tmp_path / name, key=KEY) as repository:
            volume = repository.create_volume("v")
            with volume.edit() as edit:
                upload = volume.upload()
                upload.write(seeded_bytes(5, 3_000_000))
                edit.put("file", upload)
            chunks = repository.engine.chunks
            with repository.engine.catalog.read() as transaction:
                found = dict(transaction.locations(b""))
            sizes.append({found[each].plain_size: each for each in found})
            assert chunks.chunk_seed
    assert len(sizes[0].keys() & sizes[1].keys()) < len(sizes[0]) // 2
    assert not set(sizes[0].values()) & set(sizes[1].values())


# --- what somebody who can write the disk does ----------------------------------------------------


def packs_of(store: Path) -> list[Path]:
    return sorted(path for path in store.glob("packs/*/*") if path.is_file())


def overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(content)


def assert_noticed(store: Path) -> None:
    """A check, a rebuild and a reader by the document each notice; nothing wrong is served."""
    with pytest.raises((AssertionError, InvalidTag, KeyError, IndexError)):
        read_all(store)
    with cas.open(store, unlock=unlock) as repository:
        assert check(repository, cas.Share()).damages


def read_all(store: Path) -> None:
    """Read every file by the document."""
    reader = IndependentReader(store, KEY.content)
    for volume_id in reader.volumes().values():
        for _, entry in reader.walk(reader.root(volume_id)):
            reader.read(entry)


def test_two_records_that_changed_places_are_noticed(store: Path) -> None:
    with (
        cas.open(store, unlock=unlock) as repository,
        repository.engine.catalog.read() as transaction,
    ):
        places = sorted(place for _, place in transaction.locations(b""))
        names = {ordinal: row.id for ordinal, row in transaction.packs()}
    pairs = [
        (one, other)
        for one in places
        for other in places
        if one.pack == other.pack
        and one.offset < other.offset
        and (one.kind, one.stored_size) == (other.kind, other.stored_size)
    ]
    one, other = pairs[0]
    name = names[one.pack].hex()
    path = store / "packs" / name[:2] / name
    content = bytearray(path.read_bytes())
    size = 60 + one.stored_size
    first, second = (slice(each.offset, each.offset + size) for each in (one, other))
    content[first], content[second] = content[second], content[first]
    overwrite(path, bytes(content))
    assert_noticed(store)


def test_a_pack_under_anothers_name_is_noticed(store: Path) -> None:
    one, other = (path for path in packs_of(store))
    first, second = one.read_bytes(), other.read_bytes()
    overwrite(one, second)
    overwrite(other, first)
    with pytest.raises((AssertionError, InvalidTag, KeyError)):
        IndependentReader(store, KEY.content).volumes()
    shutil.rmtree(store / "local")
    with pytest.raises(cas.IntegrityError):
        cas.open(store, unlock=unlock)


def test_a_pack_that_is_not_encrypted_is_not_taken_for_ones_own(
    store: Path, tmp_path: Path
) -> None:
    """Whoever knows the format, and no key, can make a plain pack of any content."""
    with cas.create(tmp_path / "plain", key=None) as repository:
        if repository.key is not None:
            pytest.skip("all repositories are encrypted in this run")
        fill(repository)
    for pack in packs_of(tmp_path / "plain"):
        target = store / "packs" / pack.parent.name / pack.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(pack, target)
    shutil.rmtree(store / "local")
    with cas.open(store, unlock=unlock) as repository:
        assert_content(repository)
        with repository.engine.catalog.read() as transaction:
            rows = [row for _, row in transaction.packs()]
        assert sorted(row.records > 0 for row in rows) == [False, False, True, True]
        assert check(repository).damages


def test_every_flipped_bit_of_refs_and_packs_is_noticed(store: Path) -> None:
    for path in [*packs_of(store), *store.glob("refs/*")]:
        content = path.read_bytes()
        step = max(len(content) // 40, 1)
        for position in {*range(0, min(len(content), 64), 3), *range(0, len(content), step)}:
            damaged = bytearray(content)
            damaged[position] ^= 1 << position % 8
            overwrite(path, bytes(damaged))
            with pytest.raises((AssertionError, InvalidTag, IndexError)):
                read_all(store)
        overwrite(path, content)


def test_refs_that_changed_places_are_noticed(store: Path) -> None:
    one, other = sorted(store.glob("refs/*"))
    first, second = one.read_bytes(), other.read_bytes()
    overwrite(one, second)
    overwrite(other, first)
    shutil.rmtree(store / "local")
    with pytest.raises(cas.IntegrityError, match="is damaged"):
        cas.open(store, unlock=unlock)


def test_a_damaged_header_costs_nothing(store: Path) -> None:
    for path in packs_of(store):
        content = bytearray(path.read_bytes())
        content[10:64] = bytes(54)  # kind, flags, id, the number of the key
        overwrite(path, bytes(content))
    shutil.rmtree(store / "local")
    with cas.open(store, unlock=unlock) as repository:
        assert_content(repository)


def test_no_two_values_have_one_nonce_and_each_opens_for_its_purpose_alone(store: Path) -> None:
    sealing = open_keys((store / "config").read_bytes, unlock).identifier.sealing
    assert sealing is not None
    sealed = {sealing.seal(b"purpose", b"value") for _ in range(100)}
    assert len({each[:28] for each in sealed}) == 100
    assert all(sealing.open(b"purpose", each) == b"value" for each in sealed)
    with pytest.raises(cas.IntegrityError):
        sealing.open(b"another purpose", sealed.pop())


def test_upgrading_leaves_an_encrypted_repository_as_it_is(store: Path) -> None:
    before = (store / "config").read_bytes()
    assert cas.upgrade(store).steps == ()
    assert (store / "config").read_bytes() == before
