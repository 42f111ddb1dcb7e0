"""Counts the sessions of each client address and each access token, so that none takes all places.

A loopback address has no limit of its own: it is this machine, or a proxy on it, behind which all
clients look alike. With IPv6, a client owns a whole /64 network, so that counts as one address.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import NamedTuple

from .limits import Limits


class Owner(NamedTuple):
    """Who opened a session.

    Attributes:
        address: client address as `address_of` returns it; None if it is not counted.
        token: the access token; None without one.
    """

    address: str | None = None
    token: bytes | None = None


NOBODY = Owner()


def address_of(host: str) -> str | None:
    """Return the name under which a client's sessions are counted, or None for a loopback address.

    Args:
        host: address of the client as the socket reports it.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            network = ipaddress.ip_network((address, 64), strict=False)
            return None if address.is_loopback else str(network)
        address = address.ipv4_mapped
    return None if address.is_loopback else str(address)


class Places:
    """Counts the sessions of each owner.

    Args:
        limits: bounds of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of_address = Counter[str]()
        self._of_token = Counter[bytes]()

    def refusal(self, owner: Owner) -> str | None:
        """Return why this owner may open no further session, or None if it may."""
        limits = self._limits
        if owner.address is not None and (
            self._of_address[owner.address] >= limits.max_sessions_per_address
        ):
            return (
                f"expected at most {limits.max_sessions_per_address} sessions from one address, "
                "got one more"
            )
        if owner.token is not None and self._of_token[owner.token] >= limits.max_sessions_per_token:
            return (
                f"expected at most {limits.max_sessions_per_token} sessions of one token, "
                "got one more"
            )
        return None

    def take(self, owner: Owner) -> None:
        """Count a session of this owner."""
        self._count(owner, 1)

    def give_back(self, owner: Owner) -> None:
        """Count the end of a session of this owner."""
        self._count(owner, -1)

    def _count(self, owner: Owner, change: int) -> None:
        if owner.address is not None:
            self._of_address[owner.address] += change
            if not self._of_address[owner.address]:
                del self._of_address[owner.address]
        if owner.token is not None:
            self._of_token[owner.token] += change
            if not self._of_token[owner.token]:
                del self._of_token[owner.token]
