import pytest
import torch

from turnstream.models.state import StateLayout
from turnstream.models.turn_model import TurnModel, pack_state, unpack_state
from turnstream.stream.errors import ConfigError

from ..networks import CONFIGS, random_model

SHAPES = {"a": (2, 3), "b": {"empty": (0, 4), "c": (5,)}, "none": {}}


def test_tensors_lie_one_after_another_and_empty_ones_take_no_place() -> None:
    layout = StateLayout.of(SHAPES)
    assert [(entry.name, entry.shape, entry.offset, entry.size) for entry in layout.entries] == [
        ("a", (2, 3), 0, 6),
        ("b.c", (5,), 6, 5),
    ]
    assert (layout.speaker_size, layout.size) == (11, 22)


def test_unpacking_gives_one_row_per_speaker_and_packing_is_its_inverse() -> None:
    layout = StateLayout.of(SHAPES)
    packed = torch.arange(44.0).reshape(2, 22)
    tree = unpack_state(packed, SHAPES, layout)
    assert tree["a"].shape == (4, 2, 3)
    assert tree["b"]["empty"].shape == (4, 0, 4)
    # The end of the second half of conversation 0, speaker 1.
    assert tree["b"]["c"][1].tolist() == [
        17,
        18,
        19,
        20,
        21,
    ]
    assert torch.equal(pack_state(tree, layout), packed)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_networks_state_survives_unpacking_and_packing(name: str) -> None:
    model = random_model(CONFIGS[name])
    for shapes, layout in (
        (model.state_shapes(), model.layout),
        (model.mel_state_shapes(), model.mel_layout),
    ):
        packed = torch.randn(3, layout.size)
        assert torch.equal(pack_state(unpack_state(packed, shapes, layout), layout), packed)


def test_a_state_of_another_size_is_refused_with_both_sizes(tiny_model: TurnModel) -> None:
    size = tiny_model.layout.size
    with pytest.raises(ConfigError, match=f"expected a state of {size} floats, got {size + 1}"):
        tiny_model(torch.zeros(1, 2, 320), torch.zeros(1, size + 1))


def test_the_bundled_models_state_fits_its_budget() -> None:
    from turnstream.models.config import ModelConfig

    assert TurnModel(ModelConfig()).layout.size * 4 <= 64 * 1024
