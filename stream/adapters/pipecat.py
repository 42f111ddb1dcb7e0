"""Turn detection for pipecat (extra `pipecat`): one predictor starts and ends the user's turns.

`TurnstreamProcessor` is placed between the speech recogniser and the user aggregator. It predicts
on every audio frame, and pushes:

- upstream, to the recogniser: VADUserStartedSpeakingFrame and VADUserStoppedSpeakingFrame, by the
  user's voice activity
- downstream: TurnStartedFrame and TurnEndedFrame at the start and the end of the user's turn. They
  are the VAD frames that the framework's turn controller knows. Its time-outs act only after a VAD
  frame has said that the user is silent. So they cannot end a turn while turnstream still waits.
- downstream, too: one TurnEventFrame per turn event
- both ways: UserSpeakingFrame, which keeps the pipeline from being closed as idle

All of them are system frames, which pipecat keeps in order. The strategies of pipecat_strategies.py
act on the turn frames, which pipecat holds back, as it holds back other VAD frames, from a muted
user.

`TurnstreamBotVoice`, placed after the transport's output, feeds the bot's voice as the second
channel. An interruption drops the bot's voice that was not predicted yet.

Pipelines that are built on a turn analyzer find one in pipecat_analyzer.py.

Predictions run on the event loop: about 0.2 ms per 20 ms of audio. With a pause model they run in a
thread.
"""

# pyright: reportUnknownMemberType=false
# (Keyword arguments of pipecat have no types.)

from __future__ import annotations

import asyncio
import time

import numpy as np
from numpy.typing import NDArray

from ..devices.agent_voice import AgentVoice
from ..pause_model import PauseModel
from ..policy import PolicySettings
from ..prediction import Prediction, TurnEvent
from ..predictor import TurnPredictor
from .framework import framework
from .pipecat_strategies import (
    USER,
    TurnEndedFrame,
    TurnEventFrame,
    TurnStartedFrame,
    TurnstreamUserTurnStartStrategy,
    TurnstreamUserTurnStopStrategy,
)
from .predictors import Model, Predictors
from .voice_activity import VoiceActivity

with framework("pipecat", "pipecat-ai"):
    from pipecat.frames.frames import (
        CancelFrame,
        EndFrame,
        Frame,
        InputAudioRawFrame,
        InterruptionFrame,
        OutputAudioRawFrame,
        StartFrame,
        UserSpeakingFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.turns.user_turn_strategies import UserTurnStrategies

SPEAKING_PERIOD_S = 0.2  # the framework's own period of UserSpeakingFrame


class TurnstreamProcessor(FrameProcessor):
    """Predicts on the user's audio and the bot's voice, and pushes voice activity and turn events.

    One processor serves one conversation. Audio of another sample rate begins a new one.

    Args:
        policy, model, pause_model: as for `TurnPredictor`, whose errors come here, too. The pause
            model is asked in a thread.
        audio_idle_timeout: if no audio arrives for so many seconds within a turn of the user, as
            from a muted microphone, the processor predicts on silence instead, and the policy ends
            the turn. 0 turns this off.
    """

    def __init__(
        self,
        policy: str | PolicySettings = "balanced",
        *,
        model: Model = None,
        audio_idle_timeout: float = 1.0,
        pause_model: bool | PauseModel | None = None,
    ) -> None:
        super().__init__()
        self._predictors = Predictors(policy, model, pause_model)
        self._audio_idle_timeout = audio_idle_timeout
        self._begin(self._predictors.begin(16000), 16000)
        self._heard_at = 0.0  # when audio last arrived, on the monotonic clock
        self._idle_task: asyncio.Task[None] | None = None
        # Audio and the silence in its place are predicted one after the other.
        self._lock = asyncio.Lock()

    def strategies(
        self,
        *,
        eager: bool = False,
        enable_interruptions: bool = True,
        wait_for_transcript: bool = True,
    ) -> UserTurnStrategies:
        """Return the strategies for the user aggregator or a UserTurnProcessor.

        Args:
            eager: answer an eager end of turn while the turn is open; see
                TurnstreamUserTurnStopStrategy.
            enable_interruptions: the start of a user's turn interrupts the bot.
            wait_for_transcript: end a turn only when its transcript has arrived.
        """
        return UserTurnStrategies(
            start=[TurnstreamUserTurnStartStrategy(enable_interruptions=enable_interruptions)],
            stop=[
                TurnstreamUserTurnStopStrategy(eager=eager, wait_for_transcript=wait_for_transcript)
            ],
        )

    def bot_voice(self) -> TurnstreamBotVoice:
        """Return the processor to place after the transport's output."""
        return TurnstreamBotVoice(self)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self._heard_at = time.monotonic()
            async with self._lock:
                if frame.sample_rate != self._rate_hz:
                    predictor = self._predictors.begin(frame.sample_rate)
                    await self._end_all()
                    self._begin(predictor, frame.sample_rate)
                await self._predict(first_channel(frame.audio, frame.num_channels))
        elif isinstance(frame, StartFrame):
            if self._audio_idle_timeout > 0:
                self._idle_task = self.create_task(self._watch_audio())
        elif isinstance(frame, EndFrame | CancelFrame):
            await self._stop_watching()

    async def cleanup(self) -> None:
        await self._stop_watching()
        await super().cleanup()

    def hear_bot(self, samples: NDArray[np.int16], sample_rate_hz: int) -> None:
        """Add the bot's voice, (N,), as it is played; it sounds beside the user's next audio."""
        self._bot.say(samples, sample_rate_hz)

    @property
    def bot_is_speaking(self) -> bool:
        """Whether the bot's voice sounds beside the user's present audio."""
        return self._bot.speaking

    def stop_bot(self) -> None:
        """Drop the bot's voice that has no user's audio beside it yet."""
        self._bot.stop()

    def _begin(self, predictor: TurnPredictor, rate_hz: int) -> None:
        self._predictor, self._rate_hz = predictor, rate_hz
        self._bot = AgentVoice(rate_hz)
        self._activity = VoiceActivity()
        self._in_turn = False
        self._announced_s = 0.0  # speech in this utterance at the last UserSpeakingFrame

    async def _end_all(self) -> None:
        """End the user's speech and turn, if they are open."""
        if self._activity.speaking:
            await self.push_frame(VADUserStoppedSpeakingFrame(), FrameDirection.UPSTREAM)
        if self._in_turn:
            await self.push_frame(TurnEndedFrame())

    async def _predict(self, user: NDArray[np.int16]) -> None:
        audio = np.stack([user / np.float32(32768), self._bot.take(len(user))], axis=1)
        activity = self._activity
        predictions = (
            await self._push_in_thread(audio)
            if self._predictors.pause_model
            else self._predictor.push_audio(audio)
        )
        for prediction in predictions:
            change = activity.update(prediction)
            if change == "started":
                await self.push_frame(
                    VADUserStartedSpeakingFrame(start_secs=activity.start_secs),
                    FrameDirection.UPSTREAM,
                )
            elif change == "stopped":
                await self.push_frame(
                    VADUserStoppedSpeakingFrame(stop_secs=activity.silence_s),
                    FrameDirection.UPSTREAM,
                )
            if not activity.speech_s:
                self._announced_s = 0.0
            elif activity.speech_s >= self._announced_s + SPEAKING_PERIOD_S:
                self._announced_s = activity.speech_s
                await self.broadcast_frame(UserSpeakingFrame)
            for event in prediction.events:
                await self._push_event(event)

    async def _push_in_thread(self, audio: NDArray[np.floating]) -> list[Prediction]:
        """Predict in a thread; a cancelled caller waits until the thread has ended."""
        pushing = asyncio.create_task(asyncio.to_thread(self._predictor.push_audio, audio))
        try:
            return await asyncio.shield(pushing)
        finally:
            await asyncio.wait([pushing])

    async def _push_event(self, event: TurnEvent) -> None:
        if event.speaker == USER and event.type == "start_of_turn":
            self._in_turn = True
            await self.push_frame(TurnStartedFrame(start_secs=self._activity.speech_s))
        elif event.speaker == USER and event.type == "end_of_turn":
            self._in_turn = False
            await self.push_frame(TurnEndedFrame(stop_secs=self._activity.silence_s))
        await self.push_frame(TurnEventFrame(event))

    async def _watch_audio(self) -> None:
        # The wall clock, because audio that does not arrive cannot be counted.
        while True:
            await asyncio.sleep(self._audio_idle_timeout)
            if self._in_turn and time.monotonic() - self._heard_at >= self._audio_idle_timeout:
                async with self._lock:
                    await self._predict(
                        np.zeros(round(self._audio_idle_timeout * self._rate_hz), np.int16)
                    )

    async def _stop_watching(self) -> None:
        if self._idle_task is not None:
            task, self._idle_task = self._idle_task, None
            await self.cancel_task(task)


class TurnstreamBotVoice(FrameProcessor):
    """Feeds what the transport has played to a TurnstreamProcessor, as the second channel.

    Place it after `transport.output()`. At most ten minutes of voice wait for the user's audio;
    what exceeds this is an error of the pipeline.
    """

    def __init__(self, listener: TurnstreamProcessor) -> None:
        super().__init__()
        self._listener = listener

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputAudioRawFrame):
            self._listener.hear_bot(
                first_channel(frame.audio, frame.num_channels), frame.sample_rate
            )
        elif isinstance(frame, InterruptionFrame):
            self._listener.stop_bot()
        await self.push_frame(frame, direction)


def first_channel(audio: bytes, channels: int) -> NDArray[np.int16]:
    """Return the first channel of interleaved PCM, (N,)."""
    return np.frombuffer(audio, np.int16)[::channels]
