"""The pipecat adapter in real pipelines of the framework, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pipecat", reason="pipecat-ai is not installed (extra pipecat)")

from pipecat.audio.turn.base_turn_analyzer import EndOfTurnState
from pipecat.frames.frames import (
    ErrorFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from turnstream import (
    PRESETS,
    Engine,
    PolicySettings,
    TurnEvent,
)
from turnstream.stream.adapters.pipecat import (
    TurnEventFrame,
    TurnstreamProcessor,
)
from turnstream.stream.adapters.pipecat_analyzer import (
    TurnstreamTurnAnalyzer,
    TurnstreamVADAnalyzer,
)

from .offline import RATE_HZ, events_of
from .pipecat_call import microphone, run_call

Samples = NDArray[np.float32]
HELD_S = 12.0
HOLDING = PolicySettings(
    end_threshold=1.0,
    end_silence_secs=0.4,
    timeout_secs=HELD_S,
    eager_threshold=1.0,
    eager_silence_secs=0.2,
)


@pytest.fixture(scope="module")
def sample(call: NDArray[np.int16]) -> Samples:
    """Twenty seconds of the bundled call, (N, 2), with three turns of the user."""
    return call[round(8.5 * RATE_HZ) : round(28.5 * RATE_HZ)] / np.float32(32768)


@pytest.fixture(scope="module")
def one_turn(sample: Samples) -> Samples:
    """A turn of the user, and silence after its last word, (N,)."""
    return np.concatenate([sample[: round(1.2 * RATE_HZ), 0], np.zeros(20 * RATE_HZ, np.float32)])


def times_of(events: Iterable[TurnEvent], kind: str, speaker: int = 0) -> list[float]:
    return [event.time_s for event in events if (event.type, event.speaker) == (kind, speaker)]


def user_turns(turns: TurnstreamProcessor) -> list[FrameProcessor]:
    strategies = turns.strategies(wait_for_transcript=False)
    return [turns, UserTurnProcessor(user_turn_strategies=strategies)]


# ---- the processor in a real pipeline ----


@pytest.mark.parametrize("chunk_s", [0.01, 0.02, 0.35])
def test_turns_start_and_end_where_the_policy_says(
    engine: Engine, sample: Samples, chunk_s: float
) -> None:
    turns = TurnstreamProcessor(model=engine)
    call = run_call(user_turns(turns), microphone(sample[:, 0], chunk_s=chunk_s))
    expected = events_of(engine, sample[:, 0], "balanced")
    for kind, frame_kind in (
        ("start_of_turn", UserStartedSpeakingFrame),
        ("end_of_turn", UserStoppedSpeakingFrame),
    ):
        times_s = times_of(expected, kind)
        assert len(times_s) >= 3
        late_s = np.subtract(call.times(frame_kind), times_s)
        assert ((late_s > -1e-6) & (late_s < chunk_s + 1e-6)).all()
    assert len(call.times(InterruptionFrame)) == len(call.times(UserStartedSpeakingFrame))


def test_the_pause_model_is_asked_in_the_pauses(engine: Engine, sample: Samples) -> None:
    audio = sample[: 8 * RATE_HZ, 0]
    events: dict[bool | None, list[TurnEvent]] = {}
    for asked in (False, True):
        call = run_call(
            [TurnstreamProcessor(model=engine, pause_model=asked)],
            microphone(audio),
        )
        events[asked] = [f.event for _, f in call.downstream if isinstance(f, TurnEventFrame)]
    heard = events_of(engine, audio)
    ends = {
        asked: [event.probability for event in seen if event.type == "end_of_turn"]
        for asked, seen in (events | {None: heard}).items()
    }
    assert len(ends[None]) >= 1
    assert ends[True] == pytest.approx(ends[None], abs=0.05)  # the pipeline has 16 bits
    assert ends[False] != pytest.approx(ends[None], abs=0.05)


def test_of_a_stereo_microphone_the_first_channel_is_heard(engine: Engine, sample: Samples) -> None:
    audio = sample[: 3 * RATE_HZ]
    stereo = [
        (time_s, InputAudioRawFrame(pcm.tobytes(), RATE_HZ, 2))
        for time_s, pcm in (
            (end / RATE_HZ, (audio[end - 160 : end] * 32767).astype(np.int16))
            for end in range(160, len(audio) + 1, 160)
        )
    ]
    calls = [
        run_call(user_turns(TurnstreamProcessor(model=engine)), frames)
        for frames in (stereo, microphone(audio[:, 0]))
    ]
    assert calls[0].times(UserStartedSpeakingFrame)
    for kind in (UserStartedSpeakingFrame, UserStoppedSpeakingFrame):
        assert calls[0].times(kind) == pytest.approx(calls[1].times(kind))


def test_the_recogniser_upstream_sees_the_voice_activity(engine: Engine, sample: Samples) -> None:
    turns = TurnstreamProcessor(model=engine)
    call = run_call(user_turns(turns), microphone(sample[:, 0]))
    starts = call.times(VADUserStartedSpeakingFrame, upstream=True)
    stops = call.times(VADUserStoppedSpeakingFrame, upstream=True)
    assert len(stops) >= len(call.times(UserStoppedSpeakingFrame)) >= 3
    assert all(start < stop for start, stop in zip(starts, stops, strict=False))
    for frame in (frame for _, frame in call.upstream):
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            assert frame.stop_secs == pytest.approx(0.2)


def test_no_time_out_of_the_framework_ends_a_turn_that_turnstream_holds(
    engine: Engine, one_turn: Samples
) -> None:
    turns = TurnstreamProcessor(HOLDING, model=engine)
    call = run_call(user_turns(turns), microphone(one_turn))
    assert call.times(VADUserStoppedSpeakingFrame, upstream=True)[-1] < 2.0
    assert call.times(UserStoppedSpeakingFrame) == pytest.approx(
        times_of(events_of(engine, one_turn, HOLDING), "end_of_turn"), abs=0.021
    )
    assert call.times(UserStoppedSpeakingFrame)[0] > HELD_S


def test_the_plain_analyzer_cannot_hold_a_turn_longer_than_the_framework(
    engine: Engine, one_turn: Samples
) -> None:
    call = run_call(analyzer_aggregator(engine, HOLDING), microphone(one_turn))
    assert 5.0 < call.times(UserStoppedSpeakingFrame)[0] < 7.0


def test_a_microphone_that_is_muted_within_a_turn_ends_it_by_the_policy(
    engine: Engine, sample: Samples
) -> None:
    audio = sample[: 6 * RATE_HZ, 0]  # cut within the third turn
    turns = TurnstreamProcessor(model=engine)
    call = run_call(user_turns(turns), microphone(audio), for_s=12.0)
    starts, stops = call.times(UserStartedSpeakingFrame), call.times(UserStoppedSpeakingFrame)
    assert len(starts) == len(stops) == 3
    assert 6.0 < stops[-1] < 6.0 + PRESETS["balanced"].timeout_secs + 2.0


def test_audio_of_another_rate_ends_the_turn_and_begins_a_new_conversation(
    engine: Engine, sample: Samples
) -> None:
    quiet = (
        (3 + time_s, frame) for time_s, frame in microphone(np.zeros(16000, np.float32), 16000)
    )
    turns = TurnstreamProcessor(model=engine)
    call = run_call(user_turns(turns), microphone(sample[: 3 * RATE_HZ, 0]), quiet)
    assert len(call.times(UserStartedSpeakingFrame)) == 2
    assert call.times(UserStoppedSpeakingFrame)[1] == pytest.approx(3.02)
    # The recogniser is told that the speech is over, too.
    starts = call.times(VADUserStartedSpeakingFrame, upstream=True)
    stops = call.times(VADUserStoppedSpeakingFrame, upstream=True)
    assert len(starts) == len(stops)
    assert stops[-1] == pytest.approx(3.02)


def test_audio_of_an_impossible_rate_is_an_error_each_time(engine: Engine) -> None:
    slow = [(0.1 * n, InputAudioRawFrame(bytes(160), 4000, 1)) for n in (1, 2)]
    call = run_call([TurnstreamProcessor(model=engine)], slow)
    errors = [frame.error for _, frame in call.upstream if isinstance(frame, ErrorFrame)]
    assert len(errors) == 2
    assert "got 4000" in errors[1]


def test_the_bots_voice_is_the_second_channel(engine: Engine, sample: Samples) -> None:
    turns = TurnstreamProcessor(model=engine)
    voice = (  # as a transport plays it: each piece follows the previous one
        (time_s - 0.04, OutputAudioRawFrame(frame.audio, RATE_HZ, 1))
        for time_s, frame in microphone(sample[:, 1], chunk_s=0.04)
        if isinstance(frame, InputAudioRawFrame)
    )
    call = run_call([turns, turns.bot_voice()], microphone(sample[:, 0]), voice)
    got = [frame.event for _, frame in call.downstream if isinstance(frame, TurnEventFrame)]
    expected = events_of(engine, sample, "balanced")
    assert times_of(expected, "start_of_turn", speaker=1)
    for kind in ("start_of_turn", "end_of_turn"):
        for speaker in (0, 1):
            assert times_of(got, kind, speaker) == pytest.approx(
                times_of(expected, kind, speaker), abs=0.05
            )


def test_an_interruption_drops_the_voice_that_was_not_heard(engine: Engine) -> None:
    turns = TurnstreamProcessor(model=engine)
    bot = np.full(RATE_HZ, 8000, np.int16).tobytes()
    call = run_call(
        [turns, turns.bot_voice()],
        microphone(np.zeros(RATE_HZ, np.float32)),
        [(0.1, OutputAudioRawFrame(bot, RATE_HZ, 1)), (0.3, InterruptionFrame())],
    )
    assert call.times(OutputAudioRawFrame)
    assert not turns.bot_is_speaking


# ---- the plain analyzer and the VAD ----


def analyzer_aggregator(engine: Engine, policy: str | PolicySettings) -> list[FrameProcessor]:
    stop = TurnAnalyzerUserTurnStopStrategy(
        turn_analyzer=TurnstreamTurnAnalyzer(policy, model=engine), wait_for_transcript=False
    )
    params = LLMUserAggregatorParams(
        user_turn_strategies=UserTurnStrategies(start=[VADUserTurnStartStrategy()], stop=[stop]),
        vad_analyzer=TurnstreamVADAnalyzer(policy, model=engine),
        empty_user_turn=None,
    )
    return [LLMContextAggregatorPair(LLMContext(), user_params=params).user()]


def test_the_plain_analyzer_ends_turns_where_the_policy_does(
    engine: Engine, sample: Samples
) -> None:
    call = run_call(analyzer_aggregator(engine, "balanced"), microphone(sample[:, 0]))
    expected = events_of(engine, sample[:, 0], "balanced", pause_model=False)
    assert call.times(UserStoppedSpeakingFrame) == pytest.approx(
        times_of(expected, "end_of_turn"), abs=0.021
    )
    assert call.times(UserStartedSpeakingFrame) == pytest.approx(
        times_of(expected, "start_of_turn"), abs=0.041
    )


def test_a_turn_that_turnstream_never_began_is_complete(engine: Engine) -> None:
    analyzer = TurnstreamTurnAnalyzer(model=engine, sample_rate=RATE_HZ)
    assert analyzer.append_audio(b"\0\0" * RATE_HZ, is_speech=True) == EndOfTurnState.INCOMPLETE
    state, metrics = asyncio.run(analyzer.analyze_end_of_turn())
    assert (state, metrics, analyzer.speech_triggered) == (EndOfTurnState.COMPLETE, None, False)
