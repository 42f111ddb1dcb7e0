"""Measure voice activity: are speech frames found, and how fast is an onset detected?

A frame is predicted as speech where vad is at least 0.5. Frames are compared with the activity of
the manifest, backchannels included. An onset is the first frame of a speaker's activity after at
least 0.2 s of their own silence. Its delay is measured from the start of the onset to the end of
the first frame that is predicted as speech, within 0.5 s. So the least delay is 0.02 s. An onset
also has this delay if vad still, or already, was at least 0.5 before it.

In mono the model receives only the speaker in question. In stereo it receives both, so it can use
the other channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, runs
from .measures import THRESHOLD, Estimate, Floats, Statistic, estimate
from .predictions import EvaluatedDialogue, Setting

SILENT_BEFORE_S = 0.2  # speech after a shorter silence belongs to the same inter-pausal unit
FOUND_WITHIN_S = 0.5


@dataclass(frozen=True)
class VoiceActivity:
    """The accuracy of vad at threshold 0.5.

    Attributes:
        found: share of the speech frames that are predicted as speech.
        false: share of the silent frames that are predicted as speech.
        onsets: number of onsets.
        onsets_found: share of the onsets with a frame predicted as speech within 0.5 s.
        median_delay_s: over the onsets that are found; NaN if there are none.
    """

    found: Estimate
    false: Estimate
    onsets: int
    onsets_found: Estimate
    median_delay_s: float


def measure_voice_activity(
    dialogues: Sequence[EvaluatedDialogue], setting: Setting
) -> VoiceActivity:
    """Compare a system's vad with the activity of the dialogues.

    Args:
        dialogues: the dialogues with the system's predictions.
        setting: "stereo" or "mono".
    """
    # By dialogue: speech frames, those found; silent frames, false ones; onsets, those found.
    sums = np.zeros((len(dialogues), 6))
    delays_s: list[float] = []
    for row, dialogue in zip(sums, dialogues, strict=True):
        for speaker, active in enumerate(dialogue.activity):
            called = dialogue.predictions_for(setting, speaker).vad[speaker] >= THRESHOLD
            onsets = find_speech_onsets(active)
            found_s = [
                delay_s for onset in onsets if (delay_s := _delay_s(called, onset)) is not None
            ]
            delays_s += found_s
            row += [
                active.sum(),
                (called & active).sum(),
                (~active).sum(),
                (called & ~active).sum(),
                len(onsets),
                len(found_s),
            ]
    return VoiceActivity(
        estimate(_share(sums[:, 1], sums[:, 0]), len(dialogues)),
        estimate(_share(sums[:, 3], sums[:, 2]), len(dialogues)),
        int(sums[:, 4].sum()),
        estimate(_share(sums[:, 5], sums[:, 4]), len(dialogues)),
        float(np.median(delays_s)) if delays_s else float("nan"),
    )


def find_speech_onsets(active: BoolFrames) -> list[int]:
    """Return the first frames of one speaker's activity, (T,), after at least 0.2 s of silence."""
    least = round(SILENT_BEFORE_S * FRAME_RATE_HZ)
    return [end for start, end in runs(~active) if end - start >= least and end < len(active)]


def _delay_s(called: BoolFrames, onset: int) -> float | None:
    """Return the time from an onset to the end of the first frame predicted as speech, in seconds.

    None if there is no such frame within 0.5 s.
    """
    window = called[onset : onset + round(FOUND_WITHIN_S * FRAME_RATE_HZ)]
    return (int(window.argmax()) + 1) / FRAME_RATE_HZ if window.any() else None


def _share(part: Floats, whole: Floats) -> Statistic:
    """Return a statistic: a share of sums over all dialogues, (D,) each; NaN where `whole` is 0."""

    def statistic(counts: Floats) -> Floats:
        total = counts @ whole
        return np.divide(counts @ part, total, out=np.full(len(counts), np.nan), where=total > 0)

    return statistic
