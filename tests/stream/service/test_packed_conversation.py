"""A packed conversation: what is written is read again, and everything else is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.errors import SnapshotError
from turnstream.stream.service.outbox import Kept, PackedOutbox
from turnstream.stream.service.packed_conversation import PackedConversation
from turnstream.stream.settings import StreamSettings

PACKED = PackedConversation(
    id="9f86",
    settings=StreamSettings(channels=1, policy="fast"),
    session=bytes(range(256)),
    received=7,
    frames=5,
    samples=1600,
    inbox=[b"\x00\xff", '{"type":"flush"}'],
    outbox=PackedOutbox(
        10,
        3,
        [
            Kept(5, "event \u00e9", True, True),
            Kept(5, "warning", True, False),
            Kept(9, b"latent", False, True),
        ],
    ),
    close_frame=(1000, "close"),
)
A, B = [1, "a", True, True], [2, "b", True, True]


def changed(**changes: Any) -> bytes:
    """Return the packed conversation with other fields; `...` removes one."""
    fields = msgspec.msgpack.decode(PACKED.to_bytes()) | changes
    return msgspec.msgpack.encode(
        {name: value for name, value in fields.items() if value is not ...}
    )


def test_what_is_packed_is_read_again() -> None:
    assert PackedConversation.from_bytes(PACKED.to_bytes()) == PACKED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": 5}, "Expected `str`, got `int`"),
        ({"frames": -1}, "Expected `int` >= 0"),
        ({"samples": 1.5}, "Expected `int`, got `float`"),
        ({"session": ...}, "missing required field `session`"),
        ({"code": b"x"}, "unknown field `code`"),
        ({"settings": {"channels": 3}}, "`int` <= 2 - at `$.settings.channels`"),
        ({"inbox": [5]}, "expected text or bytes, got int"),
        ({"inbox": [msgspec.msgpack.Ext(1, b"x")]}, "expected text or bytes, got Ext"),
        ({"close_frame": [1000]}, "Expected `array` of length 2"),
        (
            {"outbox": {"last": 1, "acknowledged": 0, "kept": [[1, None, True, True]]}},
            "expected text or bytes, got NoneType",
        ),
        (
            {"outbox": {"last": 2, "acknowledged": 0, "kept": [B, A]}},
            "expected messages in the order of their numbers",
        ),
        (
            {"outbox": {"last": 2, "acknowledged": 0, "kept": [A, A]}},
            "expected messages in the order of their numbers",
        ),
        (
            {"outbox": {"last": 1, "acknowledged": 0, "kept": [A, B]}},
            "expected messages in the order of their numbers",
        ),
        ({"outbox": {"last": 1, "acknowledged": 0, "kept": [[1, "a", 1, True]]}}, "`bool`"),
        (
            {"outbox": {"last": 1, "acknowledged": 2, "kept": []}},
            "expected messages in the order of their numbers",
        ),
    ],
)
def test_a_field_that_cannot_be_is_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SnapshotError, match="expected a packed conversation, got") as refused:
        PackedConversation.from_bytes(changed(**changes))
    assert reason in str(refused.value)


@given(st.integers(0, len(PACKED.to_bytes()) - 1))
def test_every_shortened_copy_is_refused(size: int) -> None:
    with pytest.raises(SnapshotError):
        PackedConversation.from_bytes(PACKED.to_bytes()[:size])


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(packed: bytes) -> None:
    with pytest.raises(SnapshotError):
        PackedConversation.from_bytes(packed)


def test_lists_nested_without_end_are_refused() -> None:
    with pytest.raises(SnapshotError):
        PackedConversation.from_bytes(
            PACKED.to_bytes().replace(b"\xa5inbox\x92", b"\xa5inbox\x92" + b"\x91" * 100_000)
        )


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_code_in_the_bytes_is_not_run(tmp_path: Path) -> None:
    trap = pickle.dumps(Trap(tmp_path / "ran"))
    for packed in (trap, changed(session=trap, inbox=[trap])[:-1]):
        with pytest.raises(SnapshotError):
            PackedConversation.from_bytes(packed)
    assert not (tmp_path / "ran").exists()
    pickle.loads(trap)
    assert (tmp_path / "ran").exists(), "the trap works"
