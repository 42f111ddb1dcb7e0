"""The checks of one channel: from its levels and long-term sums to warnings, each given once.

`audio_check.py` says what the problems are and what the rules were measured on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .speech_spectra import SpectraSums, SpeechSpectra, StoredCount, Sum

WarningCode = Literal["silent", "dc_offset", "clipping", "narrow_band", "wrong_rate"]

LOOK_WINDOWS = 8  # windows that are analysed together

# A-law has no zero: its silence is the constant 2.4e-4.
_SILENT_S, _SILENT_DB, _SILENT_MEAN = 5.0, -119.0, 3e-4
_DC_S, _DC_LIMIT = 5.0, 0.01
_CLIPPING_S, _CLIPPING_SHARE = 2.0, 0.01
# The noise estimate rises by at most 0.1 dB a window, which is 1.6 dB a second.
_SPEECH_DBFS, _SPEECH_OVER_NOISE_DB, _NOISE_RISE_DB = -55.0, 15.0, 0.1
_NARROW_AFTER_S, _NARROW_DB, _NARROW_FROM_RATE_HZ = 5.0, -45.0, 16000
_SPECTRA_END_S = 30.0
_RATE_AFTER_S = 8.0


@dataclass(frozen=True, slots=True)
class AudioWarning:
    """One problem of one channel.

    Attributes:
        code: kind of the problem.
        severity: "info" if the audio may be as intended, else "warning".
        channel: 0 user, 1 other.
        time_s: time of the detection, in seconds of audio since the start.
        message: description in one line.
    """

    code: WarningCode
    severity: Literal["info", "warning"]
    channel: int
    time_s: float
    message: str


class ChannelSums(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of one channel's checks, to store it.

    Attributes:
        windows: windows checked so far.
        reported: kinds of problems that have been reported.
        noise_db: estimate of the noise in dB re full scale; None before the first window.
        zero_s: seconds of zeros up to now.
        mean_sum, mean_windows: sum of the means of the present 5 s, and its windows.
        clipped_share, clipping_windows: the same for the clipped shares of the present 2 s.
        speech_s: seconds of speech so far.
        spectra: the long-term sums over speech.
    """

    windows: StoredCount
    reported: list[WarningCode]
    noise_db: Annotated[float, Meta(gt=-1e3, lt=1e3)] | None
    zero_s: Sum
    mean_sum: Annotated[float, Meta(gt=-1e300, lt=1e300)]
    mean_windows: StoredCount
    clipped_share: Sum
    clipping_windows: StoredCount
    speech_s: Sum
    spectra: SpectraSums


class ChannelCheck:
    """The checks of one channel.

    Levels are checked window by window. Long-term sums over speech grow by eight windows at a time.
    """

    def __init__(self, channel: int, sample_rate_hz: int, window_samples: int) -> None:
        self.channel = channel
        self.spectra = SpeechSpectra()
        self._rate_hz = sample_rate_hz
        self._window_samples = window_samples
        self._window_s = window_samples / sample_rate_hz
        self._windows = 0
        self._reported: set[WarningCode] = set()
        self._warnings: list[AudioWarning] = []
        self._noise_db: float | None = None
        self._zero_s = 0.0
        self._mean_sum, self._mean_windows = 0.0, 0
        self._clipped_share, self._clipping_windows = 0.0, 0
        self._speech_s = 0.0

    @property
    def listening(self) -> bool:
        """Whether the spectra need more speech."""
        return self._speech_s <= _SPECTRA_END_S

    def snapshot(self) -> ChannelSums:
        """Returns the state."""
        return ChannelSums(
            self._windows,
            sorted(self._reported),
            self._noise_db,
            self._zero_s,
            self._mean_sum,
            self._mean_windows,
            self._clipped_share,
            self._clipping_windows,
            self._speech_s,
            self.spectra.snapshot(),
        )

    def restore(self, sums: ChannelSums) -> None:
        """Continue from a state; raises ValueError if it is wrong."""
        self._windows, self._reported = sums.windows, set(sums.reported)
        self._noise_db, self._zero_s = sums.noise_db, sums.zero_s
        self._mean_sum, self._mean_windows = sums.mean_sum, sums.mean_windows
        self._clipped_share, self._clipping_windows = sums.clipped_share, sums.clipping_windows
        self._speech_s = sums.speech_s
        self.spectra.restore(sums.spectra, LOOK_WINDOWS)

    def take_warnings(self) -> list[AudioWarning]:
        """Return the warnings since the last call."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def levels(
        self, means: list[float], levels_db: list[float], clipped: list[float]
    ) -> list[bool]:
        """Check the levels of the next windows; each argument has one value per window.

        Args:
            means: mean of the samples.
            levels_db: level without the mean, in dB re full scale.
            clipped: share of the samples at full scale.

        Returns:
            Whether each window is speech.
        """
        speech = [self._is_speech(level_db) for level_db in levels_db]
        for mean, level_db, spoken, share in zip(means, levels_db, speech, clipped, strict=True):
            self._windows += 1
            silent = level_db <= _SILENT_DB and abs(mean) <= _SILENT_MEAN
            self._zero_s = self._zero_s + self._window_s if silent else 0.0
            if self.channel == 0 and self._zero_s > _SILENT_S:
                self._notice(
                    "silent",
                    "warning",
                    f"nothing but zeros for {_SILENT_S:g} s; "
                    "is the microphone muted or the wrong channel connected?",
                )
            self._mean_sum += mean
            self._mean_windows += 1
            if self._mean_windows * self._window_s >= _DC_S:
                self._judge_mean()
            if spoken:
                self._speech_s += self._window_s
                self._clipped_share += share
                self._clipping_windows += 1
                if self._clipping_windows * self._window_s >= _CLIPPING_S:
                    self._judge_clipping()
        return speech

    def judge_spectra(self) -> None:
        """Warn if the long-term sums show a narrow band or a wrong rate."""
        if (
            self._speech_s >= _NARROW_AFTER_S
            and self._rate_hz >= _NARROW_FROM_RATE_HZ
            and self.spectra.high_band_db < _NARROW_DB
        ):
            heard = f"declared as {self._rate_hz} Hz, but nothing above 4 kHz is heard"
            self._notice(
                "narrow_band",
                "info",
                f"{heard}: it looks like an upsampled 8 kHz signal, such as a telephone line",
            )
        if self._speech_s >= _RATE_AFTER_S and self.spectra.too_fast > 0:
            rates = f"recorded at {self._rate_hz // 2} Hz and declared as {self._rate_hz} Hz"
            self._notice(
                "wrong_rate",
                "warning",
                (
                    f"speech sounds twice too fast; was it {rates}, "
                    "or is it one channel, declared as two?"
                ),
            )

    def _judge_mean(self) -> None:
        offset = self._mean_sum / self._mean_windows
        if abs(offset) > _DC_LIMIT:
            message = (
                f"the signal's mean is {offset:+.3f} of full scale, expected 0; "
                "check the sound card or the sample format"
            )
            self._notice("dc_offset", "warning", message)
        self._mean_sum, self._mean_windows = 0.0, 0

    def _judge_clipping(self) -> None:
        share = self._clipped_share / self._clipping_windows
        if share > _CLIPPING_SHARE:
            self._notice(
                "clipping",
                "warning",
                (
                    f"{share:.0%} of the samples in speech are at full scale; "
                    "lower the recording level"
                ),
            )
        self._clipped_share, self._clipping_windows = 0.0, 0

    def _notice(
        self, code: WarningCode, severity: Literal["info", "warning"], message: str
    ) -> None:
        if code not in self._reported:
            self._reported.add(code)
            self._warnings.append(
                AudioWarning(
                    code,
                    severity,
                    self.channel,
                    self._windows * self._window_samples / self._rate_hz,
                    f"channel {self.channel}: {message}",
                )
            )

    def _is_speech(self, level_db: float) -> bool:
        """Whether the level is far above the noise; its estimate falls at once and rises slowly."""
        if self._noise_db is None or level_db < self._noise_db:
            self._noise_db = level_db
        else:
            self._noise_db = min(level_db, self._noise_db + _NOISE_RISE_DB)
        return level_db > max(_SPEECH_DBFS, self._noise_db + _SPEECH_OVER_NOISE_DB)
