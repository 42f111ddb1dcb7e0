"""One conversation without an engine: its input, its buffered frames, and its output."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnstream.stream.engine import Float32
from turnstream.stream.errors import AudioFormatError, PolicyError, ShapeError
from turnstream.stream.policy import PRESETS
from turnstream.stream.prediction import Pair, TurnEvent
from turnstream.stream.session import Session

from .made_sessions import METADATA, end_of_turn_frame, frames_of, noise, output, sure_end

RATES = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000])


# ---- predictions ----


def test_nobody_holds_the_floor_before_anyone_has_spoken() -> None:
    prediction = Session(METADATA).accept(output((0.1, 0.1)))
    assert (prediction.holder, prediction.p_shift, prediction.p_hold) == (None, None, None)


@pytest.mark.parametrize(
    ("vad", "holder", "p_shift"), [((0.9, 0.1), 0, 0.75), ((0.1, 0.9), 1, 0.25)]
)
def test_the_shift_is_the_probability_of_the_one_who_does_not_hold(
    vad: tuple[float, float], holder: int, p_shift: float
) -> None:
    session = Session(METADATA)
    for _ in range(5):
        prediction = session.accept(output(vad, user_next=0.25))
    assert (prediction.holder, prediction.p_shift, prediction.p_hold) == (
        holder,
        p_shift,
        1 - p_shift,
    )


def test_a_prediction_repeats_the_row_it_was_made_of() -> None:
    prediction = Session(METADATA).accept(output((0.5, 0.25), rows=4), row=2)
    assert (prediction.vad, prediction.p_now, prediction.p_future) == (
        (0.5, 0.25),
        (0.25, 0.75),
        (0.125, 0.875),
    )
    assert prediction.p_backchannel == (0.0625, 0.5)
    assert {type(value) for value in (*prediction.vad, *prediction.p_next)} == {float}
    np.testing.assert_array_equal(prediction.latent, np.full((2, 4), 2, np.float32))
    np.testing.assert_array_equal(prediction.latent_speaker, np.full((2, 3), 2, np.float32))


@pytest.mark.parametrize("copy", [True, False])
def test_the_latents_are_copied_unless_the_caller_wants_views(copy: bool) -> None:
    outputs = output((0.5, 0.25), rows=4)
    prediction = Session(METADATA).accept(outputs, row=2, copy=copy)
    for latents, batch in (
        (prediction.latent, outputs.latent),
        (prediction.latent_speaker, outputs.latent_speaker),
    ):
        np.testing.assert_array_equal(latents, batch[2])
        assert np.shares_memory(latents, batch) is not copy


def test_time_is_counted_in_samples_without_drift() -> None:
    session = Session(METADATA)
    session.frames_done = 4_320_000  # a day
    prediction = session.accept(output((0.1, 0.1)))
    assert (prediction.frame, prediction.time_s) == (4_320_000, 86400.02)
    assert session.accept(output((0.1, 0.1))).frame == 4_320_001


def test_events_come_with_the_frame_that_causes_them() -> None:
    session = Session(METADATA)
    found = [session.accept(output((0.9, 0.1))).events for _ in range(8)]
    assert [len(events) for events in found] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert found[4] == (TurnEvent("start_of_turn", 0, 0.1, pytest.approx(0.9)),)


def test_without_a_policy_there_are_no_events() -> None:
    session = Session(METADATA, policy=None)
    assert [event for _ in range(20) for event in session.accept(output((0.9, 0.1))).events] == []


# ---- levels ----


def levels_of(session: Session, audio: Float32) -> list[Pair | None]:
    session.push_audio(audio)
    levels: list[Pair | None] = []
    while session.frames_waiting:
        session.take_frame()
        levels.append(session.accept(output((0.9, 0.1))).level_dbfs)
    return levels


def test_a_prediction_carries_the_level_of_its_frame() -> None:
    sine = np.sin(np.arange(960) * 2 * np.pi / 40)
    audio = np.stack(
        [sine * np.repeat([1.0, 0.1, 0.001], 320), sine * np.repeat([0.0, 0.01, 1e-7], 320)], axis=1
    ).astype(np.float32)
    expected = [(-3.01, -120), (-23.01, -43.01), (-63.01, -120)]
    for found, (user, other) in zip(levels_of(Session(METADATA), audio), expected, strict=True):
        assert found == (pytest.approx(user, abs=0.01), pytest.approx(other, abs=0.01))


def test_a_constant_offset_is_no_level() -> None:
    faint = (10 ** (-66 / 20) * np.random.default_rng(0).standard_normal((320, 2))).astype(
        np.float32
    )
    (offset,) = levels_of(Session(METADATA), faint + np.float32(0.1))
    assert offset == (pytest.approx(-66, abs=1), pytest.approx(-66, abs=1))
    assert levels_of(Session(METADATA), np.full((320, 2), 0.5, np.float32)) == [(-120, -120)]


def test_a_level_belongs_to_one_frame_alone() -> None:
    session = Session(METADATA)
    assert session.accept(output((0.9, 0.1))).level_dbfs is None
    assert levels_of(session, noise(320)) != [None]
    assert session.accept(output((0.9, 0.1))).level_dbfs is None


def test_faint_noise_neither_starts_a_turn_nor_makes_a_holder_whatever_the_network_says() -> None:
    for gain_db, events in ((-39, 1), (-42, 0)):  # gain on noise of -20 dBFS
        session = Session(METADATA, buffer_s=2)
        session.push_audio(10 ** (gain_db / 20) * noise(16000))
        results = [(session.take_frame(), session.accept(output((0.9, 0.1))))[1] for _ in range(50)]
        assert len([event for result in results for event in result.events]) == events
        assert results[-1].holder == (0 if events else None)


# ---- audio ----


def test_frames_are_the_audio_in_order() -> None:
    audio = noise(1000)
    session = Session(METADATA)
    session.push_audio(audio)
    assert session.frames_waiting == 3
    frames = frames_of(session)
    assert {frame.shape for frame in frames} == {(2, 320)}
    assert all(frame.dtype == np.float32 and frame.flags.c_contiguous for frame in frames)
    np.testing.assert_array_equal(np.concatenate(frames, axis=1).T, audio[:960])


def test_no_frame_can_be_taken_before_it_is_whole() -> None:
    session = Session(METADATA)
    session.push_audio(noise(319))
    assert session.frames_waiting == 0
    with pytest.raises(ShapeError, match=r"0 to 319 samples.*got 320"):
        session.take_frame()


@pytest.mark.parametrize(
    "samples",
    [np.zeros(10, np.float32), np.zeros((10, 3), np.float32), np.zeros((10, 2), np.int16)],
)
def test_unconverted_audio_is_refused_and_nothing_is_taken_in(samples: Any) -> None:
    session = Session(METADATA)
    session.push_audio(noise(100))
    before = session.snapshot()
    with pytest.raises(ShapeError) as caught:
        session.push_audio(samples)
    assert f"expected float32 samples of shape (N, 2), got {samples.dtype}" in str(caught.value)
    assert session.snapshot() == before


def test_more_than_fits_is_refused_and_nothing_is_taken_in() -> None:
    session = Session(METADATA, buffer_s=0.1)
    free = session.free_samples
    with pytest.raises(AudioFormatError, match=rf"expected at most {free} samples.*got {free + 1}"):
        session.push_audio(noise(free + 1))
    assert (session.samples_received, session.frames_waiting, session.free_samples) == (0, 0, free)


@settings(max_examples=60)
@given(RATES, st.floats(0, 1), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_what_free_samples_promises_can_be_pushed_and_flushed(
    rate_hz: int, buffer_s: float, shares: list[float]
) -> None:
    session = Session(METADATA, sample_rate_hz=rate_hz, buffer_s=buffer_s)
    assert session.free_samples > 0
    pushed = 0
    for share in shares:
        count = int(share * session.free_samples)
        session.push_audio(noise(count))
        pushed += count
    while count := session.free_samples:
        session.push_audio(noise(count))
        pushed += count
    assert session.samples_received == pushed
    session.flush()
    assert session.frames_waiting == math.ceil(math.ceil(pushed * 16000 / rate_hz) / 320)


@pytest.mark.parametrize("buffer_s", [0.05, 0.07, 1.0])
def test_the_buffer_is_rounded_up(buffer_s: float) -> None:
    # One sample is kept for the flush.
    assert (
        buffer_s * 16000
        <= Session(METADATA, buffer_s=buffer_s).free_samples + 1
        <= buffer_s * 16000 + 320
    )


def test_taking_frames_makes_room() -> None:
    session = Session(METADATA, buffer_s=0.1)
    session.push_audio(noise(session.free_samples))
    before = session.free_samples
    session.take_frame()
    assert session.free_samples == before + 320


def test_flush_completes_the_last_frame_with_silence() -> None:
    audio = noise(700)
    session = Session(METADATA)
    session.push_audio(audio)
    session.flush()
    frames = frames_of(session)
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[2][:, :60].T, audio[640:])
    assert not frames[2][:, 60:].any()


@pytest.mark.parametrize("samples", [0, 320, 640])
def test_flush_adds_nothing_to_whole_frames(samples: int) -> None:
    session = Session(METADATA)
    session.push_audio(noise(samples))
    for _ in range(3):
        session.flush()
    assert session.frames_waiting == samples // 320


def test_audio_may_follow_a_flush() -> None:
    session = Session(METADATA)
    session.push_audio(noise(100))
    session.flush()
    session.push_audio(noise(320, seed=1))
    frames = frames_of(session)
    np.testing.assert_array_equal(frames[1].T, noise(320, seed=1))


# ---- settings ----


@pytest.mark.parametrize("rate_hz", [7999, 192_001, 16000.0, True, "16000"])
def test_a_rate_out_of_range_is_refused(rate_hz: Any) -> None:
    with pytest.raises(
        AudioFormatError, match="expected a sample rate that is an integer from 8000 to 192000 Hz"
    ):
        Session(METADATA, sample_rate_hz=rate_hz)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(PolicyError, match="got 'quick'"):
        Session(METADATA, policy="quick")


def test_configure_refuses_an_unknown_policy_and_keeps_the_old_one() -> None:
    session = Session(METADATA, policy="patient")
    with pytest.raises(PolicyError, match="got 'quick'"):
        session.configure("quick")
    assert end_of_turn_frame(session) == sure_end("patient")


def test_configure_changes_the_thresholds() -> None:
    session = Session(METADATA, policy="patient")
    session.configure("fast")
    assert end_of_turn_frame(session) == sure_end("fast")


def test_configure_brings_events_to_a_session_without() -> None:
    session = Session(METADATA, policy=None)
    session.configure(PRESETS["balanced"])
    assert end_of_turn_frame(session) == sure_end("balanced")


def test_turns_in_progress_go_on_after_configure() -> None:
    session = Session(METADATA, policy="fast")
    kinds: list[str] = []
    for number in range(200):
        if number == 40:
            session.configure("patient")
        vad = (0.9, 0.1) if number < 50 else (0.1, 0.1)
        kinds += [event.type for event in session.accept(output(vad, user_next=0.0)).events]
    assert kinds == ["start_of_turn", "eager_end_of_turn", "end_of_turn"]


def test_reset_starts_anew_and_keeps_the_settings() -> None:
    session, fresh = (
        Session(METADATA, sample_rate_hz=8000, policy="patient", buffer_s=2.0) for _ in range(2)
    )
    session.push_audio(noise(4000))
    for _ in range(10):
        session.accept(output((0.9, 0.1)))
    session.state = np.ones(6, np.float32)
    session.reset()
    assert session.snapshot() == fresh.snapshot()
    assert session.free_samples == fresh.free_samples
    assert end_of_turn_frame(session) == sure_end("patient")


def test_suspicious_audio_is_reported_once_until_reset() -> None:
    session = Session(METADATA, buffer_s=20)

    def warnings_of_silence() -> list[str]:
        session.push_audio(np.zeros((100_000, 2), np.float32))
        frames_of(session)
        return [warning.code for warning in session.take_warnings()]

    assert warnings_of_silence() == ["silent"]
    assert warnings_of_silence() == []
    session.reset()
    assert warnings_of_silence() == ["silent"]
