"""A real pipecat pipeline that hears made frames at the pace of a call, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from loguru import logger
from numpy.typing import NDArray
from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, LLMContextFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from ...virtual_clock import run_virtually
from .offline import RATE_HZ

logger.remove()  # pipecat logs every frame's way to stderr
Timed = tuple[float, Frame]  # time in seconds after the start of the call


@dataclass
class Call:
    """What the two ends of a pipeline saw, and when."""

    downstream: list[Timed] = field(default_factory=list)
    upstream: list[Timed] = field(default_factory=list)

    def times(self, kind: type[Frame], upstream: bool = False) -> list[float]:
        seen = self.upstream if upstream else self.downstream
        return [time_s for time_s, frame in seen if isinstance(frame, kind)]


class _End(FrameProcessor):
    """Notes the frames that come by in one direction."""

    def __init__(self, direction: FrameDirection, seen: list[Timed]) -> None:
        super().__init__()
        self._direction, self._seen = direction, seen
        self.began_s = 0.0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction == self._direction:
            if isinstance(frame, LLMContextFrame):  # the context changes later
                frame = replace(frame, context=LLMContext(list(frame.context.messages)))
            self._seen.append((asyncio.get_running_loop().time() - self.began_s, frame))
        await self.push_frame(frame, direction)


def microphone(
    user: NDArray[np.float32], rate_hz: int = RATE_HZ, chunk_s: float = 0.02
) -> Iterable[Timed]:
    """Return the frames of a user's audio, (N,), each at the time when its last sample is there."""
    length = round(chunk_s * rate_hz)
    for start in range(0, len(user), length):
        pcm = (user[start : start + length] * 32767).astype(np.int16)
        yield (start + len(pcm)) / rate_hz, InputAudioRawFrame(pcm.tobytes(), rate_hz, 1)


def run_call(
    processors: Sequence[FrameProcessor],
    *sources: Iterable[Timed],
    for_s: float = 0.0,
    rate_hz: int = RATE_HZ,
) -> Call:
    """Send timed frames through a pipeline, wait until `for_s`, and end it."""
    call = Call()
    frames = sorted((timed for source in sources for timed in source), key=lambda timed: timed[0])

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ends = (
            _End(FrameDirection.UPSTREAM, call.upstream),
            _End(FrameDirection.DOWNSTREAM, call.downstream),
        )
        worker = PipelineWorker(
            Pipeline([ends[0], *processors, ends[1]]),
            params=PipelineParams(audio_in_sample_rate=rate_hz, audio_out_sample_rate=rate_hz),
            enable_rtvi=False,
        )
        started = asyncio.Event()

        @worker.event_handler("on_pipeline_started")
        async def _(*_: object) -> None:
            started.set()

        async def speak() -> None:
            await started.wait()
            began_s = ends[0].began_s = ends[1].began_s = loop.time()
            for time_s, frame in [*frames, (for_s, None)]:
                await asyncio.sleep(max(0.0, began_s + time_s - loop.time()))
                if frame is not None:
                    await worker.queue_frame(frame)
            await worker.queue_frame(EndFrame())

        runner = WorkerRunner()
        await runner.add_workers(worker)
        await asyncio.gather(runner.run(), speak())

    run_virtually(main)
    return call
