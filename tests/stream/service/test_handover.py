"""Handover of a session between workers.

The session moves whole or not at all, and never to a stranger.
"""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from turnstream import ConfigError
from turnstream.stream.service import handover
from turnstream.stream.service.handover import Handover

Release = Callable[[str], Awaitable[bytes | None]]


def giver(sessions: dict[str, bytes]) -> Release:
    async def release(token: str) -> bytes | None:
        return sessions.pop(token, None)

    return release


nothing = giver({})


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
async def test_a_session_is_handed_over_once(tmp_path: Path, size: int) -> None:
    session, sessions = bytes(range(256)) * (size // 256) + bytes(size % 256), dict[str, bytes]()
    async with (
        Handover(tmp_path, 0, giver(sessions)) as first,
        Handover(tmp_path, 1, nothing) as second,
    ):
        token = first.new_token()
        sessions[token] = session
        assert await second.fetch(token) == session
        assert await second.fetch(token) is None


async def test_workers_ask_one_another_at_the_same_time(tmp_path: Path) -> None:
    sessions = [dict[str, bytes](), dict[str, bytes]()]
    async with (
        Handover(tmp_path, 0, giver(sessions[0])) as first,
        Handover(tmp_path, 1, giver(sessions[1])) as second,
    ):
        tokens = [(first.new_token(), second.new_token()) for _ in range(20)]
        for number, (one, two) in enumerate(tokens):
            sessions[0][one], sessions[1][two] = b"%d" % number, b"%d" % -number
        taken = await asyncio.gather(
            *[second.fetch(one) for one, _ in tokens], *[first.fetch(two) for _, two in tokens]
        )
    assert taken == [b"%d" % number for number in range(20)] + [
        b"%d" % -number for number in range(20)
    ]


async def test_a_session_is_found_wherever_it_went(tmp_path: Path) -> None:
    sessions = [dict[str, bytes]() for _ in range(3)]
    async with (
        Handover(tmp_path, 0, giver(sessions[0])) as first,
        Handover(tmp_path, 1, giver(sessions[1])) as second,
        Handover(tmp_path, 2, giver(sessions[2])) as third,
    ):
        workers = [first, second, third]
        token = first.new_token()
        sessions[0][token] = b"session"
        for number in (1, 2, 0, 2, 1, 2, 1, 0, 1, 0, 2):
            session = await workers[number].fetch(token)
            assert session == b"session"
            sessions[number][token] = session
        sessions[2].clear()
        for worker in workers:
            assert await worker.fetch(token) is None


async def test_the_places_of_only_so_many_sessions_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_MOST_MOVED", 3)
    sessions = {f"0-{number}": b"x" for number in range(5)}
    async with (
        Handover(tmp_path, 0, giver(sessions)) as first,
        Handover(tmp_path, 1, nothing) as second,
    ):
        for token in list(sessions):
            assert await second.fetch(token) == b"x"
        assert list(first._moved) == ["0-2", "0-3", "0-4"]


def test_a_token_tells_its_worker_and_no_other_is_like_it(tmp_path: Path) -> None:
    worker = Handover(tmp_path, 7, nothing)
    tokens = {worker.new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(token.startswith("7-") and len(token) == 34 for token in tokens)


@pytest.mark.parametrize(
    "token",
    [
        "0-mine",
        "9-unknown",
        "1-unknown",
        "",
        "-",
        "1",
        "1-",
        "x-y",
        "../1-x",
        "\u0661-x",
        "-1-x",
        "1-" + "x" * 1000,
        "1-\u00e9",
    ],
)
async def test_a_token_of_ours_or_of_nobody_gives_nothing(tmp_path: Path, token: str) -> None:
    async with (
        Handover(tmp_path, 0, giver({"0-mine": b"x"})) as first,
        Handover(tmp_path, 1, nothing),
    ):
        assert await first.fetch(token) is None


async def test_a_worker_that_is_slow_gives_nothing_for_now(tmp_path: Path) -> None:
    never = asyncio.Event()

    async def release(token: str) -> bytes | None:
        await never.wait()
        return b"too late"

    async with (
        Handover(tmp_path, 0, release, timeout_s=0.05),
        Handover(tmp_path, 1, nothing, timeout_s=0.05) as second,
    ):
        with pytest.raises(TimeoutError):
            await second.fetch("0-token")


async def test_who_has_given_up_gets_no_session(tmp_path: Path) -> None:
    async with (
        Handover(tmp_path, 0, giver({"0-token": b"x"})),
        Handover(tmp_path, 1, nothing) as second,
    ):
        _, writer = await asyncio.open_unix_connection(tmp_path / "0.sock")
        writer.write((9).to_bytes(4) + b"1 0-token")
        writer.close()
        await writer.wait_closed()
        assert await second.fetch("0-token") == b"x"


async def test_a_worker_that_was_killed_gives_nothing_and_its_successor_takes_its_place(
    tmp_path: Path,
) -> None:
    async with Handover(tmp_path, 1, nothing) as second:
        killed = Handover(tmp_path, 0, giver({"0-token": b"x"}))
        await killed.__aenter__()
        assert killed._listener is not None
        killed._listener.close()  # the socket's file stays, as after a kill
        assert (tmp_path / "0.sock").exists()
        assert await second.fetch("0-token") is None
        async with Handover(tmp_path, 0, giver({"0-new": b"new"})):
            assert await second.fetch("0-token") is None
            assert await second.fetch("0-new") == b"new"


async def test_a_session_that_is_too_large_is_not_carried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Handover(tmp_path, 0, giver({"0-a": bytes(101), "0-b": bytes(100)}), max_bytes=100),
        Handover(tmp_path, 1, nothing) as second,
    ):
        assert await second.fetch("0-a") is None
        assert await second.fetch("0-b") == bytes(100)
    assert "a session of 101 bytes is lost: expected at most 100" in caplog.text


async def test_an_answer_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    async with (
        Handover(tmp_path, 0, giver({"0-a": bytes(101)})),
        Handover(tmp_path, 1, nothing, max_bytes=100) as second,
    ):
        assert await second.fetch("0-a") is None


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x10\x00",
        b"\x00\x00\x00\x05ab",
        b"\x00\x00\x00\x02\xff\xfe",
    ],
)
async def test_nonsense_on_the_socket_disturbs_nobody(tmp_path: Path, sent: bytes) -> None:
    async with (
        Handover(tmp_path, 0, giver({"0-a": b"x"})),
        Handover(tmp_path, 1, nothing) as second,
    ):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "0.sock")
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() in {b"", b"\x00\x00\x00\x010"}
        writer.close()
        await writer.wait_closed()
        assert await second.fetch("0-a") == b"x"


async def test_the_log_has_no_tokens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="turnstream"):
        async with Handover(tmp_path, 0, nothing) as first:
            assert await first.fetch("1-SECRET") is None
    assert "worker 1 did not hand a session over" in caplog.text
    assert "SECRET" not in caplog.text


async def test_the_folder_is_for_this_user_only(tmp_path: Path) -> None:
    async with Handover(tmp_path / "new", 0, nothing):
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(
        ConfigError,
        match=(
            r"expected a folder that only this user may enter \(mode 0700\), got .* with "
            "mode 0755"
        ),
    ):
        await Handover(tmp_path / "open", 0, nothing).__aenter__()


async def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    async with Handover(tmp_path, 0, nothing):
        assert (tmp_path / "0.sock").is_socket()
    assert list(tmp_path.iterdir()) == []
