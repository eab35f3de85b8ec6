"""The bytes and ids of every kind of stored object are those on record."""

from __future__ import annotations

import pytest

from cas.formats import FORMAT_VERSION, RepositoryConfig, decode_config
from cas.ids import Kind
from cas.packfile import PackKind, decode_header, read_footer, scan
from tests.golden import objects, regenerate_objects

CURRENT = str(FORMAT_VERSION)


@pytest.mark.parametrize("expected", objects.recorded()[CURRENT], ids=lambda each: each.name)
def test_an_object_is_as_on_record(expected: objects.Vector) -> None:
    found = {vector.name: vector for vector in objects.vectors()}
    assert found[expected.name] == expected


def test_every_vector_is_on_record() -> None:
    assert [v.name for v in objects.vectors()] == [v.name for v in objects.recorded()[CURRENT]]


def test_a_recorded_pack_can_still_be_read() -> None:
    for version in objects.recorded().values():
        # Its bytes are too many to be on record: those of today, which the test above compares.
        (size,) = (vector.size for vector in version if vector.name == "pack")
        content = objects._pack()  # noqa: SLF001
        assert len(content) == size

        def read_at(offset: int, length: int, content: bytes = content) -> bytes:
            return content[offset : offset + length]

        assert decode_header(content) == (PackKind.DATA, bytes(range(16)), 0)
        footer = read_footer(read_at, size)
        assert [place.kind for place in footer.places] == [Kind.CHUNK, Kind.CHUNK, Kind.JOURNAL]
        assert [place for place, _ in scan(read_at, size, bytes(range(16)))] == footer.places


def test_a_recorded_config_can_still_be_read() -> None:
    for version in objects.recorded().values():
        (document,) = (vector.content for vector in version if vector.name == "config")
        config = decode_config(bytes.fromhex(document))
        assert isinstance(config, RepositoryConfig)
        assert config.tree_seed == 2**63 - 1


def test_a_recorded_version_is_not_written_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = objects.OBJECTS_FILE.read_bytes()
    assert regenerate_objects.main([CURRENT]) == 1
    assert "never changes" in capsys.readouterr().err
    assert before == objects.OBJECTS_FILE.read_bytes()
