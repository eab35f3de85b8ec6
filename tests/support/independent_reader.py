"""Reads a closed repository by cas/FORMAT.md alone: nothing of cas is imported.

It stands for somebody who has the data and the document, and no casdav: plain rather than fast.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import zstandard
from blake3 import blake3
from msgspec import Struct, msgpack
from xxhash import xxh3_64_intdigest

from tests.support.independent_encryption import Ring, decrypted_pack, derived

KINDS: Final = (
    *("CHUNK", "FILE_NODE", "TREE_NODE", "COMMIT"),
    *("ENTRY", "CHANGE_NODE", "JOURNAL", "REF"),
)
DIRECTORY, CHUNK_FILE, NODE_FILE = 1, 3, 4
SECRET: Final = b"casdav: ids of a repository without encryption"
FOOTER_KEY: Final = blake3(b"", derive_key_context="casdav 2026-11-22 pack footer").digest()
HEADER: Final = struct.Struct("<8sHBB16s32sI")
RECORD: Final = struct.Struct("<4sBBBBIII32sQ")
ROW: Final = struct.Struct("<BBBBIII32s")
TRAILER: Final = struct.Struct("<8sHHIQQ32s")


class Entry(Struct, array_like=True):
    kind: int
    size: int
    mtime_ns: int
    mode: int
    content: bytes
    created_ns: int = 0
    content_type: str = ""
    properties: bytes = b""
    properties_id: bytes = b""
    files: int = 0
    folders: int = 0


class TreeNode(Struct, array_like=True):
    level: int
    names: list[bytes]
    entries: list[Entry]
    children: list[tuple[bytes, int, int, int, int]]


class FileNode(Struct, array_like=True):
    level: int
    pieces: list[tuple[bytes, int, int]]
    spans: list[tuple[bytes, int]]


class IndependentReader:
    """The volumes, directories and files of a closed repository in a directory.

    An encrypted one takes a passphrase (text) or the content of a key file.
    """

    def __init__(self, directory: Path, credential: str | bytes | None = None) -> None:
        config = json.loads((directory / "config").read_text())
        assert (config["format"], config["version"]) == ("casdav", 1)
        features = [*config.get("incompatible", []), *config.get("read_features", [])]
        self._ring = None
        if credential is not None:
            assert features == ["encrypted"]
            self._ring = Ring(config, credential)
        else:
            assert features == []
        secret = SECRET if self._ring is None else self._ring.root
        self._keys = {name: derived(f"casdav 2026-11-22 id {name}", secret) for name in KINDS}
        self._directory = directory
        self._objects: dict[tuple[str, bytes], bytes] = {}
        for path in sorted(directory.glob("packs/*/*")):
            pack = path.read_bytes()
            if self._ring is not None:
                pack = decrypted_pack(pack, self._ring)
            for kind, object_id, plaintext in records_of(pack, path.name):
                self._objects[KINDS[kind - 1], object_id] = plaintext

    def volumes(self) -> dict[bytes, bytes]:
        """Return the ids of the volumes by name."""
        records = self.list(dict(self.list(self.root(bytes(16))))[b"volumes"])
        return {name: msgpack.decode(entry.content)[0] for name, entry in records}

    def root(self, volume_id: bytes) -> Entry:
        """Return the root of a volume's newest commit."""
        shown = volume_id if self._ring is None else self._ring.name(b"ref\0" + volume_id)
        name = f"refs/{shown.hex()}"
        stored = (self._directory / name).read_bytes()
        if self._ring is not None:
            stored = self._ring.value(name.encode(), stored)
        assert blake3(stored[32:], key=self._keys["REF"]).digest() == stored[:32]
        ref = msgpack.decode(stored[32:])
        commit = msgpack.decode(self.load("COMMIT", ref[1]))
        assert (commit[0], ref[0], commit[5]) == (volume_id, volume_id, ref[2])
        return msgpack.decode(msgpack.encode(commit[2]), type=Entry)

    def list(self, folder: Entry) -> Iterator[tuple[bytes, Entry]]:
        """Yield names and entries of a directory."""
        if folder.content:
            yield from self._list_node(folder.content)

    def walk(self, folder: Entry, path: bytes = b"") -> Iterator[tuple[bytes, Entry]]:
        """Yield paths and entries of all that is below a directory; check the sums."""
        files = folders = size = 0
        for name, entry in self.list(folder):
            yield path + name, entry
            size += entry.size
            if entry.kind == DIRECTORY:
                files, folders = files + entry.files, folders + entry.folders + 1
                yield from self.walk(entry, path + name + b"/")
            else:
                files += 1
        assert (folder.files, folder.folders, folder.size) == (files, folders, size)

    def read(self, entry: Entry) -> bytes:
        """Return a file's bytes."""
        content = b""
        if entry.kind == CHUNK_FILE:
            content = self.load("CHUNK", entry.content)
        elif entry.kind == NODE_FILE:
            content = self._read_node(entry.content)
        assert len(content) == entry.size
        return content

    def load(self, kind: str, object_id: bytes) -> bytes:
        """Return an object's plaintext, checked against its id."""
        plaintext = self._objects[kind, object_id]
        assert blake3(plaintext, key=self._keys[kind]).digest() == object_id
        return plaintext

    def _list_node(self, node_id: bytes) -> Iterator[tuple[bytes, Entry]]:
        node = msgpack.decode(self.load("TREE_NODE", node_id), type=TreeNode)
        yield from zip(node.names if node.level == 0 else [], node.entries, strict=True)
        for child in node.children:
            yield from self._list_node(child[0])

    def _read_node(self, node_id: bytes) -> bytes:
        node = msgpack.decode(self.load("FILE_NODE", node_id), type=FileNode)
        below = [(self.load("CHUNK", id), length, repeat) for id, length, repeat in node.pieces]
        below += [(self._read_node(id), size, 1) for id, size in node.spans]
        assert all(len(content) == size for content, size, _ in below)
        return b"".join(content * repeat for content, _, repeat in below)


def records_of(pack: bytes, pack_id: str) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield kind, id and plaintext of a sealed pack's records, by its footer."""
    magic, version, _, flags, stated_id, _, check = HEADER.unpack_from(pack)
    assert check == xxh3_64_intdigest(pack[:60]) % 2**32
    assert (magic, version, flags, stated_id.hex()) == (b"casdavPK", 1, 0, pack_id)
    magic, version, flags, count, first_journal, last_journal, digest = TRAILER.unpack(pack[-64:])
    table = pack[-64 - count * 48 : -64]
    assert blake3(table + pack[-64:-32], key=FOOTER_KEY).digest() == digest
    assert (magic, version, flags) == (b"casdavFT", 1, 0)
    seed = int.from_bytes(bytes.fromhex(pack_id)[:8], "little")
    numbers = []
    for index, row in enumerate(ROW.iter_unpack(table)):
        kind, codec, _, _, offset, stored_size, plain_size, object_id = row
        stored = pack[offset + 60 : offset + 60 + stored_size]
        header_check = xxh3_64_intdigest(pack[offset : offset + 52], seed=seed)
        check = xxh3_64_intdigest(stored, seed=header_check)
        magic, *stated, written_index, stated_id, stated_check = RECORD.unpack_from(pack, offset)
        assert (magic, stated_id, stated_check) == (b"cREC", object_id, check)
        assert stated == [kind, codec, 0, 0, stored_size, plain_size]
        assert written_index >= index
        plaintext = zstandard.ZstdDecompressor().decompress(stored) if codec == 1 else stored
        assert len(plaintext) == plain_size
        if KINDS[kind - 1] == "JOURNAL":
            numbers.append(msgpack.decode(plaintext)[0])
        yield kind, object_id, plaintext
    assert (min(numbers, default=0), max(numbers, default=0)) == (first_journal, last_journal)
