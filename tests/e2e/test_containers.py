"""Dockerfile and compose.yaml: what can be known of them where no container runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.network import free_port
from tests.support.processes import CHECKOUT
from tests.support.programs import needs, run_program
from tests.support.server import running_server

pytestmark = pytest.mark.debian

PROFILES: tuple[list[str], ...] = ([], ["s3"], ["minio"], ["s3", "minio"])
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
    assert len(running) == 1 + 3 * len(profiles)


@needs("docker-compose")
def test_gateways_have_no_rights_and_others_no_floating_versions() -> None:
    for name, service in configured("s3", "minio")["services"].items():
        assert re.search(r":[^:]*\d+[^:]*$", service["image"]), name
        if "build" in service:
            assert service["read_only"]
            assert service["cap_drop"] == ["ALL"]
            assert service["security_opt"] == ["no-new-privileges:true"]
            assert service["stop_grace_period"]
        for port in service.get("ports", ()):
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
