from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues.completeness import read_completeness, write_completeness
from turnstream.models.dialogues.simulation import (
    PlacedPhrase,
    SimulationData,
    label_completeness,
    lay_out,
    open_simulation_data,
    simulate,
)
from turnstream.models.dialogues.timing import PlannedTurn
from turnstream.models.dialogues.utterances import Utterance, UtterancePool, decode_set
from turnstream.models.dialogues.voice import Phrase, Voice
from turnstream.stream.errors import DialogueError

from .test_simulation import LENGTHS_S, PLAIN

ROWS = [(3, 4000, 0.25), (0, 900, 1.0), (3, 8000, 0.0)]


def longer_is_more_complete(utterance: Utterance, place: int) -> float:
    """Return a judge's score, which grows with the length."""
    return min((place - utterance.onset) / 60000, 1.0)


@pytest.fixture(scope="module")
def scores(data: SimulationData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a judge's scores of all ends, pauses and dips."""
    folder = tmp_path_factory.mktemp("completeness")
    rows: list[tuple[int, int, float]] = []
    for utterance in data.pool.utterances:
        for place in (utterance.offset, *utterance.pauses[:, 0].tolist(), *utterance.dips.tolist()):
            rows.append((utterance.index, place, longer_is_more_complete(utterance, place)))
    write_completeness(folder / f"{data.pool.sets[0]}.npz", rows)
    return folder


@pytest.fixture(scope="module")
def judged(data_folder: Path, cache_folder: Path, scores: Path) -> SimulationData:
    return open_simulation_data(data_folder, cache_folder, synthetic=False, completeness=scores)


def test_scores_come_back_from_disk_by_clip_and_place(tmp_path: Path) -> None:
    write_completeness(tmp_path / "set.npz", iter(ROWS))
    assert read_completeness(tmp_path / "set.npz") == {3: {4000: 0.25, 8000: 0.0}, 0: {900: 1.0}}
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_a_file_that_is_not_there_and_one_without_rows_hold_no_scores(tmp_path: Path) -> None:
    assert read_completeness(tmp_path / "none.npz") == {}
    write_completeness(tmp_path / "empty.npz", [])
    assert read_completeness(tmp_path / "empty.npz") == {}


def test_a_pool_takes_the_scores_of_each_set_by_its_name_and_its_own_numbers(
    data_folder: Path, cache_folder: Path, tmp_path: Path
) -> None:
    folder = decode_set(data_folder / "speech" / "tones", cache_folder)
    other = tmp_path / "others"
    other.symlink_to(folder)
    write_completeness(tmp_path / "others.npz", ROWS)
    pool = UtterancePool([folder, other], tmp_path)
    count = len(pool.utterances) // 2
    assert not any(utterance.completeness for utterance in pool.utterances[:count])
    assert pool.utterances[count].completeness == {900: 1.0}
    assert pool.utterances[count + 3].completeness == {4000: 0.25, 8000: 0.0}
    assert not any(
        utterance.completeness for utterance in UtterancePool([folder, other]).utterances
    )


def test_a_folder_without_scores_of_these_utterances_is_refused(
    data_folder: Path, cache_folder: Path, data: SimulationData, tmp_path: Path
) -> None:
    write_completeness(tmp_path / "strangers.npz", ROWS)
    expected = (
        rf"expected a judge's scores \(`turnstream pretrain judge`\) of {data.pool.sets[0]}, "
        "got none$"
    )
    with pytest.raises(DialogueError, match=expected):
        open_simulation_data(data_folder, cache_folder, synthetic=False, completeness=tmp_path)


def test_turns_end_where_words_sound_complete(judged: SimulationData) -> None:
    middle = np.median(
        [utterance.completeness[utterance.offset] for utterance in judged.pool.utterances]
    )

    def mean_end(legibility: float) -> float:
        rng = np.random.default_rng(3)
        (utterances, _) = judged.cast.draw_pair(rng, machine=False)
        # Complete or not, nothing between
        sharp = [
            replace(
                u,
                completeness=u.completeness | {u.offset: float(u.completeness[u.offset] > middle)},
            )
            for u in utterances
        ]
        voice = Voice(judged.pool, sharp, [], replace(PLAIN, legibility=legibility), rng)
        return float(
            np.mean(
                [
                    voice.take_turn(PlannedTurn(0, 0.0, (1.5,), ()))[-1].completeness[-1]
                    for _ in range(60)
                ]
            )
        )

    assert 0.2 < mean_end(0.0) < 0.8
    assert mean_end(50.0) == 1.0


def test_completeness_is_known_from_the_end_of_words_until_the_speaker_resumes(
    judged: SimulationData,
) -> None:
    rng = np.random.default_rng(0)
    voices = [
        Voice(judged.pool, utterances, [], PLAIN, rng)
        for utterances in judged.cast.draw_pair(rng, machine=False)
    ]
    placed = lay_out(
        [
            PlannedTurn(0, 1.0, (1.8,), ()),
            PlannedTurn(1, 0.3, (1.8,), ()),
            PlannedTurn(0, 0.2, (1.8,), ()),
        ],
        voices,
        rng,
        60,
        0.0,
    )
    for item in placed:
        item.phrase.inner = []
    scores = label_completeness(placed, 1000)
    end = round(placed[0].offset / 320)
    (score,) = placed[0].phrase.completeness[-1:]
    assert scores[0, end - 2 : end + 40] == pytest.approx(score, abs=1e-3)
    assert np.isnan(scores[0, : round((placed[0].start + placed[0].phrase.onset) / 320)]).all()
    assert np.isnan(scores[0, end + 40])


def test_completeness_at_a_quiet_spot_is_known_in_its_own_frame_alone() -> None:
    phrase = Phrase(
        np.zeros(32000, np.float32),
        [(320, 16000), (24000, 32000)],
        [0.5, np.nan],
        inner=[(6500, 0.2), (27000, 0.7)],
    )
    scores = label_completeness([PlacedPhrase(1, 3200, phrase)], 200)
    assert np.isnan(scores[0]).all()
    assert np.flatnonzero(~np.isnan(scores[1])).tolist() == [30, *range(58, 85), 94]
    assert scores[1, [30, 94]] == pytest.approx([0.2, 0.7], abs=1e-3)
    assert scores[1, 58:85] == pytest.approx(np.full(27, 0.5))  # until the speaker resumes


def test_dialogues_carry_it(judged: SimulationData, data: SimulationData) -> None:
    made, plain = (simulate(one, 1, 0, LENGTHS_S) for one in (judged, data))
    assert made.completeness.shape == made.activity.shape
    known = made.completeness[~np.isnan(made.completeness)]
    assert len(known) > 50
    assert ((known >= 0) & (known <= 1)).all()
    assert (~np.isnan(made.completeness) & made.activity).any()  # in speech, too
    assert set(plain.completeness[~np.isnan(plain.completeness)].round(2).tolist()) <= {
        float(np.float16(0.02).round(2))
    }  # filled pauses are known
