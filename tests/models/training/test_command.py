import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from turnstream.cli import main
from turnstream.models.checkpoint import load_checkpoint, save_checkpoint
from turnstream.models.dialogues.manifest import Dialogue, read_manifest, write_manifest
from turnstream.models.training import loop
from turnstream.models.training.sources import RecordedDialogues

from ...networks import TINY, random_model


def test_train_writes_a_network_that_can_be_loaded(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"chunk_s": 1.0, "model": json.loads(TINY.to_json())}))
    out = tmp_path / "run"
    words = ["train", "--manifest", str(manifest), "--out", str(out), "--settings", str(settings)]
    words += ["--steps", "2", "--batch-rows", "2"]
    assert main(words) == 0
    assert load_checkpoint(out).config == TINY
    assert (
        f"trained network in {out}; export it with: turnstream export {out}"
        in capsys.readouterr().out
    )


def test_the_shape_of_a_given_encoder_is_that_of_its_checkpoint(
    manifest: Path, tmp_path: Path
) -> None:
    save_checkpoint(random_model(TINY), tmp_path / "given")
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"chunk_s": 1.0, "model": {"speaker_rnn": {"hidden": 9}}}))
    command = [
        "train",
        "--manifest",
        str(manifest),
        "--out",
        str(tmp_path / "run"),
        "--settings",
        str(settings),
        "--steps",
        "2",
        "--batch-rows",
        "2",
    ]
    assert main([*command, "--encoder", str(tmp_path / "given"), "--freeze-encoder"]) == 0
    trained = load_checkpoint(tmp_path / "run")
    assert (trained.config.features, trained.config.encoder) == (TINY.features, TINY.encoder)
    assert trained.config.speaker_rnn.hidden == 9


def test_the_shape_of_a_given_network_is_that_of_its_checkpoint(
    manifest: Path, tmp_path: Path
) -> None:
    given = random_model(TINY)
    save_checkpoint(given, tmp_path / "given")
    (tmp_path / "settings.json").write_text(
        '{"chunk_s": 1.0, "freeze_encoder": true, "freeze_speaker_rnn": true}'
    )
    command = [
        "train",
        "--manifest",
        str(manifest),
        "--out",
        str(tmp_path / "run"),
        "--settings",
        str(tmp_path / "settings.json"),
    ]
    assert (
        main([*command, "--steps", "2", "--batch-rows", "2", "--initial", str(tmp_path / "given")])
        == 0
    )
    trained = load_checkpoint(tmp_path / "run")
    assert trained.config == TINY
    for name, tensor in trained.state_dict().items():
        frozen = name.startswith(("encoder.", "speaker_rnn."))
        assert not frozen or torch.equal(tensor, given.state_dict()[name])
    assert not torch.equal(trained.heads.weight, given.heads.weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[]", "expected a JSON object, got list"),
        ("{", "expected a JSON file of training settings"),
        ('{"step": 3}', "settings: unknown field 'step'; known are steps, batch_rows"),
        ('{"batch_rows": 0}', "expected batch_rows > 0, got 0"),
        ('{"freeze_encoder": true}', "expected a checkpoint whose encoder is frozen, got none"),
        (
            '{"initial": "nowhere"}',
            (
                "expected a checkpoint folder with config.json and model.safetensors, got "
                "'nowhere' without config.json"
            ),
        ),
        (
            '{"initial": "here", "encoder": "there", "model": {"encoder": {}}}',
            "expected an encoder or a whole network to begin with, got both",
        ),
        ('{"calls_share": 2}', "expected 0 <= calls_share <= 1, got 2"),
        ('{"given_rate": 0}', "expected given_rate > 0, got 0"),
        (
            '{"encoder": "nowhere"}',
            (
                "expected a checkpoint folder with config.json and model.safetensors, got "
                "'nowhere' without config.json"
            ),
        ),
        ('{"warmup_steps": 1}', "expected warmup_steps of 0 or at least 2, got 1"),
        (
            '{"model": {"encoder": {"block": "dense"}}}',
            "settings.model.encoder.block: expected one of",
        ),
    ],
)
def test_bad_settings_are_one_line_and_exit_code_2(
    settings: str, message: str, manifest: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    path = tmp_path / "settings.json"
    path.write_text(settings)
    assert message in complaint(
        "train", "--manifest", manifest, "--out", tmp_path / "run", "--settings", path
    )


def test_dialogues_kept_for_validation_or_test_are_not_trained_on(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = ["train", "val", "", "test"]
    dialogues = [
        dataclasses.replace(dialogue, split=split)
        for dialogue, split in zip(read_manifest(manifest), splits, strict=True)
    ]
    write_manifest(tmp_path / "mixed.jsonl", dialogues)
    seen: list[list[str]] = []

    def note(
        _settings: object,
        training: RecordedDialogues,
        *_: object,
        validation: list[Dialogue],
        **__: object,
    ) -> None:
        seen.extend(
            [
                [dialogue.split for dialogue in training._dialogues],
                [dialogue.split for dialogue in validation],
            ]
        )

    monkeypatch.setattr(loop, "train", note)
    run = ["train", "--manifest", str(tmp_path / "mixed.jsonl"), "--out", str(tmp_path / "run")]
    assert main(run) == 0
    assert main([*run, "--validation", str(tmp_path / "mixed.jsonl")]) == 0
    assert seen == [["train", ""], ["val"], ["train", ""], ["val", ""]]


def test_a_manifest_with_nothing_held_out_is_named(
    manifest: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    write_manifest(
        tmp_path / "all.jsonl",
        [dataclasses.replace(dialogue, split="train") for dialogue in read_manifest(manifest)],
    )
    words = ["--validation", tmp_path / "all.jsonl", "--out", tmp_path / "run"]
    assert complaint("train", "--manifest", manifest, *words).endswith(
        "all.jsonl: expected dialogues whose split is 'val' or not given, got none"
    )


@pytest.mark.parametrize(("split", "got"), [("val", "got 'val'"), (None, "got no dialogues")])
def test_a_manifest_with_nothing_to_train_on_is_named(
    split: str | None, got: str, manifest: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    dialogues = (
        [dataclasses.replace(dialogue, split=split) for dialogue in read_manifest(manifest)]
        if split
        else []
    )
    write_manifest(tmp_path / "held_out.jsonl", dialogues)
    words = ["--manifest", tmp_path / "held_out.jsonl", "--out", tmp_path / "run"]
    assert complaint("train", *words).endswith(
        f"held_out.jsonl: expected dialogues whose split is 'train' or not given, {got}"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--accelerator", "cuda"],
            (
                "expected a CUDA GPU that torch can use, got none on this machine; train with "
                "--accelerator cpu"
            ),
        ),
        (["--devices", "0"], "expected devices >= 1, got 0"),
        (
            ["--accelerator", "cpu", "--devices", "3"],
            "expected batch rows in multiples of the 3 processes, got 16",
        ),
        (
            ["--accelerator", "cpu", "--precision", "16-mixed"],
            "expected precision 32-true or bf16-mixed on a CPU, got '16-mixed'",
        ),
        (
            ["--patience", "2"],
            (
                "expected validation dialogues to stop early by, or to choose the best weights by, "
                "got none"
            ),
        ),
        (
            ["--measure", "real_auc_250ms"],
            "expected measure to be a loss of the validation dialogues",
        ),
        (["--resume"], "expected a checkpoint to resume from at "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    options: list[str],
    message: str,
    manifest: Path,
    tmp_path: Path,
    complaint: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert message in complaint(
        "train", "--manifest", manifest, "--out", tmp_path / "run", *options
    )
    assert not (tmp_path / "run").exists()


def test_more_devices_than_gpus_are_refused(
    manifest: Path,
    tmp_path: Path,
    complaint: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    words = ["--manifest", manifest, "--out", tmp_path / "run", "--devices", "2"]
    line = "expected at most 1 devices, as many as there are GPUs, got 2"
    assert complaint("train", *words).endswith(line)


def test_a_missing_manifest_is_one_line_and_exit_code_2(
    tmp_path: Path, complaint: Callable[..., str]
) -> None:
    assert "expected a manifest of dialogues" in complaint(
        "train", "--manifest", tmp_path / "none.jsonl", "--out", tmp_path / "run"
    )
