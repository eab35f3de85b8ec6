"""The drive in this process: real repository, real sign-in, real sockets, and a small client."""

from __future__ import annotations

import base64
import http.client
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import cas
from dav.accounts import create_user
from dav.api.settings import ApiSettings
from dav.app import make_app
from dav.app_passwords import create_app_password
from dav.gate import Gate
from dav.identity import Role, Scope
from dav.server import Server, ServerSettings
from dav.settings import DriveSettings
from tests.support.places import location_of

DAV = "{DAV:}"


class Reply(NamedTuple):
    """An answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def xml(self) -> ET.Element:
        return ET.fromstring(self.body)  # noqa: S314 - our own server's

    @property
    def conditions(self) -> list[str]:
        """Local names of the conditions in a `DAV:error` body."""
        return [child.tag.removeprefix(DAV) for child in self.xml if child.tag.startswith(DAV)]

    @property
    def responses(self) -> dict[str, ET.Element]:
        """The response elements of a Multi-Status by href."""
        assert self.status == 207, (self.status, self.body)
        return {
            element.findtext(f"{DAV}href") or "": element
            for element in self.xml.findall(f"{DAV}response")
        }

    def statuses(self) -> dict[str, int]:
        """Status by href of a Multi-Status without properties."""
        found = {}
        for href, element in self.responses.items():
            status = element.findtext(f"{DAV}status")
            if status is not None:
                found[href] = int(status.split()[1])
        return found

    def properties(self, href: str | None = None) -> dict[str, tuple[int, ET.Element]]:
        """Status and element of each property of a resource, by default of the only one."""
        responses = self.responses
        if href is None:
            [href] = responses
        found = {}
        for stat in responses[href].findall(f"{DAV}propstat"):
            status = int((stat.findtext(f"{DAV}status") or "").split()[1])
            for element in stat.iterfind(f"{DAV}prop/*"):
                found[element.tag] = (status, element)
        return found

    def value(self, name: str, href: str | None = None) -> str:
        """Text of a property that is there."""
        status, element = self.properties(href)[name]
        assert status == 200
        return element.text or ""


@dataclass
class Client:
    """One user at one connection. Not shared by threads."""

    port: int
    user: str
    password: str
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        **named: str,
    ) -> Reply:
        """Send a request; `named` are headers too, with `_` for `-`. Paths are sent as they are."""
        credentials = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        fields = {"Authorization": f"Basic {credentials}"}
        for name, value in {**(headers or {}), **named}.items():
            fields[name.replace("_", "-")] = value
        self.connection.request(method, path, body=body, headers=fields)
        response = self.connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())

    def lock(self, path: str, *, shared: bool = False, **headers: str) -> str:
        """Take a lock and return its token."""
        reply = self("LOCK", path, lock_body(shared=shared), headers)
        assert reply.status in {200, 201}, reply
        return reply.headers["lock-token"].strip("<>")

    def propfind(self, path: str, *names: str, depth: str = "0", **headers: str) -> Reply:
        """Ask named properties (Clark names)."""
        return self("PROPFIND", path, prop_body(*names), {"Depth": depth, **headers})

    def proppatch(self, path: str, inside: str, **headers: str) -> Reply:
        """Send a propertyupdate with these instructions; `D` is bound to DAV:."""
        body = f'<D:propertyupdate xmlns:D="DAV:" xmlns:x="urn:x">{inside}</D:propertyupdate>'
        return self("PROPPATCH", path, body.encode(), headers)

    def get(self, path: str) -> bytes:
        reply = self("GET", path)
        assert reply.status == 200, reply
        return reply.body


def prop_body(*names: str) -> bytes:
    """A propfind body that names properties."""
    elements = []
    for name in names:
        namespace, _, local = name.removeprefix("{").rpartition("}")
        elements.append(f'<{local} xmlns="{namespace}"/>')
    return f'<D:propfind xmlns:D="DAV:"><D:prop>{"".join(elements)}</D:prop></D:propfind>'.encode()


def lock_body(*, shared: bool = False, owner: str = "<D:href>tests</D:href>") -> bytes:
    """A lockinfo body."""
    scope = "shared" if shared else "exclusive"
    return (
        f'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>'
        f"<D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
    ).encode()


@dataclass
class Drive:
    """A running drive with the users `alice` (an admin) and `bob`, each with a home."""

    repository: cas.Repository
    port: int
    app: Gate
    _numbers: Iterator[int] = field(default_factory=count)

    def client(self, user: str = "alice", scope: Scope | None = None) -> Client:
        """A client with an app password of its own."""
        _, password = create_app_password(
            self.repository, user, f"test {next(self._numbers)}", scope=scope or Scope()
        )
        return Client(self.port, user, password)

    def folder(self, test_name: str) -> str:
        """Make a new folder in alice's home; return its path, ending in a slash."""
        name = re.sub(r"\W+", "-", test_name)[:60] + f"-{next(self._numbers)}"
        with self.repository.volume("alice").edit() as edit:
            edit.make_directory(name)
        return f"/dav/alice/{name}/"


@contextmanager
def running_drive(
    directory: Path, settings: DriveSettings | None = None, api: ApiSettings | None = None
) -> Iterator[Drive]:
    """Serve a new repository in this process until the end."""
    with cas.create(location_of(directory / "store")) as repository:
        create_user(repository, "alice", role=Role.ADMIN)
        create_user(repository, "bob")
        settings_of_server = ServerSettings(port=0, threads=8)
        threads = settings_of_server.threads
        app = make_app(repository, settings, api_settings=api, threads=threads)
        with Server(app, settings_of_server, on_stop=app.stop_waiting) as server:
            app.open_feed(settings_of_server)
            yield Drive(repository, server.port, app)
        app.close()
