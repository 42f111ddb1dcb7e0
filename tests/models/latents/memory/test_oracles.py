import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection, Event
from turnstream.models.latents.memory.oracles import (
    Asked,
    activity_features,
    ask,
    blind_error,
    combine,
    count_errors,
    with_counts_known,
)
from turnstream.models.latents.memory.oracles_view import count_all, describe
from turnstream.models.latents.memory.readings import (
    Readings,
    floor_logits,
    silence_readings,
    sound_at,
)

from ....networks import TINY, random_model

RNG = np.random.default_rng(0)


def silences(dialogues: int = 6, each: int = 32) -> tuple[Readings, list[Event]]:
    """Shifts and holds, mixed differently in each dialogue."""
    number = np.repeat(np.arange(dialogues), each)
    happened = (
        np.random.default_rng(1).random(len(number)) < np.linspace(0.25, 0.75, dialogues)[number]
    )
    readings = Readings(number, np.ones(len(number)), np.ones(len(number), int), happened)
    events = [
        Event(
            int(n),
            "d",
            "",
            "shift" if h else "hold",
            0,
            int(h),
            1.0,
            2.0 + (i % 7) / 7,
            "",
            None,
            None,
        )
        for i, (n, h) in enumerate(zip(number, happened, strict=True))
    ]
    return readings, events


def asked_of(offset: float = 0.0) -> Asked:
    """A network with noise on what happened, and words that say what happened."""
    readings, events = silences()
    noise = np.random.default_rng(2).normal(0, 2, (3, len(readings)))
    whole = noise[0] + 2 * (readings.happened - 0.5) + offset
    endings = np.stack([readings.happened, ~readings.happened], axis=1).astype(float)
    return combine(
        readings,
        events,
        noise[1],
        whole,
        whole + noise[2],
        np.random.default_rng(3).normal(size=(len(readings), 5)),
        endings,
    )


def test_an_oracle_that_knows_mends_all_and_one_that_does_not_mends_nothing() -> None:
    asked = asked_of()
    alone = dict(
        zip(
            [way.name for way in asked.alone],
            count_all(asked.alone, stepwise=False, asked=asked),
            strict=True,
        )
    )
    assert alone["words: question or statement"].balanced.value == 0
    assert alone["words: question or statement"].share_less.low == 1
    assert alone["true voice activity"].balanced_less.low <= 0  # it is noise here
    assert alone["hears only the last 1 s"].balanced_less.high < 0


def test_recalibration_mends_a_wrong_threshold_and_is_not_credited_to_oracles() -> None:
    asked = asked_of(offset=4.0)
    steps = dict(
        zip(
            [way.name for way in asked.together],
            count_all(asked.together, stepwise=True, asked=asked),
            strict=True,
        )
    )
    assert steps["+ recalibrated"].balanced_less.low > 0
    assert steps["+ recalibrated"].ranking_less.value == pytest.approx(0, abs=0.02)
    assert steps["+ true voice activity"].balanced_less.low <= 0  # it is noise here


def test_errors_are_counted_beside_another_way() -> None:
    happened = np.array([True, True, True, False, False, False])
    number = np.array([0, 0, 1, 0, 1, 1])
    readings = Readings(number, np.ones(6), np.ones(6, int), happened)
    this, other = np.array([1.0, 1, -1, -2, -2, 3]), np.array([1.0, -1, -1, 2, -2, -3])
    found = count_errors(this, other, readings)
    assert (found.missed, found.false, found.mended, found.spoiled) == (1, 1, 2, 1)
    assert found.balanced.value == pytest.approx(1 / 3)
    assert found.balanced_less.value == pytest.approx((2 / 3 + 1 / 3) / 2 - 1 / 3)
    assert found.share_less.value == pytest.approx(1 / 3)
    assert found.ranking.value == pytest.approx(1 - (2 + 1) / 4)  # within dialogues


def test_known_counts_move_a_dialogues_threshold_and_nothing_else() -> None:
    readings, _ = silences()
    log_odds = RNG.normal(3, 1, len(readings))
    moved = with_counts_known(log_odds, readings)
    for number in range(6):
        places = readings.of(number)
        assert (moved[places] > 0).sum() == readings.happened[places].sum()
        np.testing.assert_array_equal(np.argsort(moved[places]), np.argsort(log_odds[places]))


def test_blind_error_is_that_of_guesses_that_know_the_counts() -> None:
    readings, _ = silences()
    errors = [
        count_errors(
            with_counts_known(RNG.normal(size=len(readings)), readings),
            np.zeros(len(readings)),
            readings,
        ).balanced.value
        for _ in range(40)
    ]
    assert blind_error(readings) == pytest.approx(np.mean(errors), abs=0.02)
    assert blind_error(readings) < 0.48  # it gives something away: not 0.5


def test_activity_features_are_what_a_listener_could_count() -> None:
    activity = np.zeros((2, 1000), bool)
    activity[1, 100:400] = True  # the other, until 8 s
    activity[0, 350:450] = True  # begins before the other has ended
    activity[0, 500:700] = True
    turn, stretch, other, count, share = activity_features(activity[:, :750], 0)
    assert np.expm1([turn, stretch, other]) == pytest.approx([7.0, 4.0, 7.0])
    assert (np.exp(count), share) == pytest.approx((2, 0.5))
    alone = activity_features(activity[:, :300], 1)
    assert np.expm1(alone[:3]) == pytest.approx(
        [4.0, 4.0, 60.0]
    )  # it still speaks; the other never has


def test_only_the_speaker_before_is_heard(tiny_collection: Collection) -> None:
    model = random_model(TINY)
    for rnn in (model.speaker_rnn, model.dialogue_rnn):
        rnn.cell.bias_hh_l0.data[rnn.config.hidden : 2 * rnn.config.hidden] += (
            4  # update gates that keep: a memory of seconds
        )
    readings, events = silence_readings(tiny_collection)
    ((words, asked),) = ask(model, tiny_collection)
    assert words == ""
    assert any("words" in way.name for way in asked.alone)  # all dialogues have text
    ways = {way.name: way.log_odds for way in asked.alone}
    for place, event in [pair for pair in enumerate(events) if pair[1].number < 2]:
        audio = sound_at(tiny_collection, event.number, 16000)
        one = readings.only(np.array([place]))
        assert ways["the network"][place] == pytest.approx(
            floor_logits(model, audio, one)[0], abs=1e-4
        )
        audio[1 - event.speaker] = 0
        assert ways["hears only the speaker before"][place] == pytest.approx(
            floor_logits(model, audio, one)[0], abs=1e-4
        )
    assert np.abs(ways["the network"] - ways["hears only the speaker before"]).max() > 0.01


def test_words_are_asked_only_where_there_is_text(
    tiny_checkpoint: Path, tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = tiny_collection.events
    monkeypatch.setattr(
        tiny_collection,
        "events",
        lambda *kinds: [
            _without_text(event) if event.number == 0 else event for event in events(*kinds)
        ],
    )
    some = ask(load_network(tiny_checkpoint), tiny_collection)
    assert [words for words, _ in some] == ["", "2 dialogues with text"]
    assert [any("words" in way.name for way in asked.alone) for _, asked in some] == [False, True]
    assert set(some[1][1].readings.number) == {1, 2}


def _without_text(event: Event) -> Event:
    return Event(**{**vars(event), "ending": ""})


def test_one_dialogue_has_no_fitted_oracles(tiny_collection: Collection) -> None:
    readings, events = silences(1, 20)
    asked = combine(readings, events, np.ones(20), np.ones(20), np.ones(20), np.ones((20, 5)), None)
    assert len(asked.alone) == 4
    caption = describe(
        asked,
        count_all(asked.together, stepwise=True, asked=asked),
        count_all(asked.alone, stepwise=False, asked=asked),
        tiny_collection,
    )
    assert "one dialogue leaves none to fit on" in caption
    assert "nan" not in caption


def test_command_draws_and_writes(
    tiny_checkpoint: Path,
    tiny_collection: Collection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, numbers = tmp_path / "oracles.png", tmp_path / "oracles.json"
    assert (
        main(
            [
                "latents",
                "oracles",
                str(tiny_collection.folder),
                "--out",
                str(out),
                "--json",
                str(numbers),
                "--model",
                str(tiny_checkpoint),
            ]
        )
        == 0
    )
    table = json.loads(numbers.read_text())["all dialogues"]
    assert table["shifts"] + table["holds"] == len(tiny_collection.events("shift", "hold"))
    assert (
        f"{table['one_by_one']['the network']['missed']} shifts for holds"
        in capsys.readouterr().out
    )
    assert out.stat().st_size > 10_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["oracles.json", "oracles.png"]


def test_oracles_that_cannot_be_fitted_are_left_out(tiny_collection: Collection) -> None:
    readings, events = silences(3, 20)
    readings = replace(
        readings, happened=readings.happened & (readings.number == 1)
    )  # without dialogue 1 there are only holds
    whole = np.random.default_rng(4).normal(size=60)
    asked = combine(readings, events, whole, whole, whole, np.ones((60, 5)), np.ones((60, 2)))
    assert [way.name for way in asked.alone] == [
        "the network",
        "hears only the last 1 s",
        "hears only the speaker before",
        "only counts this speaker's shifts",
        "how many are shifts",
    ]
    caption = describe(
        asked,
        count_all(asked.together, stepwise=True, asked=asked),
        count_all(asked.alone, stepwise=False, asked=asked),
        tiny_collection,
    )
    assert caption.endswith(
        "left out: the dialogues that some would be fitted on have only shifts or only holds."
    )
    assert "nan" not in caption


def test_words_are_not_said_to_be_unknown_where_some_dialogues_have_them(
    tiny_collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, events = silences(3)
    whole = np.random.default_rng(4).normal(size=len(readings))
    asked = combine(readings, events, whole, whole, whole, np.ones((len(readings), 5)), None)
    counted = (
        count_all(asked.together, stepwise=True, asked=asked),
        count_all(asked.alone, stepwise=False, asked=asked),
    )
    assert describe(asked, *counted, tiny_collection).endswith(
        "left out: words, known of only some of the dialogues."
    )
    monkeypatch.setattr(tiny_collection, "events", lambda *_: [])
    assert describe(asked, *counted, tiny_collection).endswith(
        "left out: words, which nobody knows."
    )
