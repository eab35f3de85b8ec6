"""Dockerfile and compose.yaml: what can be known of them where no container runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fleet import running_fleet
from tests.support.network import LOOPBACK, accepts_connections, free_port
from tests.support.processes import (
    CHECKOUT,
    casdav_command,
    casdav_environment,
    end_group,
    run_casdav,
)
from tests.support.programs import needs, run_program
from tests.support.seaweed import weed_program
from tests.support.server import PASSWORD, USER, running_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.debian

SERVICES = {
    "s3": {"casdav-seaweedfs", "seaweedfs", "seaweedfs-bucket"},
    "minio": {"casdav-minio", "minio", "minio-bucket"},
    "fleet": {
        *("seaweedfs", "seaweedfs-bucket", "valkey", "caddy", "prometheus"),
        *("gateway-1", "gateway-2", "gateway-3"),
    },
}
PROFILES: tuple[list[str], ...] = ([], ["s3"], ["minio"], ["s3", "minio"], ["fleet"])
DOCKERFILE = CHECKOUT / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")


def configured(*profiles: str) -> dict[str, Any]:
    """Return what docker-compose makes of the file."""
    words = [word for profile in profiles for word in ("--profile", profile)]
    printed = run_program("docker-compose", *words, "config", cwd=CHECKOUT).stdout
    document: dict[str, Any] = yaml.safe_load(printed)
    return document


def instruction(name: str) -> str:
    """Return what follows an instruction of the Dockerfile, its lines joined."""
    text = DOCKERFILE.read_text().replace("\\\n", "")
    found = re.findall(rf"^{name} (.*)$", text, re.MULTILINE)
    assert found, name
    return str(found[-1])


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint has no program for this platform")
def test_the_dockerfile_has_no_fault_that_hadolint_knows() -> None:
    assert run_program(HADOLINT, DOCKERFILE).stdout == ""


@needs("docker-compose")
@pytest.mark.parametrize("profiles", PROFILES, ids="+".join)
def test_each_profile_is_complete(profiles: list[str]) -> None:
    services = configured(*profiles)["services"]
    running = {
        name for name, each in services.items() if set(each.get("profiles", profiles)) & {*profiles}
    }
    running |= {name for name, each in services.items() if "profiles" not in each}
    assert "casdav" in running
    for name in running:
        assert set(services[name].get("depends_on", ())) <= running
    assert running == {"casdav"}.union(*(SERVICES[profile] for profile in profiles))


@needs("docker-compose")
def test_gateways_have_no_rights_and_others_no_floating_versions() -> None:
    for name, service in configured("s3", "minio", "fleet")["services"].items():
        assert re.search(r":[^:]*\d+[^:]*$", service["image"]), name
        if "build" in service:
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["stop_grace_period"]
        for port in service.get("ports", ()) if name != "caddy" else ():
            assert port.startswith("127.0.0.1:"), "without TLS for this machine only"


def test_the_health_check_of_the_image_tells_a_server_from_none(tmp_path: Path) -> None:
    command = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    with running_server(tmp_path / "store") as server:
        for port, is_healthy in ((server.port, True), (free_port(), False)):
            words = [word.replace("8080", str(port)) for word in command[1:]]
            ended = run_program(sys.executable, *words, check=False)
            assert (ended.returncode == 0) is is_healthy


def test_the_image_runs_as_a_user_with_a_number_of_its_own() -> None:
    assert re.fullmatch(r"\d+:\d+", instruction("USER"))
    assert json.loads(instruction("CMD"))[0] == "serve"


def script(service: dict[str, Any], ports: dict[str, int], program: str) -> str:
    """Return a service's script as it is run here: with these ports, on this machine alone."""
    (text,) = service["command"]
    options = " ".join(
        f"-{name}.port={ports[name]} -{name}.port.grpc={ports[name + '.grpc']}"
        for name in ("master", "volume", "filer", "s3")
    )
    master = f"{LOOPBACK}:{ports['master']}.{ports['master.grpc']}"
    text = text.replace("$$", "$").replace("seaweedfs:9333", master)
    text = text.replace("-ip=seaweedfs -ip.bind=0.0.0.0", f"-ip={LOOPBACK} {options}")
    return re.sub(r"\bweed (server|shell)", rf"{program} \1", text)


@contextmanager
def serving_like_the_image(
    log_path: Path, environment: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Run the image's command; give its address and the admin's app password."""
    port = free_port()
    words = json.loads(instruction("CMD"))
    words[words.index("0.0.0.0")] = LOOPBACK
    words[words.index("8080")] = str(port)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*casdav_command(), *words],
            env=casdav_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: accepts_connections(LOOPBACK, port), "the drive", timeout_seconds=60)
        found = re.search(r"app password +(\S+)", log_path.read_text())
        assert found, log_path.read_text()
        yield f"http://{LOOPBACK}:{port}", found[1]
    finally:
        end_group(process, signal.SIGTERM)


@needs("docker-compose", "curl")
def test_the_drive_in_seaweedfs_as_compose_runs_it(tmp_path: Path) -> None:
    services = configured("s3")["services"]
    names = ("master", "volume", "filer", "s3")
    ports = {name: free_port() for each in names for name in (each, f"{each}.grpc")}
    program = weed_program()
    assert program is not None
    keys = {"AWS_ACCESS_KEY_ID": "casdav", "AWS_SECRET_ACCESS_KEY": "secret"}
    data = tmp_path / "data"
    data.mkdir()
    gateway = services["casdav-seaweedfs"]["environment"]
    endpoint = gateway["CASDAV_STORE"].replace("seaweedfs:8333", f"{LOOPBACK}:{ports['s3']}")
    seaweed = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            script(services["seaweedfs"], ports, program).replace("/data", str(data)),
        ],
        env={**os.environ, **keys},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        made = script(services["seaweedfs-bucket"], ports, program)
        printed = run_program("/bin/sh", "-c", made, environment=keys).stdout
        assert "created bucket casdav" in printed
        environment = {
            **keys,
            "CASDAV_STORE": endpoint,
            "CASDAV_PASSWORD": "what only this house knows",
            "HOME": str(tmp_path / "gateway"),
        }
        with serving_like_the_image(tmp_path / "log", environment) as (url, password):
            curl = ["curl", "-sSf", "-u", f"admin:{password}"]
            run_program(*curl, "-T", __file__, f"{url}/dav/admin/file")
            assert run_program(*curl, f"{url}/dav/admin/file").stdout == Path(__file__).read_text()
        environment["HOME"] = str(tmp_path / "another")  # a machine that has nothing of it
        found = run_casdav("cat", "admin:/file", environment=environment).stdout
        assert found == Path(__file__).read_text()
    finally:
        end_group(seaweed, signal.SIGKILL)


@needs("docker-compose")
def test_the_gateways_of_the_fleet_are_alike_and_prometheus_asks_all() -> None:
    services = configured("fleet")["services"]
    fleet = [services[f"gateway-{number}"] for number in (1, 2, 3)]
    assert all(each["environment"] == fleet[0]["environment"] for each in fleet)
    assert all(each["command"] == fleet[0]["command"] for each in fleet)
    assert len({each["volumes"][0] for each in fleet}) == 3
    assert "durability=remote" in fleet[0]["environment"]["CASDAV_STORE"]
    assert fleet[0]["environment"]["CASDAV__SERVER__LOCKS"].endswith("@valkey:6379/0")
    (text,) = services["prometheus"]["command"]
    [job] = yaml.safe_load(text.partition("<<'END'\n")[2].partition("END\n")[0])["scrape_configs"]
    port = fleet[0]["environment"]["CASDAV__SERVER__METRICS"].rpartition(":")[2]
    targets = [f"gateway-{number}:{port}" for number in (1, 2, 3)]
    assert job["static_configs"] == [{"targets": targets}]


@pytest.mark.long
@needs("docker-compose", "caddy", "curl")
def test_caddy_in_front_of_the_fleet_as_compose_runs_it(tmp_path: Path) -> None:
    (text,) = configured("fleet")["services"]["caddy"]["command"]
    with running_fleet(tmp_path, 2) as fleet:
        ports = [gateway.port for gateway in fleet.gateways]
        addresses = " ".join(f"{LOOPBACK}:{port}" for port in ports)
        text = text.replace("$$", "$").replace(
            "gateway-1:8080 gateway-2:8080 gateway-3:8080", addresses
        )
        here = "{\nadmin off\nauto_https disable_redirects\nskip_install_trust\n}\n"
        port = free_port()
        process = subprocess.Popen(
            ["/bin/sh", "-c", text.replace("<<'END'\n", f"<<'END'\n{here}")],
            env={
                **os.environ,
                "DRIVE_HOST": f"localhost:{port}",
                "HOME": str(tmp_path),
                "XDG_DATA_HOME": str(tmp_path / "caddy"),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        url = f"https://localhost:{port}/dav/{USER}"
        curl = ["curl", "-sSfk", "-u", f"{USER}:{PASSWORD}"]
        try:
            wait_until(lambda: accepts_connections(LOOPBACK, port), "Caddy to listen")

            def answers() -> bool:
                return run_program(*curl, f"{url}/", "-o", os.devnull, check=False).returncode == 0

            wait_until(answers, "Caddy to have a certificate")
            run_program(*curl, "-T", __file__, f"{url}/file")
            run_program(*curl, "-X", "COPY", "-H", f"Destination: {url}/copy", f"{url}/file")
            fleet.gateways[0].kill()
            for _ in range(4):  # none of them ends at the one that is gone
                found = run_program(*curl, f"{url}/copy").stdout
                assert found == Path(__file__).read_text()
        finally:
            end_group(process)
