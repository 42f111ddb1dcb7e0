import shutil
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues import channel, neural_voice, simulation, synthesis
from turnstream.models.dialogues.activity import runs
from turnstream.models.dialogues.casting import Cast
from turnstream.models.dialogues.events import find_transitions
from turnstream.models.dialogues.simulation import (
    SimulationData,
    add_nonspeech,
    label,
    lay_out,
    mix,
    open_simulation_data,
    simulate,
)
from turnstream.models.dialogues.styles import STYLE_SHARES, STYLES, Manner, draw_dialogue_plan
from turnstream.models.dialogues.timing import PlannedTurn
from turnstream.models.dialogues.voice import Voice
from turnstream.stream.errors import DialogueError

from .fake_voice import FakeVoice

LENGTHS_S = (20.0, 40.0)
PLAIN = Manner(
    style="test",
    machine=False,
    pause_median_s=0.5,
    stretch=0.0,
    mid_phrase=0.0,
    filler=0.0,
    lengthen=0.0,
    legibility=0.0,
    run_on=0.0,
    dictation=0.0,
    false_start=0.0,
)


def voices(data: SimulationData, manner: Manner = PLAIN, seed: int = 0) -> list[Voice]:
    rng = np.random.default_rng(seed)
    return [
        Voice(data.pool, utterances, [], manner, rng)
        for utterances in data.cast.draw_pair(rng, machine=False)
    ]


def test_the_same_seed_and_index_give_the_same_dialogue(data: SimulationData):
    first, again, other = (
        simulate(data, 5, 3, LENGTHS_S),
        simulate(data, 5, 3, LENGTHS_S),
        simulate(data, 5, 4, LENGTHS_S),
    )
    assert np.array_equal(first.audio, again.audio)
    assert np.array_equal(first.activity, again.activity)
    assert first.audio.shape != other.audio.shape


def test_shapes_belong_together(data: SimulationData):
    made = simulate(data, 1, 0, LENGTHS_S)
    assert made.audio.dtype == np.int16
    assert made.audio.shape == (2, made.activity.shape[1] * 320)
    assert made.backchannel.shape == made.activity.shape
    assert not (made.backchannel & ~made.activity).any()
    assert made.activity.any(axis=1).all()


def test_labels_are_where_the_clean_sound_is(data: SimulationData):
    turns = [PlannedTurn(i % 2, 0.5, (1.8,), ()) for i in range(8)]
    placed = lay_out(turns, voices(data), np.random.default_rng(0), 60, 0.0)
    frames = max(item.start + len(item.phrase.samples) for item in placed) // 320
    sound = np.sqrt((mix(placed, frames * 320).reshape(2, frames, 320) ** 2).mean(axis=2))
    active = label(placed, frames)
    edge = active ^ np.roll(active, 1, axis=1) | active ^ np.roll(active, -1, axis=1)
    assert np.median(sound[active]) > 0.02
    assert (sound[~active & ~edge] < 0.005).all()


def test_a_shift_is_where_the_plan_says(data: SimulationData):
    turns = [
        PlannedTurn(0, 3.0, (1.8,), ()),
        PlannedTurn(1, 0.7, (1.8,), ()),
        PlannedTurn(0, 1.1, (1.8,), ()),
    ]
    placed = lay_out(turns, voices(data), np.random.default_rng(0), 60, 0.0)
    shifts = [t for t in find_transitions(label(placed, 1000)) if t.kind == "shift"]
    assert [(t.previous, t.next) for t in shifts] == [(0, 1), (1, 0)]
    assert [(t.silence_end_frame - t.silence_start_frame) / 50 for t in shifts] == pytest.approx(
        [0.7, 1.1], abs=0.03
    )


def test_a_hold_is_at_the_planned_pause(data: SimulationData):
    turns = [PlannedTurn(0, 3.0, (0.6, 1.2), (0.9,)), PlannedTurn(1, 0.6, (1.8,), ())]
    placed = lay_out(turns, voices(data), np.random.default_rng(1), 60, 0.0)
    silences = [
        (t.silence_end_frame - t.silence_start_frame) / 50
        for t in find_transitions(label(placed, 1000))
        if t.kind == "hold"
    ]
    assert any(silence == pytest.approx(0.9, abs=0.03) for silence in silences)


def test_a_broken_off_turn_does_not_end_where_its_utterance_ends(data: SimulationData):
    (voice, _) = voices(data)
    whole = voice.take_turn(PlannedTurn(0, 0.0, (1.8,), (), finished=True))
    broken = voice.take_turn(PlannedTurn(0, 0.0, (0.6,), (), finished=False))
    assert sum(end - start for start, end in whole[-1].speech) >= 0.9 * 16000
    assert broken[-1].offset - broken[0].onset < 1.5 * 16000


def test_backchannels_are_short_and_inside_the_others_turn(data: SimulationData):
    turns = [PlannedTurn(0, 0.5, (6.0,), (), (0.3, 0.7)), PlannedTurn(1, 0.5, (1.8,), ())]
    placed = lay_out(turns, voices(data), np.random.default_rng(2), 60, 0.0)
    reactions = [item for item in placed if item.backchannel]
    assert reactions
    assert all(
        item.speaker == 1 and (item.phrase.offset - item.phrase.onset) / 16000 < 1.2
        for item in reactions
    )


@pytest.fixture
def silent_minute() -> tuple[np.ndarray, np.ndarray]:
    """Clean silence of one minute, and activity with turns of two seconds, a second apart."""
    activity = np.zeros((2, 3000), bool)
    for speaker in (0, 1):
        activity[speaker] = (np.arange(3000) // 150) % 2 == speaker
        activity[speaker, np.arange(3000) % 150 >= 100] = False
    return np.zeros((2, 3000 * 320), np.float32), activity


def test_laughter_typing_and_breaths_never_fall_into_a_speaker_s_own_speech(
    data: SimulationData,
    silent_minute: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(simulation, "NONSPEECH_PER_MINUTE", 60.0)
    monkeypatch.setattr(simulation, "BREATHER_SHARE", 1.0)
    dry, activity = silent_minute
    before = activity.copy()
    add_nonspeech(dry, activity, voices(data), np.random.default_rng(0))
    assert np.array_equal(activity, before)
    sounding = np.abs(dry).reshape(2, 3000, 320).max(axis=2) > 0
    assert not (sounding & activity).any()
    for speaker in (0, 1):
        assert (sounding[speaker] & activity[1 - speaker]).any()  # whoever has the floor
        assert (sounding[speaker] & ~activity.any(axis=0)).any()


def test_a_breath_is_drawn_shortly_before_speech(
    data: SimulationData,
    silent_minute: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(simulation, "NONSPEECH_PER_MINUTE", 0.0)
    monkeypatch.setattr(simulation, "BREATHER_SHARE", 1.0)
    dry, activity = silent_minute
    add_nonspeech(dry, activity, voices(data), np.random.default_rng(0))
    sounding = np.abs(dry).reshape(2, 3000, 320).max(axis=2) > 0
    for speaker in (0, 1):
        onsets = [onset for _, onset in runs(~activity[speaker])]
        breaths = runs(sounding[speaker])
        assert 0 < len(breaths) < len(onsets)
        assert all(
            min(onset - end for onset in onsets if onset >= end) <= 0.25 * 50 + 1
            for _, end in breaths
        )
        assert 0 < np.abs(dry[speaker]).max() < 0.1


def test_one_who_never_stops_makes_no_other_sound(
    data: SimulationData, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(simulation, "NONSPEECH_PER_MINUTE", 60.0)
    dry, activity = np.zeros((2, 480_000), np.float32), np.ones((2, 1500), bool)
    add_nonspeech(dry, activity, voices(data), np.random.default_rng(0))
    assert not dry.any()


def test_a_silent_channel_keeps_its_labels(data: SimulationData, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(channel, "MONO_SHARE", 1.0)
    made = simulate(data, 2, 0, LENGTHS_S)
    assert not made.audio[1].any()
    assert made.activity[1].any()
    assert made.audio[0].any()


EFFECTS = (
    "ROOM_SHARE",
    "NOISE_SHARE",
    "WANDER_SHARE",
    "GAIN_CONTROL_SHARE",
    "GATE_SHARE",
    "CLIPPING_SHARE",
    "OFFSET_SHARE",
)


@pytest.mark.parametrize("share", EFFECTS)
def test_every_channel_effect_changes_the_sound_and_not_the_labels(
    data: SimulationData, monkeypatch: pytest.MonkeyPatch, share: str
):
    for other in ("CLEAN_SHARE", "MONO_SHARE", *EFFECTS):
        monkeypatch.setattr(channel, other, 0.0)
    made = []
    for value in (0.0, 1.0):
        monkeypatch.setattr(channel, share, value)
        made.append(simulate(data, 3, 1, LENGTHS_S))
    assert not np.array_equal(made[0].audio, made[1].audio)
    assert np.array_equal(made[0].activity, made[1].activity)


def test_share_alike_rooms_are_left_out(data: SimulationData):
    assert len(data.surroundings.rooms) == 1
    assert len(data.surroundings.noises) == 1


def test_train_and_validation_share_no_speaker(data: SimulationData):
    train, val = (
        {name for speakers in Cast(data.pool, split).sets.values() for name in speakers}
        for split in ("train", "val")
    )
    assert train
    assert val
    assert not train & val


def test_the_two_sides_share_no_speaker(data: SimulationData):
    for seed in range(20):
        first, second = data.cast.draw_pair(np.random.default_rng(seed), machine=bool(seed % 2))
        assert not {u.speaker for u in first} & {u.speaker for u in second}


def test_styles_overlap_in_silences_of_shifts_and_holds():
    assert sum(STYLE_SHARES.values()) == pytest.approx(1)
    assert set(STYLE_SHARES) == set(STYLES)
    gaps, pauses = [], []
    for seed in range(60):
        manner, turns = draw_dialogue_plan(np.random.default_rng(seed), {}, 200)
        gaps += [turn.offset_s for turn in turns[1:] if turn.offset_s >= 0.25]
        pauses += [pause for turn in turns for pause in turn.pauses_s if pause >= 0.25]
        assert manner.style in STYLES
    order = np.argsort(np.argsort(gaps + pauses)) + 1
    auc = (order[: len(gaps)].sum() - len(gaps) * (len(gaps) + 1) / 2) / (len(gaps) * len(pauses))
    assert 0.4 < auc < 0.7


def test_a_folder_without_utterances_is_named(tmp_path: Path):
    with pytest.raises(
        DialogueError, match=r"expected utterances in speech/\*/manifest\.csv, got none"
    ):
        open_simulation_data(tmp_path, tmp_path / "cache")


@pytest.fixture
def folder_with_scripts(tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder with a transcript, and a fake in place of the neural voice."""
    monkeypatch.setattr(neural_voice, "open_synthesiser", FakeVoice)
    monkeypatch.setattr(synthesis, "HOURS", 0.01)
    monkeypatch.setattr(synthesis, "INTERJECTIONS", ("yeah.", "right."))
    folder = tmp_path / "data"
    shutil.copytree(data_folder, folder)
    (folder / "scripts" / "visits").mkdir(parents=True)
    said = 'intervals [1]:\nxmin = 0\nxmax = 5\ntext = "It hurts here, and then it stops."\n'
    tier = (
        'item [1]:\nclass = "IntervalTier"\nname = "patient"\nxmin = 0\nxmax = 5\n'
        f"intervals: size = 1\n{said}"
    )
    head = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\nxmin = 0\nxmax = 5\n'
        "tiers? <exists>\nsize = 1\nitem []:\n"
    )
    for party in ("doctor", "patient"):
        (folder / "scripts" / "visits" / f"one_{party}.TextGrid").write_text(head + tier)
    return folder


def test_the_neural_voice_speaks_the_scripts_and_the_interjections(
    folder_with_scripts: Path, tmp_path: Path
):
    cast = open_simulation_data(folder_with_scripts, tmp_path / "cache").cast
    assert set(cast.sets) == {"tones", synthesis.SYNTHETIC_SET}
    assert {u.set_name for u in cast.interjections} == {synthesis.INTERJECTIONS_SET}
    machine = cast.draw_pair(np.random.default_rng(0), machine=True)[1]
    assert {u.set_name for u in machine} == {synthesis.SYNTHETIC_SET}


def test_a_set_of_the_neural_voice_that_is_there_is_taken_or_left_out(
    folder_with_scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = synthesis.render_scripts(folder_with_scripts / "scripts", tmp_path / "made", hours=0.01)
    shutil.copytree(made, folder_with_scripts / "speech" / synthesis.SYNTHETIC_SET)
    monkeypatch.setattr(simulation, "render_scripts", lambda *_: pytest.fail("spoken again"))
    assert (
        synthesis.SYNTHETIC_SET
        in open_simulation_data(folder_with_scripts, tmp_path / "cache").cast.sets
    )
    recorded = open_simulation_data(folder_with_scripts, tmp_path / "cache", synthetic=False).cast
    assert set(recorded.sets) == {"tones"}
    assert recorded.interjections == []


@pytest.mark.parametrize(
    ("columns", "got"), [("file,license\nhall.wav,CC0", "file, license"), ("", "an empty file")]
)
def test_rooms_without_the_needed_columns_are_named(tmp_path: Path, columns: str, got: str):
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "manifest.csv").write_text(columns)
    with pytest.raises(
        DialogueError, match=rf"manifest\.csv: expected columns file and licence, got {got}$"
    ):
        channel.read_surroundings(tmp_path)


def test_a_speaker_who_reacted_is_not_free_before_the_reaction_ends(data: SimulationData):
    turns = [PlannedTurn(0, 0.5, (6.0,), (), (0.8, 0.9)), PlannedTurn(1, -5.0, (1.8,), ())]
    placed = lay_out(turns, voices(data), np.random.default_rng(2), 60, 0.0)
    own = [item for item in placed if item.speaker == 1]
    reaction, answer = own[-2], own[-1]
    assert (reaction.backchannel, answer.backchannel) == (True, False)
    assert answer.start + answer.phrase.onset >= reaction.offset + 0.24 * 16000


def test_known_words_lie_where_they_are_spoken_and_a_cut_utterance_is_known_by_its_last_word(
    data: SimulationData,
):
    made = simulate(data, 2, 0, LENGTHS_S)
    assert made.words
    texts = {utterance.transcript for utterance in data.pool.utterances}
    assert {"It buzzes.", "it buzzes and,"} == texts
    assert {word["text"] for word in made.words} <= {*texts, "... buzzes.", "... and,"}
    assert [word["start"] for word in made.words] == sorted(word["start"] for word in made.words)
    for word in made.words:
        spoken = made.activity[word["ch"], round(word["start"] * 50) : round(word["end"] * 50)]
        assert spoken.mean() > 0.7
        assert not made.activity[word["ch"], round(word["end"] * 50) + 1]
