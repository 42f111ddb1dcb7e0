"""Every condition is checked by measuring its output: levels, noise ratios, bands, decay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.dialogues.activity import Samples
from turnstream.models.evaluation.conditions import (
    RT60_S,
    SAMPLE_RATE_HZ,
    Condition,
    Recording,
    Voice,
    as_int16,
    babble,
    bleed,
    collect_voices,
    made_room,
    read_room,
    reverberate,
    speech_levels,
    standard_conditions,
    telephone,
)
from turnstream.stream.errors import DialogueError

SECONDS = 6
LEVELS = (0.1, 0.02)  # RMS of the two speakers while they speak


def recording(name: str = "call", seed: int = 0) -> Recording:
    """Noise in place of speech: speaker 0 in the first half, speaker 1 in the second."""
    half = SECONDS * 25
    activity = np.zeros((2, 2 * half), bool)
    activity[0, :half], activity[1, half:] = True, True
    loud = np.repeat(activity, 320, axis=1) * np.array(LEVELS)[:, None]
    audio = (np.random.default_rng(seed).standard_normal(loud.shape) * loud).astype(np.float32)
    return Recording(name, audio, activity, np.zeros_like(activity))


def rms_db(samples: Samples) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def voices() -> list[Voice]:
    return collect_voices(
        [recording(name, seed) for seed, name in enumerate(("call", "second", "third"))]
    )


def by_name(name: str) -> Condition:
    return next(condition for condition in standard_conditions(voices()) if condition.name == name)


@pytest.mark.parametrize("snr_db", [20, 10, 5])
@pytest.mark.parametrize("kind", ["white noise", "babble"])
def test_noise_is_so_far_below_each_channels_speech(kind: str, snr_db: int) -> None:
    clean = recording()
    added = by_name(f"{kind} {snr_db} dB").apply(clean) - clean.audio
    for channel, level in enumerate(LEVELS):
        assert 20 * np.log10(level) - rms_db(added[channel]) == pytest.approx(snr_db, abs=0.2)
    assert abs(np.corrcoef(added)[0, 1]) < 0.05


def test_gain_shifts_the_level_and_clips_as_16_bit_does() -> None:
    clean = recording()
    quiet, loud = by_name("gain -20 dB").apply(clean), by_name("gain +20 dB").apply(clean)
    assert rms_db(quiet) == pytest.approx(rms_db(clean.audio) - 20, abs=0.1)
    # A signal with an RMS of 0.02 does not clip.
    assert rms_db(loud[1]) == pytest.approx(rms_db(clean.audio[1]) + 20, abs=0.1)
    assert loud.max() == np.float32(32767 / 32768)
    assert loud.min() == -1.0


def test_samples_lie_on_the_16_bit_grid() -> None:
    clean = recording()
    for condition in standard_conditions(voices()):
        changed = condition.apply(clean)
        assert changed.dtype == np.float32
        assert changed.shape == clean.audio.shape
        np.testing.assert_array_equal(changed * 32768, np.round(changed * 32768))
    np.testing.assert_array_equal(
        as_int16(np.float32([-3, 0, 3])), np.float32([-1, 0, 32767 / 32768])
    )


def test_the_telephone_keeps_its_band_and_its_time() -> None:
    clean = recording().audio
    heard = telephone(clean)
    power = np.abs(np.fft.rfft(heard[0])) ** 2 / np.abs(np.fft.rfft(clean[0])) ** 2
    hz = np.fft.rfftfreq(len(clean[0]), 1 / SAMPLE_RATE_HZ)

    def kept_db(low: float, high: float) -> float:
        return float(10 * np.log10(np.median(power[(hz >= low) & (hz < high)])))

    assert kept_db(500, 3000) == pytest.approx(0, abs=1)
    assert kept_db(0, 150) < -15
    assert kept_db(4200, 8000) < -30
    delay = np.argmax(np.correlate(heard[0, :16000], clean[0, :16000], "full")) - 15999
    assert 0 <= delay < 16


def test_a_made_room_decays_by_60_db_and_keeps_the_energy() -> None:
    response = made_room(np.random.default_rng(0))
    assert np.sum(response**2) == pytest.approx(1, rel=1e-4)
    assert np.abs(response).argmax() == 0
    remaining_db = 10 * np.log10(
        np.cumsum(response[::-1] ** 2)[::-1][1:] / np.sum(response[1:] ** 2)
    )
    steps = [round(share * RT60_S * SAMPLE_RATE_HZ) for share in (0.1, 0.5)]
    assert remaining_db[steps[1]] - remaining_db[steps[0]] == pytest.approx(-60 * 0.4, abs=2)
    wet = reverberate(recording().audio, response)
    half = wet.shape[1] // 2
    assert rms_db(wet[0, :half]) == pytest.approx(rms_db(recording().audio[0, :half]), abs=0.5)
    # It rings on and decays.
    assert rms_db(wet[0, half : half + 1600]) > rms_db(wet[0, half + 4800 : half + 6400]) + 10


def test_bleed_adds_the_other_channel() -> None:
    clean = recording()
    np.testing.assert_allclose(
        bleed(clean.audio, -20.0), clean.audio + 0.1 * clean.audio[::-1], atol=1e-6
    )
    half = clean.audio.shape[1] // 2
    assert rms_db(by_name("bleed -20 dB").apply(clean)[1, :half]) == pytest.approx(
        20 * np.log10(LEVELS[0]) - 20, abs=0.2
    )


def test_babble_is_made_of_other_dialogues_only() -> None:
    one, two = (
        np.ones(SAMPLE_RATE_HZ, np.float32),
        np.tile(np.float32([1, -1]), SAMPLE_RATE_HZ // 2),
    )
    mixed = babble(
        recording("call"), [Voice("call", two), Voice("other", one)], np.random.default_rng(0)
    )
    np.testing.assert_allclose(mixed, np.ones_like(mixed), atol=1e-6)


def test_without_other_dialogues_there_is_no_babble() -> None:
    alone = standard_conditions(collect_voices([recording()]))
    assert [condition.name for condition in alone if "babble" in condition.name] == []
    assert len(standard_conditions(voices())) == len(alone) + 3


def test_voices_are_speech_without_pauses_of_unit_level() -> None:
    found = collect_voices(
        [
            recording(),
            Recording(
                "mute",
                np.zeros((2, 32000), np.float32),
                np.ones((2, 100), bool),
                np.zeros((2, 100), bool),
            ),
        ]
    )
    assert [(voice.dialogue_id, len(voice.speech)) for voice in found] == [
        ("call", SECONDS * SAMPLE_RATE_HZ // 2)
    ] * 2
    assert [rms_db(voice.speech) for voice in found] == pytest.approx([0, 0], abs=1e-3)


def test_a_silent_speaker_gets_noise_at_the_others_level() -> None:
    clean = recording()
    clean.activity[1] = False
    assert speech_levels(clean) == pytest.approx([LEVELS[0]] * 2, rel=0.02)


def test_a_condition_is_the_same_for_the_same_seed_and_dialogue_only() -> None:
    condition = by_name("white noise 10 dB")
    np.testing.assert_array_equal(condition.apply(recording(), 3), condition.apply(recording(), 3))
    assert (condition.apply(recording(), 3) != condition.apply(recording(), 4)).any()
    assert (condition.apply(recording(), 3) != condition.apply(recording("other"), 3)).any()


def test_a_measured_room_starts_at_its_direct_sound(tmp_path: Path) -> None:
    response = np.zeros(800)
    response[[100, 300]] = -0.5, 0.1
    sf.write(tmp_path / "hall.wav", response, SAMPLE_RATE_HZ)
    read = read_room(tmp_path / "hall.wav")
    assert np.abs(read).argmax() == 0
    assert read[200] / read[0] == pytest.approx(-0.2, abs=1e-3)
    assert np.sum(read**2) == pytest.approx(1)
    assert [c.name for c in standard_conditions(room=read) if "room" in c.name] == ["room"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "hall.wav: expected an impulse response that libsndfile reads"),
        (0.0, "got 100 samples of silence"),
    ],
)
def test_a_room_that_is_none_is_refused(
    content: float | None, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "hall.wav"
    if content is None:
        path.write_text("no sound")
    else:
        sf.write(path, np.full(100, content), SAMPLE_RATE_HZ)
    with pytest.raises(DialogueError, match=expected):
        read_room(path)
