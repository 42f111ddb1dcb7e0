"""Frames that say when the user's turn starts and ends, and pipecat's strategies for them.

`TurnstreamProcessor` (pipecat.py) pushes the frames, and its method `strategies` gives these
strategies.
"""

# pyright: reportUnknownMemberType=false
# (Keyword arguments of pipecat have no types.)

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from ..prediction import TurnEvent
from .framework import framework

with framework("pipecat", "pipecat-ai"):
    from pipecat.frames.frames import (
        Frame,
        InterimTranscriptionFrame,
        STTMetadataFrame,
        SystemFrame,
        TranscriptionFrame,
        VADUserStartedSpeakingFrame,
        VADUserStoppedSpeakingFrame,
    )
    from pipecat.turns.types import ProcessFrameResult, UserTurnSpeculation
    from pipecat.turns.user_start import BaseUserTurnStartStrategy
    from pipecat.turns.user_stop import (
        BaseUserTurnStopStrategy,
        EagerMatchPolicy,
        NormalizedMatch,
    )

USER = 0


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
