"""Where a bucket is, as people write it: `s3://bucket/prefix?endpoint=https://host`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from cas.errors import InvalidError

_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", re.ASCII)
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]+)([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_CHOICES: Final = {
    "checksums": ("supported", "required"),
    "addressing": ("path", "virtual"),
    "durability": ("local", "remote"),
}
_SIZES: Final = ("cache", "staging")
_SECONDS: Final = re.compile(r"([1-9][0-9]{0,4})s?", re.ASCII)
_WORDS: Final = ("endpoint", "region", "local")
_HINT: Final = "write s3://bucket/prefix?endpoint=https://host:port&region=name"


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """A bucket, where in it the repository is, and how to speak to its server.

    `endpoint` and `region` are empty where boto3 finds them (AWS_ENDPOINT_URL, AWS_REGION,
    ~/.aws). `checksums=required` is for servers that do not know the newer ones of S3. With
    `durability=remote` what is acknowledged is in the bucket, and several gateways may use it;
    with `local` it is on this machine's disk, and soon in the bucket. Where it is left out, a
    new repository is made for `remote`, and another is as it was made. `local` is the directory
    on this machine for what belongs to its buckets, empty for the default. `cache` bounds the
    bytes of packs kept there; `staging` those that wait to be uploaded. `timeout` is for how many
    seconds a server that does not answer is asked again, 0 for the default.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    checksums: Literal["supported", "required"] = "supported"
    addressing: Literal["path", "virtual"] = "path"
    durability: Literal["", "local", "remote"] = ""
    local: str = ""
    cache: int = 4 << 30
    staging: int = 1 << 30
    timeout: int = 0

    def __str__(self) -> str:
        """Return the location without what is this machine's alone."""
        path = f"/{self.prefix}" if self.prefix else ""
        query = f"?endpoint={quote(self.endpoint, safe=':/')}" if self.endpoint else ""
        return f"s3://{self.bucket}{path}{query}"

    def key(self, name: str) -> str:
        """Return the key of the object of this name."""
        return f"{self.prefix}/{name}" if self.prefix else name


def parse_bucket_location(location: str) -> BucketLocation:
    """Return what a location says.

    Raises:
        InvalidError: it is not understood.
    """
    url = urlsplit(location)
    prefix = unquote(url.path).strip("/")
    if not _BUCKET.fullmatch(url.netloc):
        raise InvalidError(f"{location!r} names no bucket: {_HINT}")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        message = f"{location!r}: a prefix is made of letters, digits, '.', '_', '-' and '/'"
        raise InvalidError(message)
    if url.fragment:
        raise InvalidError(f"{location!r} has a '#': {_HINT}")
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    return BucketLocation(url.netloc, prefix, **_checked(location, options))


def _checked(location: str, options: Mapping[str, str]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in options.items():
        if name in _CHOICES and value in _CHOICES[name]:
            checked[name] = value
        elif name in _SIZES and (match := _SIZE.fullmatch(value)):
            checked[name] = int(match[1]) * _UNITS[match[2].upper()]
        elif name == "timeout" and (match := _SECONDS.fullmatch(value)):
            checked[name] = int(match[1])
        elif name in _WORDS and value:
            checked[name] = value
        else:
            known = ", ".join([*_WORDS, *_CHOICES, *_SIZES, "timeout"])
            raise InvalidError(f"{location!r}: {name}={value} is not known; there are {known}")
    return checked
