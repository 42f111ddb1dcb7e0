"""Turn detection for Vision Agents: `TurnstreamTurnDetector` as the agent's `turn_detection`.

    agent = Agent(..., turn_detection=TurnstreamTurnDetector(policy="balanced"))

Each participant has a predictor. It predicts in a thread, because the pause model takes some 0.1 s
and Vision Agents waits for `process_audio`. A backchannel of the user starts no turn, so it does
not interrupt the agent. The agent's own voice is not heard, because a detector does not get it.

With `eager`, an eager end lets the language model answer before the turn is certain to be over.
Vision Agents drops that answer when the user's transcript goes on.

Bounds: ten seconds of a participant's audio wait for the thread, then audio is dropped; the newest
16 participants are kept.

Vision Agents is no extra, because it wants an older websockets than turnstream's server and client
do. README.md says how to install both.
"""
# pyright: basic, reportMissingImports=false
# Vision Agents is not installed where the types are checked.

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from getstream.video.rtc.track_util import PcmData
from numpy.typing import NDArray
from vision_agents.core.edge.types import Participant
from vision_agents.core.turn_detection import TurnDetector

from ..engine import Engine
from ..pause_model import PauseModel, choose_pause_model
from ..policy import PolicySettings
from ..prediction import Prediction
from ..predictor import TurnPredictor
from .voice_activity import VoiceActivity

logger = logging.getLogger(__name__)

USER = 0
MOST_WAITING_S = 10.0
MOST_PARTICIPANTS = 16


@dataclass(slots=True)
class _Speaker:
    """The conversation of one participant."""

    participant: Participant
    rate_hz: int
    predictor: TurnPredictor
    activity: VoiceActivity = field(default_factory=VoiceActivity)
    waiting: deque[NDArray[Any]] = field(default_factory=deque)  # blocks (N,) for the thread
    began_s: float = 0.0  # of the present turn
    task: asyncio.Task[None] | None = None  # predicts


class TurnstreamTurnDetector(TurnDetector):
    """A turn detector of an Agent.

    Args:
        policy: a preset's name ("fast", "balanced", "patient") or PolicySettings.
        model: path of an ONNX file, or an Engine, which agents may share; the bundled model if not
            given.
        pause_model: as for `TurnPredictor`; the bundled one if not given.
        eager: whether to tell of eager ends.
    Raises:
        ModelError: the model cannot be run.
        PolicyError: no preset of that name.
    """

    def __init__(
        self,
        policy: str | PolicySettings = "balanced",
        *,
        model: str | Engine | None = None,
        pause_model: bool | PauseModel | None = None,
        eager: bool = False,
    ) -> None:
        super().__init__(provider_name="turnstream")
        self._engine = model if isinstance(model, Engine) else Engine(model)
        self._pause_model = choose_pause_model(pause_model, self._engine) or False
        self._policy = policy
        self._eager = eager
        self._predictor(16000)  # raises the PolicyError
        self._speakers: dict[str, _Speaker] = {}

    def _predictor(self, rate_hz: int) -> TurnPredictor:
        return TurnPredictor(
            self._engine,
            sample_rate_hz=rate_hz,
            policy=self._policy,
            pause_model=self._pause_model,
        )

    async def process_audio(
        self, data: PcmData, participant: Participant, conversation: object = None
    ) -> None:
        """Queue a participant's audio for its predictor. Another sample rate begins a new one.

        Raises:
            AudioFormatError: the sample rate is out of range.
            Exception: the prediction on earlier audio failed.
        """
        samples = _first_channel(data)
        speaker = self._speakers.get(participant.id)
        if speaker is None or speaker.rate_hz != data.sample_rate:
            speaker = _Speaker(participant, data.sample_rate, self._predictor(data.sample_rate))
            self._speakers.pop(participant.id, None)
            if len(self._speakers) >= MOST_PARTICIPANTS:
                del self._speakers[next(iter(self._speakers))]
            self._speakers[participant.id] = speaker
        if speaker.task is not None and speaker.task.done():
            speaker.task.result()
        if sum(map(len, speaker.waiting)) + len(samples) > MOST_WAITING_S * speaker.rate_hz:
            logger.warning("dropped audio: %g s wait for a prediction", MOST_WAITING_S)
            return
        speaker.waiting.append(samples)
        if speaker.task is None:
            speaker.task = asyncio.create_task(self._predict_in_thread(speaker))

    async def _predict_in_thread(self, speaker: _Speaker) -> None:
        """Predict until no audio waits."""
        while speaker.waiting:
            audio = np.concatenate(speaker.waiting)
            speaker.waiting.clear()
            for prediction in await asyncio.to_thread(speaker.predictor.push_audio, audio):
                await self._tell(speaker, prediction)
        speaker.task = None

    async def _tell(self, speaker: _Speaker, prediction: Prediction) -> None:
        speaker.activity.update(prediction)
        for event in prediction.events:
            if event.speaker != USER:
                continue
            if event.type == "start_of_turn":
                speaker.began_s = event.time_s
                await self._emit_turn_started_event(
                    speaker.participant, confidence=event.probability
                )
            elif event.type == "end_of_turn" or (event.type == "eager_end_of_turn" and self._eager):
                await self._emit_turn_ended_event(
                    speaker.participant,
                    confidence=event.probability,
                    eager=event.type == "eager_end_of_turn",
                    duration_ms=1000 * (event.time_s - speaker.began_s),
                    trailing_silence_ms=1000 * speaker.activity.silence_s,
                )

    async def close(self) -> None:
        """Stop predicting, and forget the participants."""
        await super().close()
        tasks = [speaker.task for speaker in self._speakers.values() if speaker.task is not None]
        self._speakers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _first_channel(data: PcmData) -> NDArray[Any]:
    """Return the first channel, (N,) int16 or float32. Samples may be (N,), (C, N) or (N, C)."""
    samples = data.samples
    if samples.ndim == 1:
        return samples[:: data.channels]
    return samples[0] if samples.shape[0] == data.channels else samples[:, 0]
