"""The system's limit of file descriptors: raised at the start, checked, and logged when reached."""

from __future__ import annotations

import errno
import os
import resource

import pytest

from turnstream.stream.service import descriptors
from turnstream.stream.service.descriptors import DescriptorWatch, raise_limit


class System:
    """Stands in for the limit of this process."""

    def __init__(self, soft: int, hard: int) -> None:
        self.limit = (soft, hard)

    def getrlimit(self, kind: int) -> tuple[int, int]:
        return self.limit

    def setrlimit(self, kind: int, limit: tuple[int, int]) -> None:
        self.limit = limit


def patched(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> System:
    system = System(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", system.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", system.setrlimit)
    return system


def test_the_soft_limit_is_raised_to_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    system = patched(monkeypatch, 256, 4096)
    raise_limit(1256)
    assert system.limit == (4096, 4096)
    assert caplog.text == ""


def test_a_limit_that_is_too_low_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patched(monkeypatch, 256, 1024)
    raise_limit(1256)
    assert "expected a limit of at least 1320 file descriptors" in caplog.text
    assert "got 1024" in caplog.text


def test_when_no_descriptor_is_left_it_is_logged_once_in_some_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str, flags: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    watch = DescriptorWatch()
    watch.check(0.0)
    assert caplog.text == ""
    monkeypatch.setattr(descriptors.os, "open", refuse)
    for now_s in (1.0, 1.25, 5.0, 10.5):
        watch.check(now_s)
    assert caplog.text.count("no file descriptor is left") == 1
    watch.check(11.0)
    assert caplog.text.count("no file descriptor is left") == 2
