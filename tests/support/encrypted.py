"""Runs the tests on encrypted repositories: `ENCRYPTED_STORES=1 pytest tests/cas`.

Then `cas.create` makes encrypted repositories and whatever opens one has their key, in the test's
process and in those that it starts. All else is as the tests have it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

import cas
from cas import keys, preparing

VARIABLE: Final = "ENCRYPTED_STORES"
KEY: Final = cas.KeyFile(bytes(range(100, 132)))


def is_asked() -> bool:
    """Whether this run of the tests is one on encrypted stores."""
    return bool(os.environ.get(VARIABLE))


def keys_of(location: Path) -> keys.OpenKeys:
    """Return the keys of a repository; those of this module open it if it is encrypted."""
    return keys.open_keys((location / "config").read_bytes, lambda: KEY)


def encrypted_environment() -> dict[str, str]:
    """Return what makes `casdav init` encrypt, and every command have the key."""
    if not is_asked():
        return {}
    path = Path(gettempdir()) / f"casdav-test-{os.getuid()}.key"
    if not path.exists():
        path.write_bytes(KEY.content)
    # In programs that a test gives to Python, `sitecustomize` does what follows here.
    site = Path(__file__).parent / "encrypted_site"
    paths = os.pathsep.join([str(site), str(site.parents[2])])
    return {"CASDAV_ENCRYPT": "1", "CASDAV_KEY_FILE": str(path), "PYTHONPATH": paths}


def encrypt_if_asked() -> None:
    """Let this process make and open encrypted repositories alone, if that is asked for."""
    if not is_asked() or getattr(cas, "_encrypts", False):
        return
    setattr(cas, "_encrypts", True)  # noqa: B010 - no attribute of the module in its types
    _give(cas, "create", key=KEY)
    opened = keys.open_keys

    def open_keys(read: Callable[[], bytes], unlock: keys.Unlock | None) -> keys.OpenKeys:
        return opened(read, unlock or (lambda: KEY))

    setattr(preparing, "open_keys", open_keys)  # noqa: B010 - likewise


def _give(module: object, name: str, **defaults: object) -> None:
    function = getattr(module, name)

    @wraps(function)
    def given(*arguments: Any, **keywords: Any) -> object:  # noqa: ANN401
        return function(*arguments, **{**defaults, **keywords})

    setattr(module, name, given)
