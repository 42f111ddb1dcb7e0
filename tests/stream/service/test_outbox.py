"""The outbox: numbering, acknowledgement, and what a client gets after a reconnection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.errors import ProtocolError
from turnstream.stream.service.outbox import Outbox


def filled(messages: int, max_kept: int = 100) -> Outbox:
    """Return an outbox in which every fifth message is an event."""
    outbox = Outbox(max_kept)
    for n in range(1, messages + 1):
        outbox.put(str(n), essential=n % 5 == 0)
    return outbox


def test_messages_are_given_once_and_in_order() -> None:
    outbox = filled(3)
    assert (outbox.waiting, outbox.take_unsent(1000), outbox.take_unsent(1000)) == (
        3,
        ["1", "2", "3"],
        [],
    )
    outbox.put("4", essential=True)
    assert outbox.take_unsent(1000) == ["4"]
    assert (outbox.waiting, outbox.outstanding, outbox.last, outbox.sent) == (0, 4, 4, 4)


def test_what_was_not_taken_is_given_the_next_time() -> None:
    outbox = filled(5)
    assert outbox.take_unsent(2) == ["1", "2"]
    assert outbox.waiting == 3
    assert outbox.take_unsent(1000) == ["3", "4", "5"]


def test_what_is_acknowledged_is_not_kept() -> None:
    outbox = filled(5)
    outbox.take_unsent(1000)
    outbox.acknowledge(3)
    assert outbox.outstanding == 2
    outbox.acknowledge(2)
    assert outbox.outstanding == 2


def test_what_was_not_sent_cannot_be_acknowledged() -> None:
    outbox = filled(5)
    outbox.acknowledge(5)
    assert outbox.outstanding == 5


def test_a_client_that_comes_back_gets_what_it_has_not_got() -> None:
    outbox = filled(9)
    outbox.take_unsent(1000)
    outbox.acknowledge(4)
    assert outbox.rewind(6) == 0
    outbox.put("10", essential=True)
    assert outbox.take_unsent(1000) == ["7", "8", "9", "10"]
    assert outbox.last == 10


@pytest.mark.parametrize("received", [3, 10])
def test_a_count_that_cannot_be_is_refused(received: int) -> None:
    outbox = filled(9)
    outbox.take_unsent(1000)
    outbox.acknowledge(4)
    with pytest.raises(
        ProtocolError, match=f"received: expected from 4 to 9 messages, got {received}"
    ) as refused:
        outbox.rewind(received)
    assert refused.value.code == "bad_setting"


def test_when_too_many_wait_frames_are_given_up_and_events_never() -> None:
    outbox = filled(1000, max_kept=300)
    assert outbox.outstanding <= 300 + 200
    missed = outbox.rewind(0)
    got = [int(wire) for wire in outbox.take_unsent(1000)]
    assert missed == 1000 - len(got)
    assert [n for n in got if n % 5 == 0] == list(range(5, 1001, 5))
    assert got == sorted(got)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "event", "take", "acknowledge", "resume"]), st.floats(0, 1)
        ),
        max_size=200,
    ),
    st.integers(5, 40),
)
def test_both_sides_count_alike_whatever_happens(
    steps: list[tuple[str, float]], max_kept: int
) -> None:
    """A client that counts as PROTOCOL.md says has every event once, in order.

    It never disagrees with the server about the count.
    """
    outbox, count, put, got = Outbox(max_kept), 0, 0, []
    counts = [0]
    for step, share in steps:
        if step in {"put", "event"}:
            put += 1
            outbox.put(f"{step} {put}", essential=step == "event")
        elif step == "take":
            for wire in outbox.take_unsent(1000):
                got.append(wire)
                count += 1
                counts.append(count)
        elif step == "acknowledge":
            outbox.acknowledge(counts[round(share * (len(counts) - 1))])
        elif counts and outbox.sent == count:
            lost = min(round(share * 3), count - outbox.acknowledged, len(got))
            del got[len(got) - lost :]
            count -= lost
            count += outbox.rewind(count)
            counts = [n for n in counts if n <= count]
    got += outbox.take_unsent(1000)
    numbers = [int(wire.split()[1]) for wire in got]
    assert numbers == sorted(set(numbers))
    assert [wire for wire in got if wire.startswith("event")] == [
        f"event {n}" for n in events_of(steps)
    ]


def events_of(steps: list[tuple[str, float]]) -> list[int]:
    kinds = [step for step, _ in steps if step in {"put", "event"}]
    return [n for n, kind in enumerate(kinds, 1) if kind == "event"]
