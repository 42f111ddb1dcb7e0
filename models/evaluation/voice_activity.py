"""Voice activity: does a system know who is speaking now, and how soon does it notice that someone began?

A frame is called speech where vad is at least 0.5. Frames are compared with the activity of the manifest,
backchannels included. An onset is the first frame of a speaker's activity after at least 0.2 s of their
own silence. Its delay runs from the onset's beginning to the end of the first frame that is called speech,
within 0.5 s, so that 0.02 s is the least; a speaker who was still, or already, called speaking has that.

In mono only the speaker in question is heard. In stereo both are, so a network can use the other channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, runs
from .measures import THRESHOLD, Estimate, Floats, Statistic, estimate
from .predictions import EvaluatedDialogue, Setting

SILENT_BEFORE_S = 0.2  # an onset after a shorter silence is within an inter-pausal unit
FOUND_WITHIN_S = 0.5


@dataclass(frozen=True)
class VoiceActivity:
    """How right vad is, at threshold 0.5.

    Attributes:
        found: share of the speech frames that are called speech.
        false: share of the silent frames that are called speech.
        onsets: how many there are.
        onsets_found: share of those that are called speech within 0.5 s.
        median_delay_s: of the onsets that are found; NaN if none are.
    """

    found: Estimate
    false: Estimate
    onsets: int
    onsets_found: Estimate
    median_delay_s: float


def measure_voice_activity(
    dialogues: Sequence[EvaluatedDialogue], setting: Setting
) -> VoiceActivity:
    """Compare a system's vad with the activity of some dialogues.

    Args:
        dialogues: what the system said of them.
        setting: "stereo" or "mono".
    """
    sums = np.zeros(
        (len(dialogues), 6)
    )  # by dialogue: speech, of it found; silence, of it false; onsets, of them found
    delays_s: list[float] = []
    for row, dialogue in zip(sums, dialogues, strict=True):
        for speaker, active in enumerate(dialogue.activity):
            called = dialogue.heard(setting, speaker).vad[speaker] >= THRESHOLD
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
    """First frames of one speaker's activity, (T,), after at least 0.2 s of silence."""
    least = round(SILENT_BEFORE_S * FRAME_RATE_HZ)
    return [end for start, end in runs(~active) if end - start >= least and end < len(active)]


def _delay_s(called: BoolFrames, onset: int) -> float | None:
    """Seconds from an onset to the end of the first frame that is called speech; None if that is later than 0.5 s."""
    heard = called[onset : onset + round(FOUND_WITHIN_S * FRAME_RATE_HZ)]
    return (int(heard.argmax()) + 1) / FRAME_RATE_HZ if heard.any() else None


def _share(part: Floats, whole: Floats) -> Statistic:
    """Share of all dialogues' sums, (D,) each; NaN where there is nothing to share."""

    def statistic(counts: Floats) -> Floats:
        total = counts @ whole
        return np.divide(counts @ part, total, out=np.full(len(counts), np.nan), where=total > 0)

    return statistic
