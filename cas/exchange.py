"""What gateways tell each other through Redis or Valkey: the one door to it.

Nothing that must last is there. Locks are, in a hash for each volume that changes only from a
state that the writer has seen; and news that a volume has a newer state, which are hints alone.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, cast

import redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.retry import Retry

from cas.errors import InvalidError, StoreError

_TIMEOUT_SECONDS: Final = 2.0
_REST_SECONDS: Final = 0.5
"""How long nobody asks again after the server did not answer: requests fail at once instead."""

# The empty field is the hash's version: random, so that no two states ever have the same, also
# where the server has lost all and begins anew. There is none where there are no locks.
_READ: Final = """
local version = redis.call('HGET', KEYS[1], '') or ''
if version == ARGV[1] then return false end
return redis.call('HGETALL', KEYS[1])
"""

# ARGV: the version that was seen, the next one, how many fields are put, these with their values,
# and the fields that go. KEYS[2] says which volume a field belongs to, and that is KEYS[3].
_REPLACE: Final = """
if (redis.call('HGET', KEYS[1], '') or '') ~= ARGV[1] then return 0 end
local put = tonumber(ARGV[3])
for i = 4, 3 + 2 * put, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  redis.call('HSET', KEYS[2], ARGV[i], ARGV[4 + 2 * put])
end
for i = 5 + 2 * put, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
  redis.call('HDEL', KEYS[2], ARGV[i])
end
redis.call('HSET', KEYS[1], '', ARGV[2])
if redis.call('HLEN', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
return 1
"""
_NEVER: Final = b"?"
"""A version that no hash has."""
_logger = logging.getLogger(__name__)


class Exchange:
    """A connection to the server that gateways of one repository share. Shared by threads."""

    def __init__(self, url: str, identity: bytes) -> None:
        """`url` is `redis://`, `rediss://` or `unix://`; `identity` the repository's.

        Nothing is asked yet.

        Raises:
            InvalidError: the URL is none of these.
        """
        # In braces: a cluster keeps all of a repository on one node, as scripts need it.
        self._prefix = f"casdav:{{{identity.hex()}}}:".encode()
        try:
            self._client = redis.Redis.from_url(
                url,
                protocol=2,
                socket_timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                # Once more, for a connection that the server has closed meanwhile.
                retry=Retry(NoBackoff(), 1),
                health_check_interval=30,
            )
        except ValueError as error:
            message = f"{_without_password(url)!r} is no address of Redis: take redis://HOST:6379/0"
            raise InvalidError(message) from error
        self._place = _without_password(url)
        self._read_script = self._client.register_script(_READ)
        self._replace_script = self._client.register_script(_REPLACE)
        self._asked_again = 0.0
        self._is_away = False
        self._lock = threading.Lock()

    def check(self) -> None:
        """Log what of the server's settings would lose locks.

        Raises:
            StoreError: it does not answer, or refuses this user.
        """
        with self._asking():
            found = cast("Mapping[str, object]", self._client.info())
        if not found.get("aof_enabled"):
            _logger.warning(
                "%s forgets its locks when it restarts: set `appendonly yes` there", self._place
            )
        if str(found.get("maxmemory_policy", "")).startswith("allkeys"):
            _logger.warning(
                "%s may forget locks to make room: set `maxmemory-policy noeviction` there",
                self._place,
            )

    def read(self, volume_id: bytes, known: bytes | None) -> dict[bytes, bytes] | None:
        """Return a volume's fields; None where its version is still the known one.

        The version is the field with the empty name, which is missing where there are no others.

        Raises:
            StoreError: the server does not answer.
        """
        argument = _NEVER if known is None else known
        with self._asking():
            found = self._read_script(keys=[self._hash(volume_id)], args=[argument])
        if found is None:
            return None
        fields = cast("list[bytes]", found)
        return dict(zip(fields[::2], fields[1::2], strict=True))

    def replace(
        self,
        volume_id: bytes,
        known: bytes,
        put: Mapping[bytes, bytes],
        gone: Sequence[bytes],
    ) -> bool:
        """Change a volume's fields if its version is the known one; False if it is not.

        Raises:
            StoreError: the server does not answer; it may have been done, or not.
        """
        pairs = [part for field in put.items() for part in field]
        version = secrets.token_bytes(16)
        arguments: list[bytes | int] = [known, version, len(put), *pairs, volume_id, *gone]
        keys = [self._hash(volume_id), self._prefix + b"volumes"]
        with self._asking():
            return bool(self._replace_script(keys=keys, args=arguments))

    def volume_of(self, field: bytes) -> bytes | None:
        """Return the id of the volume that has a field; None where none has.

        Raises:
            StoreError: the server does not answer.
        """
        with self._asking():
            return cast("bytes | None", self._client.hget(self._volumes, field))

    def volumes(self) -> set[bytes]:
        """Return the ids of the volumes that have fields.

        Raises:
            StoreError: the server does not answer.
        """
        with self._asking():
            return set(cast("list[bytes]", self._client.hvals(self._volumes)))

    def tell(self, volume_id: bytes) -> None:
        """Tell all gateways that a volume has a newer state; nothing is lost if it fails."""
        try:
            with self._asking():
                self._client.publish(self._channel, volume_id)
        except StoreError:
            return  # a hint: who does not hear it looks by itself; that is in the log already

    def hear(self, seconds: float) -> Iterator[bytes | None]:
        """Yield the ids of volumes as they are told; None where nothing came for so long.

        Raises:
            StoreError: the server does not answer, or has closed the connection.
        """
        with self._asking(), _channel(self._client) as channel:
            channel.subscribe(self._channel)
            while True:
                message = channel.get_message(timeout=seconds)
                yield None if message is None else cast("bytes", message["data"])

    def close(self) -> None:
        """Let go of all connections."""
        self._client.close()

    @property
    def _volumes(self) -> str:
        return (self._prefix + b"volumes").decode()

    @property
    def _channel(self) -> str:
        return (self._prefix + b"moved").decode()

    def _hash(self, volume_id: bytes) -> bytes:
        return self._prefix + b"locks:" + volume_id.hex().encode()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn errors of the library into ours, and give a server that is away some rest."""
        if time.monotonic() < self._asked_again:
            raise self._away()
        try:
            yield
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
            message = f"{self._place} refuses this user or password: {error}"
            raise StoreError(message) from error
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self._note(error)
            raise self._away() from error
        except redis.RedisError as error:
            message = f"{self._place} failed: {error}"
            raise StoreError(message, transient=True) from error
        else:
            self._note(None)

    def _note(self, error: redis.RedisError | None) -> None:
        """Log that the server went or came, once each."""
        with self._lock:
            was_away, self._is_away = self._is_away, error is not None
            self._asked_again = 0.0 if error is None else time.monotonic() + _REST_SECONDS
        if error is not None and not was_away:
            _logger.warning(
                "%s does not answer: nothing is written until it does (%s)", self._place, error
            )
        elif error is None and was_away:
            _logger.warning("%s answers again", self._place)

    def _away(self) -> StoreError:
        message = f"{self._place}, which keeps the locks, does not answer: is Redis running there?"
        return StoreError(message, transient=True)


def _channel(client: redis.Redis) -> PubSub:
    channel: PubSub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    return channel


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
