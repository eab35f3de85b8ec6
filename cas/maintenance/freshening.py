"""Setting how old views of a volume may be, where several gateways share the blob store."""

from __future__ import annotations

from contextlib import suppress

from cas.errors import InvalidError, NotFoundError
from cas.freshness import FRESHNESS_LIMIT_NS, FreshnessRecord, freshness_limits, freshness_path
from cas.objects import encode
from cas.paths import join_names
from cas.repository import Repository
from cas.volume import Volume


def freshness_of(repository: Repository, volume: Volume) -> int:
    """Return how old views of a volume may be, in nanoseconds; 0: each asks the blob store."""
    repository.engine.freshen(repository.registry.id)
    with repository.engine.catalog.read() as transaction:
        return freshness_limits(repository.engine.nodes, transaction).get(volume.id, 0)


def set_freshness(
    repository: Repository, volume: Volume, limit_ns: int, *, author: str = ""
) -> None:
    """Say how old views of a volume may be; of the registry, who may come in and see what.

    All gateways go by it once they have seen it. Commits are not touched.

    Raises:
        InvalidError: it is below 0, or more than an hour.
    """
    if not 0 <= limit_ns <= FRESHNESS_LIMIT_NS:
        raise InvalidError("a view may be an hour old at most")
    path = freshness_path(volume.id)
    folder, record = join_names(path[:1]), join_names(path)
    if not limit_ns:
        with suppress(NotFoundError), repository.registry.edit(author=author) as edit:
            edit.remove(record)
        return
    with repository.registry.edit(author=author) as edit:
        edit.make_directory(folder, parents=True)
        edit.put_record(record, encode(FreshnessRecord(limit_ns)))
