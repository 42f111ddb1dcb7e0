"""TLS: a certificate and its key work, and each error with them is one clear line."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from turnstream import ConfigError
from turnstream.stream.service.tls import server_context

from ..certificates import make_certificate


def test_a_certificate_and_its_key_make_a_context_without_old_versions(tmp_path: Path) -> None:
    context = server_context(*make_certificate(tmp_path))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


def test_the_key_may_stand_in_the_certificates_file(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    (tmp_path / "both.pem").write_text(certificate.read_text() + key.read_text())
    server_context(tmp_path / "both.pem")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path, "first")
    _, key = make_certificate(tmp_path, "second")
    with pytest.raises(
        ConfigError, match=r"got the key of another certificate: .*first\.pem' and .*second\.key'"
    ):
        server_context(certificate, key)


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"expected a private key that is not encrypted, got .*server\.key'"
    ):
        server_context(*make_certificate(tmp_path, password="secret"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path)
    with pytest.raises(ConfigError, match=r"none\.key': No such file"):
        server_context(certificate, tmp_path / "none.key")
    with pytest.raises(ConfigError, match=r"none\.pem': No such file"):
        server_context(tmp_path / "none.pem")


@pytest.mark.parametrize(
    "content", [b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.pem").write_bytes(content)
    _, key = make_certificate(tmp_path)
    with pytest.raises(
        ConfigError, match=r"expected a certificate and its private key as PEM, got .*bad\.pem"
    ):
        server_context(tmp_path / "bad.pem", key)


def test_a_certificate_without_a_key_is_refused(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path)
    with pytest.raises(
        ConfigError,
        match=r"expected a certificate and its private key as PEM, got .*server\.pem': ",
    ):
        server_context(certificate)
