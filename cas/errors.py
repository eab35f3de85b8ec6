"""The errors of the engine, grouped by what a caller does next.

    CasError
    ├── NotFoundError (LookupError)      no such path, volume, snapshot or repository
    │   ├── NotKeptError                 a past state, and retention has not kept its files
    │   │   └── BeforeHistoryError       older than all that is known of the volume
    │   └── PurgedError                  content that was purged from all of the past
    ├── AlreadyExistsError               the name is taken
    ├── ConflictError                    the world moved on; look again and retry
    │   └── PreconditionError            an operation's own condition did not hold
    ├── InvalidError (ValueError)        a bad name, path, parameter or setting
    ├── ReadOnlyError                    this handle, place or store takes no writes
    ├── LockedError                      somebody else holds it
    ├── StoreError (OSError)             the disk or bucket failed; `.transient` tells a retrier
    │   └── StoreFullError               no room on the disk or in the bucket
    │       └── QuotaError               no room within the volume's quota
    ├── WrongKeyError                    the key does not open this repository
    ├── IntegrityError                   stored bytes are not what was written; never retried
    │   └── MissingObjectError           a tree names it, and no pack has it
    ├── FormatError                      written by a version this program does not know
    └── ExpiredError                     the pinned state is gone; open a new view

A chunk that a tree names and no pack holds is an IntegrityError, never a NotFoundError.
Exceptions of libraries are mapped to these in the one module that imports the library.
"""

from __future__ import annotations

from typing import ClassVar, Final


class CasError(Exception):
    """Base of all errors of the engine; `kind` is a stable code for machines."""

    kind: ClassVar[str] = "error"


class NotFoundError(CasError, LookupError):
    """There is no such path, volume, snapshot or repository."""

    kind = "not_found"


class NotKeptError(NotFoundError):
    """Retention has not kept the files of a past state, that after the change `sequence`."""

    kind = "not_kept"

    def __init__(self, sequence: int) -> None:
        super().__init__(
            "the files of this state are not kept any more; what was changed is: see the log"
        )
        self.sequence = sequence


class BeforeHistoryError(NotKeptError):
    """A past state is older than all that is known of the volume: the message says where it begins.

    `sequence` is the number of the change that would have led to it, 0 where there is none.
    """

    kind = "before_history"

    def __init__(self, sequence: int, message: str) -> None:
        NotFoundError.__init__(self, message)
        self.sequence = sequence


class PurgedError(NotFoundError):
    """The content was purged from the volume's past: it is nowhere in it any more."""

    kind = "purged"


class AlreadyExistsError(CasError):
    """The name is taken."""

    kind = "already_exists"


class ConflictError(CasError):
    """The state has changed, or does not allow this; look again and decide anew."""

    kind = "conflict"


class PreconditionError(ConflictError):
    """An operation's own precondition did not hold when it was committed."""

    kind = "precondition_failed"


class InvalidError(CasError, ValueError):
    """A name, path, parameter or setting is not acceptable."""

    kind = "invalid"


class ReadOnlyError(CasError):
    """This handle, place or store takes no writes."""

    kind = "read_only"


class LockedError(CasError):
    """Somebody else holds it; the message says who."""

    kind = "locked"


class StoreError(CasError, OSError):
    """The disk or bucket failed. `transient` is True where trying again may help."""

    kind = "store"

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class StoreFullError(StoreError):
    """There is no room left on the disk or in the bucket."""

    kind = "store_full"


class QuotaError(StoreFullError):
    """The write would exceed the volume's quota."""

    kind = "quota_exceeded"


class WrongKeyError(CasError):
    """The key or password does not open this repository."""

    kind = "wrong_key"


class IntegrityError(CasError):
    """Stored bytes are damaged or missing; they are reported, never served."""

    kind = "integrity"


class MissingObjectError(IntegrityError):
    """An object is nowhere. To a view from before a collection it means that it has expired."""


REBUILD_HINT: Final = "it is rebuilt from the packs with `casdav index rebuild`"
"""What to do about damage of the catalog, for the end of a message."""


REPAIR_HINT: Final = (
    "bring it back from a copy of the repository, or go on without it with `casdav repair`"
)
"""What to do about what is damaged in the packs and refs themselves."""


class FormatError(CasError):
    """The bytes have a magic or version that this program does not know."""

    kind = "format"


class ExpiredError(CasError):
    """The pinned state is no longer kept; open a new view."""

    kind = "expired"
