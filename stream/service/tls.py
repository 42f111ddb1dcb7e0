"""TLS: the server's context, with one clear line per error, and connections before their handshake.

A listener with TLS tells its server about a connection only after the handshake. A server that
bounds its connections must know of them before: it listens without TLS, takes each socket from its
`TlsGate`, and secures it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from ..errors import ConfigError


def server_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """Return a context that serves TLS 1.2 and later.

    Args:
        certificate: PEM file with the server's certificate, then the chain to a known authority.
        key: PEM file with the unencrypted private key of the certificate; None if the key is in
            the certificate's file.
    Raises:
        ConfigError: a file cannot be read or is not PEM, or the key is encrypted or belongs to
            another certificate.
    """
    for path in (certificate, key or certificate):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"expected a certificate and its key, got {str(path)!r}: {error.strerror or error}"
            ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def refuse_password() -> str:  # else OpenSSL asks on the terminal
        raise ConfigError(
            f"expected a private key that is not encrypted, got {str(key or certificate)!r}, "
            "which wants a password"
        )

    shown = repr(str(certificate)) if key is None else f"{str(certificate)!r} and {str(key)!r}"
    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                "expected a certificate and its private key, "
                f"got the key of another certificate: {shown}"
            ) from None
        raise ConfigError(
            f"expected a certificate and its private key as PEM, "
            f"got {shown}: {error.reason or error}"
        ) from None
    return context


class TlsGate(asyncio.Protocol):
    """Takes the socket of a new connection before anything is read from it.

    Args:
        on_socket: gets the socket.
    """

    def __init__(self, on_socket: Callable[[socket.socket], None]) -> None:
        self._on_socket = on_socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass a copy of the socket on, and drop the original."""
        assert hasattr(transport, "abort")
        try:
            sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        except OSError:  # no descriptor is left
            pass
        else:
            sock.setblocking(False)
            self._on_socket(sock)
        transport.abort()  # type: ignore[attr-defined]
