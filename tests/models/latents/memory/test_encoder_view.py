"""What an encoder sees: by hand, by configuration, by all ones, by a gradient; the picture."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from turnstream.cli import main
from turnstream.models.config import FeatureConfig, ModelConfig, StackConfig
from turnstream.models.encoder import Encoder
from turnstream.models.latents.memory import encoder_view as subject
from turnstream.models.receptive_field import receptive_field
from turnstream.stream.engine import bundled_model
from turnstream.stream.errors import ConfigError

from ....networks import TINY

BINS = 5
SMALL = replace(
    TINY.encoder,
    **{"channels": 4, "out_channels": 3, "activation": "tanh", "first_kernel": 2, "block": "plain"},
    stacks=(StackConfig((2,), (3,)),),
)
GATED = {"dims": 2, "first_kernel": 1, "block": "gated", "stride": 2}
CONFIGS = {
    **subject.EXAMPLES,
    "gated, 2-D, stride": replace(SMALL, **GATED, stacks=(StackConfig((2,), (5,)),)),
    "one frame only": replace(SMALL, first_kernel=1, stacks=(StackConfig((1,), (1,)),)),
}


def test_receptive_field_equals_a_gradient_worked_out_by_hand() -> None:
    encoder = Encoder(SMALL, 1).double()
    for parameter in encoder.parameters():
        parameter.data.fill_(1.0)
    # Without the activations, step t is a sum over the taps t, t - 3 of the block, and each of
    # these over the taps 0, 1 of the first layer: frames t, t - 1, t - 3, t - 4.
    encoder.activation = lambda x: x
    block = encoder.stacks[0][0]  # pyright: ignore[reportIndexIssue]
    block.activation = lambda x: x  # pyright: ignore[reportAttributeAccessIssue]
    gradient = subject.encoder_gradient(encoder, 1, step=6, steps=8)[:, 0]
    paths = SMALL.channels * SMALL.channels * SMALL.out_channels
    np.testing.assert_allclose(gradient, paths * np.array([0, 0, 1, 1, 0, 1, 1, 0]))
    assert receptive_field(SMALL).offsets == (0, 1, 3, 4)
    assert receptive_field(SMALL).holes == (2,)


@pytest.mark.parametrize("name", CONFIGS)
def test_both_measurements_agree_with_the_configuration(name: str) -> None:
    reach = subject.measure_reach(name, CONFIGS[name], BINS)
    assert reach.is_causal
    assert reach.offsets_with_gradient == receptive_field(CONFIGS[name]).offsets
    assert reach.agrees
    assert (reach.depths[0], reach.depths[-1]) == ("input", "output")


def test_a_second_stack_fills_the_holes_of_the_first() -> None:
    names = ("dilation 4 leaves holes", "two stacks added: the second fills the holes")
    holes, filled = (subject.measure_reach("", subject.EXAMPLES[name], BINS) for name in names)
    assert holes.offsets_with_gradient == (0, 4, 8)
    assert filled.offsets_with_gradient == tuple(range(9))


def test_a_convolution_that_sees_the_future_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def centred(padded: torch.Tensor, *_: int) -> list[torch.Tensor]:
        frames = padded.shape[1] - 1  # one frame of past; the last frame sees itself twice
        following = torch.cat([padded[:, 2:], padded[:, -1:]], dim=1)
        return [padded[:, 1:], following[:, :frames]]

    monkeypatch.setattr("turnstream.models.layers.time_taps", centred)
    config = replace(SMALL, stacks=(StackConfig((2,), (1,)),))
    reach = subject.measure_reach("", config, BINS)
    assert not reach.is_causal
    assert not reach.agrees
    assert "from the future flows back: SOMETHING" in subject.describe(reach, TINY.features, True)


def test_a_stride_leaves_no_step_between(monkeypatch: pytest.MonkeyPatch) -> None:
    config = subject.EXAMPLES["stride 2"]
    _, heard = subject.all_ones(config, BINS, given=4, steps=8)
    assert not np.isnan(heard[0]).any()
    assert np.isnan(heard[1:, 0::2]).all()
    assert not np.isnan(heard[1:, 1::2]).any()
    monkeypatch.setattr(subject, "MARGIN", 1)
    assert subject.measure_reach("", config, BINS).agrees


def test_a_run_is_drawn_and_its_numbers_are_written(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, numbers = tmp_path / "encoder.png", tmp_path / "encoder.json"
    command = ["latents", "encoder", str(tiny_checkpoint), "--out", str(picture)]
    assert main([*command, "--json", str(numbers)]) == 0
    assert "One output step of tiny sees: 13 input frames (0.28 s" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    found = json.loads(numbers.read_text())
    assert (found["encoder"]["frames"], found["encoder"]["seconds"]) == (13, 0.28)
    assert found["encoder"]["is_causal"]
    assert len(found["examples"]) == len(subject.EXAMPLES)
    assert all(example["measurements_agree"] for example in found["examples"])


@pytest.mark.parametrize("whole", [True, False], ids=["network", "encoder alone"])
def test_a_configuration_needs_no_weights(whole: bool, tmp_path: Path) -> None:
    config = json.loads(ModelConfig(encoder=TINY.encoder).to_json())
    (tmp_path / "c.json").write_text(json.dumps(config if whole else config["encoder"]))
    features, found, encoder = subject.read_encoder(tmp_path / "c.json")
    assert (features, found, encoder) == (FeatureConfig(), TINY.encoder, None)


def test_an_exported_file_tells_its_configuration() -> None:
    _, found, encoder = subject.read_encoder(bundled_model())
    assert receptive_field(found).size == 23
    assert encoder is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "expected a run, an .onnx file or a configuration in JSON"),
        ("[1]", "expected a configuration, got list"),
        ('{"kernels": 3}', "unknown field 'kernels'"),
        ('{"encoder": {"stride": 0}}', "expected stride > 0, got 0"),
    ],
)
def test_what_describes_no_encoder_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        subject.read_encoder(tmp_path / "c.json")
