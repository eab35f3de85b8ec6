"""The volumes of a repository as a WsgiDAV provider, for our application and any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from wsgidav.dav_error import HTTP_BAD_REQUEST, DAVError
from wsgidav.dav_provider import DAVProvider

import cas
from dav.gate import principal_of
from dav.grants import Rights
from dav.identity import Principal
from dav.locations import SNAPSHOTS_NAME
from dav.past_resources import SnapshotsResource, past_resource
from dav.paths import is_representable
from dav.resources import FileResource, FolderResource, Session
from dav.volumes_resource import VolumesResource


class VolumesProvider(DAVProvider):
    """Serves `/<volume>/<path>` below its share.

    Args:
        repository: what is served.
        rights: says who may do what.
        drive: answers all methods by itself where it is given. Without it, as in an application
            of somebody else, WsgiDAV's own methods work on the resources; the application's
            lock manager guards them, and that is not the repository's lock table.
        principal_of: finds out who asks, from the environment.
    """

    def __init__(
        self,
        repository: cas.Repository,
        rights: Rights,
        *,
        drive: WSGIApplication | None = None,
        principal_of: Callable[[WSGIEnvironment], Principal] = principal_of,
    ) -> None:
        super().__init__()
        self._repository = repository
        self._rights = rights
        self._drive = drive
        self._principal_of = principal_of

    def is_readonly(self) -> bool:
        """Whether nobody may write here; rights say it for each volume."""
        return False

    def custom_request_handler(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        default_handler: WSGIApplication,
    ) -> Iterable[bytes]:
        """Answer with our own methods where there are any, else with WsgiDAV's."""
        return (self._drive or default_handler)(environ, start_response)

    def get_resource_inst(
        self, path: str, environ: dict[str, Any]
    ) -> VolumesResource | SnapshotsResource | FolderResource | FileResource | None:
        """Return the resource at a decoded path, None where nothing is that the user may see.

        All look-ups of one request see the same state.

        Raises:
            DAVError: the path cannot be one.
        """
        session = self._session(environ)
        names = [name for name in path.split("/") if name]
        if not all(is_representable(name) and name not in {".", ".."} for name in names):
            raise DAVError(HTTP_BAD_REQUEST)
        if not names:
            return VolumesResource(session)
        if names[1:2] == [SNAPSHOTS_NAME]:
            return past_resource(session, names[0], "".join(names[2:3]), "/".join(names[3:]))
        return session.resource(names[0], "/".join(names[1:]))

    def _session(self, environ: dict[str, Any]) -> Session:
        session = environ.get("casdav.session")
        if not isinstance(session, Session):
            principal = self._principal_of(environ)
            session = environ["casdav.session"] = Session(
                self._repository, self._rights, principal, environ
            )
        return session
