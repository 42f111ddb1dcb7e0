import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory import oracles
from turnstream.models.latents.memory.oracles_view import describe
from turnstream.models.latents.memory.readings import Readings, silence_readings, sound_at

from ....networks import TINY, random_model
from .conftest import Run

RNG = np.random.default_rng(0)


def silences(dialogues: int = 6, each: int = 32) -> Readings:
    """Shifts and holds, mixed differently in each dialogue."""
    number = np.repeat(np.arange(dialogues), each)
    share = np.linspace(0.25, 0.75, dialogues)[number]
    happened = np.random.default_rng(1).random(len(number)) < share
    return Readings(number, np.ones(len(number)), np.ones(len(number), int), happened)


def asked_of(readings: Readings, offset: float = 0.0, *, words: bool = True) -> oracles.Asked:
    """A network with noise on what happened, and words that say what happened."""
    rng, happened = np.random.default_rng(2), readings.happened
    noise = rng.normal(0, 2, (3, len(readings)))
    whole = noise[0] + 2 * (happened - 0.5) + offset
    known = {"short": noise[1], "whole": whole, "one channel": whole + noise[2]}
    known |= {"activity": rng.normal(size=(len(readings), 5)), "length": rng.random(len(readings))}
    known |= {"words": np.stack([happened, ~happened], axis=1).astype(float)} if words else {}
    return oracles.combine(readings, known)


def by_name(asked: oracles.Asked) -> dict[str, oracles.Errors]:
    return {way.name: way.errors for way in [*asked.alone, *asked.together]}


def test_an_oracle_that_knows_mends_all_and_one_that_does_not_mends_nothing() -> None:
    found = by_name(asked_of(silences()))
    assert found["words: question or statement"].balanced.value == 0
    assert found["words: question or statement"].share_less.low == 1
    assert found["true voice activity"].balanced_less.low <= 0  # it is noise here
    assert found["hears only the last 1 s"].balanced_less.high < 0


def test_recalibration_mends_a_wrong_threshold_and_is_not_credited_to_oracles() -> None:
    steps = by_name(asked_of(silences(), offset=4.0))
    assert steps["+ recalibrated"].balanced_less.low > 0
    assert steps["+ recalibrated"].ranking_less.value == pytest.approx(0, abs=0.02)
    assert steps["+ true voice activity"].balanced_less.low <= 0  # it is noise here


def test_errors_are_counted_beside_another_way() -> None:
    happened = np.array([True, True, True, False, False, False])
    number = np.array([0, 0, 1, 0, 1, 1])
    readings = Readings(number, np.ones(6), np.ones(6, int), happened)
    this, other = np.array([1.0, 1, -1, -2, -2, 3]), np.array([1.0, -1, -1, 2, -2, -3])
    found = oracles.count_errors(this, other, readings)
    assert (found.missed, found.false, found.mended, found.spoiled) == (1, 1, 2, 1)
    assert found.balanced.value == pytest.approx(1 / 3)
    assert found.balanced_less.value == pytest.approx((2 / 3 + 1 / 3) / 2 - 1 / 3)
    assert found.share_less.value == pytest.approx(1 / 3)
    assert found.ranking.value == pytest.approx(1 - (2 + 1) / 4)  # within dialogues


def test_known_counts_move_a_dialogues_threshold_and_nothing_else() -> None:
    readings = silences()
    log_odds = RNG.normal(3, 1, len(readings))
    moved = oracles.with_counts_known(log_odds, readings)
    for number in range(6):
        places = readings.of(number)
        assert (moved[places] > 0).sum() == readings.happened[places].sum()
        np.testing.assert_array_equal(np.argsort(moved[places]), np.argsort(log_odds[places]))


def test_blind_error_is_that_of_guesses_that_know_the_counts() -> None:
    readings, nothing = silences(), np.zeros(192)
    guesses = [oracles.with_counts_known(RNG.normal(size=192), readings) for _ in range(40)]
    errors = [oracles.count_errors(guess, nothing, readings).balanced.value for guess in guesses]
    assert oracles.blind_error(readings) == pytest.approx(np.mean(errors), abs=0.02)
    assert oracles.blind_error(readings) < 0.48  # it gives something away: not 0.5


def test_activity_features_are_what_a_listener_could_count() -> None:
    activity = np.zeros((2, 1000), bool)
    activity[1, 100:400] = True  # the other, until 8 s
    activity[0, 350:450] = True  # begins before the other has ended
    activity[0, 500:700] = True
    turn, stretch, other, count, share = oracles.activity_features(activity[:, :750], 0)
    assert np.expm1([turn, stretch, other]) == pytest.approx([7.0, 4.0, 7.0])
    assert (np.exp(count), share) == pytest.approx((2, 0.5))
    alone = oracles.activity_features(activity[:, :300], 1)  # it still speaks; the other never has
    assert np.expm1(alone[:3]) == pytest.approx([4.0, 4.0, 60.0])


def test_only_the_speaker_before_is_heard(tiny_collection: Collection) -> None:
    model = random_model(TINY)
    for rnn in (model.speaker_rnn, model.dialogue_rnn):  # gates that keep: a memory of seconds
        rnn.cell.bias_hh_l0.data[rnn.config.hidden : 2 * rnn.config.hidden] += 4
    readings, events = silence_readings(tiny_collection)
    ((words, asked),) = oracles.ask(model, tiny_collection)
    assert words == ""
    ways = {way.name: way.log_odds for way in asked.alone}
    assert "words: question or statement" in ways  # all dialogues have text
    whole, alone = ways["the network"], ways["hears only the speaker before"]
    for place, event in [pair for pair in enumerate(events) if pair[1].number < 2]:
        audio = sound_at(tiny_collection, event.number, 16000)
        one = readings.only(np.array([place]))
        assert oracles.floor_logits(model, audio, one) == pytest.approx(whole[place], abs=1e-4)
        audio[1 - event.speaker] = 0
        assert oracles.floor_logits(model, audio, one) == pytest.approx(alone[place], abs=1e-4)
    assert np.abs(whole - alone).max() > 0.01


def test_words_are_asked_only_where_there_is_text(
    tiny_checkpoint: Path, tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [
        replace(event, ending=event.ending * bool(event.number))
        for event in tiny_collection.events("shift", "hold")
    ]
    monkeypatch.setattr(tiny_collection, "events", lambda *_: events)
    found = oracles.ask(load_network(tiny_checkpoint), tiny_collection)
    assert [words for words, _ in found] == ["", "2 dialogues with text"]
    assert [any("words" in way.name for way in asked.alone) for _, asked in found] == [False, True]
    assert set(found[1][1].readings.number) == {1, 2}


@pytest.mark.parametrize(
    ("dialogues", "ways", "lacking"),
    [
        (1, 4, "one dialogue leaves none to fit on"),
        (3, 5, "the dialogues that some would be fitted on have only shifts or only holds"),
    ],
)
def test_oracles_that_cannot_be_fitted_are_left_out(
    dialogues: int, ways: int, lacking: str, tiny_collection: Collection
) -> None:
    readings = silences(dialogues, 20)  # without its last dialogue there are only holds
    happened = readings.happened & (readings.number == dialogues - 1)
    asked = asked_of(replace(readings, happened=happened))
    assert len(asked.alone) == ways
    caption = describe(asked, tiny_collection)
    assert f"left out: {lacking}" in caption
    assert "nan" not in caption


def test_words_are_not_said_to_be_unknown_where_some_dialogues_have_them(
    tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_of(silences(3), words=False)
    left_out = "left out: words, known of only some of the dialogues"
    assert left_out in describe(asked, tiny_collection)
    monkeypatch.setattr(tiny_collection, "events", lambda *_: [])
    assert "left out: words, which nobody knows" in describe(asked, tiny_collection)


def test_command_draws_and_saves(latents: Run, tiny_collection: Collection, tmp_path: Path) -> None:
    status, said = latents("oracles", "--out oracles.png --json oracles.json")
    table = json.loads((tmp_path / "oracles.json").read_text())["all dialogues"]
    assert table["shifts"] + table["holds"] == len(tiny_collection.events("shift", "hold"))
    assert f"{table['one_by_one']['the network']['missed']} shifts for holds" in said
    assert status == 0
    assert (tmp_path / "oracles.png").stat().st_size > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["oracles.json", "oracles.png"]
