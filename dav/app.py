"""The whole application that a server serves: sign-in, then WsgiDAV with our provider.

WsgiDAV's own middleware is left out. Its time is not the reason (measured: about 15 microseconds a
request, where reading a small file takes 150): it changes paths before we see them, reads refused
bodies to their end whatever their size, and closes the connection after every streamed answer. What
is kept is the application object and the provider protocol, so that the provider works in any other
WsgiDAV application as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

from wsgidav.wsgidav_app import WsgiDAVApp

import cas
from dav.api.app import Api
from dav.api.settings import ApiSettings
from dav.auth import Authenticator
from dav.drive import Drive
from dav.gate import Gate
from dav.http.settings import ServerSettings
from dav.provider import VolumesProvider
from dav.settings import DriveSettings

_CONFIG: Final[dict[str, Any]] = {
    "logging": {"enable": False},
    "verbose": 0,
    "middleware_stack": [],
    "lock_storage": None,
    "property_manager": None,
    "http_authenticator": {"accept_basic": False, "accept_digest": False},
}


class DriveApp(WsgiDAVApp):
    """WsgiDAV's application with nothing between the server and our provider.

    Args:
        provider: serves every path, the aliases outside of its share too.
    """

    def __init__(self, provider: VolumesProvider) -> None:
        super().__init__({**_CONFIG, "provider_mapping": {"/dav": provider}})
        self._provider = provider

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hand the request to the provider as it came: paths are decoded once, by us."""
        environ["wsgidav.app"] = self
        environ["wsgidav.config"] = self.config
        environ["wsgidav.provider"] = self._provider
        return self._provider.custom_request_handler(environ, start_response, self.application)


def make_app(
    repository: cas.Repository,
    settings: DriveSettings | None = None,
    authenticator: Authenticator | None = None,
    api_settings: ApiSettings | None = None,
    threads: int = ServerSettings().threads,
) -> Gate:
    """Return the application for a repository: login pages, the API, and the drive.

    `threads` is how many requests the server handles at a time.
    """
    authenticator = authenticator or Authenticator(repository)
    drive = Drive(repository, authenticator.rights, settings)
    provider = VolumesProvider(repository, authenticator.rights, drive=drive)
    api = Api(repository, authenticator, api_settings, threads)
    return Gate(DriveApp(provider), authenticator, api)
