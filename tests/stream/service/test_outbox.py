"""The outbox: numbering, acknowledgement, and what a client gets after a reconnection."""

from __future__ import annotations

import json

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
    assert (outbox.waiting, outbox.outstanding, outbox.last, outbox.taken) == (0, 4, 4, 4)


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
    outbox.rewind(6)
    outbox.put("10", essential=True)
    assert outbox.take_unsent(1000) == ["7", "8", "9", "10"]
    assert outbox.last == 10


def test_a_warning_has_no_number_and_comes_again_if_the_client_may_not_have_it() -> None:
    outbox = filled(2)
    outbox.put("warning", essential=True, counted=False)
    outbox.put("3", essential=True)
    assert outbox.take_unsent(1000) == ["1", "2", "warning", "3"]
    outbox.rewind(2)
    assert outbox.take_unsent(1000) == ["warning", "3"]
    outbox.rewind(3)
    assert (outbox.last, outbox.outstanding) == (3, 0)


def test_a_warning_that_was_acknowledged_does_not_come_again() -> None:
    outbox = filled(2)
    outbox.put("warning", essential=True, counted=False)
    outbox.take_unsent(1000)
    outbox.acknowledge(outbox.taken)
    outbox.rewind(2)
    assert outbox.take_unsent(1000) == []


def test_messages_that_were_left_out_are_told_before_the_next_one() -> None:
    outbox = filled(2)
    outbox.leave_out(3)
    assert outbox.waiting == 2
    outbox.put("6", essential=True)
    first, second, notice, last = outbox.take_unsent(1000)
    assert (first, second, last) == ("1", "2", "6")
    assert missed(notice) == 3
    outbox.rewind(2)
    assert [missed(wire) for wire in outbox.take_unsent(1000)] == [3, 0]


def test_messages_that_the_client_has_from_another_process_are_not_kept() -> None:
    other = filled(5)
    other.take_unsent(1000)
    outbox = Outbox(100)
    outbox.restore(other.pack(), 8)
    outbox.rewind(8)
    for n in range(6, 11):
        outbox.put(str(n), essential=True)
    assert outbox.take_unsent(1000) == ["9", "10"]


def test_what_the_client_has_is_still_known_after_the_next_move() -> None:
    other = filled(5)
    other.take_unsent(1000)
    between, outbox = Outbox(100), Outbox(100)
    between.restore(other.pack(), 9)
    between.rewind(9)
    between.put("warning", essential=True, counted=False)
    between.put("6", essential=True)
    outbox.restore(between.pack(), 9)
    outbox.rewind(9)
    for n in range(7, 11):
        outbox.put(str(n), essential=True)
    assert outbox.take_unsent(1000) == ["10"]


def test_after_a_move_a_client_may_have_more_than_this_process_knows() -> None:
    other, outbox = filled(5), Outbox(100)
    other.take_unsent(1000)
    outbox.restore(other.pack(), 5)
    outbox.rewind(5)
    outbox.rewind(7)
    for n in range(6, 10):
        outbox.put(str(n), essential=True)
    assert outbox.take_unsent(1000) == ["8", "9"]


def test_unconfirmed_messages_move_to_another_process() -> None:
    other, outbox = filled(9), Outbox(100)
    other.take_unsent(5)
    other.acknowledge(2)
    outbox.restore(other.pack(), 4)
    outbox.rewind(4)
    assert outbox.take_unsent(1000) == ["5", "6", "7", "8", "9"]


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
    wires = outbox.take_unsent(1000)
    got = [int(wire) for wire in wires if not missed(wire)]
    assert sum(map(missed, wires)) == 1000 - len(got)
    assert [n for n in got if n % 5 == 0] == list(range(5, 1001, 5))
    assert got == sorted(got)


def missed(wire: str | bytes) -> int:
    """Return how many messages a message stands for that were left out."""
    return json.loads(wire)["missed"] if b"thinned" in as_bytes(wire) else 0


def weight(wire: str | bytes) -> int:
    """Return by how much a message raises the count of the client."""
    return missed(wire) or wire != "warning"


def as_bytes(wire: str | bytes) -> bytes:
    return wire.encode() if isinstance(wire, str) else wire


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["put", "event", "warning", "leave out", "take", "acknowledge", "resume", "move"]
            ),
            st.floats(0, 1),
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
    outbox, count, put, got = Outbox(max_kept), 0, 0, list[str | bytes]()
    taken = [0]
    for step, share in steps:
        if step in {"put", "event"}:
            put += 1
            outbox.put(f"{step} {put}", essential=step == "event")
        elif step == "warning":
            outbox.put("warning", essential=True, counted=False)
        elif step == "leave out":
            put += 2
            outbox.leave_out(2)
        elif step == "take":
            for wire in outbox.take_unsent(1 + round(share * 20)):
                count += weight(wire)
                got.append(wire)
            taken.append(outbox.taken)
            assert count <= outbox.last == put
        elif step == "acknowledge":
            outbox.acknowledge(taken[round(share * (len(taken) - 1))])
        else:
            if step == "move":
                packed, outbox = outbox.pack(), Outbox(max_kept)
                outbox.restore(packed, count)
            lost = round(share * 5)  # the newest messages may be lost on the way
            while lost and got and count - weight(got[-1]) >= outbox.acknowledged:
                lost, count = lost - 1, count - weight(got.pop())
            outbox.rewind(count)
            taken = [outbox.taken]
    got += outbox.take_unsent(1000)
    numbers = [int(str(wire).split()[1]) for wire in got if str(wire)[0] in "pe"]
    assert numbers == sorted(set(numbers))
    events = [wire for wire in got if str(wire).startswith("event")]
    assert events == [f"event {n}" for n in events_of(steps)]


def events_of(steps: list[tuple[str, float]]) -> list[int]:
    """Return the numbers of the events."""
    number, events = 0, list[int]()
    for step, _ in steps:
        number += {"put": 1, "event": 1, "leave out": 2}.get(step, 0)
        if step == "event":
            events.append(number)
    return events
