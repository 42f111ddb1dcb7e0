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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from getstream.video.rtc.track_util import PcmData
from numpy.typing import NDArray
from vision_agents.core.edge.types import Participant
from vision_agents.core.turn_detection import TurnDetector

from ..pause_model import PauseModel
from ..policy import PolicySettings
from ..prediction import Prediction, TurnEvent
from .predictors import Model, Predictors, ThreadedPredictor
from .voice_activity import VoiceActivity

USER = 0
MOST_PARTICIPANTS = 16


@dataclass(slots=True)
class _Speaker:
    """What is known of one participant."""

    participant: Participant
    activity: VoiceActivity = field(default_factory=VoiceActivity)
    began_s: float = 0.0  # of the present turn


class TurnstreamTurnDetector(TurnDetector):
    """A turn detector of an Agent.

    Args:
        policy, model, pause_model: as for `TurnPredictor`, whose errors come here, too.
        eager: whether to tell of eager ends.
    """

    def __init__(
        self,
        policy: str | PolicySettings = "balanced",
        *,
        model: Model = None,
        pause_model: bool | PauseModel | None = None,
        eager: bool = False,
    ) -> None:
        super().__init__(provider_name="turnstream")
        self._predictors = Predictors(policy, model, pause_model)
        self._eager = eager
        self._threads: dict[str, ThreadedPredictor] = {}  # by the participants' ids
        self._closed = False

    async def process_audio(
        self, data: PcmData, participant: Participant, conversation: object = None
    ) -> None:
        """Queue a participant's audio for its predictor; no effect after `close`.

        Another sample rate begins a new conversation.

        Raises:
            AudioFormatError: the sample rate is out of range.
            Exception: the prediction on earlier audio failed.
        """
        if self._closed:
            return
        thread, left = self._threads.get(participant.id), None
        if thread is None or thread.sample_rate_hz != data.sample_rate:
            tell = partial(self._tell, _Speaker(participant))
            predictor = self._predictors.begin(data.sample_rate)
            thread = ThreadedPredictor(predictor, data.sample_rate, tell)
            left = self._threads.pop(participant.id, None)
            self._threads[participant.id] = thread
            if len(self._threads) > MOST_PARTICIPANTS:
                left = self._threads.pop(next(iter(self._threads)))
        thread.push_audio(_first_channel(data))
        if left is not None:
            await left.close()

    async def _tell(self, speaker: _Speaker, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            speaker.activity.update(prediction)
            for event in prediction.events:
                if event.speaker == USER:
                    await self._emit(speaker, event)

    async def _emit(self, speaker: _Speaker, event: TurnEvent) -> None:
        if event.type == "start_of_turn":
            speaker.began_s = event.time_s
            await self._emit_turn_started_event(speaker.participant, confidence=event.probability)
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
        self._closed = True
        threads = [*self._threads.values()]
        self._threads.clear()
        await asyncio.gather(*(thread.close() for thread in threads))


def _first_channel(data: PcmData) -> NDArray[Any]:
    """Return the first channel, (N,) int16 or float32. Samples may be (N,), (C, N) or (N, C)."""
    samples = data.samples
    if samples.ndim == 1:
        return samples[:: data.channels]
    return samples[0] if samples.shape[0] == data.channels else samples[:, 0]
