"""Settings: flag over environment over file over default, each value with its origin.

The file is TOML with the sections below; in the environment `[server] port` is
`CASDAV__SERVER__PORT`, and a secret may be read from the file that `..._FILE` names.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
import platformdirs

from dav.api.settings import ApiSettings
from dav.http.settings import ServerSettings as ServerDefaults
from dav.settings import DriveSettings
from tools.exits import Exit, Failure

_PREFIX: Final = "CASDAV__"
_FILE_SUFFIX: Final = "_FILE"
_STORE_VARIABLE: Final = "CASDAV_STORE"
CONFIG_VARIABLE: Final = "CASDAV_CONFIG"

Key: TypeAlias = tuple[str, str]
"""A section and a name in it; the section is empty for what stands above all sections."""

Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose a free one."""


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how the drive is served; see `dav.http.settings.ServerSettings`.

    `insecure` lets passwords cross the network unencrypted. `metrics` is where Prometheus finds
    figures, `[HOST:]PORT`; empty for nowhere. `locks` is the Redis or Valkey of several gateways;
    every command that opens the repository minds the locks there.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    threads: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    tls_cert: str = ""
    tls_key: str = ""
    behind_proxy: bool = False
    trusted_proxies: tuple[str, ...] = ServerDefaults().trusted_proxies
    insecure: bool = False
    metrics: str = ""
    locks: str = ""


class LogSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log on standard error: one line per request."""

    format: Literal["text", "json"] = "text"


class GcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `serve` deletes by itself, and `gc` without options; `tools.collecting` reads it.

    `keep_versions` goes in place of the two spans before it, if it is not 0.
    """

    interval: str = "1d"
    keep_within: str = "30d"
    keep_daily_for: str = "1y"
    keep_versions: Annotated[int, msgspec.Meta(ge=0)] = 0
    keep_log_for: str = "2y"
    grace: str = "1h"
    budget: str = "30m"


class QuickstartSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `serve --quickstart` gives the admin of a new repository beside an app password."""

    admin_password: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be set. An empty `store` is the user's data directory."""

    store: str = ""
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    drive: DriveSettings = DriveSettings()
    api: ApiSettings = ApiSettings()
    gc: GcSettings = GcSettings()
    quickstart: QuickstartSettings = QuickstartSettings()


_SECTIONS: Final = {
    field.name: field.default for field in msgspec.structs.fields(Settings) if field.name != "store"
}

SECRETS: Final[frozenset[Key]] = frozenset({("quickstart", "admin_password"), ("server", "locks")})
"""What `config show` masks and a `..._FILE` variable may carry."""


@dataclass(frozen=True)
class Loaded:
    """The effective settings, and where each value that is not a default came from."""

    settings: Settings
    origins: Mapping[Key, str]

    def origin(self, key: Key) -> str:
        """Return where the value came from, in words."""
        return self.origins.get(key, "default")

    def values(self) -> dict[Key, object]:
        """Return every effective value, in the order of the sections."""
        found: dict[Key, object] = {}
        for name, value in msgspec.structs.asdict(self.settings).items():
            if name in _SECTIONS:
                found |= {(name, inner): item for inner, item in _members(value).items()}
            else:
                found["", name] = value
        return found


def default_config_path() -> Path:
    """Return where the settings file is looked for when none is named."""
    return platformdirs.user_config_path("casdav") / "casdav.toml"


def default_store() -> Path:
    """Return the repository that is used when none is named."""
    return platformdirs.user_data_path("casdav") / "store"


def load(
    config: Path | None,
    flags: Mapping[Key, object],
    environment: Mapping[str, str] = os.environ,
) -> Loaded:
    """Read the settings.

    Args:
        config: the settings file; None takes `CASDAV_CONFIG`, then the default path if a file is
            there.
        flags: what the command line says; a None is no flag.
        environment: the variables to read.

    Raises:
        Failure: a file cannot be read, or a name or value is not acceptable.
    """
    values: dict[Key, object] = {}
    origins: dict[Key, str] = {}
    if config is None and environment.get(CONFIG_VARIABLE):
        config = Path(environment[CONFIG_VARIABLE])
    path = default_config_path() if config is None else config
    layers = [
        _file_values(path, must_exist=config is not None),
        _environment_values(environment),
        {key: (value, "flag") for key, value in flags.items() if value is not None},
    ]
    for layer in layers:
        for key, (value, origin) in layer.items():
            values[key], origins[key] = value, origin
    for key, value in values.items():
        _convert({key: value}, origins[key])
    return Loaded(_convert(values, "settings"), origins)


def key_name(key: Key) -> str:
    """Return a key as the documentation writes it: `server.port`."""
    return ".".join(filter(None, key))


def variable_name(key: Key) -> str:
    """Return the environment variable that sets a key."""
    if key == ("", "store"):
        return _STORE_VARIABLE
    return _PREFIX + "__".join(filter(None, key)).upper()


def _convert(values: Mapping[Key, object], origin: str) -> Settings:
    """Check names and types. Strings pass for numbers and booleans: variables hold no others."""
    document: dict[str, object] = {}
    for (section, name), value in values.items():
        if section:
            if name not in _members(_SECTIONS.get(section)):
                raise Failure(f"{origin}: there is no setting {section}.{name}", Exit.USAGE)
            inner = document.setdefault(section, {})
            assert isinstance(inner, dict)  # noqa: S101 - made by the line before
            inner[name] = value
        else:
            document[name] = value
    try:
        return msgspec.convert(document, Settings, strict=False)
    except msgspec.ValidationError as error:
        where = ", ".join(key_name(key) for key in values)
        raise Failure(f"{origin}: {where}: {error}", Exit.USAGE) from error


def _file_values(path: Path, *, must_exist: bool) -> dict[Key, tuple[object, str]]:
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise Failure(f"there is no settings file {str(path)!r}", Exit.USAGE) from None
        return {}
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read the settings in {str(path)!r}: {error}", Exit.USAGE) from error
    values: dict[Key, tuple[object, str]] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            values |= {(name, inner): (item, f"file {path}") for inner, item in value.items()}
        else:
            values["", name] = (value, f"file {path}")
    return values


def _environment_values(environment: Mapping[str, str]) -> dict[Key, tuple[object, str]]:
    values: dict[Key, tuple[object, str]] = {}
    if environment.get(_STORE_VARIABLE):
        values["", "store"] = (environment[_STORE_VARIABLE], f"environment {_STORE_VARIABLE}")
    for variable, value in environment.items():
        if not variable.startswith(_PREFIX):
            continue
        section, _, name = variable.removeprefix(_PREFIX).lower().rpartition("__")
        secret = (section, name.removesuffix(_FILE_SUFFIX.lower()))
        if name.endswith(_FILE_SUFFIX.lower()) and secret in SECRETS:
            values[secret] = (_secret_file(variable, value), f"environment {variable}")
        else:
            values[section, name] = (_split(section, name, value), f"environment {variable}")
    return values


def _split(section: str, name: str, value: str) -> object:
    """Return the items of a list, which a variable holds with commas between; or the value."""
    if isinstance(_members(_SECTIONS.get(section)).get(name), tuple):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


def _members(section: object) -> dict[str, object]:
    if isinstance(section, msgspec.Struct):
        return msgspec.structs.asdict(section)
    if isinstance(section, DriveSettings | ApiSettings):
        return dataclasses.asdict(section)
    return {}


def _secret_file(variable: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise Failure(f"{variable}: cannot read {path!r}: {error}", Exit.USAGE) from error
