"""Who asks, and within what bounds: the values that every part of dav passes around."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class Role(StrEnum):
    """What a user may do to the repository itself; it gives no right to anybody's files."""

    ADMIN = "admin"
    USER = "user"


class Right(IntEnum):
    """What may be done with a volume's files; a higher one includes the lower ones.

    The numbers are stored in grants.
    """

    NONE = 0
    READ = 10
    WRITE = 20
    MANAGE = 30


class Scope(msgspec.Struct, array_like=True, frozen=True):
    """What a credential narrows its user's rights to; the default narrows nothing.

    `volume` is the name of the only volume it opens, empty for all. `path` is the only folder it
    opens there, relative to the volume, empty for the whole volume.
    """

    read_only: bool = False
    volume: str = ""
    path: str = ""


class Method(StrEnum):
    """How somebody proved who they are."""

    PASSWORD = "password"  # noqa: S105 - the name of a method
    APP_PASSWORD = "app-password"  # noqa: S105 - the name of a method
    JWT = "jwt"
    SESSION = "session"


class Principal(msgspec.Struct, frozen=True):
    """An authenticated user for the length of one request.

    `token_id` names the app password that was used, also behind a session, or the device whose
    token it is; empty otherwise.
    `device` is that device's name; empty otherwise.
    """

    name: str
    role: Role
    method: Method
    scope: Scope = Scope()
    token_id: str = ""
    device: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether the user may administer the repository with this credential.

        A narrowed credential never administers, and a session, which only reads, neither.
        """
        is_whole = self.scope == Scope() and self.method is not Method.SESSION
        return is_whole and self.role is Role.ADMIN
