import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stream.errors import ShapeError
from turnstream.stream.ring import PcmRing


def ramp(start: int, count: int, channels: int = 2) -> np.ndarray:
    return np.arange(start * channels, (start + count) * channels, dtype=np.float32).reshape(
        count, channels
    )


@settings(max_examples=50, deadline=None)
@given(
    capacity=st.integers(1, 40),
    channels=st.integers(1, 3),
    steps=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60),
)
def test_what_goes_in_comes_out_in_order_for_any_chunking(
    capacity: int, channels: int, steps: list[tuple[int, int]]
) -> None:
    ring = PcmRing(channels, capacity)
    pushed = popped = 0
    for want_push, want_pop in steps:
        count = min(want_push, ring.free)
        ring.push(ramp(pushed, count, channels))
        pushed += count
        count = min(want_pop, ring.available)
        np.testing.assert_array_equal(ring.peek(count), ramp(popped, count, channels))
        np.testing.assert_array_equal(ring.pop(count), ramp(popped, count, channels))
        popped += count
        assert (ring.available, ring.free) == (pushed - popped, capacity - (pushed - popped))


def test_a_push_that_does_not_fit_is_refused_whole_and_says_the_numbers() -> None:
    ring = PcmRing(2, 10)
    ring.push(ramp(0, 7))
    with pytest.raises(ShapeError, match="holds 10 samples and has room for 3, got 4"):
        ring.push(ramp(7, 4))
    np.testing.assert_array_equal(ring.pop(7), ramp(0, 7))


def test_reading_more_than_there_is_is_refused_and_leaves_the_ring_as_it_was() -> None:
    ring = PcmRing(1, 4)
    ring.push(ramp(0, 2, 1))
    for count in (3, -1):
        with pytest.raises(
            ShapeError, match=f"0 to 2 samples, which is what the ring holds, got {count}"
        ):
            ring.pop(count)
    assert ring.available == 2


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(3, np.float32),
        np.zeros((3, 1), np.float32),
        np.zeros((3, 2)),
        np.zeros((3, 2), np.int16),
    ],
)
def test_samples_of_another_shape_or_type_are_refused(samples: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"expected float32 samples of shape \(N, 2\)"):
        PcmRing(2, 10).push(samples)


def test_a_ring_without_room_or_channels_is_refused() -> None:
    for channels, capacity in ((0, 10), (2, 0)):
        with pytest.raises(ShapeError, match="at least 1 channel and 1 sample"):
            PcmRing(channels, capacity)


@pytest.mark.parametrize("start", [0, 3])
def test_what_is_popped_lies_channel_by_channel(start: int) -> None:
    ring = PcmRing(2, 4)
    ring.push(ramp(0, start))
    ring.pop(start)
    ring.push(ramp(0, 4))
    assert ring.pop(4).T.flags.c_contiguous


def test_clear_forgets_everything() -> None:
    ring = PcmRing(2, 4)
    ring.push(ramp(0, 4))
    ring.clear()
    assert (ring.available, ring.free) == (0, 4)
    ring.push(ramp(9, 2))
    np.testing.assert_array_equal(ring.pop(2), ramp(9, 2))


def test_popped_samples_do_not_change_with_later_pushes() -> None:
    ring = PcmRing(1, 2)
    ring.push(ramp(0, 2, 1))
    popped = ring.pop(2)
    ring.push(ramp(5, 2, 1))
    np.testing.assert_array_equal(popped, ramp(0, 2, 1))
