import math

import numpy as np
import pytest
import torch

from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.labels import label_frames
from turnstream.models.projection import CLASSES, UNKNOWN
from turnstream.models.training.losses import TargetBatch, head_losses, total_loss
from turnstream.models.training.settings import LossWeights
from turnstream.models.turn_model import TurnOutput

FRAMES = 4


def output(
    vad: float = 0.0,
    follows: float = 0.0,
    backchannel: float = 0.0,
    right_class: float = 0.0,
    completeness: float = 0.0,
) -> TurnOutput:
    """Return constant logits.

    `follows` is that of the second speaker, `right_class` that of class 7, with 0 for all others.
    """
    projection = torch.zeros(1, 2, FRAMES, CLASSES)
    projection[..., 7] = right_class
    both = torch.ones(1, 2, FRAMES)
    nothing = torch.zeros(1, 2, FRAMES, 1)
    second = torch.tensor([-1.0, 1.0])[None, :, None].expand(1, 2, FRAMES)
    return TurnOutput(
        vad * both,
        follows * second,
        backchannel * both,
        projection,
        completeness * both,
        nothing,
        nothing,
    )


def target(
    projection: list[int] = [7, 7, 7, 7],  # noqa: B006
    second: list[float] = [1.0, 1.0, 1.0, 1.0],  # noqa: B006
    weight: list[float] = [1.0, 1.0, 1.0, 1.0],  # noqa: B006
) -> TargetBatch:
    judged = torch.tensor([[[0.25, math.nan, math.nan, math.nan], [math.nan] * 4]])
    vad, backchannel = torch.ones(1, 2, FRAMES), torch.zeros(1, 2, FRAMES)
    return TargetBatch(
        vad,
        torch.tensor([projection]),
        torch.tensor([second]),
        torch.tensor([weight]),
        backchannel,
        judged,
    )


def test_a_batch_of_labels_holds_those_of_each_conversation_as_numbers() -> None:
    rng = np.random.default_rng(0)
    conversations = [
        label_frames(
            rng.random((2, 200)) < 0.4,
            np.zeros((2, 200), bool),
            50.0,
            ModelConfig().bin_edges_s,
            rng.random((2, 200)),
        ).cut(50, 90)
        for _ in range(3)
    ]
    batch = TargetBatch.of(conversations)
    assert batch.vad.dtype == batch.backchannel.dtype == torch.float32
    for name, tensor in vars(batch).items():
        for number, labels in enumerate(conversations):
            assert np.array_equal(tensor[number].numpy(), getattr(labels, name)), name


def values(of: TurnOutput, against: TargetBatch) -> dict[str, float]:
    return {name: loss.item() for name, loss in head_losses(of, against).items()}


def test_without_an_opinion_every_loss_is_the_logarithm_of_the_choices() -> None:
    assert values(output(), target()) == pytest.approx(
        {
            "vad": math.log(2),
            "projection": math.log(256),
            "next_holder": math.log(2),
            "backchannel": math.log(2),
            "completeness": math.log(2),
        }
    )


def test_losses_of_an_opinion_are_its_surprise() -> None:
    found = values(
        output(vad=1.0, follows=2.0, backchannel=-3.0, right_class=4.0, completeness=2.0), target()
    )
    expected = {
        "vad": math.log1p(math.exp(-1)),
        "projection": -math.log(math.exp(4) / (math.exp(4) + 255)),
        "next_holder": math.log1p(math.exp(-2)),
        "backchannel": math.log1p(math.exp(-3)),
        "completeness": 0.25 * math.log1p(math.exp(-2)) + 0.75 * math.log1p(math.exp(2)),
    }
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_wrong_holder_costs_more() -> None:
    assert values(output(follows=2.0), target(second=[0.0] * 4))["next_holder"] == pytest.approx(
        math.log1p(math.exp(2)), rel=1e-5
    )


def test_a_soft_label_costs_least_at_its_own_probability() -> None:
    def loss(logit: float) -> float:
        return values(output(follows=logit), target(second=[0.8] * 4))["next_holder"]

    own = math.log(0.8 / 0.2)
    assert loss(own) == pytest.approx(-0.8 * math.log(0.8) - 0.2 * math.log(0.2), rel=1e-5)
    assert loss(own) < min(loss(own - 0.5), loss(own + 0.5))


def test_frames_count_by_their_weight() -> None:
    weighted = values(
        output(follows=2.0), target(second=[1.0, 0.0, 0.0, 1.0], weight=[3.0, 1.0, 0.0, 0.0])
    )["next_holder"]
    assert weighted == pytest.approx(
        (3 * math.log1p(math.exp(-2)) + math.log1p(math.exp(2))) / 4, rel=1e-5
    )


def test_frames_with_an_unknown_future_do_not_count() -> None:
    known = values(output(right_class=4.0), target())["projection"]
    assert values(output(right_class=4.0), target(projection=[7, UNKNOWN, UNKNOWN, 7]))[
        "projection"
    ] == pytest.approx(known)


def test_a_head_without_any_known_label_has_loss_0() -> None:
    found = values(output(), target(projection=[UNKNOWN] * 4, second=[0.5] * 4, weight=[0.0] * 4))
    assert (found["projection"], found["next_holder"]) == (0.0, 0.0)


def test_the_total_is_the_weighted_sum() -> None:
    losses = {
        "vad": torch.tensor(1.0),
        "projection": torch.tensor(2.0),
        "next_holder": torch.tensor(3.0),
        "backchannel": torch.tensor(4.0),
    }
    assert (
        total_loss(
            losses, LossWeights(vad=1, projection=10, next_holder=100, backchannel=1000)
        ).item()
        == 4321
    )
