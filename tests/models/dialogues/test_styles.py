import numpy as np
import pytest

from turnstream.models.dialogues import styles
from turnstream.models.dialogues.styles import DICTATED_PART_S, DICTATED_PAUSE_S, draw_dialogue_plan
from turnstream.models.dialogues.timing import PlannedTurn


def test_a_dictated_turn_is_given_out_in_short_pieces_without_reactions() -> None:
    turn = PlannedTurn(1, 0.4, (6.0,), (), (0.5,), finished=False)
    for seed in range(20):
        dictated = styles._dictated(np.random.default_rng(seed), turn)
        assert (dictated.speaker, dictated.offset_s, dictated.finished, dictated.backchannels) == (
            1,
            0.4,
            False,
            (),
        )
        assert 3 <= len(dictated.parts_s) == len(dictated.pauses_s) + 1 <= 8
        for drawn, (low, high) in (
            (dictated.parts_s, DICTATED_PART_S),
            (dictated.pauses_s, DICTATED_PAUSE_S),
        ):
            assert 0.7 * low <= min(drawn) <= max(drawn) <= 1.4 * high
            assert max(drawn) <= 2 * min(drawn)  # all have one pace


def test_turns_are_dictated_as_often_as_the_manner_says(monkeypatch: pytest.MonkeyPatch) -> None:
    dictated: list[PlannedTurn] = []
    monkeypatch.setattr(styles, "_dictated", lambda rng, turn: dictated.append(turn) or turn)
    plans = [draw_dialogue_plan(np.random.default_rng(seed), {}, 300) for seed in range(40)]
    expected = sum(manner.dictation * len(turns) for manner, turns in plans)
    assert expected > 50
    assert len(dictated) == pytest.approx(expected, rel=0.3)
