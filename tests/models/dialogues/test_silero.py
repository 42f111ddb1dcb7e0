import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from turnstream.models.dialogues import silero
from turnstream.stream.errors import DialogueError, MissingExtraError

RATE_HZ = 16000
needs_silero = pytest.mark.skipif(
    importlib.util.find_spec("silero_vad") is None, reason="silero-vad comes with the bench extra"
)


def noise(seconds: float, level: float, seed: int) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).astype(
        np.float32
    )


def test_probability_becomes_segments_by_two_thresholds():
    probability = np.array(
        [0, 0.4, 0.9, 0.4, 0.4, 0.4, 0.1, 0.1, 0.1, 0.1, 0.4, 0.4, 0.1], np.float32
    )
    (segment,) = silero.probability_to_segments(probability)
    assert segment == pytest.approx((2 * 0.032, 6 * 0.032))


def test_edges_move_in_to_where_the_energy_is():
    audio = np.concatenate([noise(1.0, 1e-4, 0), noise(1.0, 0.1, 1), noise(1.0, 1e-4, 2)])
    (trimmed,) = silero.trim_by_energy(audio, [(0.9, 2.2)])
    assert trimmed == pytest.approx((1.0, 2.0), abs=0.011)


def test_a_segment_that_never_rises_stays():
    assert silero.trim_by_energy(noise(3.0, 1e-3, 0), [(1.0, 2.0)]) == [(1.0, 2.0)]


def test_a_segment_beyond_the_audio_is_dropped():
    assert silero.trim_by_energy(noise(1.0, 1e-3, 0), [(1.5, 2.0)]) == []


@needs_silero
def test_rows_of_a_batch_do_not_touch_each_other():
    audio = np.stack([noise(1.0, 0.1, 0), noise(1.0, 0.3, 1)])
    together = silero.speech_probability(audio)
    alone = np.concatenate(
        [silero.speech_probability(audio[:1]), silero.speech_probability(audio[1:])]
    )
    assert together.shape == (2, 32)
    assert together == pytest.approx(alone, abs=1e-5)


@needs_silero
def test_silence_is_not_speech():
    assert not silero.detect_activity(np.zeros((2, RATE_HZ), np.float32)).any()


@needs_silero
def test_the_detector_brings_no_torch():
    code = (
        "import sys, numpy; from turnstream.models.dialogues import silero; "
        "silero.detect_activity(numpy.zeros((2, 1600), 'f4')); print('torch' in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )


@needs_silero
def test_audio_without_channels_is_refused():
    with pytest.raises(DialogueError, match=r"expected audio \(B, N\), got shape \(100,\)"):
        silero.speech_probability(np.zeros(100, np.float32))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    silero._session.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"turnstream\[bench\]"):
        silero.speech_probability(np.zeros((1, 512), np.float32))
