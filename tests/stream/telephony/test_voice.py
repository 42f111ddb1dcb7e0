"""What the caller hears of the bot's voice."""

from __future__ import annotations

import pytest

from turnstream.stream.errors import ProtocolError
from turnstream.stream.telephony.tracks import SILENCE
from turnstream.stream.telephony.voice import BotVoice

HELLO, BYE = b"\x10" * 320, b"\x20" * 320


def test_speech_is_heard_in_order_then_there_is_silence() -> None:
    voice = BotVoice()
    voice.say(HELLO)
    voice.say(BYE)
    assert [voice.take(160) for _ in range(5)] == [
        HELLO[:160], HELLO[:160], BYE[:160], BYE[:160], SILENCE * 160,
    ]  # fmt: skip
    assert (voice.heard, voice.dropped, voice.waiting) == (640, 0, 0)


def test_a_clear_drops_what_was_not_heard() -> None:
    voice = BotVoice()
    voice.say(HELLO)
    voice.take(100)
    voice.clear()
    voice.say(BYE)
    assert voice.take(160) == BYE[:160]
    assert (voice.heard, voice.dropped, voice.waiting) == (260, 220, 160)


def test_a_returned_mark_means_that_all_before_it_was_heard() -> None:
    voice = BotVoice()
    voice.say(HELLO)
    voice.mark("hello")
    voice.say(BYE)
    voice.take(100)
    voice.returned("hello")
    assert (voice.heard, voice.waiting) == (320, 320)
    assert voice.take(160) == BYE[:160]


def test_a_mark_that_returns_late_changes_nothing() -> None:
    voice = BotVoice()
    voice.say(HELLO)
    voice.mark("hello")
    voice.take(400)
    voice.say(BYE)
    voice.returned("hello")
    voice.returned("never sent")
    assert (voice.heard, voice.waiting) == (320, 320)


def test_marks_that_a_clear_returns_do_not_count_although_names_repeat() -> None:
    voice = BotVoice()
    voice.say(HELLO)
    voice.mark("end")
    voice.clear()
    voice.say(BYE)
    voice.mark("end")
    voice.returned("end")  # of the dropped speech
    assert (voice.heard, voice.waiting) == (0, 320)
    voice.returned("end")
    assert (voice.heard, voice.waiting) == (320, 0)


def test_more_than_five_minutes_or_a_thousand_marks_do_not_wait() -> None:
    voice = BotVoice()
    voice.say(b"\x10" * 299 * 8000)
    with pytest.raises(ProtocolError, match=r"at most 300 s .* that waits, got 301.0 s"):
        voice.say(b"\x10" * 2 * 8000)
    assert voice.waiting == 299 * 8000
    for number in range(1000):
        voice.mark(str(number))
    with pytest.raises(ProtocolError, match="at most 1000 marks"):
        voice.mark("one more")
