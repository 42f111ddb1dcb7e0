import dataclasses

import pytest
import torch

from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.sources import RecordedDialogues
from turnstream.models.training.stream import Chunk, ConversationStream
from turnstream.stream.errors import ConfigError

from ...networks import TINY

SETTINGS = TrainingSettings(batch_rows=4, chunk_s=2.0, mute_share=0.3, model=TINY)


def open_stream(dialogues: list[Dialogue], batch_rows: range | None = None) -> ConversationStream:
    return ConversationStream(RecordedDialogues(dialogues, SETTINGS), SETTINGS.chunks, batch_rows)


def assert_same(a: Chunk, b: Chunk, batch_rows: slice = slice(None)) -> None:
    assert torch.equal(a.begins, b.begins[batch_rows])
    assert torch.equal(a.audio, b.audio[batch_rows])
    for field in dataclasses.fields(a.target):
        assert torch.equal(
            getattr(a.target, field.name).nan_to_num(-1),
            getattr(b.target, field.name)[batch_rows].nan_to_num(-1),
        )


def test_lanes_divided_among_processes_play_what_they_play_together(
    dialogues: list[Dialogue],
) -> None:
    whole = open_stream(dialogues)
    first, second = (open_stream(dialogues, batch_rows) for batch_rows in (range(2), range(2, 4)))
    for _ in range(12):
        together = whole.next_chunk()
        assert_same(first.next_chunk(), together, slice(0, 2))
        assert_same(second.next_chunk(), together, slice(2, 4))


@pytest.mark.parametrize("played", [1, 4, 7])
def test_a_stream_goes_on_where_another_was(played: int, dialogues: list[Dialogue]) -> None:
    stream = open_stream(dialogues)
    for _ in range(played):
        stream.next_chunk()
    resumed = open_stream(dialogues)
    resumed.load_state_dict(stream.state_dict())
    for _ in range(8):
        assert_same(resumed.next_chunk(), stream.next_chunk())


def test_the_positions_of_another_number_of_rows_are_refused(dialogues: list[Dialogue]) -> None:
    stream = open_stream(dialogues)
    state = stream.state_dict() | {"batch_rows": [(0, 0)]}
    with pytest.raises(ConfigError, match="expected the positions of 4 batch rows, got those of 1"):
        stream.load_state_dict(state)


def test_every_round_has_another_order_of_the_same_dialogues(dialogues: list[Dialogue]) -> None:
    source = RecordedDialogues(dialogues, SETTINGS)
    rounds = [
        [source.conversation(4 * round_number + place)[0].tobytes() for place in range(4)]
        for round_number in range(3)
    ]
    assert len({frozenset(played) for played in rounds}) == 1
    assert len({tuple(played) for played in rounds}) > 1
