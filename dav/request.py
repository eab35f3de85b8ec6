"""One WebDAV request: who asks, for what, under which conditions, on which state of the trees.

All views that a request needs are pinned at its first look at a volume and stay until its answer
is sent, so everything it reads is of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol
from wsgiref.types import WSGIEnvironment

import cas
from dav.addressed import Resource, representation_headers, state_of
from dav.answers import REVALIDATED
from dav.conditions import Conditions
from dav.environment import header, raw_target
from dav.gate import principal_of
from dav.grants import Rights, VisibleVolume
from dav.identity import Principal, Right
from dav.if_header import IfHeader, ResourceState, parse_if
from dav.locations import SNAPSHOTS_NAME, Location, Place, locate
from dav.past import LISTED, snapshot_entry, warn_of_shadowed
from dav.paths import TargetPath, parse_destination, parse_target
from dav.settings import DriveSettings
from dav.status import HttpError
from dav.xml_reader import Readable, read_body

DEPTHS: Final = {"0": 0, "1": 1, "infinity": None}
"""Values of the Depth header; None stands for infinity."""


class Services(NamedTuple):
    """What all requests share."""

    repository: cas.Repository
    rights: Rights
    settings: DriveSettings


class TreeReader(Protocol):
    """A view or the state inside a commit: what conditions are evaluated on."""

    def get(self, path: str, /) -> cas.Entry | None:
        """Return the entry at a path, None where nothing is."""


class Request:
    """One request. Belongs to one thread.

    Args:
        services: what all requests share.
        environ: the WSGI environment, with the principal in it.
    """

    def __init__(self, services: Services, environ: WSGIEnvironment) -> None:
        self.services = services
        self.repository = services.repository
        self.settings = services.settings
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self._views: dict[str, tuple[cas.Volume, cas.View]] = {}
        self._past: dict[tuple[bytes, str], tuple[cas.Snapshot, cas.View]] = {}
        self._tagged: dict[str, Resource | None] = {}
        self._states: dict[str, ResourceState] = {}

    # --- who and what -----------------------------------------------------------------------

    @cached_property
    def principal(self) -> Principal:
        """Who asks."""
        return principal_of(self.environ)

    def header(self, name: str) -> str | None:
        """Return a header's value, None where it is absent."""
        return header(self.environ, name)

    @cached_property
    def target(self) -> TargetPath:
        """The path of the request line."""
        return parse_target(raw_target(self.environ))

    @cached_property
    def location(self) -> Location:
        """The place that the request line names."""
        return locate(self.target, self.principal.name)

    @cached_property
    def resource(self) -> Resource:
        """What the request line names.

        Raises:
            HttpError: 404 where that is not in a volume that the principal may see.
        """
        return self.resolve(self.location)

    @cached_property
    def content_length(self) -> int | None:
        """Bytes of the request body, None where a chunked body does not tell."""
        value = self.environ.get("CONTENT_LENGTH")
        return int(value) if value else None

    @property
    def body(self) -> Readable:
        """The request body."""
        stream: Readable = self.environ["wsgi.input"]
        return stream

    @property
    def has_body(self) -> bool:
        """Whether a request body is announced."""
        return (
            bool(self.content_length)
            or "chunked" in (self.header("Transfer-Encoding") or "").lower()
        )

    def xml_body(self) -> bytes:
        """Return the whole body, within the bounds for XML."""
        return read_body(self.body, self.content_length) if self.has_body else b""

    def depth(self, default: str) -> int | None:
        """Return the Depth header's value, None for infinity.

        Raises:
            HttpError: 400 where it has no valid value.
        """
        value = (self.header("Depth") or default).strip().lower()
        if value not in DEPTHS:
            raise HttpError(400, "Depth must be 0, 1 or infinity")
        return DEPTHS[value]

    @cached_property
    def is_minimal(self) -> bool:
        """Whether the client wants no more than necessary (RFC 8144; Microsoft's Brief)."""
        wishes = (self.header("Prefer") or "").replace(" ", "").lower().split(",")
        return "return=minimal" in wishes or (self.header("Brief") or "").strip().lower() == "t"

    # --- where ------------------------------------------------------------------------------

    def view(self, volume_name: str) -> tuple[cas.Volume, cas.View]:
        """Return a volume and its pinned view.

        Raises:
            NotFoundError: there is no such volume.
        """
        pinned = self._views.get(volume_name)
        return pinned if pinned is not None else self.pin(self.repository.volume(volume_name))

    def pin(self, volume: cas.Volume) -> tuple[cas.Volume, cas.View]:
        """Return the volume and its view, the same one throughout the request."""
        if volume.name not in self._views:
            self._views[volume.name] = (volume, volume.view())
        return self._views[volume.name]

    def close(self) -> None:
        """Let go of all pinned views: at the end, and before what may take hours.

        What a long upload or download pins, the store cannot tidy. A look after this pins anew.
        """
        for _, view in (*self._views.values(), *self._past.values()):
            view.close()
        self._views.clear()
        self._past.clear()

    def look_again(self) -> None:
        """Forget all that was seen: what is asked for from now on is of newer states."""
        self.close()
        self._tagged.clear()
        self._states.clear()
        self.__dict__.pop("resource", None)

    def view_of(self, resource: Resource) -> cas.View:
        """Return the pinned state that a resource is of.

        Raises:
            NotFoundError: the volume or the snapshot is gone.
        """
        if resource.location.snapshot:
            return self._pin_past(resource.volume, resource.location.snapshot)[1]
        return self.view(resource.info.name)[1]

    def _pin_past(self, volume: cas.Volume, name: str) -> tuple[cas.Snapshot, cas.View]:
        key = volume.id, name
        if key not in self._past:
            self._past[key] = volume.at_snapshot(name)
        return self._past[key]

    def resolve(self, location: Location) -> Resource:
        """Return what is at a place in a volume.

        Raises:
            HttpError: 404 where there is no such volume, or none that the principal may see; 405
                for the lists of volumes and of uploads.
        """
        nothing = HttpError(404, "there is nothing at this address")
        if location.place in {Place.ROOT, Place.VOLUMES, Place.UPLOADS}:
            raise HttpError(405, f"{self.method} is not for this place, which the server fills")
        if location.place is Place.NOWHERE:
            raise nothing
        try:
            # Inside a snapshot the present state is of no concern, and not pinned.
            volume, view = (
                (self.repository.volume(location.volume), None)
                if location.place is Place.SNAPSHOT
                else self.view(location.volume)
            )
        except (cas.NotFoundError, cas.InvalidError) as error:
            raise nothing from error
        info = volume.info
        right = self.services.rights.right(self.principal, info, location.path)
        if right < Right.READ:
            raise nothing
        if view is None:
            return Resource(location, volume, info, Right.READ, self._past_entry(volume, location))
        if location.place is Place.SNAPSHOTS:
            if view.get(SNAPSHOTS_NAME) is not None:
                warn_of_shadowed(volume)
            return Resource(location, volume, info, Right.READ, LISTED)
        return Resource(location, volume, info, right, view.get(location.path))

    def _past_entry(self, volume: cas.Volume, location: Location) -> cas.Entry | None:
        """Return what a snapshot has at a place, None for nothing or where it is not there."""
        try:
            snapshot, view = self._pin_past(volume, location.snapshot)
        except cas.NotFoundError:
            return None
        return view.get(location.path) if location.path else snapshot_entry(snapshot)

    def destination(self) -> Location:
        """Return the place that the Destination header names.

        Raises:
            HttpError: 400 where it is missing or malformed, 502 for another server.
        """
        value = self.header("Destination")
        if value is None:
            raise HttpError(400, f"{self.method} needs a Destination")
        return locate(parse_destination(value, self._authorities), self.principal.name)

    @cached_property
    def _authorities(self) -> list[str]:
        environ = self.environ
        served = f"{environ.get('SERVER_NAME', '')}:{environ.get('SERVER_PORT', '')}"
        known = [environ.get("HTTP_HOST"), environ.get("HTTP_X_FORWARDED_HOST"), served]
        return [name for name in known if name] + list(self.settings.authorities)

    def volumes(self) -> list[VisibleVolume]:
        """Return the volumes that the principal may see, by name."""
        return self.services.rights.visible(self.principal)

    # --- under which conditions -------------------------------------------------------------

    @cached_property
    def conditions(self) -> Conditions:
        """The conditional headers of HTTP."""
        return Conditions.parse(self.header)

    @cached_property
    def if_header(self) -> IfHeader:
        """The If header of WebDAV."""
        return parse_if(self.header("If"))

    @cached_property
    def lock_tokens(self) -> frozenset[str]:
        """Tokens that the request submits, of locks that the principal holds (section 6.4)."""
        return frozenset(
            token
            for token in self.if_header.tokens
            if (lock := self.repository.locks.get(token)) is not None
            and lock.principal == self.principal.name
        )

    @property
    def is_conditional(self) -> bool:
        """Whether there is any condition that has to hold inside the commit too."""
        return bool(self.conditions) or bool(self.if_header.lists)

    def check_conditions(
        self,
        resource: Resource,
        tree: TreeReader | None = None,
        tokens: Callable[[str], Iterable[cas.Lock]] | None = None,
    ) -> None:
        """Raise unless the request's conditions hold.

        Args:
            resource: what the request line names.
            tree: the state of that volume to look at, the pinned view by default.
            tokens: returns the locks that cover a path of that volume.

        Raises:
            HttpError: 304 or 412.
        """
        if not self.is_conditional:
            return
        entry = resource.entry if tree is None else tree.get(resource.path)
        now = resource._replace(entry=entry)
        if self.if_header.lists and not self.if_header.holds(
            lambda tag: self._state_of(tag, resource, tree, tokens)
        ):
            raise HttpError(412, "the If header does not hold")
        status = self.conditions.evaluate(self.method, state_of(now))
        if status == HTTPStatus.NOT_MODIFIED:
            raise HttpError(304, headers=[*representation_headers(now), REVALIDATED])
        if status:
            raise HttpError(status, "a precondition of the request does not hold")

    def recheck(self, resource: Resource) -> Callable[[cas.TreeState], None]:
        """Return the check of the same conditions for inside a commit on the resource's volume."""
        for tag in self.if_header.resources:  # All of them: the first look may not need all.
            self._state_of(tag, resource, None, None)
        return lambda state: self.check_conditions(resource, state, state.locks.covering)

    def _state_of(
        self,
        tag: str | None,
        resource: Resource,
        tree: TreeReader | None,
        covering: Callable[[str], Iterable[cas.Lock]] | None,
    ) -> ResourceState:
        """Return the state of the resource that a tag of the If header names.

        Inside a commit nothing is looked up but the state that is given, since that thread holds
        the store: tags were resolved before, and other volumes are as they were then.
        """
        tagged = resource if tag is None else self._resource_of_tag(tag)
        if tagged is None:
            return ResourceState(None, frozenset())
        is_elsewhere = tagged.is_past or tagged.info.id != resource.info.id
        if tree is not None and tag is not None and is_elsewhere:
            return self._states[tag]
        if tree is not None:
            tagged = tagged._replace(entry=tree.get(tagged.path))
        locks: Iterable[cas.Lock]
        if tagged.is_past:
            locks = ()  # A lock of the same path is on what is there today.
        elif covering is not None:
            locks = covering(tagged.path)
        else:
            locks = self.repository.locks.covering(tagged.info.id, tagged.path)
        state = ResourceState(tagged.etag(), frozenset(lock.token for lock in locks))
        if tree is None and tag is not None:
            self._states[tag] = state
        return state

    def _resource_of_tag(self, tag: str) -> Resource | None:
        """Return what a tag names, None where that is nothing to this principal; looked up once."""
        if tag not in self._tagged:
            try:
                target = parse_destination(tag, self._authorities)
                self._tagged[tag] = self.resolve(locate(target, self.principal.name))
            except HttpError:
                self._tagged[tag] = None
        return self._tagged[tag]
