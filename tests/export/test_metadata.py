import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from turnstream.export.metadata import describe, weights_sha256
from turnstream.export.step_input import MEL, PCM, StepInput
from turnstream.models.checkpoint import load_checkpoint, save_checkpoint
from turnstream.models.config import ModelConfig
from turnstream.models.turn_model import TurnModel
from turnstream.stream.contract import FORMAT_VERSION, LABELS

from ..networks import CONFIGS, random_model


@pytest.mark.parametrize("step_input", [PCM, MEL], ids=["pcm", "mel"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_description_is_json_and_complete(name: str, step_input: StepInput) -> None:
    model = random_model(CONFIGS[name])
    about = describe(model, step_input, "a name", "3")
    assert json.loads(json.dumps(about)) == about
    config = model.config
    assert set(about) == {
        *(
            "format_version",
            "name",
            "version",
            "input",
            "input_name",
            "input_shape",
            "sample_rate_hz",
            "frame_samples",
        ),
        *("frame_rate_hz", "outputs", "state", "receptive_field", "config", "weights_sha256"),
    }
    assert (about["format_version"], about["name"], about["version"], about["sample_rate_hz"]) == (
        FORMAT_VERSION,
        "a name",
        "3",
        16000,
    )
    assert (about["frame_samples"], about["frame_rate_hz"]) == (
        config.frame_samples,
        config.frame_rate_hz,
    )
    assert ModelConfig.from_json(json.dumps(about["config"])) == config
    assert set(about["outputs"]) == set(LABELS)
    for label, output in about["outputs"].items():
        assert output["meaning"].startswith(LABELS[label])
    assert about["outputs"]["latent"]["shape"] == [2, config.dialogue_rnn.hidden]
    assert about["outputs"]["latent_speaker"]["shape"] == [2, config.speaker_rnn.hidden]


def test_the_times_of_the_projection_are_this_networks() -> None:
    def meanings(config: ModelConfig) -> list[str]:
        outputs = describe(TurnModel(config), PCM, "m", "1")["outputs"]
        return [
            outputs[label]["meaning"].partition("; sums to 1; ")[2]
            for label in ("p_now", "p_future")
        ]

    assert meanings(CONFIGS["tiny"]) == ["0-0.6 s ahead", "0.6-2 s ahead"]
    assert meanings(replace(CONFIGS["tiny"], bin_edges_s=(0.0, 0.1, 0.5, 1.5, 3.0))) == [
        "0-0.5 s ahead",
        "0.5-3 s ahead",
    ]


def test_the_reach_of_the_encoder_is_told_in_frames_and_samples() -> None:
    # The first layer has 3 taps. One residual block has 3 taps, one has 2 taps 3 frames apart:
    # 2 + 2 * 2 + 2 * 3 frames before the newest.
    assert describe(TurnModel(CONFIGS["tiny"]), PCM, "m", "1")["receptive_field"] == {
        "frames": 13,
        "samples": 12 * 320 + 640,
    }


@pytest.mark.parametrize("step_input", [PCM, MEL], ids=["pcm", "mel"])
def test_the_entries_of_the_state_fill_each_half_without_a_gap(step_input: StepInput) -> None:
    state = describe(random_model(CONFIGS["lstm_2d_gated_stride_concat"]), step_input, "m", "1")[
        "state"
    ]
    end = 0
    for entry in state["entries"]:
        assert entry["offset"] == end
        end += torch.Size(entry["shape"]).numel()
    assert (end, 2 * end) == (state["speaker_size"], state["size"])
    assert ("features" in [entry["name"] for entry in state["entries"]]) == (step_input == PCM)


def test_the_hash_is_of_the_weights_and_survives_the_disk(tmp_path: Path) -> None:
    model = random_model(CONFIGS["tiny"])
    save_checkpoint(model, tmp_path)
    assert weights_sha256(load_checkpoint(tmp_path)) == weights_sha256(model)
    with torch.no_grad():
        next(model.parameters())[0] += 1e-3
    assert weights_sha256(load_checkpoint(tmp_path)) != weights_sha256(model)
