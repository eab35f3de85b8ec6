"""The steps that change the linked folder, and what came of each. Paths are those of the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from syncd.disk.signatures import Signature
from syncd.disk.staging import Manner, Staged


@dataclass(frozen=True, slots=True)
class Install:
    """Give a staged file or link its name, in the place of what has the `expected` signature.

    None expects that nothing has the name.
    """

    path: str
    staged: Staged
    expected: Signature | None = None


@dataclass(frozen=True, slots=True)
class MakeFolder:
    """Make a folder; one that is there already is as good."""

    path: str


@dataclass(frozen=True, slots=True)
class Move:
    """Rename a file, link or folder to a free name. Of a folder only the inode is expected."""

    path: str
    new_path: str
    expected: Signature


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove a file or link that has the `expected` signature."""

    path: str
    expected: Signature


@dataclass(frozen=True, slots=True)
class RemoveFolder:
    """Remove a folder that holds nothing, or only what may be deleted along with it."""

    path: str


@dataclass(frozen=True, slots=True)
class SetManner:
    """Give a file another time or exec bit; its content stays."""

    path: str
    manner: Manner
    expected: Signature


Step: TypeAlias = Install | MakeFolder | Move | RemoveFile | RemoveFolder | SetManner
"""One change of the folder."""


class ChangedError(OSError):
    """What is there is not what the step expected: somebody has changed it. It is left alone."""


@dataclass(frozen=True, slots=True)
class Displaced:
    """What a step put into the trash: under which name, from where, and how it looked."""

    name: str
    path: str
    signature: Signature


@dataclass(slots=True)
class Outcome:
    """What came of a step.

    Attributes:
        step: the step.
        signature: of what the step left at its (new) path; None where nothing is, and where it
            has to be read again, since somebody may have written to it meanwhile.
        failure: why it was not done; `ChangedError` where the disk was not as expected.
        displaced: what went into the trash.
        rescued: the name that was given to what somebody wrote at the last moment.
        is_settled: whether syncd's own folder is in order; if not, the intent stays, and what is
            there is looked after when syncd starts again.
    """

    step: Step
    signature: Signature | None = None
    failure: OSError | None = None
    displaced: Displaced | None = None
    rescued: str | None = None
    is_settled: bool = True
