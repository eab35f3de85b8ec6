"""Access tokens: short-lived JWTs for programs that speak Bearer, by the rules of RFC 8725.

One algorithm (HS256), one type (`at+jwt`, RFC 9068), one issuer (this repository), one audience
(the drive). `kid` picks a key out of a dict and is never a path or URL. A token lives 15 minutes
and dies earlier when its user's epoch is drawn anew: at a change of password, at disabling and at
deletion. Tokens of a repository are worth nothing at another one, since issuer and key differ.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

import jwt
import msgspec

import cas
from dav.identity import Scope
from dav.records import User

ALGORITHM: Final = "HS256"
TYPE: Final = "at+jwt"
AUDIENCE: Final = "casdav:dav"
KEY_ID: Final = "1"
LIFETIME_SECONDS: Final = 900
LEEWAY_SECONDS: Final = 30
"""How far the clocks of issuer and verifier may be apart."""
TOKEN_SIZE_LIMIT: Final = 4096
KEY_SIZE_MINIMUM: Final = 32

_SECOND_NS: Final = 1_000_000_000


class TokenRefusedError(Exception):
    """A token is not valid here and now. The text is for the log, not for the client."""


class Claims(msgspec.Struct, frozen=True):
    """What a valid token says. Times are seconds since the epoch; `epoch` is the user's, hex.

    `device` is the id of the linked device that it was issued to, if it was one.
    """

    sub: str
    iss: str
    aud: str
    iat: int
    exp: int
    jti: str
    epoch: str
    read_only: bool = False
    volume: str = ""
    path: str = ""
    device: str = ""

    @property
    def scope(self) -> Scope:
        """What the token narrows its user's rights to."""
        return Scope(self.read_only, self.volume, self.path)


class AccessTokens:
    """Issues and verifies the tokens of one repository. Thread-safe: it holds constants only.

    `keys` maps key ids to secrets of 32 bytes or more; `current` is the one that signs. `clock`
    returns nanoseconds since the epoch.
    """

    def __init__(
        self, keys: Mapping[str, bytes], current: str, issuer: str, clock: Callable[[], int]
    ) -> None:
        if any(len(key) < KEY_SIZE_MINIMUM for key in keys.values()):
            raise cas.InvalidError(f"a signing key needs {KEY_SIZE_MINIMUM} bytes or more")
        self._keys = dict(keys)
        self._current = current
        self._issuer = issuer
        self._clock = clock

    def issue(
        self,
        user: User,
        scope: Scope = Scope(),  # noqa: B008 - immutable
        device: str = "",
    ) -> str:
        """Return a new token of the user, valid for 15 minutes from now.

        Raises:
            InvalidError: the scope names a path, but no volume.
        """
        if scope.path and not scope.volume:
            raise cas.InvalidError("a path needs the volume that it is in")
        now = self._clock() // _SECOND_NS
        claims = Claims(
            sub=user.name,
            iss=self._issuer,
            aud=AUDIENCE,
            iat=now,
            exp=now + LIFETIME_SECONDS,
            jti=secrets.token_hex(16),
            epoch=user.epoch.hex(),
            read_only=scope.read_only,
            volume=scope.volume,
            path=scope.path,
            device=device,
        )
        headers = {"typ": TYPE, "kid": self._current}
        key = self._keys[self._current]
        return jwt.encode(msgspec.to_builtins(claims), key, algorithm=ALGORITHM, headers=headers)

    def verify(self, token: str) -> Claims:
        """Return the claims of a token that is genuine and in time.

        Whether its user stands and still has this epoch is for the caller to see.

        Raises:
            TokenRefusedError: it is neither.
        """
        if len(token) > TOKEN_SIZE_LIMIT:
            raise TokenRefusedError("too long")
        try:
            key = self._key(jwt.get_unverified_header(token))
            decoded = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={
                    "require": ["sub", "iss", "aud", "iat", "exp", "jti"],
                    "verify_exp": False,  # Checked below, by the clock that issued.
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = msgspec.convert(decoded, Claims, strict=True)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError) as error:
            raise TokenRefusedError(str(error)) from error
        self._check_time(claims)
        return claims

    def _key(self, header: Mapping[str, object]) -> bytes:
        """Return the key that a token's header asks for, if the header is one of ours."""
        if header.get("alg") != ALGORITHM or header.get("typ") != TYPE:
            raise TokenRefusedError("not an access token of this server")
        key = self._keys.get(str(header.get("kid")))
        if key is None or set(header) != {"alg", "typ", "kid"}:
            raise TokenRefusedError("signed with an unknown key")
        return key

    def _check_time(self, claims: Claims) -> None:
        now = self._clock() // _SECOND_NS
        if claims.exp <= now - LEEWAY_SECONDS:
            raise TokenRefusedError("expired")
        if claims.iat > now + LEEWAY_SECONDS:
            raise TokenRefusedError("issued in the future")
        if not 0 < claims.exp - claims.iat <= LIFETIME_SECONDS:
            raise TokenRefusedError("lives longer than tokens of this server do")


def access_tokens(repository: cas.Repository, clock: Callable[[], int]) -> AccessTokens:
    """Return the issuer and verifier of a repository's tokens."""
    return AccessTokens(
        {KEY_ID: repository.secret(f"access tokens {KEY_ID}")},
        KEY_ID,
        f"casdav:{repository.identity.hex()}",
        clock,
    )
