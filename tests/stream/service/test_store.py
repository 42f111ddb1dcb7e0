"""Every store: one owner at a time, whoever asks when. The folder and Redis behave alike."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from turnstream import ConfigError, MissingExtraError
from turnstream.stream.service import folder_store
from turnstream.stream.service.folder_store import FolderStore
from turnstream.stream.service.store import SessionStore, entry_name, open_store

from .redis_server import RedisServer, needs_redis

TTL_S = 60.0
STATE = bytes(range(256)) * 100


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("redis")).running() as server:
        yield server.url


@pytest.fixture(params=["folder", pytest.param("redis", marks=needs_redis)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a store."""
    if request.param == "folder":
        return str(tmp_path / "sessions")
    return request.getfixturevalue("redis_url")


@asynccontextmanager
async def opened(address: str, ttl_s: float = TTL_S) -> AsyncIterator[SessionStore]:
    store = open_store(address, ttl_s)
    try:
        yield store
    finally:
        await store.close()


async def test_a_claim_gives_the_last_state_and_the_next_epoch(address: str) -> None:
    async with opened(address) as store:
        assert await store.save("one", 1, b"first")
        assert await store.save("one", 1, STATE)
        assert await store.claim("one") == (2, STATE)
        assert await store.claim("one") == (3, STATE)


async def test_a_session_that_was_never_saved_cannot_be_claimed(address: str) -> None:
    async with opened(address) as store:
        assert await store.claim("nobody") is None


async def test_the_former_owner_cannot_save_or_delete_any_more(address: str) -> None:
    async with opened(address) as store:
        await store.save("two", 1, b"first")
        assert await store.claim("two") == (2, b"first")
        assert not await store.save("two", 1, b"late")
        await store.delete("two", 1)
        assert await store.save("two", 2, b"second")
        assert await store.claim("two") == (3, b"second")


async def test_what_is_deleted_is_gone(address: str) -> None:
    async with opened(address) as store:
        await store.save("three", 1, STATE)
        await store.delete("three", 1)
        assert await store.claim("three") is None
        await store.delete("three", 1)


async def test_an_owner_can_save_what_the_store_has_lost(address: str) -> None:
    async with opened(address) as store:
        assert await store.save("four", 3, b"again")
        assert await store.claim("four") == (4, b"again")
        assert await store.save("four", 7, b"from before a loss")
        assert await store.claim("four") == (8, b"from before a loss")


async def test_of_many_that_claim_at_the_same_moment_each_gets_another_epoch(address: str) -> None:
    async with opened(address) as store, opened(address) as other:
        await store.save("five", 1, STATE)
        claims = await asyncio.gather(*(one.claim("five") for one in (store, other) * 8))
        epochs = sorted(claim[0] for claim in claims if claim is not None)
        assert epochs == list(range(2, 18))
        saves = [await store.save("five", epoch, b"mine") for epoch in epochs]
        assert saves == [False] * 15 + [True]


async def test_saves_and_claims_at_the_same_moment_never_give_half_a_state(address: str) -> None:
    async with opened(address) as store, opened(address) as other:
        await store.save("six", 1, b"\x00" * 50_000)
        saves = [store.save("six", 100, bytes([n]) * 50_000) for n in range(20)]
        claims = await asyncio.gather(*saves, *(other.claim("six") for _ in range(20)))
        for claim in claims[20:]:
            assert isinstance(claim, tuple)
            assert len(claim[1]) == 50_000
            assert len(set(claim[1])) == 1


async def test_a_state_that_is_not_saved_again_is_forgotten(address: str) -> None:
    async with opened(address, ttl_s=0.001) as store:
        await store.save("seven", 1, STATE)
        async with asyncio.timeout(20):
            while await store.claim("seven") is not None:
                pass


@pytest.mark.parametrize("token", ["../../etc/passwd", "", "x" * 5000, "\ud800", "a\x00b"])
async def test_any_token_is_only_a_key(address: str, token: str) -> None:
    async with opened(address) as store:
        assert await store.claim(token) is None


# ---- the folder ----


async def test_the_folder_is_private_and_does_not_hold_the_token(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "sessions"
    async with opened(str(folder)) as store:
        await store.save("secret-token", 1, STATE)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert [path.name for path in folder.iterdir()] == [entry_name("secret-token")]
        await store.delete("secret-token", 1)
        assert list(folder.iterdir()) == []


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigError, match=r"\(mode 0700\), got '.*' with mode 0755"):
        FolderStore(tmp_path, TTL_S)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"--store: expected a folder, got .*: File exists"):
        FolderStore(tmp_path / "file", TTL_S)


async def test_a_folder_that_has_gone_is_an_os_error(tmp_path: Path) -> None:
    async with opened(str(tmp_path / "sessions")) as store:
        (tmp_path / "sessions").rmdir()
        with pytest.raises(OSError, match="No such file or directory"):
            await store.save("token", 1, STATE)
        with pytest.raises(OSError, match="No such file or directory"):
            await store.claim("token")


async def test_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    async with opened(str(tmp_path / "s")) as store:
        await store.save("old", 1, STATE)
        unfinished = tmp_path / "s" / "x.1-2.new"
        unfinished.write_bytes(b"")
        for path in (tmp_path / "s").iterdir():
            os.utime(path, (0, 0))
        with patch.object(store, "_swept_s", 0.0):
            await store.save("new", 1, STATE)
        assert [path.name for path in (tmp_path / "s").iterdir()] == [entry_name("new")]


async def test_a_state_that_is_deleted_during_the_sweep_is_no_failure_of_the_store(
    tmp_path: Path,
) -> None:
    async with opened(str(tmp_path / "s")) as store:
        assert isinstance(store, FolderStore)
        for name in ("one", "two", "three"):
            await store.save(name, 1, STATE)
        is_expired = store._is_expired

        def and_delete(status: os.stat_result) -> bool:
            """Delete all states, as another process might at this moment."""
            for path in (tmp_path / "s").iterdir():
                path.unlink()
            return is_expired(status)

        with patch.object(store, "_swept_s", 0.0), patch.object(store, "_is_expired", and_delete):
            assert await store.save("new", 1, STATE)


async def test_a_process_that_keeps_the_lock_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_store, "_LOCK_TIMEOUT_S", 0.01)
    async with opened(str(tmp_path / "s")) as store, opened(str(tmp_path / "s")) as other:
        assert isinstance(other, FolderStore)
        with other._locked(), pytest.raises(TimeoutError, match="another process has it"):
            await store.claim("token")
        assert await store.save("token", 1, STATE)


# ---- addresses ----


@pytest.mark.parametrize("address", ["http://me:secret@host/", "", "redis-sentinel://x"])
def test_an_address_of_another_form_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ConfigError, match="expected a folder, or a URL like redis://") as refused:
        open_store(address, TTL_S)
    assert "secret" not in str(refused.value)


def test_a_redis_url_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a URL like redis://host:6379/0"):
        open_store("redis://host:port/0", TTL_S)


def test_without_the_redis_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.delitem(sys.modules, "turnstream.stream.service.redis_store", raising=False)
    with pytest.raises(MissingExtraError, match=r"turnstream\[redis\]"):
        open_store("redis://host/0", TTL_S)


# ---- Redis ----


@needs_redis
async def test_a_redis_that_was_killed_is_an_os_error_and_works_again_when_it_is_back(
    tmp_path: Path,
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    async with opened(server.url) as store:
        assert await store.save("token", 1, STATE)
        server.kill()
        with pytest.raises(OSError, match="Redis: "):
            await store.save("token", 1, STATE)
        with server.running():
            assert await store.claim("token") is None
            assert await store.save("token", 1, STATE)
            assert await store.claim("token") == (2, STATE)
