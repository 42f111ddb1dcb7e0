"""The strategies in pipecat's own user aggregator, on scripted frames."""

from __future__ import annotations

import pytest

pytest.importorskip("pipecat", reason="pipecat-ai is not installed (extra pipecat)")

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    EagerEndOfTurnCancelFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    STTMetadataFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
)
from pipecat.turns.user_mute import AlwaysUserMuteStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from turnstream import (
    EventType,
    TurnEvent,
)
from turnstream.stream.adapters.pipecat import (
    TurnEndedFrame,
    TurnEventFrame,
    TurnStartedFrame,
    TurnstreamUserTurnStartStrategy,
    TurnstreamUserTurnStopStrategy,
)

from .pipecat_call import Call, Timed, run_call

STAMP = "2026-01-01T00:00:00Z"


def event(time_s: float, kind: EventType, silence_s: float = 0.4) -> list[Timed]:
    """Return what the processor pushes for an event of the user."""
    frames: list[Frame] = [TurnEventFrame(TurnEvent(kind, 0, time_s, 0.9))]
    if kind == "start_of_turn":
        frames.insert(0, TurnStartedFrame())
    elif kind == "end_of_turn":
        frames.insert(0, TurnEndedFrame(stop_secs=silence_s))
    return [(time_s, frame) for frame in frames]


def text(time_s: float, words: str, *, finalized: bool = False) -> Timed:
    return time_s, TranscriptionFrame(words, "user", STAMP, finalized=finalized)


def interim(time_s: float, words: str) -> Timed:
    return time_s, InterimTranscriptionFrame(words, "user", STAMP)


def latency(p99_s: float) -> Timed:
    return 0.0, STTMetadataFrame(service_name="recogniser", ttfs_p99_latency=p99_s)


def run_script(
    *script: Timed | list[Timed], eager: bool = False, muted: bool = False, for_s: float = 9.0
) -> Call:
    """Run the user aggregator with our strategies on scripted frames."""
    frames = [frame for step in script for frame in (step if isinstance(step, list) else [step])]
    strategies = UserTurnStrategies(
        start=[TurnstreamUserTurnStartStrategy()],
        stop=[TurnstreamUserTurnStopStrategy(eager=eager)],
    )
    params = LLMUserAggregatorParams(
        user_turn_strategies=strategies,
        user_mute_strategies=[AlwaysUserMuteStrategy()] if muted else [],
    )
    pair = LLMContextAggregatorPair(LLMContext(), user_params=params)
    return run_call([pair.user()], frames, for_s=for_s)


def answers(call: Call) -> list[tuple[float, str, bool]]:
    """Return each run of the language model: time, last message, whether it is speculative."""
    return [
        (round(time_s, 2), frame.context.messages[-1]["content"], frame.speculation)
        for time_s, frame in call.downstream
        if isinstance(frame, LLMContextFrame)
    ]


def test_a_finalized_transcript_lets_the_turn_end_at_once() -> None:
    start, end = event(1, "start_of_turn"), event(3, "end_of_turn")
    early = run_script(latency(2.0), start, text(2.8, "hello", finalized=True), end)
    late = run_script(latency(2.0), start, end, text(3.2, "hello", finalized=True))
    assert answers(early) == [(3.0, "hello", False)]
    assert answers(late) == [(3.2, "hello", False)]
    assert early.times(UserStoppedSpeakingFrame) == [pytest.approx(3.0)]


def test_other_transcripts_wait_for_the_recognisers_latency_since_the_last_word() -> None:
    call = run_script(
        latency(1.0),
        event(1, "start_of_turn"),
        text(2.0, "hello"),
        event(3, "end_of_turn", silence_s=0.4),
        text(3.3, "there"),
    )
    assert answers(call) == [(3.6, "hello there", False)]


def test_a_transcript_later_than_that_ends_the_turn_when_it_comes() -> None:
    call = run_script(
        latency(1.0), event(1, "start_of_turn"), event(3, "end_of_turn"), text(5, "hello")
    )
    assert answers(call) == [(5.0, "hello", False)]


def test_a_turn_without_a_word_is_left_to_the_frameworks_time_out() -> None:
    call = run_script(latency(1.0), event(1, "start_of_turn"), event(3, "end_of_turn"))
    assert call.times(UserStoppedSpeakingFrame) == [pytest.approx(8.0)]


def test_speech_before_the_transcript_continues_the_turn() -> None:
    call = run_script(
        latency(1.0),
        event(1, "start_of_turn"),
        event(3, "end_of_turn"),
        event(3.3, "start_of_turn"),
        text(3.5, "hello", finalized=True),
        event(5, "end_of_turn"),
        text(5.1, "there", finalized=True),
    )
    assert answers(call) == [(5.1, "hello there", False)]
    assert len(call.times(UserStartedSpeakingFrame)) == 1


@pytest.mark.parametrize("kind", ["backchannel", "interruption"])
def test_only_a_start_of_turn_starts_one(kind: EventType) -> None:
    call = run_script(event(1, kind), for_s=2.0)
    assert call.times(UserStartedSpeakingFrame) == call.times(InterruptionFrame) == []


def test_a_muted_user_starts_no_turn() -> None:
    bot_speaks = [(0.5, BotStartedSpeakingFrame())]  # which mutes the user
    call = run_script(bot_speaks, event(1, "start_of_turn"), muted=True, for_s=2.0)
    assert call.times(UserStartedSpeakingFrame) == call.times(InterruptionFrame) == []


def test_the_bots_own_turns_are_not_the_users() -> None:
    bots = TurnEventFrame(TurnEvent("start_of_turn", 1, 1.0, 0.9))
    assert not run_script((1.0, bots), for_s=2.0).times(UserStartedSpeakingFrame)


def test_an_eager_end_is_answered_once_if_the_transcript_stays() -> None:
    call = run_script(
        latency(2.0),
        event(1, "start_of_turn"),
        interim(2.0, "hello"),
        event(2.5, "eager_end_of_turn"),
        event(3, "end_of_turn"),
        text(3.1, "Hello.", finalized=True),
        eager=True,
    )
    assert answers(call) == [(2.5, "hello", True)]
    assert call.times(UserStoppedSpeakingFrame) == [pytest.approx(3.1)]
    assert not call.times(EagerEndOfTurnCancelFrame)


def test_an_eager_end_without_text_is_answered_when_the_text_comes() -> None:
    call = run_script(
        latency(2.0),
        event(1, "start_of_turn"),
        event(2.5, "eager_end_of_turn"),
        text(2.7, "hello", finalized=True),
        event(3, "end_of_turn"),
        eager=True,
    )
    assert answers(call) == [(2.7, "hello", True)]
    assert call.times(UserStoppedSpeakingFrame) == [pytest.approx(3.0)]


def test_a_changed_transcript_withdraws_the_eager_answer() -> None:
    call = run_script(
        latency(2.0),
        event(1, "start_of_turn"),
        interim(2.0, "hello"),
        event(2.5, "eager_end_of_turn"),
        event(3, "end_of_turn"),
        text(3.1, "hello there", finalized=True),
        eager=True,
    )
    assert answers(call) == [(2.5, "hello", True), (3.1, "hello there", False)]
    assert call.times(EagerEndOfTurnCancelFrame) == [pytest.approx(3.1)]


def test_resumed_speech_withdraws_the_eager_answer() -> None:
    call = run_script(
        event(1, "start_of_turn"),
        interim(2.0, "hello"),
        event(2.5, "eager_end_of_turn"),
        event(2.8, "turn_resumed"),
        eager=True,
        for_s=4.0,
    )
    assert answers(call) == [(2.5, "hello", True)]
    assert call.times(EagerEndOfTurnCancelFrame) == [pytest.approx(2.8)]
    assert not call.times(UserStoppedSpeakingFrame)


def test_eager_ends_are_ignored_unless_asked_for() -> None:
    call = run_script(
        event(1, "start_of_turn"), interim(2, "hello"), event(2.5, "eager_end_of_turn"), for_s=4.0
    )
    assert answers(call) == []
