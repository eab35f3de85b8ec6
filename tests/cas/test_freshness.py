"""How often the bucket is asked before a view is pinned, and what a view may miss then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cas
from cas.formats import REGISTRY_ID
from cas.freshness import FRESHNESS_LIMIT_NS, Freshness
from cas.retention import Retention
from tests.support.checking import assert_sound
from tests.support.clock import SECOND_NS, FakeClock
from tests.support.gateways import Gateways, content, gateways, put

PRESENT_ONLY = cas.VersionPolicy(versions=1, states=Retention())


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Gateways]:
    with gateways(tmp_path) as bucket:
        yield bucket


def names(volume: cas.Volume) -> list[str]:
    with volume.view() as view:
        return [name for name, _ in view.list()]


def set_both(repository: cas.Repository, limit_ns: int) -> None:
    for volume in (repository.volume("v"), repository.registry):
        cas.set_freshness(repository, volume, limit_ns)


def test_without_a_setting_each_view_asks(made: Gateways) -> None:
    one = made.open("one")
    volume = one.volume("v")
    names(volume)
    made.stores["one"].calls.clear()
    for _ in range(3):
        names(volume)
    assert made.stores["one"].called("read", "get", "list") == ["read refs"] * 3


def test_a_view_may_be_as_old_as_the_setting_says(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    set_both(one, FRESHNESS_LIMIT_NS)
    assert cas.freshness_of(two, two.volume("v")) == FRESHNESS_LIMIT_NS
    volume = two.volume("v")
    assert names(volume) == []
    made.stores["two"].calls.clear()
    put(one, "a", b"1")
    for _ in range(3):
        assert names(two.volume("v")) == []
    assert made.stores["two"].calls == []
    set_both(two, 0)  # a commit, which asks for the registry
    assert cas.freshness_of(two, two.volume("v")) == 0
    assert names(volume) == ["a"]


def test_a_commit_sees_the_newest_state_and_so_does_who_made_it(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    set_both(one, FRESHNESS_LIMIT_NS)
    volume = two.volume("v")
    assert names(volume) == []
    put(one, "a", b"1")
    edit = volume.edit()
    edit.make_directory("a")
    with pytest.raises(cas.AlreadyExistsError):
        edit.commit()
    put(two, "b", b"2")
    assert names(volume) == ["a", "b"]


def test_what_a_collection_has_deleted_is_not_shown_again_and_again(made: Gateways) -> None:
    one, two = made.open("one"), made.open("two")
    put(one, "a", bytes(3 << 20))
    set_both(one, FRESHNESS_LIMIT_NS)
    assert names(two.volume("v")) == ["a"]
    with one.volume("v").edit() as edit:
        edit.remove("a")
    cas.collect_garbage(one, PRESENT_ONLY, grace_seconds=0)
    with pytest.raises(cas.CasError):
        content(two)
    assert content(two) == {}
    assert_sound(two)


def test_more_than_an_hour_is_refused(made: Gateways) -> None:
    one = made.open("one")
    for limit in (-1, FRESHNESS_LIMIT_NS + 1):
        with pytest.raises(cas.InvalidError):
            cas.set_freshness(one, one.volume("v"), limit)


def test_the_age_counts_from_before_the_question(made: Gateways) -> None:
    one = made.open("one")
    cas.set_freshness(one, one.volume("v"), 2 * SECOND_NS)
    clock = FakeClock()
    asked: list[bytes] = []

    def ask(volume_id: bytes) -> None:
        asked.append(volume_id)
        clock.advance(1)  # so long the answer takes

    fresh = Freshness(one.engine.catalog, one.engine.nodes, ask, clock.now_ns)
    volume_id = one.volume("v").id
    fresh.freshen(volume_id)
    clock.advance(0.9)
    fresh.freshen(volume_id)
    assert len(asked) == 1
    clock.advance(0.1)
    fresh.freshen(volume_id)
    assert len(asked) == 2
    fresh.freshen(REGISTRY_ID)
    fresh.freshen(REGISTRY_ID)
    assert asked[2:] == [REGISTRY_ID] * 2


def test_a_question_that_failed_is_asked_again(made: Gateways) -> None:
    one = made.open("one")
    cas.set_freshness(one, one.volume("v"), FRESHNESS_LIMIT_NS)
    answers = iter([cas.StoreError("away", transient=True), None])

    def ask(_: bytes) -> None:
        if (error := next(answers)) is not None:
            raise error

    fresh = Freshness(one.engine.catalog, one.engine.nodes, ask)
    volume_id = one.volume("v").id
    with pytest.raises(cas.StoreError):
        fresh.freshen(volume_id)
    fresh.freshen(volume_id)
    assert next(answers, "both were asked for") == "both were asked for"
