"""TLS for the server: a certificate and its key become a context, or one line that says what is wrong with them."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..errors import ConfigError


def server_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """A context that serves TLS 1.2 and later.

    Args:
        certificate: a PEM file, the server's certificate first, then those that lead to a known authority.
        key: a PEM file with the certificate's private key, not encrypted; None takes it from the certificate's file.
    Raises:
        ConfigError: a file cannot be read or is not PEM, or the key is encrypted or belongs to another certificate.
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

    def refuse_password() -> str:  # OpenSSL would ask at the terminal
        raise ConfigError(
            f"expected a private key that is not encrypted, got {str(key or certificate)!r}, which wants a password"
        )

    shown = repr(str(certificate)) if key is None else f"{str(certificate)!r} and {str(key)!r}"
    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"expected a certificate and its private key, got the key of another certificate: {shown}"
            ) from None
        raise ConfigError(
            f"expected a certificate and its private key as PEM, got {shown}: {error.reason or error}"
        ) from None
    return context
