"""The Vision Agents adapter, on the real base class.

Vision Agents wants an older websockets than ours, so it is not in the extra `dev`. Install it with
`pip install --no-deps` beside that extra, and what it then misses.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its use of other packages
    pytest.importorskip(
        "vision_agents.core", reason="vision-agents is not installed (stream/adapters/README.md)"
    )
    from getstream.video.rtc.track_util import AudioFormat, PcmData
    from vision_agents.core.edge.types import Participant
    from vision_agents.core.turn_detection import TurnEnded, TurnStarted

from turnstream import AudioFormatError, Engine, PolicyError
from turnstream.stream.adapters.vision_agents import TurnstreamTurnDetector

from .offline import RATE_HZ, events_of

BLOCK = 160
Samples = NDArray[np.int16]


def participant(name: str = "ada") -> Participant:
    return Participant(original=None, user_id=name, id=f"{name}-1")


async def say(
    detector: TurnstreamTurnDetector, samples: Samples, who: Participant, *, stereo: bool = False
) -> None:
    """Push audio as a call brings it, and wait until it was predicted on."""
    for start in range(0, len(samples), BLOCK):
        block = samples[start : start + BLOCK]
        shaped = np.stack([block, np.zeros_like(block)]) if stereo else block
        pcm = PcmData(RATE_HZ, AudioFormat.S16, shaped, channels=2 if stereo else 1)
        await detector.process_audio(pcm, who)
        if start % (BLOCK * 100) == 0:
            await predicted(detector)
    await predicted(detector)


async def predicted(detector: TurnstreamTurnDetector) -> None:
    tasks = [thread._task for thread in detector._threads.values() if thread._task]
    await asyncio.gather(*tasks)


def told(detector: TurnstreamTurnDetector) -> list[TurnStarted | TurnEnded]:
    return list(detector.output._items)


@pytest.mark.parametrize("stereo", [False, True])
async def test_turns_are_those_of_the_predictor(
    engine: Engine, user: Samples, stereo: bool
) -> None:
    detector, ada = TurnstreamTurnDetector(model=engine), participant()
    await detector.start()
    await say(detector, user, ada, stereo=stereo)
    expected = events_of(engine, user, kinds=["start_of_turn", "end_of_turn"])
    assert len(expected) >= 6
    found = told(detector)
    assert [(type(item).__name__, item.confidence) for item in found] == [
        ("TurnStarted" if event.type == "start_of_turn" else "TurnEnded", event.probability)
        for event in expected
    ]
    assert {item.participant.id for item in found} == {"ada-1"}
    first = found[1]
    assert isinstance(first, TurnEnded)
    assert first.duration_ms == pytest.approx(1000 * (expected[1].time_s - expected[0].time_s))
    assert first.trailing_silence_ms is not None
    assert 400 < first.trailing_silence_ms < 2100
    await detector.close()


async def test_eager_ends_come_if_they_are_asked_for(engine: Engine, user: Samples) -> None:
    detector = TurnstreamTurnDetector(model=engine, eager=True)
    await say(detector, user, participant())
    found = [item.eager for item in told(detector) if isinstance(item, TurnEnded)]
    expected = events_of(engine, user, kinds=["eager_end_of_turn", "end_of_turn"])
    assert found == [event.type == "eager_end_of_turn" for event in expected]
    assert True in found


async def test_participants_do_not_disturb_each_other(engine: Engine, user: Samples) -> None:
    detector = TurnstreamTurnDetector(model=engine)
    await asyncio.gather(
        say(detector, user, participant("ada")), say(detector, user[::-1], participant("bob"))
    )
    await say(TurnstreamTurnDetector(model=engine), user, participant("ada"))
    ada = [item.confidence for item in told(detector) if item.participant.user_id == "ada"]
    expected = events_of(engine, user, kinds=["start_of_turn", "end_of_turn"])
    assert ada == [event.probability for event in expected]


async def test_participants_and_waiting_audio_are_bounded(engine: Engine) -> None:
    detector = TurnstreamTurnDetector(model=engine)
    silence = PcmData(RATE_HZ, AudioFormat.S16, np.zeros(BLOCK, np.int16))
    for number in range(20):
        await detector.process_audio(silence, participant(str(number)))
    assert list(detector._threads) == [f"{number}-1" for number in range(4, 20)]
    long = PcmData(RATE_HZ, AudioFormat.S16, np.zeros(6 * RATE_HZ, np.int16))
    ada = participant()
    for _ in range(3):
        await detector.process_audio(long, ada)
    assert sum(map(len, detector._threads["ada-1"]._waiting)) == 6 * RATE_HZ
    await detector.close()
    await detector.process_audio(silence, ada)  # the agent's task may end later
    assert not detector._threads


async def test_bad_settings_and_audio_are_refused(engine: Engine) -> None:
    with pytest.raises(PolicyError, match="hasty"):
        TurnstreamTurnDetector("hasty", model=engine)
    slow: Any = PcmData(4000, AudioFormat.S16, np.zeros(80, np.int16))
    with pytest.raises(AudioFormatError, match="got 4000"):
        await TurnstreamTurnDetector(model=engine).process_audio(slow, participant())
