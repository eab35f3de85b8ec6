"""The blob store in an S3 bucket: an object for each name, below a prefix.

Whatever is stored is stored on a condition: what is written once if its key is free, what moves
if its tag is the expected one. An answer that is lost is asked for by trying again, and where
that is refused, by reading back: the bytes that are stored carry random ids, so equal bytes are
our own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from cas.disk import StoreErrors
from cas.errors import AlreadyExistsError, ConflictError, NotFoundError, StoreError
from cas.stores.base import ByteRange, Payload, Token, buffers_of
from cas.stores.bucket_location import BucketLocation
from cas.stores.names import AREAS, check_name, check_prefix, check_range, is_name
from cas.stores.s3 import S3, pause
from cas.stores.s3_answers import UnchangedError

PART_SIZE: Final = 64 << 20
"""Bytes above which an object is sent in parts, of this size each."""


class BucketStore:
    """A BlobStore in a bucket. Shared by threads; any number of machines may use the same."""

    def __init__(self, location: BucketLocation, s3: S3 | None = None) -> None:
        """Make ready; nothing is asked of the server yet.

        Raises:
            StoreError, InvalidError: as `S3`.
        """
        self._where = location
        self._s3 = s3 or S3(location)

    @property
    def location(self) -> str:
        """Return the bucket's URL, without credentials."""
        return str(self._where)

    @property
    def bucket_location(self) -> BucketLocation:
        """Return where the bucket is, in parts."""
        return self._where

    def put(self, name: str, payload: Payload) -> None:
        """Store an immutable object; the server has it when this returns."""
        check_name(name, mutable=False)
        self._put_new(name, io.BytesIO(b"".join(buffers_of(payload))))

    def put_file(self, name: str, path: Path) -> None:
        """Store a local file as an immutable object, and take the file away."""
        check_name(name, mutable=False)
        with StoreErrors(), path.open("rb") as file:
            try:
                self._put_new(name, file)
            except AlreadyExistsError:
                if not self._holds(name, file):  # or a crash cut this call off before
                    raise
            path.unlink(missing_ok=True)

    def get(self, name: str, byte_range: ByteRange | None = None) -> bytes:
        """Return an object's bytes, or those of a range that lie within it."""
        check_name(name)
        if byte_range is None:
            return self._s3.get(self._where.key(name)).content
        check_range(byte_range)
        start, stop = byte_range
        if start == stop:
            self.size(name)
            return b""
        return self._s3.get(self._where.key(name), start, stop).content

    def size(self, name: str) -> int:
        """Return an object's size in bytes."""
        check_name(name)
        return self._s3.size(self._where.key(name))

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        check_name(name)
        self._s3.delete(self._where.key(name))

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Yield (name, size in bytes) of all objects below the prefix, as the server lists them."""
        check_prefix(prefix)
        return ((name, size) for name, size, _ in self.list_dated(prefix))

    def list_dated(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield what `list` does, and when each was written, by the server's clock."""
        has_members = AREAS[prefix.partition("/")[0]].depth > 0
        start = len(self._where.key(""))
        for key, size, written in self._s3.list(self._where.key(prefix) + "/" * has_members):
            if is_name(key[start:]):  # what others keep there is not ours
                yield key[start:], size, written

    def read(self, name: str) -> tuple[bytes, Token]:
        """Return a mutable object's bytes and the token of that state."""
        check_name(name, mutable=True)
        found = self._s3.get(self._where.key(name))
        return found.content, Token(found.tag)

    def read_changed(self, name: str, known: Token | None) -> tuple[bytes, Token] | None:
        """Return what `read` does; None if the object is still in the known state."""
        check_name(name, mutable=True)
        try:
            found = self._s3.get(self._where.key(name), known=known)
        except UnchangedError:
            return None
        return found.content, Token(found.tag)

    def replace(self, name: str, payload: Payload, expected: Token | None) -> Token:
        """Set a mutable object if its state is the expected one (None: it is absent)."""
        check_name(name, mutable=True)
        content = b"".join(buffers_of(payload))
        key = self._where.key(name)
        deadline = self._s3.deadline(len(content))
        is_uncertain = False
        for number in range(1 << 30):
            try:
                return Token(self._s3.put_once(key, content, expected))
            except (ConflictError, NotFoundError) as error:  # If-Match on what is gone is a 404
                mine = self._own_state(name, content) if is_uncertain else None
                if mine is None:
                    raise ConflictError(f"{name} has changed meanwhile") from error
                return mine
            except StoreError as error:
                is_uncertain = True
                if not error.transient or not pause(number, deadline):
                    raise
        raise AssertionError

    def local_path(self, name: str) -> None:
        """Return None: no file of this machine holds the object."""
        check_name(name, mutable=False)

    @property
    def machine_directory(self) -> None:
        """Return nothing: `StagedStore` has one."""

    @property
    def is_staging(self) -> bool:
        """Return False: the server has what is stored."""
        return False

    def find_stranger(self) -> str | None:
        """Return a key below the prefix that is no store's."""
        start = len(self._where.key(""))
        keys = (key[start:] for key, _, _ in self._s3.list(self._where.key("")))
        return next((key for key in keys if not _is_ours(key)), None)

    def doubt(self, name: str) -> bool:
        """Return True: of bytes that were changed on the way, no checksum of a range tells."""
        return True

    def admit(self) -> None:
        """Do nothing: each call waits until the server has what it stores."""

    def takes_wrong_checksum(self) -> bool:
        """Whether the server stores bytes that are not those of their checksum."""
        return self._s3.takes_wrong_checksum(self._where.key("config"))

    def clean_up(self) -> int:
        """Return 0: what a crashed writer left is no object yet."""
        return 0

    def begin(self) -> None:
        """Do nothing: nobody has to be kept away."""

    def close(self) -> None:
        """Close the connections."""
        self._s3.close()

    def _own_state(self, name: str, content: bytes) -> Token | None:
        """Return the token of an object if it is what was meant to be written."""
        try:
            found, token = self.read(name)
        except NotFoundError:
            return None
        return token if found == content else None

    def _put_new(self, name: str, file: BinaryIO) -> None:
        key = self._where.key(name)
        size = file.seek(0, os.SEEK_END)
        deadline = self._s3.deadline(size)
        is_uncertain = False
        for number in range(1 << 30):
            try:
                if size > PART_SIZE:
                    self._s3.put_parts_once(key, file, PART_SIZE)
                else:
                    self._s3.put_once(key, file, None)
                return
            except ConflictError as error:
                if is_uncertain and self._holds(name, file):
                    return
                raise AlreadyExistsError(f"{name} is stored already") from error
            except StoreError as error:
                is_uncertain = True
                if not error.transient or not pause(number, deadline):
                    raise

    def _holds(self, name: str, file: BinaryIO) -> bool:
        """Whether an object has the bytes of the file."""
        size = file.seek(0, os.SEEK_END)
        if self.size(name) != size:
            return False
        file.seek(0)
        return all(
            file.read(PART_SIZE) == self.get(name, ByteRange(start, start + PART_SIZE))
            for start in range(0, size, PART_SIZE)
        )


def _is_ours(key: str) -> bool:
    return is_name(key) or key.startswith("validate/")
