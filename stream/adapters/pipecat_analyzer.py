"""Turnstream as pipecat's turn analyzer and VAD, for pipelines that are built on these.

They hear the user alone, each with its own predictor. The processor of pipecat.py can do more.
"""

# pyright: reportUnknownMemberType=false
# (Keyword arguments of pipecat have no types.)

from __future__ import annotations

import time

from ..policy import PolicySettings
from .framework import framework
from .pipecat import first_channel
from .pipecat_strategies import USER
from .predictors import Model, Predictors
from .voice_activity import VoiceActivity

with framework("pipecat", "pipecat-ai"):
    from pipecat.audio.turn.base_turn_analyzer import (
        BaseTurnAnalyzer,
        BaseTurnParams,
        EndOfTurnState,
    )
    from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
    from pipecat.metrics.metrics import MetricsData, TurnMetricsData

FRAME_S = 0.02


class TurnstreamTurnAnalyzer(BaseTurnAnalyzer):
    """Turnstream as a plain turn analyzer, for TurnAnalyzerUserTurnStopStrategy.

    It hears the user alone, and has its own predictor. A turn is incomplete while turnstream is in
    a turn of the user. With another VAD than TurnstreamVADAnalyzer, the framework's turns begin
    when that VAD says so. Keep the policy's `timeout_secs` below the framework's
    `user_turn_stop_timeout` (5 s), which does end the framework's turns here.

    Args:
        policy, model: as for `TurnPredictor`, whose errors come here, too.
        sample_rate: rate of the audio in Hz; the pipeline's if not given.
    """

    def __init__(
        self,
        policy: str | PolicySettings = "balanced",
        *,
        model: Model = None,
        sample_rate: int | None = None,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        # Without the pause model, because the framework waits for a call.
        self._predictors = Predictors(policy, model, pause_model=False)
        self._params = BaseTurnParams()
        self.set_sample_rate(sample_rate or 16000)

    def set_sample_rate(self, sample_rate: int) -> None:
        super().set_sample_rate(sample_rate)
        self._predictor = self._predictors.begin(self.sample_rate)
        self._in_turn = False
        self._metrics: TurnMetricsData | None = None

    @property
    def speech_triggered(self) -> bool:
        return self._in_turn

    @property
    def params(self) -> BaseTurnParams:
        return self._params

    def append_audio(self, buffer: bytes, is_speech: bool) -> EndOfTurnState:
        state = EndOfTurnState.INCOMPLETE
        began_s = time.perf_counter()
        for prediction in self._predictor.push_audio(first_channel(buffer, 1)):
            for event in prediction.events:
                if event.type == "start_of_turn":
                    self._in_turn, state = True, EndOfTurnState.INCOMPLETE
                elif event.type == "end_of_turn":
                    self._in_turn, state = False, EndOfTurnState.COMPLETE
                    self._metrics = TurnMetricsData(
                        processor=type(self).__name__,
                        is_complete=True,
                        probability=event.probability,
                        e2e_processing_time_ms=(time.perf_counter() - began_s) * 1000,
                    )
        return state

    async def analyze_end_of_turn(self) -> tuple[EndOfTurnState, MetricsData | None]:
        metrics, self._metrics = self._metrics, None
        return EndOfTurnState.INCOMPLETE if self._in_turn else EndOfTurnState.COMPLETE, metrics

    def clear(self) -> None:
        """Drop nothing: the predictor keeps the whole conversation as its context."""


class TurnstreamVADAnalyzer(VADAnalyzer):
    """The user's voice within turnstream's turns, as pipecat's VAD. It has its own predictor.

    Speech that begins no turn, such as a faint sound, is no voice here. So the framework's turns
    begin where turnstream's do.

    Args:
        policy: the turn analyzer's.
        model: as for `TurnPredictor`, whose errors come here, too.
        sample_rate: rate of the audio in Hz; the pipeline's if not given.
    """

    def __init__(
        self,
        policy: str | PolicySettings = "balanced",
        *,
        model: Model = None,
        sample_rate: int | None = None,
    ) -> None:
        params = VADParams(
            confidence=VoiceActivity().on_threshold,
            start_secs=FRAME_S,  # the policy has already counted the speech
            stop_secs=VoiceActivity().stop_secs,
            min_volume=0.0,  # and judged its level
        )
        super().__init__(sample_rate=sample_rate, params=params)
        # Without the pause model, because the framework waits for a call.
        self._predictors = Predictors(policy, model, pause_model=False)
        self.set_sample_rate(sample_rate or 16000)

    def set_sample_rate(self, sample_rate: int) -> None:
        super().set_sample_rate(sample_rate)
        self._predictor = self._predictors.begin(self.sample_rate)
        self._in_turn, self._confidence = False, 0.0

    def num_frames_required(self) -> int:
        return round(self.sample_rate * FRAME_S)

    def voice_confidence(self, buffer: bytes) -> float:
        for prediction in self._predictor.push_audio(first_channel(buffer, 1)):
            for event in prediction.events:
                if event.type in ("start_of_turn", "end_of_turn"):
                    self._in_turn = event.type == "start_of_turn"
            self._confidence = prediction.vad[USER] if self._in_turn else 0.0
        return self._confidence
