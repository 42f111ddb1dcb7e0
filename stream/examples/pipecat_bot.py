"""A pipecat bot that repeats what the user said. Turnstream starts and ends the user's turns.

A recorded call stands in for a transport, and the echo for recogniser, language model and voice.
Of a call with two speakers, only the first is heard. Needs the extra `pipecat`.

Usage: python pipecat_bot.py [RECORDING]
"""

# pyright: reportUnknownMemberType=false
# (Keyword arguments of pipecat have no types.)

from __future__ import annotations

import argparse
import asyncio
import time

from pipecat.frames.frames import (
    EndWorkerFrame,
    Frame,
    InputAudioRawFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.workers.runner import WorkerRunner

from turnstream import FileSource
from turnstream.stream.adapters.pipecat import TurnstreamProcessor
from turnstream.stream.pcm import encode_pcm
from turnstream.stream.sources import bundled_sample

LEAD_S = 0.4  # a turn began this long before it was recognised


class CallInput(BaseInputTransport):
    """Plays the first channel of a recording as the user's microphone."""

    def __init__(self, source: FileSource, params: TransportParams) -> None:
        super().__init__(params)
        self._source = source

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self.create_task(self._call())

    async def _call(self) -> None:
        rate_hz, start_s, samples = self._source.sample_rate_hz, time.monotonic(), 0
        for block in self._source:
            pcm = encode_pcm(block[:, :1], "pcm_s16le")
            await self.push_audio_frame(InputAudioRawFrame(pcm, rate_hz, 1))
            samples += len(block)
            due_s = start_s + samples / rate_hz
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await self.push_frame(EndWorkerFrame())


class CallOutput(BaseOutputTransport):
    """Plays to nobody, in the time that the audio takes."""

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await asyncio.sleep(frame.num_frames / frame.sample_rate)
        return True


class Echo(FrameProcessor):
    """Says each turn of the user again, when it has ended."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = b""
        self._heard_s = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self._turn += frame.audio
            self._heard_s += frame.num_frames / frame.sample_rate
            self._rate_hz = frame.sample_rate
        elif isinstance(frame, UserStartedSpeakingFrame):
            self._turn = self._turn[-2 * round(LEAD_S * self._rate_hz) :]
        elif isinstance(frame, UserStoppedSpeakingFrame):
            turn_s = len(self._turn) / 2 / self._rate_hz
            print(f"{self._heard_s:.2f} s: I repeat {turn_s:.1f} s", flush=True)
            await self.push_frame(TTSAudioRawFrame(self._turn, self._rate_hz, 1))
        await self.push_frame(frame, direction)


async def run(recording: str) -> None:
    source = FileSource(recording)
    rate_hz = source.sample_rate_hz
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    turns = TurnstreamProcessor(policy="balanced")
    pipeline = Pipeline(
        [
            CallInput(source, params),
            turns,
            UserTurnProcessor(user_turn_strategies=turns.strategies(wait_for_transcript=False)),
            Echo(),
            CallOutput(params),
            turns.bot_voice(),
        ]
    )
    rates = PipelineParams(audio_in_sample_rate=rate_hz, audio_out_sample_rate=rate_hz)
    runner = WorkerRunner()
    await runner.add_workers(PipelineWorker(pipeline, params=rates))
    await runner.run()
    source.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Repeat what the user said, with pipecat.")
    parser.add_argument("recording", nargs="?", default=str(bundled_sample()))
    args = parser.parse_args()
    asyncio.run(run(args.recording))


if __name__ == "__main__":
    main()
