import json
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.dialogues.labels import label_frames
from turnstream.models.latents.collect import collect, load_network, read_source
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.memory import readings as subject
from turnstream.stream.errors import ConfigError

from ....networks import CONFIGS, TINY, random_audio, random_model


def test_the_logit_at_a_silence_is_the_collections_p_shift(
    tiny_checkpoint: Path, tiny_collection: Collection
) -> None:
    readings, events = subject.silence_readings(tiny_collection)
    assert {event.kind for event in events} == {"shift", "hold"}
    for number in range(3):
        places = readings.of(number)
        audio = subject.sound_at(tiny_collection, number, 16000)
        logits = subject.floor_logits(load_network(tiny_checkpoint), audio, readings.only(places))
        expected = [events[place].p_shift for place in places]
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-5)


def test_at_the_silences_start_nothing_of_it_is_heard(tiny_collection: Collection) -> None:
    readings, events = subject.silence_readings(tiny_collection, 0.0)
    np.testing.assert_allclose(readings.heard_s, [event.start_s for event in events])
    expected = [int(event.start_s * 25 + 1e-6) - 1 for event in events]
    np.testing.assert_array_equal(readings.steps(25), expected)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_log_mel_is_what_the_network_makes_of_the_sound(config: ModelConfig) -> None:
    model = random_model(config)
    audio = random_audio(model.config, 1, 40)
    with torch.no_grad():
        expected = model(audio, model.init_state(1))[0].next
        mel, state = subject.log_mel(model, audio[0].numpy())[None], model.init_mel_state(1)
        found = model.forward_mel(mel, state)[0].next
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_moments_are_drawn_as_the_loss_weighs_them(tiny_collection: Collection) -> None:
    drawn = subject.decisive_readings(tiny_collection, 4000, seed=3)
    silent = speech = 0
    for number in range(3):
        columns = tiny_collection.frames(number, ["speaking", "holder"])
        steps = drawn.steps(50)[drawn.of(number)]
        quiet = ~columns["speaking"].any(axis=1)
        silent += int(quiet[steps].sum())
        speech += int((~quiet)[steps].sum())
        last = np.flatnonzero(columns["speaking"].any(axis=1))[-1]
        assert steps.max() < last  # nobody speaks next after the last speech
    assert silent / (silent + speech) > 0.25  # silences are a ninth of the frames
    assert abs(drawn.happened.mean() - 0.5) < 0.2


def collected(folder: Path, activity: np.ndarray, backchannel: np.ndarray) -> Collection:
    """A dialogue of noise."""
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 3000, (2, 320 * activity.shape[1]))
    np.save(folder / "a.npy", noise.astype(np.int16))
    np.savez(folder / "a.npz", activity=activity, backchannel=backchannel)
    line = {"audio": "a.npy", "activity": "a.npz", "sample_rate_hz": 16000}
    (folder / "m.jsonl").write_text(json.dumps(line))
    return collect(random_model(TINY), "tiny", read_source(folder / "m.jsonl"), folder / "c")


def test_short_reactions_of_an_unannotated_dialogue_take_the_floor_as_in_training(
    tmp_path: Path,
) -> None:
    """The same speech with its short reaction annotated, which training knows of, is another."""
    # The reaction outlasts the turn.
    activity = segments_to_frames([[(0.5, 11.0), (14.0, 18.0)], [(10.6, 11.4)]], 1000)
    backchannel = np.zeros_like(activity)
    happened: list[float] = []
    for annotated in (False, True):
        backchannel[1] = activity[1] & annotated
        found = collected(tmp_path / f"{annotated}", activity, backchannel)
        assert found.backchannels_annotated(0) == annotated
        assert np.array_equal(found.frames(0, ["backchannel"])["backchannel"][:, 1], activity[1])
        expected = label_frames(activity, backchannel, 50, (0.2, 0.4, 0.6, 0.8))
        drawn = subject.decisive_readings(found, 500)
        assert np.array_equal(drawn.happened, expected.next_holder[drawn.steps(50)] == 1)
        happened.append(drawn.happened.mean())
    assert happened[0] > 0 == happened[1]


def test_dialogues_without_shifts_are_refused(tmp_path: Path) -> None:
    speech = np.ones((2, 200), bool)
    collection = collected(tmp_path / "speech", speech, ~speech)
    with pytest.raises(ConfigError, match="shifts and holds, got 0 shifts and 0 holds"):
        subject.silence_readings(collection)
    with pytest.raises(ConfigError, match="somebody speaks next"):
        subject.decisive_readings(collection, 5)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_less_than_a_step_or_no_end_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"a reach of at least a step of the network, 0\.02 s"):
        subject.in_steps(random_model(TINY), seconds, "a reach")
