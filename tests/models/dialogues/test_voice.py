from dataclasses import replace

import numpy as np
import pytest

from turnstream.models.dialogues.simulation import SimulationData
from turnstream.models.dialogues.styles import Manner
from turnstream.models.dialogues.timing import PlannedTurn
from turnstream.models.dialogues.utterances import SAMPLE_RATE_HZ, Utterance
from turnstream.models.dialogues.voice import Phrase, Voice

from .test_simulation import PLAIN

FRAME = 320
HESITANT = replace(PLAIN, stretch=1.0, mid_phrase=0.3, filler=1.0, lengthen=1.0)


def early_pause(data: SimulationData) -> Utterance:
    """A clip: 0.5 s of speech, 0.3 s of quiet, 1.0 s of speech."""
    return data.pool.utterances[0]


def label_fits(phrase: Phrase) -> bool:
    """Return whether the phrase has sound where its label says so, and nowhere else.

    Frames at an edge do not count.
    """
    frames = len(phrase.samples) // FRAME
    level = np.sqrt((phrase.samples[: frames * FRAME].reshape(frames, FRAME) ** 2).mean(axis=1))
    starts = np.arange(frames) * FRAME
    inside = np.any(
        [(start <= starts) & (starts + FRAME <= end) for start, end in phrase.speech], axis=0
    )
    outside = np.all(
        [(starts >= end + FRAME) | (starts + 2 * FRAME <= start) for start, end in phrase.speech],
        axis=0,
    )
    return bool(np.median(level[inside]) > 0.008 and (level[outside] < 0.005).all())


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.12])
@pytest.mark.parametrize("manner", [PLAIN, HESITANT])
def test_at_every_speed_labels_are_where_the_sound_is(
    data: SimulationData, speed: float, manner: Manner
) -> None:
    utterances = data.cast.draw_pair(np.random.default_rng(0), machine=False)[0]
    voice = Voice(data.pool, utterances, [], manner, np.random.default_rng(1), speed)
    phrases = [
        phrase
        for _ in range(8)
        for phrase in voice.take_turn(PlannedTurn(0, 0.0, (1.0, 2.5), (0.6,)))
    ]
    assert len(phrases) > 12
    assert all(label_fits(phrase) for phrase in phrases)
    late = [
        replace(phrase, speech=[(start + 2400, end + 2400) for start, end in phrase.speech])
        for phrase in phrases
    ]
    assert not any(label_fits(phrase) for phrase in late)


@pytest.mark.parametrize("speed", [0.9, 1.12])
def test_a_faster_voice_is_higher_and_its_turns_last_as_long_as_planned(
    data: SimulationData, speed: float
) -> None:
    clip = early_pause(data)
    voice = Voice(data.pool, [clip], [], PLAIN, np.random.default_rng(0), speed)
    (phrase,) = voice.take_turn(PlannedTurn(0, 0.0, (1.8,), ()))
    assert (phrase.offset - phrase.onset) / SAMPLE_RATE_HZ == pytest.approx(
        clip.speech_s / speed, abs=0.01
    )
    last = phrase.samples[phrase.speech[-1][0] : phrase.offset]
    loudest_hz = np.abs(np.fft.rfft(last, 4 * SAMPLE_RATE_HZ)).argmax() / 4
    assert loudest_hz == pytest.approx(100 * speed, rel=0.02)


def test_a_pause_lasts_as_long_as_planned_whatever_the_speed(data: SimulationData) -> None:
    voice = Voice(data.pool, [early_pause(data)], [], PLAIN, np.random.default_rng(3), 1.12)
    pauses_s = [
        phrase.pause_after_s for phrase in voice.take_turn(PlannedTurn(0, 0.0, (0.5, 1.0), (0.7,)))
    ]
    assert pauses_s == [0.7, 0.0]


def test_a_false_start_ends_with_sound(data: SimulationData) -> None:
    voice = Voice(data.pool, [early_pause(data)], [], PLAIN, np.random.default_rng(0))
    started = [voice.false_start() for _ in range(40)]
    lengths_s = np.array([(phrase.offset - phrase.onset) / SAMPLE_RATE_HZ for phrase in started])
    assert lengths_s.min() > 0.19
    assert lengths_s.max() == pytest.approx(0.5, abs=0.03)  # where the speaker paused
    assert all(label_fits(phrase) for phrase in started)


def test_a_reaction_out_of_an_utterance_is_sound_only(data: SimulationData) -> None:
    clip = early_pause(data)
    resume = int(clip.pauses[0, 1])
    # The clip has nothing for a hum, and its last 0.5 s begin before the pause.
    toneless = replace(clip, offset=resume + 2400, vowel=-1)
    voice = Voice(data.pool, [toneless], [], PLAIN, np.random.default_rng(0))
    for _ in range(20):
        phrase = voice.backchannel()
        assert phrase.speech == [(0, 2400)]
        assert np.isnan(phrase.completeness).all()


def test_a_drawn_out_end_is_longer_and_nobody_knows_how_finished_it_sounds(
    data: SimulationData,
) -> None:
    clip = early_pause(data)
    judged = replace(clip, completeness={int(clip.pauses[0, 0]): 0.3, clip.offset: 0.9})
    turn = PlannedTurn(0, 0.0, (0.5, 1.0), (0.7,))

    def halves(lengthen: float) -> list[Phrase]:
        return Voice(
            data.pool, [judged], [], replace(PLAIN, lengthen=lengthen), np.random.default_rng(3)
        ).take_turn(turn)

    (plain, end), (drawn_out, _) = halves(0.0), halves(1.0)
    assert (plain.completeness, end.completeness) == ([0.3], [0.9])
    assert drawn_out.offset - drawn_out.onset > plain.offset - plain.onset + 500
    assert np.isnan(drawn_out.completeness).all()


def test_ends_of_turns_are_drawn_out_less_often_than_holds(data: SimulationData) -> None:
    clip = replace(early_pause(data), completeness={early_pause(data).offset: 0.9})
    voice = Voice(data.pool, [clip], [], replace(PLAIN, lengthen=1.0), np.random.default_rng(3))
    drawn_out = [
        np.isnan(voice.take_turn(PlannedTurn(0, 0.0, (1.5,), ()))[-1].completeness[-1])
        for _ in range(100)
    ]
    assert 0.35 < np.mean(drawn_out) < 0.65


def test_as_much_silence_of_the_recording_follows_a_cut_as_an_end(data: SimulationData) -> None:
    clip = early_pause(data)
    voice = Voice(
        data.pool,
        [replace(clip, dips=np.array([clip.offset - 6000], np.int32))],
        [],
        replace(PLAIN, mid_phrase=1.0),
        np.random.default_rng(5),
    )
    turn = PlannedTurn(0, 0.0, ((clip.offset - 6000 - clip.onset) / 16000, 0.4), (0.7,))
    tails = np.array(
        [
            [len(phrase.samples) - phrase.offset for phrase in voice.take_turn(turn)[-2:]]
            for _ in range(200)
        ]
    )
    assert np.abs(np.median(tails, axis=0) - 0.125 * 16000).max() < 400
    assert (tails.max(axis=0) <= 0.25 * 16000).all()


@pytest.mark.parametrize("speed", [0.9, 1.0])
def test_quiet_spots_inside_a_phrase_keep_their_scores_where_they_are_heard(
    data: SimulationData, speed: float
) -> None:
    clip = early_pause(data)
    assert len(clip.dips) >= 2
    first, *others = clip.dips.tolist()
    judged = replace(clip, completeness={first: 0.4, clip.offset: 0.9})
    voice = Voice(data.pool, [judged], [], PLAIN, np.random.default_rng(0), speed)
    (phrase,) = voice.take_turn(PlannedTurn(0, 0.0, (1.8,), ()))
    ((place, score),) = phrase.inner  # the other pauses were not judged
    assert others
    assert score == 0.4
    assert place == pytest.approx(phrase.onset + (first - clip.onset) / speed, abs=20)


def test_quiet_spots_before_and_after_a_cut_belong_to_their_own_phrase(
    data: SimulationData,
) -> None:
    clip = early_pause(data)
    judged = replace(
        clip,
        dips=np.array([clip.onset + 3000, clip.offset - 5000], np.int32),
        completeness={clip.onset + 3000: 0.1, clip.offset - 5000: 0.2},
    )
    voice = Voice(data.pool, [judged], [], PLAIN, np.random.default_rng(3))
    (before, after) = voice.take_turn(PlannedTurn(0, 0.0, (0.5, 1.0), (0.7,)))
    assert [score for _, score in before.inner] == [0.1]
    assert [score for _, score in after.inner] == [0.2]
    assert after.inner[0][0] == pytest.approx(after.offset - 5000, abs=20)
