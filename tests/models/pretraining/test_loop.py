"""A pre-training run learns, resumes exactly, and leaves an encoder that `train` starts from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from turnstream.cli import main
from turnstream.models.checkpoint import load_checkpoint, load_encoder
from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.manifest import Dialogue, read_manifest, write_manifest
from turnstream.models.features import LogMel
from turnstream.models.pretraining import loop
from turnstream.models.pretraining.loop import measure, pretrain
from turnstream.models.pretraining.network import load_network
from turnstream.models.pretraining.reconstruct import reconstruct, reconstructed, sound
from turnstream.models.pretraining.settings import METHODS, PretrainingSettings
from turnstream.models.receptive_field import receptive_field
from turnstream.stream.errors import ConfigError, DialogueError

from ...networks import TINY
from ..interruption import interrupted_after_validation

SETTINGS = PretrainingSettings(
    "vqvae2",
    steps=6,
    batch_rows=2,
    chunk_s=1.6,
    warmup_steps=2,
    validate_every=3,
    codes=16,
    code_channels=6,
    features=TINY.features,
    encoder=TINY.encoder,
)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_and_leaves_an_encoder(
    method: str, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    settings = dataclasses.replace(
        SETTINGS, method=method, steps=40, validate_every=5, ahead=(1, 4), learning_rate=3e-3
    )
    trained = pretrain(settings, dialogues[:3], tmp_path, validation=dialogues[3:], device="cpu")
    first, *_, last = [
        json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()
    ]
    loss = "info_nce" if method == "cpc" else "reconstruction"
    assert last[loss] < first[loss]
    assert last == {"step": 40} | measure(trained, dialogues[3:])
    assert [name for name in last if name.startswith("perplexity")] == {
        "vqvae": ["perplexity_codes"],
        "vqvae2": ["perplexity_slow_codes", "perplexity_fast_codes"],
    }.get(method, [])
    given = load_encoder(tmp_path)
    assert (given.features, given.config) == (TINY.features, TINY.encoder)
    assert all(
        torch.equal(tensor, given.weights[name])
        for name, tensor in trained.encoder.state_dict().items()
    )
    assert measure(load_network(tmp_path), dialogues[3:]) == measure(trained, dialogues[3:])


@pytest.mark.parametrize("method", ["cpc", "vqvae2"])
def test_resuming_ends_bit_for_bit_where_an_uninterrupted_run_ends(
    method: str, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, method=method, ahead=(1, 4))
    whole = pretrain(settings, dialogues, tmp_path / "whole", device="cpu")
    with interrupted_after_validation(loop):
        pretrain(settings, dialogues, tmp_path / "cut", device="cpu")
    resumed = pretrain(settings, dialogues, tmp_path / "cut", device="cpu", resume=True)
    assert all(
        torch.equal(tensor, resumed.state_dict()[name])
        for name, tensor in whole.state_dict().items()
    )
    assert (tmp_path / "whole" / "training.jsonl").read_text() == (
        tmp_path / "cut" / "training.jsonl"
    ).read_text()


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    pretrain(SETTINGS, dialogues, tmp_path, device="cpu")
    with pytest.raises(ConfigError, match="expected a folder without a run for a new one"):
        pretrain(SETTINGS, dialogues, tmp_path, device="cpu")
    with pytest.raises(ConfigError, match=r"got another codes$"):
        pretrain(
            dataclasses.replace(SETTINGS, codes=8), dialogues, tmp_path, device="cpu", resume=True
        )


def test_nothing_long_enough_to_measure_on_is_refused(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"expected a held-out dialogue of 1.6 s or more, got none"
    ):
        pretrain(
            SETTINGS,
            dialogues,
            tmp_path,
            validation=[dataclasses.replace(dialogues[0], end_s=1.0)],
            device="cpu",
        )


def test_the_command_trains_and_train_goes_on_from_it(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.json"
    model = json.loads(ModelConfig(features=TINY.features, encoder=TINY.encoder).to_json())
    settings.write_text(
        json.dumps(
            {
                "chunk_s": 1.6,
                "ahead": [1, 3],
                "features": model["features"],
                "encoder": model["encoder"],
            }
        )
    )
    command = [
        "pretrain",
        "cpc",
        "--manifest",
        str(manifest),
        "--validation",
        str(manifest),
        "--settings",
        str(settings),
    ]
    words = [*command, "--steps", "2", "--batch-rows", "2", "--accelerator", "cpu"]
    words += ["--out", str(tmp_path / "cpc")]
    assert main(words) == 0
    assert (
        f"continue with: turnstream train --encoder {tmp_path / 'cpc'}" in capsys.readouterr().out
    )
    settings.write_text(json.dumps({"chunk_s": 1.0}))
    command = [
        "train",
        "--manifest",
        str(manifest),
        "--settings",
        str(settings),
        "--steps",
        "2",
        "--batch-rows",
        "2",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main([*command, "--encoder", str(tmp_path / "cpc"), "--freeze-encoder"]) == 0
    given = load_encoder(tmp_path / "cpc").weights
    assert all(
        torch.equal(tensor, given[name])
        for name, tensor in load_checkpoint(tmp_path / "run").encoder.state_dict().items()
    )


def test_only_dialogues_to_learn_from_are_learned_from(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = ["train", "val", "", "test"]
    write_manifest(
        tmp_path / "mixed.jsonl",
        [
            dataclasses.replace(one, split=split)
            for one, split in zip(dialogues, splits, strict=True)
        ],
    )
    seen: list[list[str]] = []

    def note(
        _settings: object,
        training: list[Dialogue],
        *_: object,
        validation: list[Dialogue],
        **__: object,
    ) -> None:
        seen.extend(
            [[dialogue.split for dialogue in training], [dialogue.split for dialogue in validation]]
        )

    monkeypatch.setattr(loop, "pretrain", note)
    words = ["pretrain", "autoencoder", "--manifest", str(tmp_path / "mixed.jsonl")]
    words += ["--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert seen == [["train", ""], ["val"]]


@pytest.fixture(scope="module")
def autoencoder(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "autoencoder"
    pretrain(
        dataclasses.replace(SETTINGS, method="autoencoder"),
        read_manifest(manifest),
        run,
        device="cpu",
    )
    return run


def test_what_is_kept_can_be_heard_and_seen(
    autoencoder: Path, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    words = reconstruct(autoencoder, dialogues[0].audio[0], tmp_path, start_s=1.0, seconds=2.0)
    assert words.startswith("autoencoder of autoencoder: ")
    assert (tmp_path / "reconstruction.png").read_bytes().startswith(b"\x89PNG")
    heard, made = (sf.read(tmp_path / f"{name}.wav")[0] for name in ("original", "reconstruction"))
    assert len(heard) == len(made) >= 2 * 16000 * 0.95
    assert np.abs(heard).max() > 0


def test_padding_is_neither_drawn_nor_counted(autoencoder: Path) -> None:
    network = load_network(autoencoder)
    size, hop = network.settings.chunks.samples, network.settings.features.hop_samples
    stride = network.settings.encoder.stride
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, (2, size + 7 * stride * hop + 5)).astype(np.float32)
    heard, made, error, variance = reconstructed(network, samples)
    frames = size // hop + 7 * stride
    assert heard.shape == made.shape == (2, frames, network.settings.features.mel_bins)
    padded = np.pad(samples, ((0, 0), (0, -samples.shape[1] % size)))
    whole, _, padded_error, padded_variance = reconstructed(network, padded)
    np.testing.assert_array_equal(heard, whole[:, :frames])
    assert padded_variance > 1.5 * variance  # silence beside noise
    assert abs(padded_error - error) > 1e-3
    # By hand: a step's field holds the frames up to its end, without those before the beginning.
    field = receptive_field(network.settings.encoder).size
    values = [
        heard[:, place]
        for step in range(frames // stride)
        for place in range(max(0, (step + 1) * stride - max(field, stride)), (step + 1) * stride)
    ]
    assert variance == pytest.approx(float(np.var(values, axis=(0, 1)).mean()), rel=0.05)


def test_what_cannot_be_heard_is_said(
    autoencoder: Path, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="expected the folder of a pre-training"):
        reconstruct(tmp_path, dialogues[0].audio[0], tmp_path)
    with pytest.raises(DialogueError):
        reconstruct(autoencoder, tmp_path / "nowhere.wav", tmp_path)
    with pytest.raises(DialogueError):
        reconstruct(autoencoder, dialogues[0].audio[0], tmp_path, start_s=100.0)
    pretrain(
        dataclasses.replace(SETTINGS, method="cpc", ahead=(1,)),
        dialogues,
        tmp_path / "cpc",
        device="cpu",
    )
    with pytest.raises(
        ConfigError, match="expected a network that reconstructs what it hears, got cpc"
    ):
        reconstruct(tmp_path / "cpc", dialogues[0].audio[0], tmp_path)


def test_frames_become_the_sound_that_they_were_made_of() -> None:
    features = ModelConfig().features
    times_s = np.arange(2 * features.sample_rate_hz) / features.sample_rate_hz
    tone = (0.3 * np.sin(2 * np.pi * 700 * times_s) * (np.floor(times_s / 0.4) % 2 == 0)).astype(
        np.float32
    )
    layer = LogMel(features)
    silence = torch.zeros(1, features.window_samples - features.hop_samples)
    frames = layer(torch.from_numpy(tone)[None], silence)[0]
    again = sound(frames.numpy(), features)
    spectrum = np.abs(np.fft.rfft(again[0]))
    assert spectrum.argmax() * features.sample_rate_hz / again.shape[1] == pytest.approx(
        700, abs=40
    )
    usable = again.shape[1] // features.hop_samples * features.hop_samples
    heard = layer(torch.from_numpy(again[:, :usable]), silence)[0][0].numpy()
    shared = min(len(heard), frames.shape[1])
    loud = frames[0].numpy().max(axis=1)[:shared]
    assert np.corrcoef(loud, heard.max(axis=1)[:shared])[0, 1] > 0.8


def test_audio_that_nobody_has_labelled_is_enough(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("activity was asked for")

    monkeypatch.setattr("turnstream.models.dialogues.annotation.speech_activity", refuse)
    unlabelled = [dataclasses.replace(dialogue, activity=None) for dialogue in dialogues]
    trained, labelled = (
        pretrain(SETTINGS, some, tmp_path / name, device="cpu")
        for name, some in (("audio", unlabelled), ("labelled", dialogues))
    )
    assert all(
        torch.equal(tensor, labelled.state_dict()[name])
        for name, tensor in trained.state_dict().items()
    )


def test_a_device_that_is_not_there_is_named(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="expected a device that this machine has, got 'cuda'"):
        pretrain(SETTINGS, dialogues, tmp_path, device="cuda")
