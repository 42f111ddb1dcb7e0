import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from turnstream.models.config import (
    EncoderConfig,
    FeatureConfig,
    ModelConfig,
    RecurrentConfig,
    StackConfig,
    from_plain,
)
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError, TurnstreamError

from ..networks import CONFIGS


def forgetful(**changes: Any) -> ModelConfig:
    """Return a configuration without memory, except for the changes."""
    parts = {
        "features": FeatureConfig(mel_bins=16, window_samples=320),
        "encoder": EncoderConfig(first_kernel=2, stride=2, stacks=(StackConfig((1,), (4,)),)),
        "speaker_rnn": RecurrentConfig("none"),
        "dialogue_rnn": RecurrentConfig("none"),
    }
    return ModelConfig(**parts | changes)


@pytest.mark.parametrize("config", [ModelConfig(), *CONFIGS.values()], ids=["default", *CONFIGS])
def test_json_gives_back_the_same_configuration(config: ModelConfig) -> None:
    assert ModelConfig.from_json(config.to_json()) == config


def test_missing_fields_keep_their_defaults() -> None:
    config = ModelConfig.from_json('{"dropout": 0, "encoder": {"stride": 2}}')
    assert config == dataclasses.replace(
        ModelConfig(), dropout=0.0, encoder=EncoderConfig(stride=2)
    )


def test_a_step_is_the_hop_times_the_stride() -> None:
    config = ModelConfig(encoder=EncoderConfig(stride=3))
    assert (config.frame_samples, config.frame_rate_hz) == (960, pytest.approx(50 / 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: EncoderConfig(block="dense"),
            r"expected block to be one of 'plain', 'residual', 'gated', got 'dense'",
        ),
        (
            lambda: EncoderConfig(activation="sin"),
            r"expected activation to be one of .*, got 'sin'",
        ),
        (
            lambda: EncoderConfig(combine="multiply"),
            r"expected combine to be one of .*, got 'multiply'",
        ),
        (
            lambda: EncoderConfig(combine_at="start"),
            r"expected combine_at to be one of .*, got 'start'",
        ),
        (lambda: EncoderConfig(dims=3), r"expected dims to be one of 1, 2, got 3"),
        (lambda: EncoderConfig(stride=0), r"expected stride > 0, got 0"),
        (
            lambda: EncoderConfig(channels=0),
            r"expected channels and out_channels > 0, got \(0, 96\)",
        ),
        (lambda: EncoderConfig(first_kernel=0), r"expected first_kernel > 0, got 0"),
        (lambda: EncoderConfig(stacks=()), r"expected at least one stack, got \(\)"),
        (lambda: EncoderConfig(freq_kernel=4), r"expected an odd freq_kernel > 0, got 4"),
        (lambda: EncoderConfig(freq_kernel=-1), r"expected an odd freq_kernel > 0, got -1"),
        (lambda: EncoderConfig(freq_stride=0), r"expected freq_stride > 0, got 0"),
        (
            lambda: EncoderConfig(
                combine_at="layer", stacks=(StackConfig((3,), (1,)), StackConfig())
            ),
            r"equal depth .* got \[1, 2\]",
        ),
        (
            lambda: StackConfig((3, 3), (1,)),
            r"as many kernel_sizes as dilations, at least one, got",
        ),
        (lambda: StackConfig((), ()), r"as many kernel_sizes as dilations, at least one, got"),
        (lambda: StackConfig((0,), (1,)), r"expected kernel sizes > 0, got \(0,\)"),
        (lambda: StackConfig((1,), (0,)), r"expected dilations > 0, got \(0,\)"),
        (
            lambda: RecurrentConfig("transformer"),
            r"expected kind to be one of 'rnn', 'gru', 'lstm', 'none', got 'transformer'",
        ),
        (lambda: RecurrentConfig(hidden=0), r"expected hidden > 0, got 0"),
        (lambda: RecurrentConfig(layers=0), r"expected layers > 0, got 0"),
        (
            lambda: FeatureConfig(window_samples=300),
            r"expected window_samples >= hop_samples \(320\), got 300",
        ),
        (
            lambda: FeatureConfig(high_hz=9000),
            r"expected 0 <= low_hz < high_hz <= 8000.0, got \(60.0, 9000\)",
        ),
        (lambda: FeatureConfig(log_floor=0), r"expected log_floor > 0, got 0"),
        (lambda: ModelConfig(dropout=1), r"expected 0 <= dropout < 1, got 1"),
        (
            lambda: ModelConfig(bin_edges_s=(0, 1, 1, 2, 3)),
            r"expected five rising bin edges from 0, got",
        ),
        (forgetful, r"expected a network with memory .*, got none of these"),
        (lambda: TrainingSettings(steps=0), r"expected steps > 0, got 0"),
        (lambda: TrainingSettings(mute_share=1.0), r"expected 0 <= mute_share < 1, got 1.0"),
    ],
)
def test_a_value_that_describes_no_network_is_refused(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"droput": 0.1}, r"config: unknown field 'droput'; known are features, "),
        (
            {"encoder": {"stacks": [{"kernels": [3]}]}},
            r"config.encoder.stacks\[0\]: unknown field 'kernels'",
        ),
        (
            {"encoder": {"block": "dense"}},
            r"config.encoder.block: expected one of 'plain', 'residual', 'gated', got 'dense'",
        ),
        ({"encoder": {"channels": 8.5}}, r"config.encoder.channels: expected int, got 8.5"),
        ({"encoder": {"channels": True}}, r"config.encoder.channels: expected int, got True"),
        ({"encoder": {"stacks": 3}}, r"config.encoder.stacks: expected a list, got 3"),
        ({"features": []}, r"config.features: expected an object, got \[\]"),
        ({"dropout": "0.1"}, r"config.dropout: expected float, got '0.1'"),
        ([], r"config: expected an object, got \[\]"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_the_field_and_both_values(
    plain: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig.from_json(json.dumps(plain))


@pytest.mark.parametrize(
    "part",
    [
        {"features": FeatureConfig(mel_bins=16)},
        {"encoder": EncoderConfig(first_kernel=3, stride=2, stacks=(StackConfig((1,), (1,)),))},
        {
            "encoder": EncoderConfig(
                first_kernel=1, stacks=(StackConfig((1,), (1,)), StackConfig((2,), (1,)))
            )
        },
        {"speaker_rnn": RecurrentConfig("gru", 4)},
        {"dialogue_rnn": RecurrentConfig("lstm", 4)},
    ],
)
def test_any_one_part_with_memory_gives_a_network_with_state(part: dict[str, Any]) -> None:
    assert TurnModel(forgetful(**part)).layout.size > 0


def test_text_that_is_no_json_is_refused_and_shown() -> None:
    with pytest.raises(
        ConfigError, match=r"expected a model configuration in JSON, got 'channels: 8'"
    ):
        ModelConfig.from_json("channels: 8")


def test_training_settings_survive_json() -> None:
    settings = TrainingSettings(steps=5, model=CONFIGS["tiny"])
    assert (
        from_plain(TrainingSettings, json.loads(json.dumps(dataclasses.asdict(settings))))
        == settings
    )


def test_configuration_errors_are_value_errors_too() -> None:
    assert issubclass(ConfigError, TurnstreamError)
    assert issubclass(ConfigError, ValueError)
