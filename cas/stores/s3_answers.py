"""What the answers of S3 servers mean, and what to do about them."""

from __future__ import annotations

from typing import Final, NamedTuple

from cas.errors import (
    CasError,
    ConflictError,
    InvalidError,
    NotFoundError,
    StoreError,
    StoreFullError,
)
from cas.stores.bucket_location import BucketLocation

_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_UNCHANGED: Final = 304  # RFC 9110, 15.4.5
_CONDITION: Final = frozenset({"PreconditionFailed", "412"})
_FULL: Final = frozenset(
    {
        "507",
        "InsufficientCapacity",
        "InsufficientStorage",
        "QuotaExceeded",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioStorageFull",
    }
)
_TRANSIENT: Final = frozenset(
    {
        "BadDigest",  # bytes were changed on the way
        "ConditionalRequestConflict",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "TooManyRequests",
        "XAmzContentSHA256Mismatch",
    }
)
_TRANSIENT_STATUS: Final = frozenset({408, 409, 429, 500, 502, 503, 504})
_WHAT_TO_DO: Final = {
    "NoSuchBucket": "there is no such bucket: make it, or mend the name in the location",
    "InvalidBucketName": "no bucket can have this name: mend it in the location",
    "InvalidAccessKeyId": "the access key is unknown there: set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "SignatureDoesNotMatch": "the secret key is wrong: set AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "ExpiredToken": "the credentials have expired: get new ones",
    "RequestTimeTooSkewed": "the clocks of this machine and the server differ too much: set them",
    "RequestExpired": "the clocks of this machine and the server differ too much: set them",
    "AccessDenied": "access denied: the key needs to list the bucket, and to get, put and delete "
    "objects in it",
    "403": "access denied: check the key, and that it may list, get, put and delete",
    "PermanentRedirect": "the bucket is in another region: name it in the location, ?region=...",
    "AuthorizationHeaderMalformed": "the bucket is in another region: name it in the location, "
    "?region=...",
    "IllegalLocationConstraintException": "the bucket is in another region: name it in the "
    "location, ?region=...",
    "301": "the bucket is in another region: name it in the location, ?region=...",
    "NotImplemented": "the server cannot do this: try ?checksums=required in the location, and "
    "`casdav store validate`",
}


class OutsideError(InvalidError):
    """A range begins behind the object's end."""


class UnchangedError(ConflictError):
    """What was asked for if it had changed has not."""


class Answer(NamedTuple):
    """An answer that is an error: S3's code, the server's words, and the status of HTTP."""

    code: str
    message: str
    status: int


def answer_error(location: BucketLocation, key: str, answer: Answer) -> CasError:
    """Return the engine's error for an answer of the server."""
    code, message, status = answer
    if code in _MISSING:
        return NotFoundError(f"{key} is not in {location}")
    if code == "InvalidRange":
        return OutsideError(f"{key} ends before")
    if code in _CONDITION or status == _UNCHANGED:
        kind = UnchangedError if status == _UNCHANGED else ConflictError
        return kind(f"{key} is not in the state that was expected")
    if code in _FULL or status == 507:  # noqa: PLR2004 - RFC 4918, 11.5
        return StoreFullError(f"{location}: no room left in the bucket ({code})")
    if code in _WHAT_TO_DO:
        return StoreError(f"{location}: {_WHAT_TO_DO[code]} ({code})")
    text = f"{location}: {key}: {message} ({code or status})"
    return StoreError(text, transient=code in _TRANSIENT or status in _TRANSIENT_STATUS)
