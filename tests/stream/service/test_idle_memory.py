"""Memory goes back to the system when no session is left, and not before."""

from __future__ import annotations

import sys

import pytest

from turnstream.stream.service import idle_memory
from turnstream.stream.service.idle_memory import IdleMemory


def test_memory_is_given_back_once_after_the_last_session() -> None:
    calls: list[str] = []
    memory = IdleMemory(lambda: calls.append("trim"))
    for sessions in (0, 0, 2, 1):
        memory.check(sessions)
    assert calls == []
    for sessions in (0, 0):
        memory.check(sessions)
    assert calls == ["trim"]
    for sessions in (1, 0):
        memory.check(sessions)
    assert calls == ["trim", "trim"]


def test_a_system_that_cannot_give_memory_back_is_no_error() -> None:
    def missing() -> None:
        raise AttributeError("malloc_trim")

    memory = IdleMemory(missing)
    memory.check(1)
    memory.check(0)


@pytest.mark.skipif(sys.platform != "linux", reason="a function of glibc")
def test_glibc_has_the_function() -> None:
    idle_memory._trim()
