"""The LiveKit adapter in a whole AgentSession without a room or a cloud, on a virtual clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("livekit.agents", reason="livekit-agents is not installed (extra livekit)")

from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt, vad
from livekit.agents.language import LanguageCode
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions
from livekit.agents.voice.io import AudioInput
from livekit.agents.voice.turn import _StreamingTurnDetector, _StreamingTurnDetectorStream

from turnstream import (
    AudioFormatError,
    Engine,
    PolicyError,
    PolicySettings,
    Prediction,
)
from turnstream.stream.adapters.livekit import TurnstreamDetector, TurnstreamVAD

from ...virtual_clock import run_virtually
from .offline import RATE_HZ, predictions

Samples = NDArray[np.int16]
HOLDING = PolicySettings(
    end_threshold=1.0,
    end_silence_secs=0.4,
    timeout_secs=8.0,
    eager_threshold=1.0,
    eager_silence_secs=0.2,
)


def turn_ends(said: Sequence[Prediction]) -> list[Prediction]:
    return [p for p in said for event in p.events if event.type == "end_of_turn"]


def frames_of(audio: Samples, chunk_s: float = 0.02) -> list[rtc.AudioFrame]:
    length = round(chunk_s * RATE_HZ)
    pcm = audio[: len(audio) // length * length]
    return [
        rtc.AudioFrame(piece.tobytes(), RATE_HZ, 1, length) for piece in pcm.reshape(-1, length)
    ]


# ---- a whole session ----


class Microphone(AudioInput):
    def __init__(self, audio: Samples) -> None:
        super().__init__(label="microphone")
        self._frames = frames_of(audio)
        self._sent = 0
        self.began_s: float | None = None
        self.done = asyncio.Event()

    async def __anext__(self) -> rtc.AudioFrame:
        if self.began_s is None:
            self.began_s = time.time()
        if self._sent == len(self._frames):
            self.done.set()
            raise StopAsyncIteration
        self._sent += 1
        await asyncio.sleep(max(0.0, self.began_s + self._sent * 0.02 - time.time()))
        return self._frames[self._sent - 1]


class Recogniser(stt.STT):
    """Says one word at each of the given times of its audio."""

    def __init__(self, times_s: Sequence[float]) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.times_s = list(times_s)

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS, **_: Any
    ) -> stt.RecognizeStream:
        return RecogniserStream(stt=self, conn_options=conn_options)


class RecogniserStream(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, Recogniser)
        waiting, heard_s = list(self._stt.times_s), 0.0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            heard_s += frame.duration
            while waiting and heard_s >= waiting[0]:
                word = stt.SpeechData(LanguageCode("en"), f"word{waiting.pop(0):.2f}")
                self._event_ch.send_nowait(
                    stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[word])
                )


class Model(llm.LLM):
    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return ModelStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class ModelStream(llm.LLMStream):
    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content="I see.")
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


@dataclass
class Session:
    """What happened in a session: times in seconds of the user's audio."""

    turns: list[tuple[float, str]] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)


def run_session(
    detector: TurnstreamDetector, engine: Engine, audio: Samples, words_s: Sequence[float]
) -> Session:
    seen = Session()

    async def main() -> None:
        microphone = Microphone(audio)
        session: AgentSession[None] = AgentSession(
            stt=Recogniser(words_s),
            vad=TurnstreamVAD(model=engine),
            llm=Model(),
            turn_handling={**detector.turn_handling(), "interruption": {"mode": "vad"}},
        )

        @session.on("conversation_item_added")
        def _(event: Any) -> None:
            time_s = time.time() - (microphone.began_s or 0.0)
            if event.item.type != "message":
                return
            if event.item.role == "user":
                seen.turns.append((time_s, event.item.text_content))
            else:
                seen.answers.append(time_s)

        session.input.audio = microphone
        await session.start(Agent(instructions="Listen."))
        await microphone.done.wait()
        await asyncio.sleep(1.0)
        await session.aclose()

    run_virtually(main)
    return seen


def test_a_session_ends_turns_where_the_policy_does(engine: Engine, user: Samples) -> None:
    ends = turn_ends(predictions(engine, user))
    assert len(ends) == 3
    words_s = [end.time_s - 0.2 for end in ends]
    seen = run_session(TurnstreamDetector(model=engine), engine, user, words_s)
    assert [text for _, text in seen.turns] == [f"word{time_s:.2f}" for time_s in words_s]
    assert [time_s for time_s, _ in seen.turns] == pytest.approx(
        [end.time_s for end in ends], abs=0.1
    )
    assert len(seen.answers) == 3


def test_a_session_waits_as_long_as_turnstream_holds_the_turn(
    engine: Engine, user: Samples
) -> None:
    audio = np.concatenate([user[: round(1.2 * RATE_HZ)], np.zeros(10 * RATE_HZ, np.int16)])
    (end,) = turn_ends(predictions(engine, audio, HOLDING))
    assert end.time_s > HOLDING.timeout_secs
    seen = run_session(TurnstreamDetector(HOLDING, model=engine), engine, audio, [1.3])
    assert [time_s for time_s, _ in seen.turns] == pytest.approx([end.time_s], abs=0.1)


# ---- the detector's stream ----


def test_the_framework_accepts_detector_and_stream(engine: Engine) -> None:
    detector = TurnstreamDetector("fast", model=engine)
    assert isinstance(detector, _StreamingTurnDetector)
    assert isinstance(detector.stream(), _StreamingTurnDetectorStream)


@pytest.mark.parametrize("policy", ["fast", "balanced", "patient"])
async def test_thresholds_and_delays_are_the_presets(engine: Engine, policy: str) -> None:
    detector = TurnstreamDetector(policy, model=engine)
    stream, settings = detector.stream(), detector.settings
    assert await stream.unlikely_threshold(None) == settings.end_threshold
    assert await stream.backchannel_threshold(None) == settings.backchannel_threshold
    assert detector.turn_handling()["endpointing"] == {
        "mode": "fixed",
        "min_delay": settings.end_silence_secs,
        "max_delay": settings.timeout_secs,
    }


def test_an_unknown_policy_is_refused(engine: Engine) -> None:
    with pytest.raises(PolicyError, match="eager"):
        TurnstreamDetector("eager", model=engine)


async def test_the_answer_comes_when_the_policy_ends_the_turn(
    engine: Engine, user: Samples
) -> None:
    stream = TurnstreamDetector(model=engine, pause_model=False).stream()
    said = predictions(engine, user, pause_model=False)
    end = turn_ends(said)[0]
    frames = iter(frames_of(user))
    for _ in range(end.frame - 10):
        stream.push_audio(next(frames))
    asked = stream.predict()
    pushed = end.frame - 10
    while not asked.done():
        stream.push_audio(next(frames))
        pushed += 1
    assert end.frame < pushed <= end.frame + 2
    event = asked.result()
    assert event.end_of_turn_probability == end.p_next[1]
    assert event.backchannel_probability == end.p_backchannel[1]
    again = stream.predict()  # the turn stays ended
    assert again.result().end_of_turn_probability == end.p_next[1]


async def test_with_the_pause_model_the_same_answer_comes_from_a_thread(
    engine: Engine, user: Samples
) -> None:
    end = turn_ends(predictions(engine, user))[0]
    alone = predictions(engine, user, pause_model=False)[end.frame]
    assert abs(end.p_next[1] - alone.p_next[1]) > 1e-3
    stream = TurnstreamDetector(model=engine).stream()
    frames = iter(frames_of(user))
    for _ in range(end.frame - 10):
        stream.push_audio(next(frames))
    asked = stream.predict()
    assert not asked.done()  # the thread has not heard the turn yet
    for _ in range(15):
        stream.push_audio(next(frames))
    assert (await asked).end_of_turn_probability == end.p_next[1]


async def test_speech_withdraws_the_question(engine: Engine, user: Samples) -> None:
    stream = TurnstreamDetector(model=engine, pause_model=False).stream()
    for frame in frames_of(user[:RATE_HZ]):
        stream.push_audio(frame)
    asked = stream.predict()
    assert not asked.done()
    stream.cancel_inference()
    assert asked.result().end_of_turn_probability == 0.0
    second = stream.predict()
    third = stream.predict()
    assert second.result().end_of_turn_probability == 0.0
    assert not third.done()
    stream.flush("turn committed")
    assert third.result().end_of_turn_probability == 0.0


async def test_a_closed_stream_holds_nobody(engine: Engine, user: Samples) -> None:
    stream = TurnstreamDetector(model=engine, pause_model=False).stream()
    for frame in frames_of(user[:RATE_HZ]):
        stream.push_audio(frame)
    await stream.aclose()
    stream.push_audio(frames_of(user[:RATE_HZ])[0])
    assert stream.predict().result().end_of_turn_probability == 1.0


@pytest.mark.parametrize("pause_model", [True, False])
async def test_audio_of_an_impossible_rate_is_refused_each_time(
    engine: Engine, user: Samples, pause_model: bool
) -> None:
    stream = TurnstreamDetector(model=engine, pause_model=pause_model).stream()
    stream.push_audio(frames_of(user)[0])
    for _ in range(2):
        with pytest.raises(AudioFormatError, match="got 4000"):
            stream.push_audio(rtc.AudioFrame(bytes(160), 4000, 1, 80))
    await stream.aclose()


# ---- the VAD ----


async def test_the_vad_reports_speech_with_its_audio(engine: Engine, user: Samples) -> None:
    stream = TurnstreamVAD(model=engine).stream()
    audio = user[: 5 * RATE_HZ]
    for frame in frames_of(audio, 0.1):
        stream.push_frame(frame)
    stream.end_input()
    events = [event async for event in stream]
    await stream.aclose()
    frames = [event for event in events if event.type == vad.VADEventType.INFERENCE_DONE]
    said = predictions(engine, audio, pause_model=False)[: len(frames)]
    assert [event.probability for event in frames] == [p.vad[0] for p in said]
    assert len(frames) > 245
    starts = [event for event in events if event.type == vad.VADEventType.START_OF_SPEECH]
    stops = [event for event in events if event.type == vad.VADEventType.END_OF_SPEECH]
    assert len(starts) >= len(stops) >= 2
    for start, stop in zip(starts, stops, strict=False):
        assert stop.silence_duration == pytest.approx(0.25, abs=0.011)
        spoken_s = stop.timestamp - stop.silence_duration - (start.timestamp - 0.1)
        assert stop.speech_duration == pytest.approx(spoken_s, abs=0.041)
        (whole,) = stop.frames
        assert whole.duration == pytest.approx(spoken_s + 0.75, abs=0.25)
