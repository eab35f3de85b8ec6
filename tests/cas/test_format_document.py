"""cas/FORMAT.md agrees with the code, and is enough to read a repository without it.

Tables are found by their headings, the worked example by its marked blocks: a number that is
changed in the document or in the code alone fails here.
"""

# ruff: noqa: SLF001 - the layouts are private to their module, and it is them that are specified

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, cast

import msgspec
import pytest
import zstandard
from blake3 import blake3
from xxhash import xxh3_64_intdigest

import cas
from cas import (
    change_list,
    chunking,
    compression,
    dropped,
    epochs,
    file_nodes,
    formats,
    freshness,
    ids,
    index_format,
    journal,
    journal_replay,
    kept,
    keys,
    lost,
    objects,
    pack_index,
    packfile,
    purged,
    refs,
    registry,
    retention,
    sealing,
    snapshots,
    trees,
)
from cas.maintenance import gateways, policies
from tests.support.corpus import seeded_bytes
from tests.support.encrypted import KEY, is_asked
from tests.support.independent_reader import IndependentReader
from tests.support.processes import CHECKOUT

DOCUMENT: Final = (CHECKOUT / "cas" / "FORMAT.md").read_text()
Row = dict[str, str]

STRUCTS: Final[dict[str, type[msgspec.Struct]]] = {
    "Entry": objects.Entry,
    "TreeNode": objects.TreeNode,
    "Child": objects.Child,
    "FileNode": objects.FileNode,
    "Piece": objects.Piece,
    "Span": objects.Span,
    "JournalRecord": journal.JournalRecord,
    "Batch": journal.Batch,
    "Change": journal.Change,
    "Commit": journal.Commit,
    "ChangeNode": journal.ChangeNode,
    "Ref": refs.Ref,
    "SharedRef": refs.SharedRef,
    "EpochRecord": epochs.EpochRecord,
    "Removal": epochs.Removal,
    "GatewayRecord": gateways.GatewayRecord,
    "NamedPack": pack_index.NamedPack,
    "IndexDirectory": index_format.IndexDirectory,
    "IndexedPack": index_format.IndexedPack,
    "IndexBlock": index_format.IndexBlock,
    "SnapshotRecord": snapshots.SnapshotRecord,
    "VolumeRecord": registry.VolumeRecord,
    "KeptStates": kept.KeptStates,
    "Beginning": kept.Beginning,
    "PolicyRecord": policies.PolicyRecord,
    "CalendarSpan": retention.CalendarSpan,
    "Retention": retention.Retention,
    "DroppedVolume": dropped.DroppedVolume,
    "FreshnessRecord": freshness.FreshnessRecord,
    "LostObject": lost.LostObject,
    "Purge": purged.Purge,
    "KeyRing": keys.KeyRing,
}
ENUMS: Final[dict[str, type[IntEnum]]] = {
    "Ids": ids.Kind,
    "Codecs": compression.Codec,
    "Packs": packfile.PackKind,
    "Entry kinds": objects.EntryKind,
    "Actions": journal.Action,
}
LIMITS: Final = {
    "bytes of a record's plaintext": formats.PLAIN_SIZE_LIMIT,
    "bytes of a record's stored bytes": packfile._STORED_SIZE_LIMIT,
    "bytes of a pack, then it is sealed": formats.PACK_SIZE_TARGET,
    "records of a pack": formats.PACK_RECORD_LIMIT,
    "bytes of a name": formats.NAME_SIZE_LIMIT,
    "bytes of a symlink's target": formats.SYMLINK_SIZE_LIMIT,
    "bytes of a record of the registry": formats.RECORD_SIZE_LIMIT,
    "bytes of a content type": formats.LABEL_SIZE_LIMIT,
    "bytes of an author's or a device's name": formats.LABEL_SIZE_LIMIT,
    "names in a path": formats.PATH_DEPTH_LIMIT,
    "names or children of a tree node": formats.TREE_NODE_LIMIT,
    "pieces or spans of a file node": formats.FILE_NODE_LIMIT,
    "changes or children of a change node": journal.CHANGES_PER_NODE,
    "bytes of dead properties in an entry": objects.INLINE_PROPERTIES_LIMIT,
    "bytes of all dead properties of an entry": formats.PROPERTIES_SIZE_LIMIT,
    "bytes of the changes in a change node": change_list._CHANGE_NODE_SIZE,
}
FIELD_TYPES: Final = (
    (r"ForwardRef\('(\w+)'[^)]*\)|<class '(?:\w+\.)*(\w+)'>|<enum '(\w+)'>", r"\1\2\3"),
    (r"cas\.\w+\.", ""),
    (r"list\[(\w+)\]", r"[\1]"),
    (r" \| None", " or nil"),
    (r"\bbytes\b", "bin"),
    (r"\b(EntryKind|Action)\b", "int"),
    (r"\bObjectId\b", "bin"),
)


def section(heading: str) -> str:
    """Return what stands between a heading and the next one."""
    found = re.search(
        rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    assert found, heading
    return found[1]


def tables(heading: str) -> list[list[Row]]:
    """Return the tables of a section; a row is its cells by the column's name."""
    found = []
    for text in re.findall(r"(?:^\|.*\n)+", section(heading), re.MULTILINE):
        header, _, *rows = [
            [cell.strip() for cell in line[1:-1].split("|")] for line in text.splitlines()
        ]
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def code(cell: str) -> str:
    """Return a cell without its backquotes."""
    return cell.strip("`")


def hex_bytes(cell: str) -> bytes:
    return bytes.fromhex(code(cell).removeprefix("0x"))


def blocks(language: str) -> dict[str, str]:
    """Return the fenced blocks of a language that have a name behind it, by name."""
    found = re.findall(rf"^```{language} ([^\n]+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    return dict(found)


def example_files() -> dict[str, bytes]:
    files = {name: bytes.fromhex(text) for name, text in blocks("hex").items()}
    return {"config": blocks("json")["config"].encode(), **files}


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The repository of the worked example, on the disk."""
    for name, content in example_files().items():
        path = tmp_path / "example" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "example"


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "layout", "ends"),
    [
        ("Pack header", struct.Struct(packfile._HEADER.format + "I"), packfile.HEADER_SIZE),
        ("Record", struct.Struct(packfile._RECORD.format + "Q"), packfile.RECORD_OVERHEAD),
        ("Row of the table", packfile._ROW, 48),
        ("Trailer", packfile._TRAILER, packfile.TRAILER_SIZE),
        ("Index objects", index_format._ROW, 52),
        ("Tail of an index object", index_format._TAIL, index_format.TAIL_SIZE),
    ],
)
def test_byte_tables_are_the_structs_of_the_code(
    heading: str, layout: struct.Struct, ends: int
) -> None:
    offset, sizes = 0, []
    for row in tables(heading)[0]:
        assert int(row["offset"]) == offset, row
        if row["size"].isdigit():
            sizes.append(int(row["size"]))
            offset += sizes[-1]
    members = re.findall(r"\d*[sHBIQ]", layout.format)
    assert sizes == [struct.calcsize(f"<{member}") for member in members]
    assert offset == layout.size == ends


def test_magics_and_versions_are_those_of_the_code() -> None:
    stated = [
        code(row["value"])
        for heading in ("Pack header", "Record", "Trailer", "Tail of an index object")
        for row in tables(heading)[0]
        if row["field"] in {"magic", "version"}
    ]
    version = str(formats.FORMAT_VERSION)
    magics = [packfile.HEADER_MAGIC, packfile.RECORD_MAGIC, packfile.FOOTER_MAGIC]
    header, record, footer = (magic.decode() for magic in magics)
    index = index_format.INDEX_MAGIC.decode()
    assert stated == [header, version, record, footer, version, version, index]
    assert DOCUMENT.startswith(f"# The repository format, version {version}\n")
    assert tables("Versions")[0][-1]["version"] == version


@pytest.mark.parametrize("heading", ENUMS)
def test_numbered_tables_are_the_enums_of_the_code(heading: str) -> None:
    rows = tables(heading)[0]
    names = [list(row.values())[1] for row in rows]
    stated = dict(zip(names, (int(row["number"]) for row in rows), strict=True))
    assert stated == {member.name: member.value for member in ENUMS[heading]}


@pytest.mark.parametrize("name", STRUCTS)
def test_object_tables_are_the_structs_of_the_code(name: str) -> None:
    rows = tables(name)[-1]
    stated = [(int(row["#"]), row["field"], row["type"], row["default"]) for row in rows]
    assert stated == [
        (number, field.name, type_of(field), default_of(field))
        for number, field in enumerate(msgspec.structs.fields(STRUCTS[name]))
    ]
    assert all(row["meaning"] for row in rows)


def type_of(field: msgspec.structs.FieldInfo) -> str:
    is_plain = isinstance(field.type, type) and not str(field.type).startswith("list")
    shown = field.type.__name__ if is_plain else str(field.type)
    for pattern, replacement in FIELD_TYPES:
        shown = re.sub(pattern, replacement, shown)
    return shown


def default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.default_factory is not msgspec.NODEFAULT:
        return "empty"
    if field.default is msgspec.NODEFAULT:
        return ""
    if field.default is None:
        return "nil"
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return "empty" if field.default in {b"", ""} else repr(field.default)


@pytest.mark.parametrize(
    ("heading", "struct_type"),
    [
        ("Config", formats.RepositoryConfig),
        ("Config of an encrypted repository", formats.EncryptedConfig),
        ("Key slot", formats.KeySlot),
    ],
)
def test_the_config_table_is_the_struct_of_the_code(
    heading: str, struct_type: type[msgspec.Struct]
) -> None:
    stated = {row["field"]: code(row["default"]) for row in tables(heading)[0]}
    assert stated == {
        field.name: "required" if field.required else json_default_of(field)
        for field in msgspec.structs.fields(struct_type)
    }


def json_default_of(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        members = cast("Callable[[], list[str]]", field.default_factory)()
        return f"{members[0]}` alone" if members else "empty"
    return str(field.default) if field.default != "" else "empty"


def test_derive_contexts_and_keys_give_the_ids_of_the_code() -> None:
    secret = re.search(r"the (\d+) ASCII bytes `([^`]+)`", section("Ids"))
    assert secret is not None
    assert (int(secret[1]), secret[2].encode()) == (len(ids.PUBLIC_SECRET), ids.PUBLIC_SECRET)
    for row in tables("Ids")[0]:
        key = blake3(ids.PUBLIC_SECRET, derive_key_context=code(row["context"])).digest()
        assert key == hex_bytes(row["key"])
        identify = ids.Identifier().identify
        assert blake3(b"x", key=key).digest() == identify(ids.Kind[row["kind"]], b"x")


def test_derive_contexts_of_encryption_are_those_of_the_code() -> None:
    contexts = set[str]()
    for heading in (
        "Key slot",
        "KeyRing",
        "What comes from the root",
        "Encrypted packs",
        "Sealed values",
    ):
        contexts |= set(re.findall(r"casdav 2026-11-23 [a-z ]+", section(heading)))
    in_code = [*vars(keys).values(), *vars(sealing).values()]
    texts = {each.decode() if isinstance(each, bytes) else str(each) for each in in_code}
    assert contexts == {text for text in texts if text.startswith("casdav 2026-11-23")}


@pytest.mark.parametrize(
    ("heading", "key"),
    [("Trailer", packfile._FOOTER_KEY), ("Index objects", index_format._PART_KEY)],
)
def test_the_keys_of_digests_are_those_of_the_code(heading: str, key: bytes) -> None:
    stated = re.search(r"derive-key\(\"(.*?)\", \"\"\)`, that is `0x(\w+)`", section(heading))
    assert stated is not None
    assert bytes.fromhex(stated[2]) == key
    assert blake3(b"", derive_key_context=stated[1]).digest() == key


def test_limits_are_those_of_the_code() -> None:
    assert {row["limit"]: int(row["value"]) for row in tables("Limits")[0]} == LIMITS
    for heading, limit in (("Trees", formats.TREE_NODE_LIMIT), ("Files", formats.FILE_NODE_LIMIT)):
        assert set(re.findall(r"(\d+)th ", section(heading))) == {str(limit)}
    assert f"{formats.PACK_SIZE_TARGET:,} bytes or {formats.PACK_RECORD_LIMIT}" in section("Packs")
    assert f"Up to {objects.INLINE_PROPERTIES_LIMIT} " in section("Dead properties")
    assert f"up to {formats.PROPERTIES_SIZE_LIMIT}," in section("Dead properties")
    assert f"behind its {journal.CHANGES_PER_NODE}th change" in section("ChangeNode")
    assert f"filled to {journal.CHANGES_PER_NODE};" in section("ChangeNode")
    assert f"is {index_format.BLOCK_ROWS} rows," in section("Index objects")
    assert f"more than {change_list._CHANGE_NODE_SIZE} bytes" in section("ChangeNode")
    assert f"at least 1/{compression.SAVING_DIVISOR}." in section("Codecs")


def test_the_objects_of_the_registry_are_where_the_document_says() -> None:
    assert bytes(16) == formats.REGISTRY_ID
    assert code(tables("Registry")[0][0]["path"]) == f"{registry.VOLUMES.decode()}/<name>"


# --- algorithms -----------------------------------------------------------------------------------


def height(number: int, bits: int) -> int:
    """Return the height of a digest, as the sections Trees and Files say."""
    text = f"{number or 2**63:064b}"
    return (64 - len(text.rstrip("0"))) // bits


def bits_of(heading: str) -> int:
    found = re.search(r"return zeros // (\d+)", section(heading))
    assert found is not None
    return int(found[1])


def shape_of(heights: list[int], limit: int) -> list[list[int]]:
    """Return, level by level, after how many leaves' items each node ends, by the three steps."""
    levels: list[list[int]] = []
    items = list(range(len(heights)))
    while len(levels) == 0 or len(levels[-1]) > 1:
        ends, count = [], 0
        for item in items:
            count += 1
            if heights[item] > len(levels) or count == limit or item == items[-1]:
                ends.append(item)
                count = 0
        levels.append(ends)
        items = ends
    return levels


class Nodes:
    """Nodes in memory, as the builders of the code write and read them."""

    def __init__(self) -> None:
        self.kept: dict[bytes, objects.TreeNode | objects.FileNode] = {}

    def save_tree_node(self, node: objects.TreeNode) -> bytes:
        return self._save(node)

    def save_file_node(self, node: objects.FileNode) -> bytes:
        return self._save(node)

    def load_tree_node(self, node_id: bytes) -> objects.TreeNode:
        return cast("objects.TreeNode", self.kept[node_id])

    def load_file_node(self, node_id: bytes) -> objects.FileNode:
        return cast("objects.FileNode", self.kept[node_id])

    def _save(self, node: objects.TreeNode | objects.FileNode) -> bytes:
        node_id = blake3(objects.encode(node)).digest()
        self.kept[node_id] = node
        return node_id


def leaf_counts(nodes: Nodes, root: bytes) -> Iterator[tuple[int, int]]:
    """Yield (level, items below) of each node, in order."""
    node = nodes.kept[root]
    if isinstance(node, objects.TreeNode):
        below = [child.id for child in node.children]
        own = len(node.entries)
    else:
        below = [span.id for span in node.spans]
        own = len(node.pieces)
    counted = [list(leaf_counts(nodes, child)) for child in below]
    for each in counted:
        yield from each
    yield (
        node.level,
        own + sum(c for each in counted for level, c in each if level == node.level - 1),
    )


def built_shape(nodes: Nodes, root: bytes) -> list[list[int]]:
    counts = list(leaf_counts(nodes, root))
    levels = []
    for level in range(max(level for level, _ in counts) + 1):
        position, ends = -1, []
        for at, count in counts:
            if at == level:
                position += count
                ends.append(position)
        levels.append(ends)
    return levels


@pytest.mark.parametrize("count", [1, 2, 31, 600, 5000])
def test_a_directory_has_the_shape_that_the_document_describes(count: int) -> None:
    seed = 2**62 + 12345
    names = sorted(seeded_bytes(number, 8).hex().encode() for number in range(count))
    entry = objects.Entry(objects.EntryKind.EMPTY_FILE, 0, 0, 0o644, b"")
    nodes = Nodes()
    root = trees.edit(nodes, trees.TreeShape(seed), b"", dict.fromkeys(names, entry))
    assert root is not None
    heights = [height(xxh3_64_intdigest(name, seed=seed), bits_of("Trees")) for name in names]
    assert built_shape(nodes, root.id) == shape_of(heights, formats.TREE_NODE_LIMIT)


@pytest.mark.parametrize("has_borders", [True, False])
@pytest.mark.parametrize("count", [2, 130, 600, 2000])
def test_a_file_has_the_shape_that_the_document_describes(count: int, has_borders: bool) -> None:  # noqa: FBT001
    chunk_ids = [seeded_bytes(number, 31 if not has_borders else 32) for number in range(count)]
    chunk_ids = [chunk_id.ljust(32, b"\x01") for chunk_id in chunk_ids]
    chunk_ids[count // 2] = bytes(32)
    nodes = Nodes()
    builder = file_nodes.FileNodeBuilder(nodes)
    for chunk_id in chunk_ids:
        builder.append(chunk_id, 10)
    heights = [height(int.from_bytes(i[24:32], "big"), bits_of("Files")) for i in chunk_ids]
    assert built_shape(nodes, builder.finish().id) == shape_of(heights, formats.FILE_NODE_LIMIT)


def test_a_digest_of_zero_counts_as_63_zeros() -> None:
    assert height(0, bits_of("Files")) == file_nodes.FileShape().height(bytes(32)) == 9
    for heading in ("Trees", "Files"):
        assert " or 2**63\n" in section(heading)


def cuts_by_the_document(
    data: bytes, parameters: chunking.ChunkParameters, masks: tuple[int, int]
) -> list[int]:
    """Return where the document's own function cuts."""
    table = [int.from_bytes(hashlib.md5(bytes([i]) * 64).digest()[:8], "big") for i in range(256)]  # noqa: S324 - as the algorithm's table was made
    gear = [number ^ parameters.seed for number in table]
    function = re.search(r"```python\n(def next_length.*?)```", section("Chunking"), re.DOTALL)
    assert function is not None
    names: dict[str, object] = {"gear": gear}
    exec(function[1], names)
    next_length = cast("Callable[..., int]", names["next_length"])
    sizes = (parameters.average, parameters.minimum, parameters.maximum)
    ends, position = [], 0
    while position < len(data):
        position += next_length(data[position : position + parameters.maximum], *sizes, *masks)
        ends.append(position)
    return ends


@pytest.mark.parametrize("seed", [0, 2**63 - 12345])
@pytest.mark.parametrize("column", ["ordinary", "paged"])
def test_chunks_end_where_the_document_says(column: str, seed: int) -> None:
    stated = {row["parameter"]: int(code(row[column]), 0) for row in tables("Chunking")[0]}
    sizes = (stated["average"], stated["minimum"], stated["maximum"])
    parameters = {"ordinary": chunking.ORDINARY, "paged": chunking.PAGED}[column]
    assert chunking.ChunkParameters(*sizes, stated["seed"]) == parameters
    parameters = chunking.parameters_of_average(parameters.average, seed)
    data = seeded_bytes(7, 600_001) + bytes(70_000)
    masks = (stated["mask before average"], stated["mask after average"])
    expected = chunking.Chunker(parameters).cut(data, final=True)
    assert cuts_by_the_document(data, parameters, masks) == expected


def test_the_masks_change_exactly_at_the_average() -> None:
    """Seen only where chunks are many: with an average of 1 KiB and the masks of that size."""
    parameters = chunking.parameters_of_average(1024)
    data = seeded_bytes(8, 1_500_000)
    expected = chunking.Chunker(parameters).cut(data, final=True)
    masks = (0x0000D90003530000, 0x0000019000353000)
    assert cuts_by_the_document(data, parameters, masks) == expected


def test_signatures_are_those_of_the_code() -> None:
    rows = tables("Signatures of paged formats")[0]
    stated = [(row["format"], int(row["offset"]), hex_bytes(row["bytes"])) for row in rows]
    assert stated == [tuple(signature) for signature in chunking.PAGED_FORMATS]
    assert f"first {chunking.SIGNATURE_SIZE} bytes" in section("Chunking")


# --- damage ---------------------------------------------------------------------------------------


def test_features_that_the_document_says_casdav_refuses_are_refused() -> None:
    assert "so it refuses all of these" in section("Config")
    config = formats.new_config("2026-11-22T00:00:00+00:00")
    formats.decode_config(formats.encode_config(config))
    for field in ("incompatible", "read_features", "write_features"):
        changed = msgspec.structs.replace(config, **{field: ["new"]})
        with pytest.raises(cas.FormatError):
            formats.decode_config(formats.encode_config(changed))


def test_a_scan_passes_over_damage_as_the_document_says() -> None:
    (data,) = (c for c in example_files().values() if c[:8] == packfile.HEADER_MAGIC and c[10] == 1)
    pack_id = data[12:28]
    whole = [place for place, _ in packfile.scan(reading(data), len(data), pack_id)]
    assert whole == packfile.read_footer(reading(data), len(data)).places
    for number, place in enumerate(whole):
        for position in range(place.offset, place.end, 7):
            damaged = bytearray(data)
            damaged[position] ^= 1
            found = packfile.scan(reading(bytes(damaged)), len(data), pack_id)
            assert [p for p, _ in found] == [*whole[:number], *whole[number + 1 :]]
    torn = whole[-1].end - 1
    assert [p for p, _ in packfile.scan(reading(data[:torn]), torn, pack_id)] == whole[:-1]
    assert list(packfile.scan(reading(data), len(data), bytes(16))) == []


def record(number: int, time_ns: int, previous: bytes = b"", voids: bytes = b"") -> bytes:
    return objects.encode(journal.JournalRecord(number, previous, time_ns, [], voids))


@pytest.mark.parametrize(
    ("is_voided", "is_followed", "expected"),
    [
        (False, False, "later"),
        (True, False, "later"),
        (False, True, "earlier"),
        (True, True, "earlier"),
    ],
)
def test_the_record_in_force_is_the_one_that_the_document_names(
    is_voided: bool,  # noqa: FBT001
    is_followed: bool,  # noqa: FBT001
    expected: str,
) -> None:
    identify = ids.Identifier().identify
    two = {name: record(7, time) for time, name in enumerate(("earlier", "later"))}
    earlier_id = identify(ids.Kind.JOURNAL, two["earlier"])
    written = list(two.values())
    if is_voided:
        written.append(record(7, 2, voids=earlier_id))
    if is_followed:
        written.append(record(8, 3, earlier_id))
    entries = [
        journal_replay.JournalEntry(
            identify(ids.Kind.JOURNAL, encoded),
            encoded,
            objects.decode(encoded, journal.JournalRecord),
        )
        for encoded in written
    ]
    for order in (entries, entries[::-1]):  # which pack is looked at first decides nothing
        found = journal_replay._in_force(order)
        assert [entry.record.number for entry in found] == ([7, 8] if is_followed else [7])
        assert found[0].encoded == two[expected]


# --- the worked example ---------------------------------------------------------------------------


def test_casdav_reads_the_worked_example(example: Path) -> None:
    with cas.open(example) as repository:
        assert [volume.name for volume in repository.volumes()] == ["home"]
        with repository.volume("home").view() as view:
            assert [path for path, _ in view.walk()] == ["letters", "letters/hello.txt"]
            assert view.open("letters/hello.txt").read() == b"Hello, world.\n"


def test_the_independent_reader_reads_the_worked_example(example: Path) -> None:
    reader = IndependentReader(example)
    volumes = reader.volumes()
    assert list(volumes) == [b"home"]
    found = dict(reader.walk(reader.root(volumes[b"home"])))
    assert list(found) == [b"letters", b"letters/hello.txt"]
    assert reader.read(found[b"letters/hello.txt"]) == b"Hello, world.\n"


def test_the_independent_reader_notices_every_flipped_bit_of_the_example(example: Path) -> None:
    for path in [*example.glob("packs/*/*"), *example.glob("refs/*")]:
        content = path.read_bytes()
        for position in {*range(packfile.HEADER_SIZE), *range(0, len(content), 29)}:
            damaged = bytearray(content)
            damaged[position] ^= 1 << position % 8
            path.write_bytes(damaged)
            with pytest.raises((AssertionError, zstandard.ZstdError, struct.error)):
                roots(IndependentReader(example))
        path.write_bytes(content)
    assert len(roots(IndependentReader(example))) == 1


def roots(reader: IndependentReader) -> list[object]:
    return [reader.root(volume_id) for volume_id in reader.volumes().values()]


def test_the_worked_example_is_written_by_the_code_byte_for_byte() -> None:
    for name, content in example_files().items():
        if not name.startswith("packs/"):
            continue
        kind, pack_id, _ = packfile.decode_header(content)
        assert name == f"packs/{pack_id.hex()[:2]}/{pack_id.hex()}"
        footer = packfile.read_footer(reading(content), len(content))
        made = packfile.encode_header(kind, pack_id)
        for index, place in enumerate(footer.places):
            stored = content[place.end - place.stored_size : place.end]
            record = packfile.Record(place.kind, place.id, place.plain_size, place.codec, stored)
            made += packfile.encode_record_header(record, index, pack_id) + stored
        assert made + packfile.encode_footer(footer) == content


def reading(content: bytes) -> packfile.ReadAt:
    return lambda offset, size: content[offset : offset + size]


def plaintexts() -> dict[str, tuple[ids.Kind, bytes]]:
    """Return kind and plaintext of the example's objects by id in hex, checked."""
    found = {}
    for name, content in example_files().items():
        if name.startswith("packs/"):
            for place, stored in packfile.scan(reading(content), len(content), content[12:28]):
                plain = zstandard.decompress(stored) if place.codec else bytes(stored)
                assert ids.Identifier().identify(place.kind, plain) == place.id
                found[place.id.hex()] = (place.kind, plain)
    return found


def test_the_table_of_the_examples_records_is_right() -> None:
    made = []
    for name, content in example_files().items():
        if name.startswith("packs/"):
            kind, *_ = packfile.decode_header(content)
            footer = packfile.read_footer(reading(content), len(content))
            for p in footer.places:
                numbers = [str(n) for n in (p.codec, p.stored_size, p.plain_size)]
                made.append([kind.name, str(p.offset), p.kind.name, *numbers, p.id.hex()])
    stated = [[code(cell) for cell in row.values()] for row in tables("The records in them")[0]]
    assert stated == made


def test_the_bytes_of_the_example_are_taken_apart_rightly() -> None:
    packs = [content for name, content in example_files().items() if name.startswith("packs/")]
    (data,) = (pack for pack in packs if pack[10] == packfile.PackKind.DATA)
    for row in tables("Header of the DATA pack")[0] + tables("The chunk's record")[0]:
        assert data[int(row["offset"]) :].startswith(hex_bytes(row["bytes"])), row
    header_digest = re.search(r"is `(0x\w{16})`", section("Header of the DATA pack"))
    assert header_digest is not None
    assert int(header_digest[1], 16) == xxh3_64_intdigest(data[:60])
    assert int.from_bytes(data[60:64], "little") == int(header_digest[1], 16) % 2**32
    parts = [hex_bytes(row["bytes"]) for row in tables("The chunk's record")[0]]
    *_, object_id, check, stored = parts
    header = b"".join(parts[:-2])
    seed, first, second, chunk_id = (code(row["value"]) for row in tables("The chunk's record")[1])
    assert len(header) == 52
    assert int(seed) == int.from_bytes(data[12:20], "little")
    assert int(first) == xxh3_64_intdigest(header, seed=int(seed))
    assert int(second) == xxh3_64_intdigest(stored, seed=int(first))
    assert int(second) == int.from_bytes(check, "little")
    assert hex_bytes(chunk_id) == ids.Identifier().chunk(stored) == object_id


def test_the_heights_of_the_examples_names_are_right() -> None:
    seed = json.loads(blocks("json")["config"])["tree_seed"]
    assert f"`tree_seed` is {seed}." in section("Heights of the names")
    for row in tables("Heights of the names")[0]:
        digest = xxh3_64_intdigest(row["name"].encode(), seed=seed)
        assert int(code(row["XXH3_64"]), 16) == digest
        assert int(row["height"]) == trees.TreeShape(seed).height(row["name"].encode())


def test_the_decoded_objects_of_the_example_are_what_its_bytes_hold() -> None:
    decoders = {
        ids.Kind.COMMIT: journal.Commit,
        ids.Kind.TREE_NODE: objects.TreeNode,
        ids.Kind.JOURNAL: journal.JournalRecord,
    }
    stored = plaintexts()
    shown = 0
    for name, text in blocks("json").items():
        if not name.startswith("decoded "):
            continue
        target = name.removeprefix("decoded ")
        is_ref = target.startswith("refs/")
        kind, plain = (None, ref_payload(target)) if is_ref else stored[target]
        assert json.loads(text) == as_json(msgspec.msgpack.decode(plain))
        expected: type = refs.Ref if kind is None else decoders[kind]
        assert objects.encode(objects.decode(plain, expected)) == plain
        shown += 1
    assert shown == 5


def ref_payload(name: str) -> bytes:
    """Return what a ref of the example holds, behind the digest that the document shows."""
    content = example_files()[name]
    assert content[:32] == ids.Identifier().identify(ids.Kind.REF, content[32:])
    assert f"keyed with the key of REF: `0x{content[:32].hex()}`" in DOCUMENT
    return content[32:]


def as_json(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list):
        return [as_json(member) for member in value]
    return value


# --- a repository of today ------------------------------------------------------------------------


def test_a_repository_written_now_is_read_by_the_document_alone(tmp_path: Path) -> None:
    files = {
        "empty": b"",
        "small": b"one chunk",
        "zeros": bytes(3_000_000),
        "big": seeded_bytes(1, 1_500_000),
        "deep/er/file": seeded_bytes(2, 70_000),
        **{f"many/{number:04}": b"%d" % number for number in range(700)},
    }
    with cas.create(tmp_path / "store") as repository:
        volume = repository.create_volume("home")
        with volume.edit() as edit:
            for folder in ("deep/er", "many", "nothing"):
                edit.make_directory(folder, parents=True)
            edit.make_symlink("link", "small")
            for path, content in files.items():
                upload = volume.upload()
                upload.write(content)
                edit.put(path, upload)
        with volume.edit() as edit:
            edit.move("many", "moved")
            edit.copy("deep", "copy")
            edit.remove("moved/0003")
        with volume.view() as view:
            expected = {path.encode(): entry for path, entry in view.walk()}
    reader = IndependentReader(tmp_path / "store", KEY.content if is_asked() else None)
    found = dict(reader.walk(reader.root(reader.volumes()[b"home"])))
    assert list(found) == list(expected)
    for name, entry in found.items():
        theirs = expected[name]
        assert (entry.kind, entry.size) == (theirs.kind, theirs.size)
        assert (entry.mtime_ns, entry.mode) == (theirs.mtime_ns, theirs.mode)
        if theirs.is_file:
            source = name.decode().replace("moved/", "many/").replace("copy/", "deep/")
            assert reader.read(entry) == files[source]
