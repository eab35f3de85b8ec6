from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

import cas
from dav.http.errors import ListenError
from tools.exits import ERROR_CODES, MEANINGS, Exit, Failure, error_kind, exit_code, explain

if TYPE_CHECKING:
    from collections.abc import Iterator


def error_tree(root: type[cas.CasError] = cas.CasError) -> Iterator[type[cas.CasError]]:
    yield root
    for child in root.__subclasses__():
        yield from error_tree(child)


def test_every_error_of_the_engine_has_a_code_of_its_own_or_its_parents() -> None:
    tree = list(error_tree())
    assert len(tree) > len(ERROR_CODES) - 2
    for error in tree:
        code = exit_code(error.__new__(error))
        assert code not in {Exit.OK, Exit.PROBLEMS, Exit.INTERRUPTED}
        assert any(ancestor in ERROR_CODES for ancestor in error.__mro__[:2]), error


def test_every_public_error_stands_in_the_table() -> None:
    public = {getattr(cas, name) for name in cas.__all__ if name.endswith("Error")}
    assert public - set(ERROR_CODES) == {cas.ConflictingLocksError}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Failure("no repository", Exit.NO_REPOSITORY), 10),
        (cas.NotFoundError("no path"), 1),
        (cas.LockedError("somebody"), 11),
        (cas.WrongKeyError("no"), 12),
        (cas.IntegrityError("bits"), 13),
        (cas.PreconditionError("changed"), 14),
        (cas.AlreadyExistsError("there"), 14),
        (cas.QuotaError("enough"), 15),
        (cas.StoreFullError("full"), 15),
        (OSError(errno.ENOSPC, "no space"), 15),
        (cas.StoreError("gone"), 16),
        (cas.InvalidError("bad"), 2),
        (OSError(errno.EACCES, "no rights"), 1),
        (ListenError("port in use"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_codes_are_those_that_scripts_know(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Exit)


def test_an_explanation_is_one_line() -> None:
    assert explain(cas.IntegrityError("first\nsecond")) == "first second"
    assert explain(PermissionError(errno.EACCES, "Permission denied", "a\nb")) == (
        "'a\\nb': Permission denied"
    )
    assert explain(ValueError()) == "ValueError"


def test_kinds_are_the_engines_words_where_it_has_one() -> None:
    assert error_kind(cas.QuotaError("enough")) == "quota_exceeded"
    assert error_kind(Failure("no", Exit.NO_REPOSITORY)) == "no_repository"
