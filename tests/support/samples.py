"""Makes the sample repositories of tests/data, and tells what is in a repository.

    python -m tests.support.samples DIRECTORY

makes a repository with something of everything the format knows, closed and after a crash, with
what is in it as JSON beside; then copies of it that are damaged, each named after its damage.
Those of a version stay as they are for ever: they show that later programs can still read them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

import cas
from dav import accounts, app_passwords, grants, schedules
from dav.identity import Right
from tests.support.corpus import seeded_bytes

TEXT: Final = b"".join(b"line %d of a text that compresses well\n" % n for n in range(6_000))
NAMES: Final = ("plain", "Grüße 🐚", "line\nbreak", "trailing ", os.fsdecode(b"not \xff UTF-8"))


def describe(repository: cas.Repository) -> dict[str, Any]:
    """Return all that a repository holds, but for the registry, as JSON has it."""
    found: dict[str, Any] = {}
    for info in repository.volumes():
        volume = repository.volume(info.name)
        with volume.view() as view:
            members: dict[str, Any] = {
                "owner": info.owner,
                "quota": info.quota,
                "now": _tree(view),
                "changes": [
                    [int(change.action), change.path.hex(), change.source.hex(), change.author]
                    for change in volume.changes(0, view.sequence)
                ],
            }
        for snapshot in volume.snapshots():
            with volume.at(snapshot.commit) as view:
                members[f"@{snapshot.name}"] = {
                    "is_pinned": snapshot.is_pinned,
                    "created_ns": snapshot.created_ns,
                    "tree": _tree(view),
                }
        found[info.name] = members
    return found


def _tree(view: cas.View) -> dict[str, list[Any]]:
    return {os.fsencode(path).hex(): describe_entry(view, entry) for path, entry in view.walk()}


def describe_entry(view: cas.View, entry: cas.Entry) -> list[Any]:
    """Return what an entry says, with the hash of its content at the end."""
    content = entry.content
    if entry.is_file:
        with view.open(entry) as file:
            content = file.read()
    elif entry.is_directory:
        content = b"%d %d" % (entry.files, entry.folders)
    return [
        entry.kind.name,
        entry.size,
        entry.mtime_ns,
        entry.mode,
        entry.created_ns,
        entry.content_type,
        view.properties(entry),
        blake3(content).hexdigest(length=16),
    ]


def fill(repository: cas.Repository) -> None:
    """Put something of everything into a new repository."""
    accounts.create_user(repository, "alice", password="correct horse battery", quota=10**9)
    accounts.create_user(repository, "bob")
    app_passwords.create_app_password(repository, "alice", "phone")
    grants.grant(repository, "alice", "bob", Right.READ)
    schedules.set_schedule(repository, "alice", {"hourly": 24})
    repository.create_volume("deleted")
    repository.delete_volume("deleted")
    volume = repository.volume("alice")
    with volume.edit(author="alice", device="laptop") as edit:
        for name in NAMES:
            edit.make_directory(name)
            _put(volume, edit, f"{name}/small", name.encode(errors="surrogateescape"))
        _put(volume, edit, "text", TEXT)
        _put(volume, edit, "random", seeded_bytes(1, 4_000))
        _put(volume, edit, "holes", bytes(3_000_000) + b"end")
        edit.put("empty", cas.EMPTY_CONTENT, mode=0o600, content_type="text/plain")
        edit.make_symlink("link", "plain/small")
        edit.set_properties("text", properties={"{urn:x}colour": "blue", "{urn:x}size": "tall"})
        edit.set_properties("plain", properties={"{urn:x}long": "long " * 1_000})
    with volume.edit(author="alice") as edit:
        edit.make_directory("many")
        for number in range(150):
            edit.put(f"many/file {number:03}", cas.EMPTY_CONTENT, mtime_ns=number)
    volume.create_snapshot("first", is_pinned=True, author="alice")
    with volume.edit(author="bob") as edit:
        edit.move("many", "moved")
        edit.copy("moved", "copied")
        edit.remove("copied/file 007")
        _put(volume, edit, "text", TEXT[:100_000] + b"inserted" + TEXT[100_000:])
        edit.remove("plain")
    volume.create_snapshot("second", author="bob")
    with volume.edit(author="bob") as edit:
        _put(volume, edit, "text", b"short now")
    volume.create_snapshot("gone")
    with volume.edit() as edit:
        edit.remove_snapshot("gone")


def _put(volume: cas.Volume, edit: cas.Edit, path: str, data: bytes) -> None:
    upload = volume.upload()
    upload.write(data)
    edit.put(path, upload)


def main(top: Path) -> None:
    """Make all samples in a directory that has none of them."""
    closed = top / "format-1"
    with cas.create(closed) as repository:
        fill(repository)
    with cas.open(closed) as repository:
        expected = describe(repository)
    crashed = top / "format-1-after-a-crash"
    shutil.copytree(closed, crashed)
    subprocess.run([sys.executable, "-m", "tests.support.samples", "crash", crashed], check=True)
    (top / "format-1.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    _strip(closed)
    _strip(crashed)
    for name, damage in DAMAGES.items():
        shutil.copytree(closed, top / name)
        damage(top / name)


def crash(location: Path) -> None:
    """Change a repository and end without closing it: what is new stands in open packs alone."""
    volume = cas.open(location).volume("alice")
    with volume.edit(author="crash") as edit:
        _put(volume, edit, "after", TEXT[:5_000])
        edit.move("moved", "moved again")
    os._exit(0)


def _strip(location: Path) -> None:
    """Leave out what is of one machine alone, but for open packs."""
    for path in (location / "local").iterdir():
        if path.name != "open":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if not any((location / "local" / "open").iterdir()):
        shutil.rmtree(location / "local")


def _packs(location: Path, kind: int) -> list[Path]:
    """Return the packs of a kind, by size; the kind stands in the header's byte 10."""
    paths = [path for path in (location / "packs").rglob("*") if path.is_file()]
    return sorted((p for p in paths if p.read_bytes()[10] == kind), key=lambda p: p.stat().st_size)


def _change(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.chmod(0o600)
    path.write_bytes(data)


def _flip(path: Path, place: int) -> None:
    def flip(data: bytearray) -> None:
        data[place] ^= 0x10

    _change(path, flip)


def _cut(path: Path, size: int) -> None:
    def cut(data: bytearray) -> None:
        del data[-size:]

    _change(path, cut)


DATA, TREE = 1, 2
DAMAGES: Final[dict[str, Callable[[Path], None]]] = {
    "flipped-bit-in-a-chunk": lambda top: _flip(_packs(top, DATA)[-1], 8_000),
    "flipped-bit-in-a-node": lambda top: _flip(_packs(top, TREE)[-1], 6_000),
    "flipped-bit-in-a-header": lambda top: _flip(_packs(top, DATA)[-1], 14),
    "flipped-bit-in-a-footer": lambda top: _flip(_packs(top, DATA)[-1], -100),
    "truncated-data-pack": lambda top: _cut(_packs(top, DATA)[-1], 9_000),
    "truncated-tree-pack": lambda top: _cut(_packs(top, TREE)[-1], 900),
    "missing-data-pack": lambda top: _packs(top, DATA)[-1].unlink(),
    "missing-tree-pack": lambda top: _packs(top, TREE)[-1].unlink(),
    "flipped-bit-in-a-ref": lambda top: _flip(max((top / "refs").iterdir()), 60),
    "empty-ref": lambda top: _cut(max((top / "refs").iterdir()), 141),
}


if __name__ == "__main__":
    if sys.argv[1] == "crash":
        crash(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
