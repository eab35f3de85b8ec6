"""`casdav volume schedule`, and a real server that keeps to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cas
from dav.schedules import period_of
from tests.support import running_server, wait_until

if TYPE_CHECKING:
    from tests.tools.conftest import Casdav


def test_it_is_set_shown_and_ended(casdav: Casdav) -> None:
    assert (
        "24 hourly, 7 daily"
        in casdav("volume", "schedule", "v", "--hourly", "24", "--daily", "7").out
    )
    assert casdav("volume", "schedule", "v", "--json").document == {
        "volume": "v",
        "schedule": {"hourly": 24, "daily": 7},
    }
    assert "24 hourly, 7 daily" in casdav("volume", "list").out
    casdav("volume", "schedule", "v", "--weekly", "5")
    assert casdav("volume", "list", "--json").document[0]["schedule"] == {"weekly": 5}
    assert "no scheduled" in casdav("volume", "schedule", "v", "--off").out
    assert casdav("volume", "list", "--json").document[0]["schedule"] is None


def test_what_is_no_schedule_is_refused(casdav: Casdav) -> None:
    casdav("volume", "schedule", "v", "--hourly", "0", code=2)
    casdav("volume", "schedule", "v", "--hourly", "-1", code=2)
    casdav("volume", "schedule", "v", "--off", "--daily", "1", code=2)
    casdav("volume", "schedule", "missing", "--daily", "1", code=1)
    assert casdav("volume", "schedule", "v", "--json").document["schedule"] is None


def test_a_server_of_two_workers_makes_each_once(casdav: Casdav) -> None:
    casdav("volume", "schedule", "v", "--hourly", "5", "--yearly", "2")
    with running_server(casdav.store, "--workers", "2") as server:
        with cas.open(casdav.store) as repository:
            volume = repository.volume("v")
            wait_until(lambda: len(volume.snapshots()) >= 2, "both snapshots")
            periods = [period_of(snapshot.name) for snapshot in volume.snapshots()]
        assert server.stop() == 0
    kinds = [period.kind for period in periods if period is not None]
    assert sorted(set(kinds)) == ["hourly", "yearly"]


def test_people_do_not_take_the_names_of_scheduled_ones(casdav: Casdav) -> None:
    name = "hourly-2026-11-22T10-00Z"
    assert "scheduled" in casdav("snapshot", "create", "v", name, code=2).err
    casdav("snapshot", "create", "v", "mine")
    assert "scheduled" in casdav("snapshot", "rename", "v", "mine", name, code=2).err
    assert [each["name"] for each in casdav("snapshot", "list", "v", "--json").document] == ["mine"]
