"""What one message may carry; both sides know it, and a server refuses more."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from cas.formats import MiB

PROTOCOL: Final = 1
"""Version of the messages; a server names those that it speaks."""
MEDIA_TYPE: Final = "application/vnd.msgpack"
"""Content type of all messages here."""

REQUEST_SIZE_LIMIT: Final = 12 * MiB
"""Bytes of one request's body."""
BATCH_SIZE: Final = 4 * MiB
"""Bytes of chunks, as they travel, that one message should carry; an answer ends there."""
PLAIN_BATCH_LIMIT: Final = 16 * MiB
"""Bytes of chunks, decompressed, that one request may carry."""
CHUNK_COUNT_LIMIT: Final = 8192
"""Chunks and file nodes that one message may carry or name."""
OPERATION_LIMIT: Final = 2000
"""Operations of one commit."""
PAGE_LIMIT: Final = 5000
"""Changes or entries of one page."""
BASE_LIMIT: Final = 16
"""Files that one operation may name as bases."""
KEY_SIZE_LIMIT: Final = 64
"""Characters of an idempotency key."""
DEVICE_SIZE_LIMIT: Final = 100
"""Bytes of a device's name."""

ObjectIds: TypeAlias = Annotated[list[bytes], Meta(max_length=CHUNK_COUNT_LIMIT)]
"""Ids, or encoded file nodes. Of a longer list nothing is decoded: it would take much memory."""
BasePaths: TypeAlias = Annotated[list[bytes], Meta(max_length=BASE_LIMIT)]
"""Paths of files that have much of another one's content."""
