from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from turnstream import Prediction
from turnstream.stream.adapters.voice_activity import VoiceActivity

LOUD, FAINT = -20.0, -70.0
NO_LATENT = np.zeros((2, 0), np.float32)


def frames(*stretches: tuple[int, float], level_dbfs: float = LOUD) -> list[Prediction]:
    """Return predictions of 20 ms: for each stretch, how many frames, and the user's vad."""
    values = [vad for count, vad in stretches for _ in range(count)]
    half = (0.5, 0.5)
    return [
        Prediction(
            frame=n,
            time_s=(n + 1) * 0.02,
            holder=None,
            p_shift=None,
            p_hold=None,
            vad=(vad, 1.0),
            p_now=half,
            p_future=half,
            p_next=half,
            p_backchannel=half,
            latent=NO_LATENT,
            latent_speaker=NO_LATENT,
            active=(vad >= 0.5, False),
            level_dbfs=(level_dbfs, LOUD),
        )
        for n, vad in enumerate(values)
    ]


def changes(activity: VoiceActivity, predictions: Sequence[Prediction]) -> list[tuple[int, str]]:
    found = ((p.frame, activity.update(p)) for p in predictions)
    return [(frame, change) for frame, change in found if change]


def test_speech_and_silence_count_from_their_shortest_lengths() -> None:
    said = frames((10, 0.1), (20, 0.9), (9, 0.1), (20, 0.9), (20, 0.1))
    # A start after 5 frames, no stop in a silence of 9, a stop after 10.
    assert changes(VoiceActivity(), said) == [(14, "started"), (68, "stopped")]


def test_speech_that_is_too_short_is_none() -> None:
    assert changes(VoiceActivity(), frames((10, 0.1), (4, 0.9), (20, 0.1))) == []


def test_a_doubtful_frame_continues_speech_but_begins_none() -> None:
    assert changes(VoiceActivity(), frames((20, 0.4))) == []
    assert changes(VoiceActivity(), frames((5, 0.6), (20, 0.4))) == [(4, "started")]


def test_a_faint_frame_begins_no_speech() -> None:
    assert changes(VoiceActivity(), frames((20, 0.9), level_dbfs=FAINT)) == []


def test_the_lengths_are_those_of_the_utterance() -> None:
    activity = VoiceActivity()
    changes(activity, frames((10, 0.1), (20, 0.9)))
    assert (activity.speech_s, activity.silence_s) == (pytest.approx(0.4), 0.0)
    assert activity.utterance_s == pytest.approx(0.4)
    changes(activity, frames((5, 0.1), (5, 0.9), (10, 0.1)))
    assert (activity.speech_s, activity.silence_s) == (0.0, pytest.approx(0.2))
    assert activity.utterance_s == pytest.approx(0.6)


def test_a_reset_forgets_the_speech() -> None:
    activity = VoiceActivity()
    changes(activity, frames((20, 0.9)))
    activity.reset()
    assert activity == VoiceActivity()
    assert changes(activity, frames((5, 0.9))) == [(4, "started")]
