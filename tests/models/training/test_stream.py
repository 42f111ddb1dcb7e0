import dataclasses

import numpy as np
import pytest
import torch

from turnstream.models.config import EncoderConfig, FeatureConfig, ModelConfig
from turnstream.models.dialogues.activity import BoolFrames
from turnstream.models.dialogues.labels import label_frames
from turnstream.models.dialogues.loading import load_activity, load_audio
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.projection import UNKNOWN, swapped_classes
from turnstream.models.training.labelled import labelled_audio
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.sources import RecordedDialogues
from turnstream.models.training.stream import Chunk, ConversationStream
from turnstream.stream.errors import ConfigError, DialogueError

from ...networks import TINY

# The audio is as recorded, but the roles may be exchanged.
PLAIN = TrainingSettings(batch_rows=2, chunk_s=1.0, gain_db=0.0, mute_share=0.0, model=TINY)
CHUNK_SAMPLES = 16000


def chunks(dialogues: list[Dialogue], settings: TrainingSettings, count: int) -> list[Chunk]:
    stream = ConversationStream(RecordedDialogues(dialogues, settings), settings.chunks)
    return [stream.next_chunk() for _ in range(count)]


def place(recordings: dict[str, np.ndarray], audio: np.ndarray) -> tuple[str, int, bool]:
    """Find where a chunk (2, N) comes from.

    Returns:
        The recording, the chunk's number in it, and whether its channels were exchanged.
    """
    for name, recording in recordings.items():
        for start in range(0, recording.shape[1] - audio.shape[1] + 1, CHUNK_SAMPLES):
            original = recording[:, start : start + audio.shape[1]]
            for exchanged in (False, True):
                if np.array_equal(original[::-1] if exchanged else original, audio):
                    return name, start // CHUNK_SAMPLES, exchanged
    raise AssertionError("the chunk is in no recording")


@pytest.fixture
def recordings(dialogues: list[Dialogue]) -> dict[str, np.ndarray]:
    return {dialogue.id: load_audio(dialogue) for dialogue in dialogues}


def test_a_lane_plays_a_conversation_in_order_and_says_when_the_next_begins(
    dialogues: list[Dialogue], recordings: dict[str, np.ndarray]
) -> None:
    played = chunks(dialogues, PLAIN, 40)
    for batch_row in range(2):
        places = [place(recordings, chunk.audio[batch_row].numpy()) for chunk in played]
        assert played[0].begins[batch_row]
        for before, after, chunk in zip(places, places[1:], played[1:], strict=False):
            if chunk.begins[batch_row]:
                assert before[1] == 8  # a recording of nine seconds was played to its end
                assert after[1] == 0
            else:
                assert after == (before[0], before[1] + 1, before[2])


def test_every_conversation_is_played_once_before_any_comes_again(
    dialogues: list[Dialogue], recordings: dict[str, np.ndarray]
) -> None:
    one_lane = dataclasses.replace(PLAIN, batch_rows=1)
    begun = [
        place(recordings, chunk.audio[0].numpy())[0]
        for chunk in chunks(dialogues, one_lane, 9 * 9)
        if chunk.begins[0]
    ]
    assert len(begun) >= 8
    assert sorted(begun[:4]) == sorted(begun[4:8]) == ["0", "1", "2", "3"]


def test_lanes_start_at_different_places(
    dialogues: list[Dialogue], recordings: dict[str, np.ndarray]
) -> None:
    (first,) = chunks(dialogues, dataclasses.replace(PLAIN, batch_rows=8), 1)
    assert len({place(recordings, audio.numpy())[1] for audio in first.audio}) > 2


def test_labels_are_those_of_the_audio_and_exchange_roles_with_it(
    dialogues: list[Dialogue], recordings: dict[str, np.ndarray]
) -> None:
    seen: set[bool] = set()
    for chunk in chunks(dialogues, PLAIN, 30):
        for batch_row in range(2):
            name, number, exchanged = place(recordings, chunk.audio[batch_row].numpy())
            seen.add(exchanged)
            labels = label_frames(*load_activity(dialogues[int(name)]), 50.0, TINY.bin_edges_s)
            frames = slice(50 * number, 50 * (number + 1))
            order = [1, 0] if exchanged else [0, 1]
            target = chunk.target
            assert np.array_equal(target.vad[batch_row].numpy(), labels.vad[order][:, frames])
            assert np.array_equal(
                target.backchannel[batch_row].numpy(), labels.backchannel[order][:, frames]
            )
            assert np.array_equal(target.next_weight[batch_row].numpy(), labels.next_weight[frames])
            np.testing.assert_array_equal(
                target.completeness[batch_row].numpy(), labels.completeness[order][:, frames]
            )
            second, projection = labels.next_second[frames], labels.projection[frames]
            if exchanged:
                second = 1 - second
                projection = np.where(projection == UNKNOWN, UNKNOWN, swapped_classes()[projection])
            assert np.array_equal(target.next_second[batch_row].numpy(), second)
            assert np.array_equal(target.projection[batch_row].numpy(), projection)
    assert seen == {False, True}


def test_muting_silences_one_channel_for_a_whole_conversation(dialogues: list[Dialogue]) -> None:
    for chunk in chunks(dialogues, dataclasses.replace(PLAIN, mute_share=0.999), 10):
        silent = (chunk.audio == 0).all(dim=2)
        assert (silent.sum(dim=1) == 1).all()


def test_gain_changes_the_loudness_within_its_range(dialogues: list[Dialogue]) -> None:
    (plain,) = chunks(dialogues, PLAIN, 1)
    levels_db = []
    for seed in range(8):
        for chunk in chunks(dialogues, dataclasses.replace(PLAIN, gain_db=10.0, seed=seed), 3):
            levels_db += (20 * torch.log10(chunk.audio.abs().amax(dim=2))).flatten().tolist()
            assert chunk.audio.abs().max() <= 1
    peak_db = 20 * torch.log10(plain.audio.abs().max()).item()
    assert max(levels_db) <= min(0.0, peak_db + 11)
    assert max(levels_db) - min(levels_db) > 8


def test_the_seed_sets_the_order(dialogues: list[Dialogue]) -> None:
    def heard(seed: int) -> torch.Tensor:
        return torch.cat(
            [chunk.audio for chunk in chunks(dialogues, dataclasses.replace(PLAIN, seed=seed), 4)]
        )

    assert torch.equal(heard(1), heard(1))
    assert not torch.equal(heard(1), heard(2))


def test_conversations_shorter_than_a_chunk_are_passed_over_and_none_left_is_an_error(
    dialogues: list[Dialogue],
) -> None:
    with pytest.raises(
        DialogueError, match=r"expected conversations of at least 9.5 s, found none"
    ):
        chunks(dialogues, dataclasses.replace(PLAIN, chunk_s=9.5), 1)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_step_is_labelled_by_its_last_frame(dialogues: list[Dialogue], stride: int) -> None:
    config = dataclasses.replace(TINY, encoder=EncoderConfig(stride=stride))
    audio, labels = labelled_audio(dialogues[0], config)
    activity: BoolFrames
    activity, _ = load_activity(dialogues[0])
    steps = activity.shape[1] // stride
    assert audio.shape == (2, steps * config.frame_samples)
    assert np.array_equal(labels.vad, activity[:, stride - 1 :: stride][:, :steps])


def test_feature_frames_that_are_not_those_of_the_activity_are_refused(
    dialogues: list[Dialogue],
) -> None:
    config = ModelConfig(features=FeatureConfig(hop_samples=160))
    with pytest.raises(
        ConfigError,
        match="expected 50 feature frames a second, as in the activity that labels them, got 100",
    ):
        labelled_audio(dialogues[0], config)
