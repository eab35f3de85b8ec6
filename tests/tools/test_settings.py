from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import settings
from tools.exits import Exit, Failure

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tools.conftest import Casdav

PORT = ("server", "port")


def test_a_flag_goes_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "casdav.toml"
    file.write_text("[server]\nport = 1\nworkers = 2\nhost = 'h'\n")
    environment = {"CASDAV__SERVER__PORT": "3", "CASDAV__SERVER__WORKERS": "4"}
    loaded = settings.load(file, {PORT: 5, ("server", "host"): None}, environment)
    server = loaded.settings.server
    assert (server.port, server.workers, server.host, server.threads) == (5, 4, "h", 64)
    assert loaded.origin(PORT) == "flag"
    assert loaded.origin(("server", "workers")) == "environment CASDAV__SERVER__WORKERS"
    assert loaded.origin(("server", "host")) == f"file {file}"
    assert loaded.origin(("server", "threads")) == "default"


def test_every_setting_can_be_set_by_the_variable_that_is_shown_for_it() -> None:
    words = {int: "7", bool: "true", str: "text", tuple: "a, b"}
    for key, value in settings.load(None, {}, {}).values().items():
        word = words[type(value)]
        if key == ("log", "format"):
            word = "json"
        loaded = settings.load(None, {}, {settings.variable_name(key): word})
        shown = loaded.values()[key]
        assert shown in (7, True, "text", "json", ("a", "b")), key
        assert loaded.origin(key).startswith("environment")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"CASDAV__SERVER__PRT": "1"}, "no setting server.prt"),
        ({"CASDAV__SERVER__PORT": "many"}, "CASDAV__SERVER__PORT: server.port"),
        ({"CASDAV__SERVER__PORT": "70000"}, "server.port"),
        ({"CASDAV__NOTHING__AT_ALL": "1"}, "no setting nothing.at_all"),
        ({"CASDAV__PORT": "1"}, "port"),
        ({"CASDAV__QUICKSTART__ADMIN_PASSWORD_FILE": "/nowhere/at/all"}, "cannot read"),
        ({"CASDAV_CONFIG": "/nowhere/at/all.toml"}, "there is no settings file"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_it(environment: dict[str, str], words: str) -> None:
    with pytest.raises(Failure, match=words) as caught:
        settings.load(None, {}, environment)
    assert caught.value.code is Exit.USAGE


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "casdav.toml"
    file.write_text("[server\n")
    with pytest.raises(Failure, match=r"casdav\.toml"):
        settings.load(file, {}, {})
    file.write_text("[server]\nprot = 1\n")
    with pytest.raises(Failure, match=r"no setting server\.prot"):
        settings.load(file, {}, {})


def test_the_default_file_is_found_and_need_not_be(tmp_path: Path) -> None:
    assert settings.load(None, {}, {}).settings.server.port == 8080
    path = settings.default_config_path()
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("store = '/srv/x'\n")
    assert settings.load(None, {}, {}).settings.store == "/srv/x"


def test_a_secret_comes_from_a_file_and_is_masked(
    tmp_path: Path, casdav: Casdav, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush hush\n")
    variable = "CASDAV__QUICKSTART__ADMIN_PASSWORD_FILE"
    loaded = settings.load(None, {}, {variable: str(secret)})
    assert loaded.settings.quickstart.admin_password == "hush hush"
    monkeypatch.setenv(variable, str(secret))
    shown = casdav("config", "show", "--json")
    assert "hush" not in shown.out
    value = shown.document["quickstart.admin_password"]
    assert value["value"] == "********"
    assert value["origin"] == f"environment {variable}"
    assert "hush" not in casdav("config", "show").out


def test_config_show_tells_where_the_store_comes_from(casdav: Casdav) -> None:
    shown = casdav("config", "show", "--json").document
    assert shown["store"]["value"] == str(casdav.store)
    assert shown["store"]["origin"] == "environment CASDAV_STORE"
    shown = casdav("--store", "elsewhere", "config", "show", "--json").document
    assert (shown["store"]["value"], shown["store"]["origin"]) == ("elsewhere", "flag")
