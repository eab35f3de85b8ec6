"""What a check of a repository says, as tests look at it."""

from __future__ import annotations

import cas


class Told(cas.DamageWatcher):
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.damages: list[cas.Damage] = []
        self.affecteds: list[cas.Affected] = []
        self.expected = 0
        self.advanced = 0

    def damage(self, damage: cas.Damage) -> None:
        self.damages.append(damage)

    def affected(self, affected: cas.Affected) -> None:
        self.affecteds.append(affected)

    def stage(self, name: str, total: int | None = None) -> None:
        assert name
        self.expected += total or 0

    def advance(self, steps: int) -> None:
        self.advanced += steps

    @property
    def kinds(self) -> list[str]:
        return [damage.kind.value for damage in self.damages]

    @property
    def messages(self) -> str:
        return "\n".join(damage.message for damage in self.damages)

    @property
    def paths(self) -> set[str]:
        return {f"{each.volume}:/{each.path}" for each in self.affecteds}


def check(repository: cas.Repository, reading: cas.Reading | None = None) -> Told:
    """Check a repository; return what was told, which agrees with the summary."""
    told = Told()
    summary = cas.check_repository(repository, reading=reading, watcher=told)
    assert summary.damaged == len(told.damages)
    assert summary.affected == len(told.affecteds)
    assert summary.is_sound == (not told.damages)
    return told


def assert_sound(repository: cas.Repository, *, read: bool = True) -> None:
    """Fail with all that is wrong unless everything is sound."""
    told = check(repository, cas.Share() if read else None)
    assert not told.damages, told.messages
    assert not told.affecteds
