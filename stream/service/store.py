"""Where the saved states of sessions are kept, so that a session survives its process.

A state is kept under the session's resume token, with an epoch. Each process that claims the
session gets the next epoch. From then on, the state of the former owner is refused. So of two
processes that claim a session at the same moment, one keeps it, and the other one finds out when
it saves.

`folder_store.py` keeps the states in a folder for the processes of one machine. `redis_store.py`
keeps them in Redis or Valkey for several machines. A store never keeps the token itself, but its
hash.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from ..errors import ConfigError

_REDIS = ("redis://", "rediss://", "unix://")


class SessionStore(Protocol):
    """Keeps the last saved state of every session. Every call raises OSError if it fails.

    A state that has not been saved for `ttl_s` is forgotten.
    """

    async def save(self, token: str, epoch: int, state: bytes) -> bool:
        """Replace the state of a session.

        Args:
            token: resume token of the session.
            epoch: that of the owner; 1 for a new session, otherwise what `claim` returned.
            state: the bytes to keep.
        Returns:
            False if another process has claimed the session since; the state is then not replaced.
            A state of an older epoch is replaced: it is left from before a store lost its content.
        """
        ...

    async def claim(self, token: str) -> tuple[int, bytes] | None:
        """Become the owner of a session.

        Returns:
            The next epoch and the state; None if there is no state.
        """
        ...

    async def delete(self, token: str, epoch: int) -> None:
        """Forget a session, unless another process has claimed it."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...


def entry_name(token: str) -> str:
    """Return the name under which a store keeps the session of a token: 64 characters."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def open_store(address: str, ttl_s: float) -> SessionStore:
    """Return the store at an address.

    Args:
        address: a folder, or a URL such as redis://host:6379/0, which also works with Valkey.
        ttl_s: time after which a state is forgotten, in seconds.
    Raises:
        ConfigError: the address has another form, or other users may enter the folder.
        MissingExtraError: the `redis` package is not installed.
    """
    if address.startswith(_REDIS):
        from .redis_store import RedisStore

        return RedisStore(address, ttl_s)
    if not address or "://" in address:
        raise ConfigError(
            "--store: expected a folder, or a URL like redis://host:6379/0, "
            f"got one that starts with {address[: address.find('://') + 3]!r}"
        )
    from .folder_store import FolderStore  # needs `fcntl`, which Windows does not have

    return FolderStore(address, ttl_s)
