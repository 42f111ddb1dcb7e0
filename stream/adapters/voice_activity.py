"""Voice activity as the frameworks define it: starts and stops of speech, with minimum lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..policy import PRESETS
from ..prediction import Prediction

_SLACK_S = 1e-6  # times are multiples of the frame, and 0.1 s is not exact in binary


@dataclass(slots=True)
class VoiceActivity:
    """Whether the user is speaking, frame by frame. All times are seconds of audio.

    Attributes:
        start_secs: speech after which the user counts as speaking.
        stop_secs: silence after which the user counts as silent.
        on_threshold: least probability of speech, for a frame of silence to become speech.
        off_threshold: the same for a frame of speech to stay speech.
        min_level_dbfs: a quieter frame does not begin speech.
        speaking: whether the user is speaking.
        speech_s: length of the present speech; 0 in silence.
        silence_s: length of the present silence; 0 in speech.
        utterance_s: from the start of the present utterance, or of the last one to its end.
    """

    start_secs: float = 0.1
    stop_secs: float = 0.2
    on_threshold: float = 0.5
    off_threshold: float = 0.35
    min_level_dbfs: float = PRESETS["balanced"].min_level_dbfs
    speaking: bool = False
    speech_s: float = 0.0
    silence_s: float = 0.0
    utterance_s: float = 0.0

    def reset(self) -> None:
        """Forget the speech and silence so far."""
        self.speaking, self.speech_s, self.silence_s, self.utterance_s = False, 0.0, 0.0, 0.0

    def update(self, prediction: Prediction) -> Literal["started", "stopped"] | None:
        """Process the next prediction and return what changed with it."""
        level_dbfs = prediction.level_dbfs
        if self.speech_s:
            active = prediction.vad[0] >= self.off_threshold
        else:
            active = prediction.vad[0] >= self.on_threshold and (
                level_dbfs is None or level_dbfs[0] >= self.min_level_dbfs
            )
        self.speech_s = self.speech_s + prediction.frame_s if active else 0.0
        self.silence_s = 0.0 if active else self.silence_s + prediction.frame_s
        if self.speaking:
            self.utterance_s += prediction.frame_s
        elif active:
            self.utterance_s = self.speech_s
        if not self.speaking and self.speech_s > self.start_secs - _SLACK_S:
            self.speaking = True
            return "started"
        if self.speaking and self.silence_s > self.stop_secs - _SLACK_S:
            self.speaking = False
            self.utterance_s -= self.silence_s
            return "stopped"
        return None
