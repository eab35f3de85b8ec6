from __future__ import annotations

import http

import cas
from dav.errors import TABLE, answer_for, to_http


def subclasses(kind: type[cas.CasError]) -> set[type[cas.CasError]]:
    below = set(kind.__subclasses__())
    return below.union(*(subclasses(one) for one in below))


def test_every_error_of_the_engine_has_an_answer_of_its_own_or_its_parents() -> None:
    known = {kind for kind, _ in TABLE}
    for kind in subclasses(cas.CasError):
        assert known & set(kind.__mro__), f"{kind.__name__} has no row in the table"


def test_a_special_error_is_found_before_its_general_one() -> None:
    for position, (kind, _) in enumerate(TABLE):
        for general, _ in TABLE[:position]:
            assert not issubclass(kind, general), (kind, general)


def test_answers_are_what_a_client_can_act_on() -> None:
    assert answer_for(cas.NotFoundError("x")).status == http.HTTPStatus.NOT_FOUND
    assert answer_for(cas.PreconditionError("x")).status == http.HTTPStatus.PRECONDITION_FAILED
    assert answer_for(cas.QuotaError("x")) == (507, "quota-not-exceeded", 0)
    assert answer_for(cas.StoreFullError("x")) == (507, "sufficient-disk-space", 0)
    assert answer_for(cas.IntegrityError("x")).status == http.HTTPStatus.INTERNAL_SERVER_ERROR


def test_what_may_pass_says_when_to_try_again() -> None:
    error = to_http(cas.StoreError("busy", transient=True))
    assert error.status == http.HTTPStatus.SERVICE_UNAVAILABLE
    assert dict(error.headers)["Retry-After"] == "5"
    assert to_http(cas.StoreError("broken")).status == http.HTTPStatus.INTERNAL_SERVER_ERROR


def test_no_answer_names_a_directory_of_the_server() -> None:
    for error in (
        cas.StoreFullError("no room left: /srv/secret/place"),
        cas.StoreError("/srv/secret/place: input/output error"),
        cas.StoreError("/srv/secret/place is busy", transient=True),
    ):
        assert "/srv" not in to_http(error).message
        assert to_http(error).message
    assert to_http(cas.QuotaError("the quota of 5 bytes")).message == "the quota of 5 bytes"
