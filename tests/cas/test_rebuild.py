"""The LMDB directory is lost: everything acknowledged is there again."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cas
from cas.ids import Kind
from cas.journal import ChangeNode, Commit
from cas.objects import decode
from cas.refs import read_ref
from tests.support.corpus import seeded_bytes
from tests.support.processes import CHECKOUT, casdav_environment


def lose_catalog(location: Path) -> None:
    shutil.rmtree(location / "local" / "catalog")


def put(volume: cas.Volume, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    with volume.edit() as edit:
        edit.put(path, upload)


def everything(repository: cas.Repository) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for info in repository.volumes():
        with repository.volume(info.name).view() as view:
            found[info.name] = [info, view.root, view.sequence]
            for path, entry in view.walk():
                data = view.open(path).read() if entry.is_file else b""
                found[info.name].append((path, entry, data))
    return found


@pytest.fixture
def location(tmp_path: Path) -> Path:
    """A repository with committed state, and changes after it."""
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("v", quota=10**9)
        repository.create_volume("w")
        put(volume, "before", seeded_bytes(1, 300_000))
        with volume.edit() as edit:
            edit.make_directory("folder")
            for number in range(200):
                edit.put(f"folder/{number}", cas.EMPTY_CONTENT)
        repository.checkpoint()
        put(volume, "after", seeded_bytes(2, 300_000))
        with volume.edit() as edit:
            edit.move("folder", "moved")
            edit.copy("before", "moved/copy")
            edit.make_symlink("link", "moved")
            edit.set_properties("moved", properties={"{x}y": "z"}, mode=0o700)
        with volume.view() as view, repository.volume("w").edit() as edit:
            moved = view.entry("moved")
            edit.attach(
                "from v",
                moved,
                epoch=view.epoch,
                nodes=view.nodes,
                source="moved",
                source_volume=volume.id,
            )
        with volume.edit() as edit:
            edit.remove("moved/7")
            edit.set_properties("", mtime_ns=77)
    return tmp_path / "store"


def test_the_tree_is_the_same_after_a_clean_end(location: Path) -> None:
    with cas.open(location) as repository:
        before = everything(repository)
    for _ in range(2):
        lose_catalog(location)
        with cas.open(location) as repository:
            assert everything(repository) == before


def test_the_tree_is_the_same_after_a_kill(tmp_path: Path) -> None:
    program = (
        "import cas, os, signal, sys, pickle\n"
        "repository = cas.create(sys.argv[1])\n"
        "volume = repository.create_volume('v')\n"
        "for number in range(30):\n"
        "    upload = volume.upload(); upload.write(os.urandom(5000))\n"
        "    with volume.edit() as edit: edit.put(f'file {number}', upload)\n"
        "    if number == 11: repository.checkpoint()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    location = tmp_path / "store"
    command = [sys.executable, "-c", program, str(location)]
    killed = subprocess.run(command, cwd=CHECKOUT, env=casdav_environment(), check=False)
    assert killed.returncode == -9
    assert list((location / "local" / "open").iterdir())
    copy = tmp_path / "copy"
    shutil.copytree(location, copy)
    lose_catalog(copy)
    with cas.open(copy) as rebuilt, cas.open(location) as recovered:
        assert everything(rebuilt) == everything(recovered)
        assert len(everything(rebuilt)["v"]) == 33
    for place in (location, copy):
        assert list((place / "local" / "open").iterdir()) == []


def test_work_goes_on_after_a_rebuild(location: Path) -> None:
    lose_catalog(location)
    with cas.open(location) as repository:
        volume = repository.volume("v")
        size = sum(path.stat().st_size for path in location.glob("packs/*/*"))
        put(volume, "again", seeded_bytes(1, 300_000))  # is found where it was
        repository.checkpoint()
        expected = everything(repository)
    grown = sum(path.stat().st_size for path in location.glob("packs/*/*")) - size
    assert grown < 20_000
    lose_catalog(location)
    with cas.open(location) as repository:
        assert everything(repository) == expected


def test_an_empty_repository_is_rebuilt(tmp_path: Path) -> None:
    cas.create(tmp_path / "store").close()
    lose_catalog(tmp_path / "store")
    with cas.open(tmp_path / "store") as repository:
        assert repository.volumes() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_nobody_rebuilds_while_another_is_at_work_on_the_lost_catalog(
    location: Path, when: str
) -> None:
    edit = "    with repository.volume('v').edit() as edit: edit.make_directory('mine')\n"
    program = (
        "import cas, sys\n"
        "with cas.open(sys.argv[1]) as repository:\n"
        + (edit if when == "before" else "")
        + "    print('open', flush=True); sys.stdin.readline()\n"
        + (edit if when == "after" else "")
    )
    command = [sys.executable, "-c", program, str(location)]
    with subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=casdav_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        lose_catalog(location)
        with pytest.raises(cas.IntegrityError, match="another process"):
            cas.open(location)
        other.communicate(b"\n")
    with cas.open(location) as repository, repository.volume("v").view() as view:
        assert view.get("mine") is not None


@pytest.mark.plain
def test_a_rebuild_between_two_refs_of_one_checkpoint_repeats_no_change(location: Path) -> None:
    """The checkpoint had moved the volume's ref and died before it moved the registry's."""
    registry_ref = location / "refs" / bytes(16).hex()
    with cas.open(location) as repository:
        volume = repository.volume("v")
        before = registry_ref.read_bytes()
        put(volume, "one", b"1")
        repository.checkpoint()
        registry_ref.write_bytes(before)
        expected = everything(repository)
    registry_ref.write_bytes(before)
    lose_catalog(location)
    with cas.open(location) as repository:
        assert everything(repository) == expected
        volume = repository.volume("v")
        put(volume, "two", b"2")
        repository.checkpoint()
        chunks = repository._chunks  # noqa: SLF001
        ref = read_ref(repository._store, chunks.identifier, volume.id)  # noqa: SLF001
        assert ref is not None
        commit = decode(chunks.get(Kind.COMMIT, ref.commit), Commit)
        changes = decode(chunks.get(Kind.CHANGE_NODE, commit.changes), ChangeNode).changes
        assert [change.path for change in changes] == [b"two"]
        assert commit.first_sequence == commit.last_sequence


def test_a_lost_footer_does_not_matter(location: Path) -> None:
    with cas.open(location) as repository:
        before = everything(repository)
    for pack in location.glob("packs/*/*"):
        content = bytearray(pack.read_bytes())
        content[-1] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    lose_catalog(location)
    with cas.open(location) as repository:
        assert everything(repository) == before


@pytest.mark.plain
def test_damage_before_what_is_sound_takes_only_what_it_hits(location: Path) -> None:
    """With the footer gone as well, what comes behind the damage is found by looking for it."""
    with cas.open(location) as repository, repository.volume("v").view() as view:
        paths = [path for path, _ in view.walk()]
    data = seeded_bytes(1, 300_000)
    for pack in location.glob("packs/*/*"):
        content = bytearray(pack.read_bytes())
        at = content.find(data[1000:1100])
        if at >= 0:
            content[at] ^= 1
            content[-1] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(content)
            break
    else:
        pytest.fail("the data is in no pack")
    lose_catalog(location)
    with cas.open(location) as repository, repository.volume("v").view() as view:
        assert [path for path, _ in view.walk()] == paths
        assert view.open("after").read() == seeded_bytes(2, 300_000)
        with pytest.raises(cas.IntegrityError, match="before"):
            view.open("before").read()
