"""PROPFIND (RFC 4918, section 9.1), streamed from the tree's own nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Final

import cas
from dav import answers, transfers
from dav.addressed import Resource
from dav.answers import Answer
from dav.identity import Right
from dav.locations import SNAPSHOTS_NAME, Location, Place
from dav.lock_xml import LockIndex
from dav.locked import lock_root
from dav.past import LISTED, snapshot_entry, without_shadowed
from dav.paths import is_representable, quote_name
from dav.properties import Context, Item
from dav.renderer import Renderer
from dav.request import Request
from dav.room import free_bytes
from dav.status import HttpError
from dav.xml_requests import parse_propfind

_OUTSIDE: Final = Context(
    None, None, LockIndex((), (), str), can_write=False, free_bytes=lambda: None
)
"""Where the collections are that no volume holds: no locks, no quota."""


def propfind(request: Request) -> Answer:
    """Answer with the properties of a resource and, by Depth, of what is below it."""
    depth = request.depth("infinity")
    wanted = parse_propfind(request.xml_body())
    renderer = Renderer(wanted, is_minimal=request.is_minimal)
    headers = [("Preference-Applied", "return=minimal")] if request.is_minimal else []
    items = _items(request, depth)
    return answers.multistatus((renderer.response(item) for item in items), headers)


def _items(request: Request, depth: int | None) -> Iterable[Item]:
    match request.location.place:
        case Place.ROOT:
            return _root_items(request, depth)
        case Place.VOLUMES:
            return _volumes_items(request, depth)
        case Place.UPLOADS:
            return _transfer_items(request, depth)
        case Place.SNAPSHOTS:
            return _snapshots_items(request.resource, depth)
        case _:
            resource = request.resource
            resource.visible_entry()
            request.check_conditions(resource)
            return _volume_items(request, resource, depth)


def _root_items(request: Request, depth: int | None) -> Iterator[Item]:
    yield Item("/", "casdav", "", LISTED, _OUTSIDE)
    if depth != 0:
        volumes = Location(Place.VOLUMES, ("dav",))
        below = islice(_volumes_items(request, depth, volumes), 1 if depth == 1 else None)
        yield from below


def _volumes_items(
    request: Request, depth: int | None, location: Location | None = None
) -> Iterable[Item]:
    here = (location or request.location).href(is_collection=True)
    own = Item(here, "dav", "", LISTED, _OUTSIDE)
    if depth == 0:
        return [own]
    resources = []
    for visible in request.volumes():
        where = Location(Place.VOLUME, ("dav", visible.volume.name), (), visible.volume.name)
        resources.append(request.resolve(where))
    if depth is None:
        _check_finite(request, resources)
    below = depth if depth is None else depth - 1
    return chain([own], *(_volume_items(request, resource, below) for resource in resources))


def _transfer_items(request: Request, depth: int | None) -> Iterator[Item]:
    registry, view = request.pin(request.repository.registry)
    context = Context(
        registry, view, LockIndex((), (), str), can_write=True, free_bytes=lambda: None
    )
    for location, path, entry in transfers.listing(request, depth):
        href = location.href(is_collection=entry.is_directory)
        name = location.names[-1] if location.names else location.volume
        yield Item(href, name, path, entry, context)


def _snapshots_items(resource: Resource, depth: int | None) -> Iterable[Item]:
    """Return the list of snapshots; of each only what its name's entry says is looked at."""
    own = _snapshots_item(resource.location)
    if depth == 0:
        return [own]
    if depth is None:
        raise HttpError(403, "ask for the snapshots one by one", condition="propfind-finite-depth")
    context = _snapshot_roots(resource)
    return chain(
        [own],
        (
            Item(
                f"{own.href}{quote_name(snapshot.name)}/",
                snapshot.name,
                f"{own.path}/{snapshot.name}",
                snapshot_entry(snapshot),
                context,
            )
            for snapshot in resource.volume.snapshots()
        ),
    )


def _snapshots_item(location: Location) -> Item:
    """Return `.snapshots` as an item; `location` is that, or the root of its volume."""
    listed = location._replace(place=Place.SNAPSHOTS, names=(SNAPSHOTS_NAME,))
    return Item(listed.href(is_collection=True), SNAPSHOTS_NAME, SNAPSHOTS_NAME, LISTED, _OUTSIDE)


def _snapshot_roots(resource: Resource) -> Context:
    """Return where the roots of snapshots are; their sizes are not known before they are opened."""
    return Context(
        resource.volume,
        None,
        LockIndex((), (), str),
        can_write=False,
        free_bytes=lambda: None,
        is_past=True,
    )


def _volume_items(request: Request, resource: Resource, depth: int | None) -> Iterable[Item]:
    """Return the items of a resource in a volume; the engine is asked nothing per item."""
    entry = resource.visible_entry()
    context = _context(request, resource, has_members=depth != 0)
    location = resource.location
    name = location.names[-1] if location.names else resource.info.name
    own = Item(resource.href, name, "/".join(location.names), entry, context)
    if location.is_past and not location.path:
        own = own._replace(context=_snapshot_roots(resource))
    if depth == 0 or not entry.is_directory:
        return [own]
    view = request.view_of(resource)
    if depth is None:
        _check_finite(request, [resource])
        return chain([own], _descendants(view, resource, context))
    is_listed = location.is_volume_root and request.settings.show_snapshots
    snapshots = [_snapshots_item(location)] if is_listed else []
    return chain([own], snapshots, _children(view, resource, context))


def _children(view: cas.View, resource: Resource, context: Context) -> Iterator[Item]:
    location, href = resource.location, resource.href
    below = "".join(f"{name}/" for name in location.names)
    for name, entry in without_shadowed(resource.volume, location, view.list(resource.path)):
        is_directory = entry.is_directory
        if (is_directory or entry.is_file) and is_representable(name):
            address = href + quote_name(name)
            if is_directory:
                address += "/"
            yield Item(address, name, below + name, entry, context)


def _descendants(view: cas.View, resource: Resource, context: Context) -> Iterator[Item]:
    location = resource.location
    before = f"{SNAPSHOTS_NAME}/{location.snapshot}/" if location.snapshot else ""
    for path, entry in without_shadowed(resource.volume, location, view.walk(resource.path)):
        if (entry.is_directory or entry.is_file) and is_representable(path):
            href = location.href_of(path, is_collection=entry.is_directory)
            yield Item(href, path.rpartition("/")[2], before + path, entry, context)


def _check_finite(request: Request, resources: list[Resource]) -> None:
    entries = (request.view_of(resource).entry(resource.path) for resource in resources)
    if sum(entry.files + entry.folders for entry in entries) > request.settings.infinity_limit:
        raise HttpError(
            403, "the folder is too large for Depth infinity", condition="propfind-finite-depth"
        )


def _context(request: Request, resource: Resource, *, has_members: bool) -> Context:
    view = request.view_of(resource)
    if resource.is_past:
        return Context(
            resource.volume,
            view,
            LockIndex((), (), str),
            can_write=False,
            free_bytes=lambda: None,
            is_past=True,
        )
    covering, below = _locks(request, resource, has_members=has_members)
    roots = {lock.path: lock_root(request, resource.location, lock) for lock in (*covering, *below)}
    return Context(
        resource.volume,
        view,
        LockIndex(covering, below, lambda path: roots[path]),
        can_write=resource.right >= Right.WRITE,
        free_bytes=lambda: free_bytes(request.repository),
    )


def _locks(
    request: Request, resource: Resource, *, has_members: bool
) -> tuple[list[cas.Lock], list[cas.Lock]]:
    """Return the locks that cover a resource, and those below it.

    None where the server that keeps them does not answer, which is in the log: who only reads is
    not to wait for it, and who writes is told.
    """
    table, volume_id = request.repository.locks, resource.info.id
    try:
        covering = table.covering(volume_id, resource.path)
        return covering, table.below(volume_id, resource.path) if has_members else []
    except cas.StoreError as error:
        if not error.transient:
            raise
        return [], []
