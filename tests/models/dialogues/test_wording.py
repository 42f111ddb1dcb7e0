from dataclasses import replace

import numpy as np
import pytest

from turnstream.models.dialogues.simulation import SimulationData
from turnstream.models.dialogues.styles import Manner
from turnstream.models.dialogues.timing import PlannedTurn
from turnstream.models.dialogues.wording import SHORTEST_PHRASE, Wording

from .test_simulation import PLAIN


def wording(data: SimulationData, manner: Manner = PLAIN, seed: int = 0) -> Wording:
    rng = np.random.default_rng(seed)
    return Wording(data.cast.draw_pair(rng, machine=False)[0], manner, rng)


@pytest.mark.parametrize("run_on", [0.0, 1.0])
def test_utterances_inside_a_turn_stop_early_as_often_as_the_manner_says(
    data: SimulationData, run_on: float
) -> None:
    takes = wording(data, replace(PLAIN, run_on=run_on)).choose_takes(9.0, finished=True)
    assert len(takes) > 2
    assert all((take.end < take.utterance.offset) == bool(run_on) for take in takes[:-1])
    assert takes[-1].end == takes[-1].utterance.offset


def test_utterances_are_not_said_again_and_again(data: SimulationData) -> None:
    chooser = wording(data)
    said = [
        chooser.choose_takes(1.8, finished=True)[0].utterance.index
        for _ in range(len(chooser.utterances))
    ]
    assert len(set(said)) > len(said) / 2


def test_pauses_fall_where_words_sound_unfinished_if_the_manner_asks_for_it(
    data: SimulationData,
) -> None:
    clip = max(data.pool.utterances, key=lambda utterance: utterance.speech_s)
    ((pause, _),) = clip.pauses
    dip = clip.offset - 6000  # another valid position of the same kind
    at_s = ((pause + dip) / 2 - clip.onset) / 16000
    for finished, place in ((0.0, pause), (1.0, dip)):
        judged = replace(
            clip,
            dips=np.array([dip], np.int32),
            completeness={int(pause): finished, dip: 1.0 - finished},
        )
        chooser = Wording(
            [judged], replace(PLAIN, legibility=5.0, mid_phrase=1.0), np.random.default_rng(0)
        )
        takes = chooser.choose_takes(clip.speech_s, finished=True)
        ((chosen, pause_s),) = chooser.choose_breaks(
            takes, PlannedTurn(0, 0.0, (at_s, clip.speech_s - at_s), (0.8,))
        )
        assert (chosen.end, pause_s) == (place, 0.8)


def test_words_are_seldom_cut_apart(data: SimulationData) -> None:
    clip = max(data.pool.utterances, key=lambda utterance: utterance.speech_s)
    without_pause = replace(
        clip, pauses=clip.pauses[:0], dips=np.array([clip.offset - 6000], np.int32)
    )
    turn = PlannedTurn(0, 0.0, (clip.speech_s - 0.4, 0.4), (0.8,))
    for share in (0.0, 0.3, 1.0):
        chooser = Wording(
            [without_pause], replace(PLAIN, mid_phrase=share), np.random.default_rng(0)
        )
        cut = [
            len(chooser.choose_breaks(chooser.choose_takes(clip.speech_s, finished=True), turn))
            for _ in range(100)
        ]
        assert abs(np.mean(cut) - share) < 0.12


def test_there_is_a_phrase_between_two_breaks(data: SimulationData) -> None:
    chooser = wording(data, replace(PLAIN, stretch=1.0, run_on=0.5))
    for _ in range(20):
        turn = PlannedTurn(0, 0.0, (0.4,) * 12, (0.3,) * 11)
        takes = chooser.choose_takes(4.8, finished=True)
        breaks = [place for place, _ in chooser.choose_breaks(takes, turn)]
        assert {place.take for place in breaks if place.kind == "sentence"} == set(
            range(len(takes) - 1)
        )
        for before, after in zip(breaks, breaks[1:], strict=False):
            assert after.take > before.take or after.end - before.resume >= SHORTEST_PHRASE
