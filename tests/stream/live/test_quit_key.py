"""The key q, on a pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from turnstream.stream.live.quit_key import quit_key

ENVIRONMENT = os.environ | {
    "TERM": "xterm-256color",
    "LANG": "C.UTF-8",
    "PYTHONIOENCODING": "utf-8",
}
ECHO = 3  # index of the local modes in what tcgetattr returns


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal of this test alone: its two ends (leader, follower)."""
    leader, follower = pty.openpty()
    yield leader, follower
    os.close(leader)
    os.close(follower)


@pytest.mark.parametrize("keys", [b"q", b"Q", b"xq"])
async def test_q_ends_and_other_keys_do_not(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch, keys: bytes
) -> None:
    leader, follower = terminal
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp())
    ended = asyncio.Event()
    with quit_key(ended.set, follower) as reads:
        assert reads
        assert not termios.tcgetattr(follower)[ECHO] & termios.ECHO
        os.write(leader, b"abc\n")
        while select.select([follower], [], [], 0)[0]:
            await asyncio.sleep(0)
        assert not ended.is_set()
        os.write(leader, keys)
        async with asyncio.timeout(10):
            await ended.wait()
    assert termios.tcgetattr(follower)[ECHO] & termios.ECHO


async def test_without_a_terminal_or_in_its_background_no_key_is_read(
    terminal: tuple[int, int],
) -> None:
    reader, writer = os.pipe()
    with quit_key(lambda: None, reader) as reads:
        assert not reads
    os.close(reader)
    os.close(writer)
    with quit_key(lambda: None, terminal[1]) as reads:  # not the terminal of this process
        assert not reads
    assert termios.tcgetattr(terminal[1])[ECHO] & termios.ECHO


def test_q_ends_the_live_view_and_leaves_no_key_to_the_shell(tiny_model_path: Path) -> None:
    script = (
        "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "os.execv(sys.executable, [sys.executable, '-m', 'turnstream', *sys.argv[1:]])"
    )
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [
            *(sys.executable, "-c", script, "demo", "--sample"),
            *("--no-pause-model", "--model", str(tiny_model_path)),
        ],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    ) as process:
        try:
            shown = b""
            while b"q quits" not in shown:
                shown += os.read(leader, 65536)
            os.write(leader, b"ls -l\nq")
            with contextlib.suppress(OSError):
                while b"\x1b[?1049l" not in shown:
                    shown += os.read(leader, 65536)
            while b"Next:" not in shown:
                shown += os.read(leader, 65536)
            assert process.wait(20) == 0
            assert b"ls -l" not in shown
            assert select.select([follower], [], [], 0)[0] == []  # nothing is left to read
            assert termios.tcgetattr(follower)[ECHO] & termios.ECHO
        finally:
            process.kill()
            os.close(leader)
            os.close(follower)
