"""Turn detection for LiveKit Agents (extra `livekit`).

`TurnstreamDetector` is a streaming turn detector of an AgentSession. The session asks for a
prediction in every pause of the user. The answer waits until turnstream's policy ends the turn, so
it can use the audio after the pause began. `turn_handling()` sets the session's delays to the
policy's.

`TurnstreamVAD` is the VAD that a session needs, by turnstream's voice activity. With it, a session
runs no other model in order to hear.

Both hear the user alone, each with its own predictor. The detector asks the pause model, and so
predicts in a thread. Without the pause model, predictions run on the event loop: about 0.2 ms per
20 ms of audio. None of LiveKit's own models is run.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..engine import Engine
from ..pause_model import PauseModel
from ..policy import PolicySettings
from ..prediction import Prediction
from ..predictor import TurnPredictor
from .framework import framework
from .predictors import Model, Predictors, ThreadedPredictor
from .voice_activity import VoiceActivity

with framework("livekit", "livekit-agents"):
    from livekit import rtc
    from livekit.agents import vad
    from livekit.agents.language import LanguageCode
    from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
    from livekit.agents.voice.turn import TurnDetectionEvent, TurnHandlingOptions

USER, AGENT = 0, 1
FRAME_S = 0.02
PREFIX_S = 0.5  # audio before the start of speech, for recognisers that take whole utterances
LONGEST_SPEECH_S = 60.0  # of such an utterance; what is older is dropped
LATE_S = 1.0  # how much later than the policy's time-out a prediction may come


class _Named:
    """What the framework calls the models."""

    @property
    def model(self) -> str:
        return "turnstream"

    @property
    def provider(self) -> str:
        return "turnstream"


class TurnstreamDetector(_Named):
    """A streaming turn detector for AgentSession.

    Args:
        policy, model, pause_model: as for `TurnPredictor`, whose errors come here, too.
    """

    def __init__(
        self,
        policy: str | PolicySettings = "balanced",
        *,
        model: Model = None,
        pause_model: bool | PauseModel | None = None,
    ) -> None:
        self._predictors = Predictors(policy, model, pause_model)
        self.settings = self._predictors.settings

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> TurnstreamDetectorStream:
        """Return the detector of one conversation; there is no connection to set options of."""
        return TurnstreamDetectorStream(self._predictors)

    def turn_handling(self) -> TurnHandlingOptions:
        """Return the session's options: this detector, and the delays of its policy."""
        return {
            "turn_detection": self,
            "endpointing": {
                "mode": "fixed",
                "min_delay": self.settings.end_silence_secs,
                "max_delay": self.settings.timeout_secs,
            },
        }


class TurnstreamDetectorStream(_Named):
    """The turn detector of one conversation. Audio of another sample rate begins a new one."""

    def __init__(self, predictors: Predictors) -> None:
        self._predictors, self._settings = predictors, predictors.settings
        self._predictor: TurnPredictor | None = None
        self._thread: ThreadedPredictor | None = None  # has the predictor, with a pause model
        self._stopped: list[ThreadedPredictor] = []  # former ones that have not ended yet
        self._rate_hz: int = 0
        self._activity = VoiceActivity()
        self._in_turn = False
        self._settled = False  # the turn has ended, and no speech has followed
        # Of the frame that ended the turn if it is settled, else of the newest frame.
        self._p_end, self._p_backchannel = 0.0, 0.0
        self._asked: asyncio.Future[TurnDetectionEvent] | None = None
        self._closed = False

    @property
    def is_fallback(self) -> bool:
        return False

    @property
    def prediction_timeout(self) -> float:
        """Seconds after which the session stops waiting, as when no more audio comes."""
        return self._settings.timeout_secs + LATE_S

    async def unlikely_threshold(self, language: LanguageCode | None) -> float | None:
        """Return the policy's `end_threshold`. Below it, the time-out ended the turn."""
        return self._settings.end_threshold

    async def backchannel_threshold(self, language: LanguageCode | None) -> float | None:
        return self._settings.backchannel_threshold

    async def supports_language(self, language: LanguageCode | None) -> bool:
        """Return True: the network hears no words."""
        return True

    def push_audio(self, frame: rtc.AudioFrame) -> None:
        """Predict on the user's audio.

        Raises:
            Exception: the prediction on earlier audio failed in the thread.
        """
        if self._closed:
            return
        if self._predictor is None or frame.sample_rate != self._rate_hz:
            self._predictor = self._begin(frame.sample_rate)
        samples = _first_channel(frame)
        if self._thread is not None:
            self._thread.push_audio(samples)
        else:
            self._hear(self._predictor.push_audio(samples))

    def _begin(self, rate_hz: int) -> TurnPredictor:
        predictor = self._predictors.begin(rate_hz)
        self._stop()
        if self._predictors.pause_model is not None:
            self._thread = ThreadedPredictor(predictor, rate_hz, self._hear_later)
        self._rate_hz = rate_hz
        self._activity.reset()
        self._in_turn = self._settled = False
        self._p_end = self._p_backchannel = 0.0
        return predictor

    def _stop(self) -> None:
        self.cancel_inference()
        if self._thread is not None:
            self._thread.stop()
            self._stopped = [one for one in (*self._stopped, self._thread) if not one.is_idle]

    @property
    def _has_heard_all(self) -> bool:
        return self._thread is None or self._thread.is_idle

    async def _hear_later(self, predictions: Sequence[Prediction]) -> None:
        self._hear(predictions)
        if not self._in_turn and self._has_heard_all:
            self._answer(self._p_end, self._p_backchannel)

    def _hear(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            self._activity.update(prediction)
            if self._activity.speech_s:
                self._settled = False
            if not self._settled:
                self._p_end = prediction.p_next[AGENT]
                self._p_backchannel = prediction.p_backchannel[AGENT]
            for event in prediction.events:
                if event.type in ("start_of_turn", "end_of_turn"):
                    self._in_turn = event.type == "start_of_turn"
                    self._settled = not self._in_turn
            if self._settled:
                self._answer(self._p_end, self._p_backchannel)

    def predict(self) -> asyncio.Future[TurnDetectionEvent]:
        """Return the prediction for the present silence; it comes when turnstream ends the turn.

        It comes at once if all audio was heard and the user has no turn. Speech sets it to 0.
        """
        self.cancel_inference()
        self._asked = asked = asyncio.get_running_loop().create_future()
        if self._closed:
            self._answer(1.0, None)
        elif not self._in_turn and self._has_heard_all:
            self._answer(self._p_end, self._p_backchannel)
        return asked

    def cancel_inference(self, *, timed_out: bool = False) -> None:
        """Answer an open question with 0, because the user speaks or the turn was decided."""
        self._answer(0.0, None)

    def flush(self, reason: str | None = None) -> None:
        """Withdraw an open question. The conversation stays the predictor's context."""
        self.cancel_inference()

    def end_input(self) -> None:
        self._stop()
        self._closed = True

    async def aclose(self) -> None:
        self.end_input()
        for thread in (*self._stopped, *([] if self._thread is None else [self._thread])):
            await thread.close()

    def _answer(self, p_end: float, p_backchannel: float | None) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_result(
                TurnDetectionEvent(
                    type="eot_prediction",
                    end_of_turn_probability=p_end,
                    last_speaking_time=time.time() - self._activity.silence_s,
                    backchannel_probability=p_backchannel,
                )
            )


class TurnstreamVAD(_Named, vad.VAD):
    """Turnstream's voice activity of the user as the session's VAD.

    Args:
        model: path of an ONNX file, or an Engine; the bundled model if not given.
        min_speech_duration: speech in seconds after which the user counts as speaking.
        min_silence_duration: silence in seconds after which the user counts as silent; a streaming
            turn detector needs at least 0.25.
    Raises:
        ModelError: the model cannot be run.
    """

    def __init__(
        self,
        *,
        model: Model = None,
        min_speech_duration: float = 0.1,
        min_silence_duration: float = 0.25,
    ) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=FRAME_S))
        self._engine = model if isinstance(model, Engine) else Engine(model)
        self.min_speech_duration = min_speech_duration
        self.min_silence_duration = min_silence_duration

    def stream(self) -> TurnstreamVADStream:
        activity = VoiceActivity(
            start_secs=self.min_speech_duration, stop_secs=self.min_silence_duration
        )
        return TurnstreamVADStream(self, self._engine, activity)


class TurnstreamVADStream(vad.VADStream):
    """The voice activity of one conversation. Audio of another sample rate begins a new one."""

    def __init__(self, parent: TurnstreamVAD, engine: Engine, activity: VoiceActivity) -> None:
        self._engine = engine
        self._activity = activity
        # The present speech with the audio before it, in blocks (N,).
        self._audio: deque[NDArray[np.int16]] = deque()
        self._rate_hz: int = 0
        super().__init__(parent)

    async def _main_task(self) -> None:
        predictor: TurnPredictor | None = None
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):  # a flush: the next speech is a new one
                self._activity.reset()
                self._audio.clear()
                continue
            if predictor is None or frame.sample_rate != self._rate_hz:
                self._rate_hz = frame.sample_rate
                predictor = TurnPredictor(
                    self._engine, sample_rate_hz=frame.sample_rate, pause_model=False
                )
                self._activity.reset()
                self._audio.clear()
            samples = _first_channel(frame)
            kept_s = LONGEST_SPEECH_S if self._activity.speaking else 0.0
            kept = round((PREFIX_S + max(kept_s, self._activity.speech_s)) * self._rate_hz)
            self._audio.append(samples)
            while sum(map(len, self._audio)) - len(self._audio[0]) >= kept:
                self._audio.popleft()
            for prediction in predictor.push_audio(samples):
                change = self._activity.update(prediction)
                self._send(vad.VADEventType.INFERENCE_DONE, prediction)
                if change == "started":
                    self._send(vad.VADEventType.START_OF_SPEECH, prediction)
                elif change == "stopped":
                    self._send(vad.VADEventType.END_OF_SPEECH, prediction)

    def _send(self, kind: vad.VADEventType, prediction: Prediction) -> None:
        activity = self._activity
        with_audio = kind != vad.VADEventType.INFERENCE_DONE
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=round(prediction.time_s * self._rate_hz),
                timestamp=prediction.time_s,
                speech_duration=activity.utterance_s,
                silence_duration=activity.silence_s,
                frames=[self._frame()] if with_audio else [],
                probability=prediction.vad[USER],
                speaking=activity.speaking,
                raw_accumulated_speech=activity.speech_s,
                raw_accumulated_silence=activity.silence_s,
            )
        )

    def _frame(self) -> rtc.AudioFrame:
        audio = np.concatenate(self._audio)
        return rtc.AudioFrame(audio.tobytes(), self._rate_hz, 1, len(audio))


def _first_channel(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    """Return the first channel of interleaved PCM, (N,)."""
    return np.frombuffer(frame.data, np.int16)[:: frame.num_channels]
