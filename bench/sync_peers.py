"""Two devices that keep a folder the same: casdav's `syncd`, and programs of others.

All talk over the loopback address through relays that count. Everyone watches or looks as often as
it can be told to: syncthing waits one second after a change, its least; unison looks each second.
rsync does not watch: it is started anew as long as the folders differ, first to second.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias
from xml.etree import ElementTree as ET

from bench.peers import program
from bench.processes import Group
from bench.relay import Relay, relaying
from tests.support.devices import Device
from tests.support.network import LOOPBACK, accepts_connections, free_port
from tests.support.processes import end_group
from tests.support.server import running_server
from tests.support.waiting import wait_until

SYNCTHING: Final = "syncthing"
UNISON: Final = "unison"
RSYNC: Final = "rsync"

_SYNCTHING_FOLDER: Final = "bench"


@dataclass
class Pair:
    """Two folders, and the processes that keep them the same.

    Attributes:
        first: the folder in which things are done.
        second: the folder in which they are waited for.
        relays: what counts the bytes; one for each device that has a wire of its own.
        groups: all processes, the server included.
        devices: those of the two devices alone.
        restart: ends the first device's process and starts it again, with `meanwhile` in between.
        is_watching: it sees changes by itself, and in both folders.
    """

    first: Path
    second: Path
    relays: list[Relay]
    groups: list[Group]
    devices: list[Group]
    restart: Callable[[Callable[[], object]], None] | None = None
    is_watching: bool = True
    kick: Callable[[], None] = field(default=lambda: None)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all processes so far."""
        return sum(group.cpu_seconds() for group in self.groups)

    def passed(self) -> int:
        """Return the bytes that the busiest device has sent and received so far."""
        return max(relay.passed for relay in self.relays)


Sync: TypeAlias = Callable[[Path], AbstractContextManager[Pair]]
"""Runs two devices on folders below a directory, which is there and empty."""


@contextmanager
def casdav_pair(place: Path) -> Iterator[Pair]:
    """A server and two devices with `syncd`."""
    with ExitStack() as stack:
        server = stack.enter_context(running_server(place / "store"))
        relays = [stack.enter_context(relaying(server.port)) for _ in range(2)]
        first, second = (
            Device(name, place, replace(server, port=relay.port))
            for name, relay in zip(("first", "second"), relays, strict=True)
        )
        for device in (first, second):
            device.link()
            device.start()
            stack.callback(_end_device, device)
        assert server.process is not None

        def restart(meanwhile: Callable[[], object]) -> None:
            first.end()
            meanwhile()
            first.start()
            devices[0] = groups[1] = _group_of(first)

        devices = [_group_of(first), _group_of(second)]
        groups = [Group(server.process.pid), *devices]
        yield Pair(first.root, second.root, relays, groups, devices, restart)


def _group_of(device: Device) -> Group:
    assert device.process is not None
    return Group(device.process.pid)


def _end_device(device: Device) -> None:
    if device.process is not None:
        device.end()


@contextmanager
def syncthing_pair(place: Path) -> Iterator[Pair]:
    """Two devices with syncthing, connected directly."""
    found = program("syncthing", "the Debian package syncthing")
    with ExitStack() as stack:
        homes = [place / name for name in ("first", "second")]
        ports = [free_port(), free_port()]
        relay = stack.enter_context(relaying(ports[1]))
        addresses = ["dynamic", f"tcp://{LOOPBACK}:{relay.port}"]
        for home in homes:
            _quiet([found, "generate", "--home", str(home), "--no-default-folder"])
            (home / "files" / ".stfolder").mkdir(parents=True)
        ids = [_device_id(found, home) for home in homes]
        known = dict(zip(ids, addresses, strict=True))
        interfaces = [free_port(), free_port()]
        for home, port, interface in zip(homes, ports, interfaces, strict=True):
            _configure_syncthing(home, known, port, interface)

        def start(index: int) -> None:
            command = [found, "serve", "--home", str(homes[index]), "--no-browser", "--no-upgrade"]
            running[index] = stack.enter_context(
                _running(command, homes[index], {"STMONITORED": "yes"})
            )

        def restart(meanwhile: Callable[[], object]) -> None:
            end_group(running[0], signal.SIGTERM)
            meanwhile()
            start(0)
            groups[0] = Group(running[0].pid)

        running: dict[int, subprocess.Popen[bytes]] = {}
        start(0)
        start(1)
        groups = [Group(running[0].pid), Group(running[1].pid)]
        wait_until(lambda: _is_connected(homes[0], interfaces[0]), "syncthing to connect")
        roots = [home / "files" for home in homes]
        yield Pair(roots[0], roots[1], [relay], groups, groups, restart)


def _device_id(found: str, home: Path) -> str:
    printed = subprocess.run(
        [found, "serve", "--home", str(home), "--device-id"],
        capture_output=True,
        text=True,
        check=True,
    )
    return printed.stdout.strip()


def _configure_syncthing(home: Path, known: Mapping[str, str], port: int, interface: int) -> None:
    path = home / "config.xml"
    tree = ET.parse(path)  # noqa: S314 - its own file
    top = tree.getroot()
    for old in (*top.findall("device"), *top.findall("folder")):
        top.remove(old)
    folder = ET.SubElement(
        top,
        "folder",
        {
            "id": _SYNCTHING_FOLDER,
            "path": str(home / "files"),
            "type": "sendreceive",
            "fsWatcherEnabled": "true",
            "fsWatcherDelayS": "1",
            "rescanIntervalS": "3600",
        },
    )
    for device, address in known.items():
        ET.SubElement(folder, "device", {"id": device})
        entry = ET.SubElement(top, "device", {"id": device, "name": device[:7]})
        ET.SubElement(entry, "address").text = address
    gui = top.find("gui")
    options = top.find("options")
    assert gui is not None
    assert options is not None
    _set(gui, "address", f"{LOOPBACK}:{interface}")
    _set(options, "listenAddress", f"tcp://{LOOPBACK}:{port}")
    for name in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled"):
        _set(options, name, "false")
    for name, value in (("urAccepted", "-1"), ("crashReportingEnabled", "false")):
        _set(options, name, value)
    tree.write(path)


def _set(parent: ET.Element, name: str, value: str) -> None:
    found = parent.find(name)
    if found is None:
        found = ET.SubElement(parent, name)
    found.text = value


def _is_connected(home: Path, interface: int) -> bool:
    if not accepts_connections(LOOPBACK, interface):
        return False
    key = ET.parse(home / "config.xml").findtext("gui/apikey")  # noqa: S314 - its own
    connection = http.client.HTTPConnection(LOOPBACK, interface, timeout=10)
    try:
        connection.request("GET", "/rest/system/connections", headers={"X-API-Key": key or ""})
        connections = json.load(connection.getresponse())["connections"]
    finally:
        connection.close()
    return any(device["connected"] for device in connections.values())


@contextmanager
def unison_pair(place: Path) -> Iterator[Pair]:
    """A device that serves its folder by a socket, and one that looks each second."""
    found = program("unison", "the Debian package unison")
    port = free_port()
    roots = [place / name / "files" for name in ("first", "second")]
    for root in roots:
        root.mkdir(parents=True)
    first, second = [root.parent for root in roots]
    with ExitStack() as stack:
        relay = stack.enter_context(relaying(port))
        serving = stack.enter_context(
            _running(
                [found, "-socket", str(port)], second, {"UNISON": str(second), "HOME": str(second)}
            )
        )
        wait_until(lambda: accepts_connections(LOOPBACK, port), "unison to answer")
        remote = f"socket://{LOOPBACK}:{relay.port}/{roots[1]}"
        options = ["-batch", "-auto", "-times", "-repeat", "1", "-silent", "-confirmbigdel=false"]
        looking = stack.enter_context(
            _running(
                [found, str(roots[0]), remote, *options],
                first,
                {"UNISON": str(first), "HOME": str(first)},
            )
        )
        groups = [Group(serving.pid), Group(looking.pid)]
        yield Pair(roots[0], roots[1], [relay], groups, groups)


@contextmanager
def rsync_pair(place: Path) -> Iterator[Pair]:
    """A folder that is sent to a daemon, from the beginning, whenever it is asked for."""
    found = program("rsync", "the Debian package rsync")
    roots = [place / name for name in ("first", "second")]
    for root in roots:
        root.mkdir(parents=True)
    port = free_port()
    configuration = place / "rsyncd.conf"
    configuration.write_text(
        f"use chroot = no\n[files]\npath = {roots[1]}\nread only = no\n"
        f"uid = {os.geteuid()}\ngid = {os.getegid()}\n"
    )
    daemon = [found, "--daemon", "--no-detach", "--address", LOOPBACK, "--port", str(port)]
    with ExitStack() as stack:
        relay = stack.enter_context(relaying(port))
        serving = stack.enter_context(
            _running([*daemon, "--config", str(configuration)], place, {})
        )
        wait_until(lambda: accepts_connections(LOOPBACK, port), "rsync to answer")
        target = f"rsync://{LOOPBACK}:{relay.port}/files/"

        def kick() -> None:
            _quiet([found, "-a", "--delete", f"{roots[0]}/", target])

        groups = [Group(serving.pid)]
        yield Pair(roots[0], roots[1], [relay], groups, groups, None, is_watching=False, kick=kick)


@contextmanager
def _running(
    command: list[str], home: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process, signal.SIGKILL)


def _quiet(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
