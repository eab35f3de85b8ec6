"""The one door to boto3: the few calls that every S3 server has, and what its errors mean.

PUT (plain, If-None-Match: *, If-Match), GET, range GET, HEAD, DELETE, ListObjectsV2, and multipart
uploads for what is larger than a server takes at once. boto3 tries each call once: what is tried
again, and for how long, is decided here and in `bucket`, since a conditional PUT that boto3
repeats after a lost answer is refused because of itself.
"""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import boto3
import botocore.session
from botocore.client import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError

from cas.errors import CasError, InvalidError, NotFoundError, StoreError
from cas.stores.bucket_location import BucketLocation
from cas.stores.s3_answers import Answer, OutsideError, answer_error
from cas.stores.slow_answers import SlowAnswers

Body = bytes | BinaryIO
_Result = TypeVar("_Result")

CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 60
"""How long a server may be silent before an answer counts as lost."""
PATIENCE_SECONDS: Final = 60.0
"""How long an operation is tried again, beside what its bytes take on a slow link."""
_SLOW_LINK: Final = 16 * 1024
"""Bytes per second below which a link counts as broken."""
_CONNECTIONS: Final = 16
_BODY_PIECE: Final = 256 * 1024
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 5.0

_BAD_REQUEST: Final = 400
_UNSOUND: Final = (
    BotoConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
)


class Found(NamedTuple):
    """The bytes of an object, or of a part of it, and the tag of its state."""

    content: bytes
    tag: str


class S3:
    """The calls, by key in one bucket. Shared by threads."""

    def __init__(self, location: BucketLocation, patience_seconds: float | None = None) -> None:
        """Make ready; nothing is asked of the server yet.

        `patience_seconds` goes before the location's `timeout`.

        Raises:
            StoreError: the settings of boto3 (environment, ~/.aws) are not usable.
            InvalidError: the endpoint is no URL.
        """
        self._location = location
        self._patience_seconds = patience_seconds or location.timeout or PATIENCE_SECONDS
        self._slow = SlowAnswers(str(location), self._patience_seconds)
        checksums = "when_required" if location.checksums == "required" else "when_supported"
        config = Config(
            signature_version="s3v4",
            connect_timeout=min(CONNECT_SECONDS, location.timeout or CONNECT_SECONDS),
            read_timeout=min(READ_SECONDS, location.timeout or READ_SECONDS),
            retries={"total_max_attempts": 1},
            max_pool_connections=_CONNECTIONS,
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            s3={"addressing_style": location.addressing},
        )
        with self._errors("the settings"):
            session = make_session()
            region = location.region or session.region_name or "us-east-1"
            try:
                self._client: Any = session.client(
                    "s3",
                    endpoint_url=location.endpoint or None,
                    region_name=region,
                    config=config,
                )
            except ValueError as error:
                raise InvalidError(f"{location}: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._slow.close()
        self._client.close()

    def put_once(self, key: str, body: Body, condition: str | None = "") -> str:
        """Store an object by one try and return its tag.

        `condition` is the tag that the object must have, None if it must be absent, "" if
        anything goes. A file is stored from its beginning.

        Raises:
            ConflictError: the condition does not hold.
            StoreError: it failed; if `.transient`, it may have been stored nevertheless.
        """
        if not isinstance(body, bytes):
            body.seek(0)
        conditions = _conditions(condition)
        with self._errors(key):
            answer = self._client.put_object(
                Bucket=self._location.bucket, Key=key, Body=body, **conditions
            )
        return str(answer["ETag"])

    def takes_wrong_checksum(self, key: str) -> bool:
        """Whether the server stores bytes that are not those of their checksum.

        Raises:
            StoreError: it cannot be asked.
        """
        digest = base64.b64encode(bytes(16)).decode()  # the MD5 of nothing that anybody knows
        try:
            with self._errors(key):
                self._client.put_object(
                    Bucket=self._location.bucket, Key=key, Body=b"content", ContentMD5=digest
                )
        except StoreError as error:
            answer = error.__cause__
            if isinstance(answer, ClientError) and _status(answer) == _BAD_REQUEST:
                return False
            raise
        return True

    def put_parts_once(self, key: str, file: BinaryIO, part_size: int) -> str:
        """Store a large file in parts, if the key is free, by one try for each; return its tag.

        Raises:
            ConflictError: the key is taken.
            StoreError: as `put_once`.
        """
        names = {"Bucket": self._location.bucket, "Key": key}
        file.seek(0)
        with self._errors(key):
            upload = {"UploadId": self._client.create_multipart_upload(**names)["UploadId"]}
            parts: list[dict[str, object]] = []
            try:
                while part := file.read(part_size):
                    number = len(parts) + 1
                    answer = self._client.upload_part(
                        **names, **upload, PartNumber=number, Body=part
                    )
                    checksum = {k: v for k, v in answer.items() if k.startswith("Checksum")}
                    checksum.pop("ChecksumType", None)
                    parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksum})
                answer = self._client.complete_multipart_upload(
                    **names, **upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
                )
            except BaseException:
                self._abort(names | upload)
                raise
        return str(answer["ETag"])

    def get(
        self, key: str, start: int = 0, stop: int | None = None, known: str | None = None
    ) -> Found:
        """Return an object, or its bytes from `start` up to `stop`, as far as it has them.

        Raises:
            UnchangedError: its tag is still the `known` one.
            NotFoundError: there is no such object.
            StoreError: it failed however often it was tried.
        """
        wanted = {} if stop is None else {"Range": f"bytes={start}-{stop - 1}"}
        wanted |= {} if known is None else {"IfNoneMatch": known}
        size = 0 if stop is None else min(stop - start, 1 << 26)
        deadline = self.deadline(size)

        def read() -> Found:
            answer = self._client.get_object(Bucket=self._location.bucket, Key=key, **wanted)
            body = answer["Body"]
            end = (
                max(deadline, self.deadline(answer["ContentLength"])) if stop is None else deadline
            )
            pieces = []
            with body:
                while piece := body.read(_BODY_PIECE):
                    pieces.append(piece)
                    if time.monotonic() > end:
                        raise _too_slow(key)
            return Found(b"".join(pieces), str(answer["ETag"]))

        try:
            return self.attempt(key, read, deadline)
        except OutsideError:
            return Found(b"", "")

    def size(self, key: str) -> int:
        """Return an object's size in bytes.

        Raises:
            NotFoundError, StoreError: as `get`.
        """

        def ask() -> int:
            answer = self._client.head_object(Bucket=self._location.bucket, Key=key)
            return int(answer["ContentLength"])

        return self.attempt(key, ask)

    def delete(self, key: str) -> None:
        """Remove an object, if it is there.

        Raises:
            StoreError: as `get`.
        """

        def remove() -> None:
            self._client.delete_object(Bucket=self._location.bucket, Key=key)

        try:
            self.attempt(key, remove)
        except NotFoundError:
            return

    def list(self, prefix: str) -> Iterator[tuple[str, int, float]]:
        """Yield key, size in bytes and time of writing (seconds since 1970) of what has the prefix.

        Raises:
            StoreError: as `get`.
        """
        further: dict[str, str] = {}
        while True:
            page = self.attempt(prefix, partial(self._page, prefix, further))
            for found in page.get("Contents", ()):
                yield found["Key"], found["Size"], found["LastModified"].timestamp()
            if not page.get("IsTruncated"):
                return
            further = {"ContinuationToken": page["NextContinuationToken"]}

    def deadline(self, size: int) -> float:
        """Return when an operation with so many bytes has failed, by the monotonic clock."""
        return time.monotonic() + self._patience_seconds + size / _SLOW_LINK

    def attempt(
        self, key: str, act: Callable[[], _Result], deadline: float | None = None
    ) -> _Result:
        """Do a call that may be repeated, until it works or its time is over."""
        deadline = deadline or self.deadline(0)
        moving = max(0.0, deadline - self.deadline(0))  # what the bytes may take
        with self._slow.watching(moving):
            for number in range(1 << 30):
                try:
                    with self._errors(key):
                        return act()
                except StoreError as error:
                    if not error.transient or not pause(number, deadline):
                        raise
        raise AssertionError

    def _page(self, prefix: str, further: dict[str, str]) -> dict[str, Any]:
        page: dict[str, Any] = self._client.list_objects_v2(
            Bucket=self._location.bucket, Prefix=prefix, **further
        )
        return page

    def _abort(self, names: dict[str, str]) -> None:
        """Let go of the parts of an upload that failed, if the server can be reached."""
        try:
            self._client.abort_multipart_upload(**names)
        except (BotoCoreError, ClientError):  # a lifecycle rule of the bucket gets them
            return

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """Turn boto3's errors into those of the engine."""
        try:
            yield
        except ClientError as error:
            raise _answer_error(self._location, key, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise StoreError(
                f"{self._location}: there are no credentials: set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from error
        except (SSLError, ProfileNotFound) as error:
            raise StoreError(f"{self._location}: {error}") from error
        except _UNSOUND as error:
            message = f"{self._location}: no sound answer, is the server there? ({error})"
            raise StoreError(message, transient=True) from error
        except BotoCoreError as error:
            raise StoreError(f"{self._location}: {key}: {error}") from error


class _Loader(Loader):  # type: ignore[misc]  # botocore has no types
    """Finds descriptions of services without a look into the directories of all 400 there are."""

    def list_available_services(self, type_name: str) -> list[str]:
        """Return the names of all services: whether one has this type, its own loading tells."""
        del type_name
        return sorted({each.name for path in self.search_paths for each in _entries(path)})


def make_session() -> Any:  # noqa: ANN401 - boto3 has no types
    """Return what `boto3.session.Session()` does, with clients that are made in half the time."""
    core = botocore.session.get_session()
    paths = core.get_component("data_loader").search_paths
    core.register_component("data_loader", _Loader(paths, include_default_search_paths=False))
    return boto3.session.Session(botocore_session=core)


def _entries(directory: str) -> list[os.DirEntry[str]]:
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(directory) as entries:
        return list(entries)
    return []


def pause(number: int, deadline: float) -> bool:
    """Wait before the try after the `number`th, at random but longer each time; False: too late.

    The last try is at the deadline.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        return False
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(number, 20))
    seconds = longest * (0.5 + random.random() / 2)  # noqa: S311 - so that rivals do not meet again
    time.sleep(min(seconds, left))
    return True


def _conditions(condition: str | None) -> dict[str, str]:
    if condition is None:
        return {"IfNoneMatch": "*"}
    return {"IfMatch": condition} if condition else {}


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _too_slow(key: str) -> StoreError:
    return StoreError(f"{key}: the link to the bucket is too slow", transient=False)


def _answer_error(location: BucketLocation, key: str, error: ClientError) -> CasError:
    details = error.response.get("Error", {})
    code, message = str(details.get("Code", "")), str(details.get("Message") or "failed")
    return answer_error(location, key, Answer(code, message, _status(error)))
