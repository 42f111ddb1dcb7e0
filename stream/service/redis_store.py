"""Keeps the saved states of sessions in Redis or Valkey, for several machines.

Each session is a hash with an epoch and a state. Redis runs one script after the other, so a script
that compares the epoch and then writes is atomic.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from ..errors import ConfigError, MissingExtraError
from .store import entry_name

try:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError
except ImportError:
    raise MissingExtraError("redis", "redis") from None

_PREFIX = "turnstream:session:"
_TIMEOUT_S = 1.0
# Expired entries have no epoch. KEYS: the session. ARGV: epoch, time to live in ms, state.
_SAVE = """
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'state', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
_CLAIM = """
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return nil end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {redis.call('HINCRBY', KEYS[1], 'epoch', 1), state}
"""
_DELETE = """
if tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') <= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1])
end
return 1
"""


class RedisStore:
    """A `SessionStore` in Redis or Valkey; see there for the calls.

    It connects at the first call, and again after a lost connection.

    Args:
        url: redis://, rediss:// (TLS) or unix:// address.
        ttl_s: time after which a state is forgotten, in seconds.
    Raises:
        ConfigError: the URL cannot be read.
    """

    def __init__(self, url: str, ttl_s: float) -> None:
        try:
            self._redis: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
                url,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                # Once more at once: a kept connection may have been lost without a sign.
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise ConfigError(
                f"--store: expected a URL like redis://host:6379/0: {error}"
            ) from None
        self._ttl_ms = round(1000 * ttl_s)
        self._save_script, self._claim_script, self._delete_script = (
            self._redis.register_script(script) for script in (_SAVE, _CLAIM, _DELETE)
        )

    async def save(self, token: str, epoch: int, state: bytes) -> bool:
        """Replace a state; see `SessionStore.save`."""
        with _as_os_error():
            return bool(await self._save_script(_keys(token), [epoch, self._ttl_ms, state]))

    async def claim(self, token: str) -> tuple[int, bytes] | None:
        """Take the next epoch of a session; see `SessionStore.claim`."""
        with _as_os_error():
            claimed = await self._claim_script(_keys(token), [self._ttl_ms])
        return None if claimed is None else (int(claimed[0]), bytes(claimed[1]))

    async def delete(self, token: str, epoch: int) -> None:
        """Forget a session; see `SessionStore.delete`."""
        with _as_os_error():
            await self._delete_script(_keys(token), [epoch])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _keys(token: str) -> list[str]:
    return [_PREFIX + entry_name(token)]


@contextlib.contextmanager
def _as_os_error() -> Generator[None]:
    """Raise the errors of the client as `OSError`, as every store does."""
    try:
        yield
    except RedisError as error:
        raise ConnectionError(f"Redis: {error}") from None
