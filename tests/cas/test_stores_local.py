"""The store on a local disk keeps the contract, and survives crashes and full disks."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from cas.errors import AlreadyExistsError, ConflictError, NotFoundError, StoreError, StoreFullError
from cas.stores.base import BlobStore
from cas.stores.local import LocalStore
from tests.contracts.blob_store import PACK, REF, BlobStoreContract


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestLocalStore(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return LocalStore.create(tmp_path / "store")

    def raw_read(self, store: BlobStore, name: str) -> bytes | None:
        path = Path(store.location) / name
        return path.read_bytes() if path.exists() else None

    def raw_write(self, store: BlobStore, name: str, content: bytes) -> None:
        path = Path(store.location) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "new" / "store"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore.create(root)


def test_a_missing_directory_is_not_found(root: Path) -> None:
    with pytest.raises(NotFoundError):
        LocalStore(root)


def test_creating_takes_an_existing_directory(root: Path) -> None:
    LocalStore.create(root).put(PACK, b"content")
    assert LocalStore.create(root).get(PACK) == b"content"
    assert LocalStore(root).get(PACK) == b"content"


def test_a_store_whose_disk_is_gone_says_so(root: Path, store: LocalStore) -> None:
    root.rmdir()
    with pytest.raises(StoreError, match="mounted"):
        store.put(PACK, b"content")


def test_foreign_files_are_not_listed(root: Path, store: LocalStore) -> None:
    store.put(PACK, b"content")
    (root / "packs/.DS_Store").touch()
    (root / "packs/3f/3fa9.bak").touch()
    (root / "packs/3f/lost+found").mkdir()
    assert list(store.list("packs")) == [(PACK, 7)]


def test_only_the_owner_can_look_inside(root: Path, store: LocalStore, tmp_path: Path) -> None:
    taken = tmp_path / "open pack"
    taken.write_bytes(b"content")
    store.put(PACK, b"content")
    store.put_file("packs/00/00", taken)
    store.replace(REF, b"a ref", None)
    assert {mode_of(path) for path in [root, *root.rglob("*")] if path.is_dir()} == {0o700}
    assert mode_of(root / PACK) == 0o400
    assert mode_of(root / "packs/00/00") == 0o400
    assert mode_of(root / REF) == 0o600


def test_nothing_temporary_stays_behind(root: Path, store: LocalStore) -> None:
    store.put(PACK, b"content")
    store.replace(REF, b"one", None)
    with pytest.raises(ConflictError):
        store.replace(REF, b"two", None)
    assert files_below(root) == sorted([PACK, REF, "store.lock"])


def test_a_taken_file_is_renamed_not_copied(store: LocalStore, tmp_path: Path) -> None:
    path = tmp_path / "open pack"
    path.write_bytes(b"content")
    number = path.stat().st_ino
    store.put_file(PACK, path)
    taken = store.local_path(PACK)
    assert taken is not None
    assert taken.stat().st_ino == number
    assert taken.stat().st_nlink == 1


def test_a_crash_between_the_two_names_of_a_taken_file_is_mended(
    root: Path, store: LocalStore, tmp_path: Path
) -> None:
    path = tmp_path / "open pack"
    path.write_bytes(b"content")
    (root / PACK).parent.mkdir(parents=True)
    os.link(path, root / PACK)
    store.put_file(PACK, path)
    assert not path.exists()
    assert store.get(PACK) == b"content"


def test_a_file_system_without_links_will_do(
    root: Path, store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "open pack"
    path.write_bytes(b"taken")
    store.put(PACK, b"content")
    with pytest.raises(AlreadyExistsError):
        store.put(PACK, b"other")
    with pytest.raises(AlreadyExistsError):
        store.put_file(PACK, path)
    store.put_file("packs/00/00", path)
    assert store.get(PACK) == b"content"
    assert store.get("packs/00/00") == b"taken"
    assert files_below(root) == sorted([PACK, "packs/00/00"])


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir(),
    reason="no second file system",
)
def test_a_file_of_another_file_system_is_copied(store: LocalStore, tmp_path: Path) -> None:
    path = Path("/dev/shm") / f"casdav-{os.getpid()}"
    if path.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    path.write_bytes(b"x" * 3_000_000)
    try:
        store.put_file(PACK, path)
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)
    assert store.get(PACK) == b"x" * 3_000_000


@pytest.mark.parametrize(
    ("number", "expected", "transient"),
    [
        (errno.ENOSPC, StoreFullError, False),
        (errno.EDQUOT, StoreFullError, False),
        (errno.EIO, StoreError, False),
        (errno.EMFILE, StoreError, True),
    ],
)
@pytest.mark.parametrize("call", ["fdatasync", "fsync", "fchmod"])
def test_a_failing_disk_is_reported_and_no_part_is_visible(
    root: Path,
    store: LocalStore,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    expected: type[StoreError],
    transient: bool,  # noqa: FBT001
    call: str,
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(StoreError) as caught:
            store.put(PACK, b"content")
    assert type(caught.value) is expected
    assert caught.value.transient is transient
    assert [name for name in files_below(root) if name.startswith("tmp")] == []
    assert not (root / PACK).exists() or store.get(PACK) == b"content"


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if (
        sys.platform != "linux"
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a file system is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_reported_and_the_store_works_on(tiny_disk: Path) -> None:
    store = LocalStore.create(tiny_disk)
    store.put(PACK, b"x" * 500_000)
    token = store.replace(REF, b"one", None)
    with pytest.raises(StoreFullError):
        store.put("packs/00/00", b"x" * 600_000)
    with pytest.raises(StoreFullError):
        store.replace(REF, b"x" * 600_000, token)
    assert store.get(PACK) == b"x" * 500_000
    assert store.read(REF) == (b"one", token)
    store.delete(PACK)
    store.put("packs/00/00", b"x" * 600_000)
    assert list(store.list("packs")) == [("packs/00/00", 600_000)]


WRITER = """
import sys
from pathlib import Path
from cas.stores.local import LocalStore

def parts():
    yield b"half of it"
    print("writing", flush=True)
    sys.stdin.read()

LocalStore(Path(sys.argv[1])).put("packs/00/00", parts())
"""


@pytest.fixture
def stopped_writer(root: Path, store: LocalStore) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has written half of an object and waits."""
    assert store.clean_up() == 0
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


def test_clean_up_spares_the_files_of_a_live_writer(
    root: Path, store: LocalStore, stopped_writer: subprocess.Popen[str]
) -> None:
    assert store.clean_up() == 0
    assert not (root / "packs/00/00").exists()
    stopped_writer.communicate()
    assert stopped_writer.returncode == 0
    assert store.get("packs/00/00") == b"half of it"


def test_clean_up_removes_the_files_of_a_dead_writer(
    root: Path, store: LocalStore, stopped_writer: subprocess.Popen[str]
) -> None:
    stopped_writer.send_signal(signal.SIGKILL)
    stopped_writer.wait()
    assert len(files_below(root)) == 1
    assert store.clean_up() == 1
    assert files_below(root) == []
    with pytest.raises(NotFoundError):
        store.get("packs/00/00")


def test_processes_take_turns_at_a_mutable_object(root: Path, store: LocalStore) -> None:
    program = """
import sys
from pathlib import Path
from cas.errors import ConflictError
from cas.stores.local import LocalStore

store = LocalStore(Path(sys.argv[1]))
done = 0
while done < 20:
    content, token = store.read("refs/00ff")
    try:
        store.replace("refs/00ff", str(int(content) + 1).encode(), token)
    except ConflictError:
        continue
    done += 1
"""
    store.replace(REF, b"0", None)
    processes = [subprocess.Popen([sys.executable, "-c", program, str(root)]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert store.read(REF)[0] == b"40"
