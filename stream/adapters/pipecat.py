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

All of them are system frames, which pipecat keeps in order. The strategies act on the turn frames,
which pipecat holds back, as it holds back other VAD frames, from a muted user.
`TurnstreamBotVoice`, placed after the transport's output, feeds the bot's voice as the second
channel. An interruption drops the bot's voice that was not predicted yet.

Pipelines that are built on a turn analyzer find one in pipecat_analyzer.py.

Predictions run on the event loop: about 0.2 ms per 20 ms of audio.
"""

# pyright: reportUnknownMemberType=false
# (Keyword arguments of pipecat have no types.)

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..devices.agent_voice import AgentVoice
from ..engine import Engine
from ..errors import MissingExtraError
from ..policy import PolicySettings
from ..prediction import TurnEvent
from ..predictor import TurnPredictor
from .voice_activity import VoiceActivity

try:
    from pipecat.frames.frames import (
        CancelFrame,
        EndFrame,
        Frame,
        InputAudioRawFrame,
        InterimTranscriptionFrame,
        InterruptionFrame,
        OutputAudioRawFrame,
        StartFrame,
        STTMetadataFrame,
        SystemFrame,
        TranscriptionFrame,
        UserSpeakingFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.turns.types import ProcessFrameResult, UserTurnSpeculation
    from pipecat.turns.user_start import BaseUserTurnStartStrategy
    from pipecat.turns.user_stop import (
        BaseUserTurnStopStrategy,
        EagerMatchPolicy,
        NormalizedMatch,
    )
    from pipecat.turns.user_turn_strategies import UserTurnStrategies
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "pipecat":
        raise
    raise MissingExtraError("pipecat-ai", "pipecat") from None

USER = 0
SPEAKING_PERIOD_S = 0.2  # the framework's own period of UserSpeakingFrame


@dataclass
class TurnEventFrame(SystemFrame):
    """A turn event, of the user (speaker 0) or the bot (speaker 1)."""

    event: TurnEvent


@dataclass
class TurnStartedFrame(VADUserStartedSpeakingFrame):
    """The user's turn has started."""


@dataclass
class TurnEndedFrame(VADUserStoppedSpeakingFrame):
    """The user's turn has ended, `stop_secs` after the last word."""


class TurnstreamProcessor(FrameProcessor):
    """Predicts on the user's audio and the bot's voice, and pushes voice activity and turn events.

    One processor serves one conversation. Audio of another sample rate begins a new one.

    Args:
        policy: a preset's name ("fast", "balanced", "patient") or PolicySettings.
        model: path of an ONNX file, or an Engine, which several processors may share; the bundled
            model if not given.
        audio_idle_timeout: if no audio arrives for so many seconds within a turn of the user, as
            from a muted microphone, the processor predicts on silence instead, and the policy ends
            the turn. 0 turns this off.
    Raises:
        ModelError: the model cannot be run.
        PolicyError: no preset of that name.
    """

    def __init__(
        self,
        policy: str | PolicySettings = "balanced",
        *,
        model: str | Engine | None = None,
        audio_idle_timeout: float = 1.0,
    ) -> None:
        super().__init__()
        self._policy = policy
        self._engine = model if isinstance(model, Engine) else Engine(model)
        self._audio_idle_timeout = audio_idle_timeout
        self._begin(16000)
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
                    await self._end_all()
                    self._begin(frame.sample_rate)
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

    def _begin(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._predictor = TurnPredictor(self._engine, sample_rate_hz=rate_hz, policy=self._policy)
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
        for prediction in self._predictor.push_audio(audio):
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


class TurnstreamUserTurnStartStrategy(BaseUserTurnStartStrategy):
    """Starts the user's turn at turnstream's start_of_turn. A backchannel does not start one."""

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if not isinstance(frame, TurnStartedFrame):
            return ProcessFrameResult.CONTINUE
        await self.trigger_user_turn_started()
        return ProcessFrameResult.STOP


class TurnstreamUserTurnStopStrategy(BaseUserTurnStopStrategy):
    """Ends the user's turn at turnstream's end_of_turn, as soon as the transcript is complete.

    The transcript is complete when the recogniser has finalized it after the last word, or when its
    99th percentile of latency (STTMetadataFrame) has passed since the last word. Until some text
    arrives, the turn stays open. The framework's `user_turn_stop_timeout` counts from turnstream's
    end of the turn. If the user resumes before that, the turn continues.

    Args:
        eager: answer turnstream's eager_end_of_turn while the turn is open. The answer is held
            until the turn ends, and withdrawn if the user resumes or the transcript changes.
        wait_for_transcript: False ends the turn at once, as for a speech-to-speech model.
        match_policy: decides whether the answer to an eager end fits the final transcript; by
            default, case and punctuation may differ.
    """

    def __init__(
        self,
        *,
        eager: bool = False,
        wait_for_transcript: bool = True,
        match_policy: EagerMatchPolicy | None = None,
    ) -> None:
        super().__init__()
        self.wait_for_transcript = wait_for_transcript
        self._eager = eager
        self._match_policy = match_policy or NormalizedMatch()
        self._stt_latency_s = 0.0
        self._silence_s = 0.0  # silence before the end of the turn
        self._silent_at = 0.0  # when that silence began, on the monotonic clock, as _finalized_at
        self._timer: asyncio.Task[None] | None = None
        self._forget()

    def _forget(self) -> None:
        self._final_texts: list[str] = []
        self._interim_text = ""
        self._finalized_at: float | None = None  # when the recogniser last finalized its text
        self._waiting_eager = False  # an eager end has no text yet
        self._ended = False
        self._time_passed = False  # the recogniser's latency has passed since the end
        self._speculation: str | None = None  # text that is being answered eagerly

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        if isinstance(frame, TurnStartedFrame):
            await self._resume()
        elif isinstance(frame, TurnEndedFrame):
            self._ended, self._silence_s = True, frame.stop_secs
            self._silent_at = time.monotonic() - frame.stop_secs
            await self._stop_timer()
            self._timer = self.create_task(self._wait_for_stt())
            await self._end_if_complete()
        elif isinstance(frame, TurnEventFrame) and frame.event.speaker == USER:
            if frame.event.type == "turn_resumed":
                await self._resume()
            elif frame.event.type == "eager_end_of_turn":
                self._waiting_eager = self._eager
                await self._speculate()
        elif isinstance(frame, TranscriptionFrame) and frame.text.strip():
            self._final_texts.append(frame.text.strip())
            self._interim_text = ""
            self._finalized_at = time.monotonic() if frame.finalized else None
            await self._speculate()
            await self._end_if_complete()
        elif isinstance(frame, InterimTranscriptionFrame):
            self._interim_text, self._finalized_at = frame.text.strip(), None
        elif isinstance(frame, STTMetadataFrame):
            self._stt_latency_s = frame.ttfs_p99_latency
        return ProcessFrameResult.CONTINUE

    async def handle_user_turn_started(self) -> None:
        await self._begin()

    async def handle_user_turn_stopped(self) -> None:
        await self._begin()

    async def cleanup(self) -> None:
        await self._stop_timer()
        await super().cleanup()

    async def _begin(self) -> None:
        await self._resume()
        self._forget()

    async def _resume(self) -> None:
        """The turn continues: nothing that was concluded from the silence holds any longer."""
        self._ended = self._waiting_eager = self._time_passed = False
        await self._stop_timer()
        await self._withdraw()

    async def _speculate(self) -> None:
        text = " ".join([*self._final_texts, self._interim_text]).strip()
        if self._waiting_eager and text:
            self._waiting_eager, self._speculation = False, text
            await self.trigger_user_turn_inference_triggered(
                speculation=UserTurnSpeculation(text=text)
            )

    async def _withdraw(self) -> None:
        if self._speculation is not None:
            self._speculation = None
            await self.trigger_user_turn_speculation_cancelled()

    async def _end_if_complete(self) -> None:
        # A text that was finalized before the last word cannot hold it.
        finalized = self._finalized_at is not None and self._finalized_at >= self._silent_at
        complete = self._final_texts and (finalized or self._time_passed)
        if not self._ended or (self.wait_for_transcript and not complete):
            return
        if self._speculation is not None:
            fits = self._match_policy.matches(self._speculation, " ".join(self._final_texts))
            if fits:
                self._speculation = None
                await self.trigger_user_turn_finalized(confirms_speculation=True)
                return
            await self._withdraw()
        await self.trigger_user_turn_stopped()

    async def _wait_for_stt(self) -> None:
        await asyncio.sleep(max(0.0, self._stt_latency_s - self._silence_s))
        self._timer, self._time_passed = None, True
        await self._end_if_complete()

    async def _stop_timer(self) -> None:
        if self._timer is not None:
            timer, self._timer = self._timer, None
            await self.cancel_task(timer)


def first_channel(audio: bytes, channels: int) -> NDArray[np.int16]:
    """Return the first channel of interleaved PCM, (N,)."""
    return np.frombuffer(audio, np.int16)[::channels]
