"""Distillation of a planted teacher.

The teacher gives a linear function of the audio's spectrum, so that a small network can learn all
of it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from turnstream.cli import main
from turnstream.models.checkpoint import load_checkpoint, load_encoder
from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.channel import Surroundings
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.distillation import loop
from turnstream.models.distillation.loop import distil, measure
from turnstream.models.distillation.network import DistilledNetwork, load_distilled
from turnstream.models.distillation.targets import Targets
from turnstream.models.muon import Muon
from turnstream.models.teachers.extraction import Extraction
from turnstream.models.teachers.stop_point_space import StopPointSpace
from turnstream.models.training.loop import new_network, train
from turnstream.models.training.settings import TrainingSettings
from turnstream.stream.errors import ConfigError

from ...networks import TINY, random_audio
from ..interruption import interrupted_after_validation
from ..linear_teacher import CPU, SETTINGS

SHORT = dataclasses.replace(SETTINGS, steps=4, batch_rows=2, warmup_steps=2, validate_every=2)


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "training.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("plain_lines")
def test_a_linear_teacher_is_learned_on_speakers_that_were_held_out(
    distilled: Path, linear_teacher: Extraction
) -> None:
    half, whole = log_of(distilled)
    assert (half["step"], whole["step"]) == (60, 120)
    assert whole["frames_explained"] > 0.4
    assert whole["places_explained"] > 0.2
    assert whole["frames_explained"] > half["frames_explained"]
    space = StopPointSpace.fit(linear_teacher.stop_points()[3], SETTINGS.place_components)
    torch.manual_seed(1)
    untrained = DistilledNetwork(SETTINGS)
    before = measure(
        untrained,
        linear_teacher,
        Surroundings(),
        Targets.of(linear_teacher, space, SETTINGS, torch.device("cpu")),
    )
    assert before["frames_explained"] <= 0.05
    assert before["places_explained"] <= 0.05
    assert before.keys() == whole.keys() - {"step"}


@pytest.mark.usefixtures("plain_lines")
def test_what_was_written_measures_as_it_did_in_the_run(
    distilled: Path, linear_teacher: Extraction
) -> None:
    network, space = load_distilled(distilled)
    assert not network.training
    again = measure(
        network,
        linear_teacher,
        Surroundings(),
        Targets.of(linear_teacher, space, SETTINGS, torch.device("cpu")),
    )
    assert again == pytest.approx(
        {name: value for name, value in log_of(distilled)[-1].items() if name != "step"}, abs=1e-5
    )


def network_settings(run: Path, **others: Any) -> TrainingSettings:
    given = load_encoder(run)
    assert given.speaker_rnn is not None
    model = ModelConfig(
        features=given.features,
        encoder=given.config,
        speaker_rnn=given.speaker_rnn,
        dialogue_rnn=TINY.dialogue_rnn,
    )
    return TrainingSettings(encoder=str(run), model=model, **others)


def trunk_difference(run: Path, network: Any) -> float:
    """Compare the distilled network with its head on another network's latents.

    Returns the difference between the distilled network's own outputs and those of its head for the
    other network's per-speaker latents.
    """
    student, _ = load_distilled(run)
    audio = random_audio(TINY, 1, 60)
    with torch.inference_mode():
        said = student(
            audio[0], torch.zeros(2, TINY.features.mel_bins), torch.ones(2), student.init_state(2)
        )[0]
        latents = network.eval()(audio, network.init_state(1))[0].latent_speaker[0]
        return float((student.frame_head(latents) - said).abs().max())


def test_the_turn_taking_network_begins_with_what_was_distilled(distilled: Path) -> None:
    given = load_encoder(distilled)
    assert (given.features, given.config, given.speaker_rnn) == (
        SETTINGS.features,
        SETTINGS.encoder,
        SETTINGS.speaker_rnn,
    )
    begun = new_network(network_settings(distilled))
    assert trunk_difference(distilled, begun) < 1e-5
    torch.nn.init.normal_(next(begun.speaker_rnn.parameters()))
    assert trunk_difference(distilled, begun) > 1e-2


def test_a_speaker_rnn_of_another_shape_is_not_taken(distilled: Path) -> None:
    settings = network_settings(distilled)
    other = dataclasses.replace(
        settings.model, speaker_rnn=dataclasses.replace(TINY.speaker_rnn, hidden=9)
    )
    torch.manual_seed(0)
    begun = new_network(dataclasses.replace(settings, model=other))
    torch.manual_seed(0)
    random = new_network(dataclasses.replace(settings, model=other, encoder=""))
    assert all(
        torch.equal(tensor, random.speaker_rnn.state_dict()[name])
        for name, tensor in begun.speaker_rnn.state_dict().items()
    )
    assert not torch.equal(next(begun.encoder.parameters()), next(random.encoder.parameters()))


def test_train_takes_shape_and_weights_of_the_trunk_and_leaves_them_if_frozen(
    distilled: Path, manifest: Path, tmp_path: Path
) -> None:
    (tmp_path / "settings.json").write_text(
        json.dumps(
            {"chunk_s": 1.0, "model": {"dialogue_rnn": {"hidden": 10}}, "freeze_encoder": True}
        )
    )
    options = [
        "--manifest",
        str(manifest),
        "--settings",
        str(tmp_path / "settings.json"),
        "--steps",
        "2",
        "--batch-rows",
        "2",
        "--encoder",
        str(distilled),
    ]
    assert main(["train", *options, "--out", str(tmp_path / "frozen"), "--freeze-speaker-rnn"]) == 0
    frozen = load_checkpoint(tmp_path / "frozen")
    assert (frozen.config.encoder, frozen.config.speaker_rnn) == (
        SETTINGS.encoder,
        SETTINGS.speaker_rnn,
    )
    assert trunk_difference(distilled, frozen) < 1e-5
    # The per-speaker RNN learns
    assert main(["train", *options, "--out", str(tmp_path / "learning")]) == 0
    assert trunk_difference(distilled, load_checkpoint(tmp_path / "learning")) > 1e-5


def test_what_was_given_learns_at_its_own_rate(
    distilled: Path, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    moved: dict[float, float] = {}
    for rate in (1.0, 0.01):
        settings = network_settings(
            distilled,
            steps=2,
            batch_rows=2,
            chunk_s=1.0,
            warmup_steps=0,
            average_decay=0.0,
            given_rate=rate,
            weight_decay=0.0,
        )
        torch.manual_seed(settings.seed)
        begun = new_network(settings).speaker_rnn.state_dict()
        trained = train(
            settings, dialogues, tmp_path / str(rate), hardware=CPU
        ).speaker_rnn.state_dict()
        moved[rate] = max(
            float((tensor - begun[name]).abs().max()) for name, tensor in trained.items()
        )
    assert moved[1.0] > 30 * moved[0.01] > 0


def interrupted(run: Path, teacher: Extraction) -> dict[str, Any]:
    """Run until after the first checkpoint; return the checkpoint."""
    with interrupted_after_validation(loop):
        distil(SHORT, teacher, Surroundings(), run, hardware=CPU)
    return torch.load(run / "checkpoint.pt", weights_only=True)


@pytest.mark.usefixtures("plain_lines")
def test_a_run_that_was_cut_short_is_resumed_from_its_checkpoint(
    linear_teacher: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = interrupted(tmp_path / "run", linear_teacher)
    assert saved["step"] == 2
    begun: list[dict[str, torch.Tensor]] = []
    step = Muon.step

    def remember(self: Muon, *arguments: Any, **others: Any) -> Any:
        begun.append(
            {
                "weights": self.param_groups[0]["params"][0].detach().clone(),
                "moment": next(iter(self.state.values()))["momentum"].clone(),
            }
        )
        return step(self, *arguments, **others)

    with monkeypatch.context() as patched:
        patched.setattr(Muon, "step", remember)
        distil(SHORT, linear_teacher, Surroundings(), tmp_path / "run", resume=True, hardware=CPU)
    assert len(begun) == 2  # steps 3 and 4
    first = next(iter(saved["network"].values()))
    assert torch.equal(begun[0]["weights"], first)
    assert torch.equal(begun[0]["moment"], saved["optimizer"]["state"][0]["momentum"])
    assert not torch.equal(begun[1]["weights"], first)
    assert [line["step"] for line in log_of(tmp_path / "run")] == [2, 4]
    again = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert again["schedule"]["last_epoch"] == 4
    assert all(torch.equal(again["space"][name], tensor) for name, tensor in saved["space"].items())


@pytest.mark.usefixtures("plain_lines")
def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    linear_teacher: Extraction, tmp_path: Path
) -> None:
    interrupted(tmp_path, linear_teacher)
    with pytest.raises(ConfigError, match="expected a folder without a run for a new one"):
        distil(SHORT, linear_teacher, Surroundings(), tmp_path, hardware=CPU)
    with pytest.raises(ConfigError, match=r"got another delay_s$"):
        distil(
            dataclasses.replace(SHORT, delay_s=0.1),
            linear_teacher,
            Surroundings(),
            tmp_path,
            resume=True,
            hardware=CPU,
        )
    with pytest.raises(
        ConfigError, match=r"expected a checkpoint to resume from at .*checkpoint\.pt, got none"
    ):
        distil(
            SHORT, linear_teacher, Surroundings(), tmp_path / "nowhere", resume=True, hardware=CPU
        )


@pytest.mark.usefixtures("plain_lines")
def test_a_run_starts_from_the_weights_of_another_one(
    distilled: Path, linear_teacher: Extraction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[torch.Tensor] = []
    step = Muon.step

    def remember(self: Muon) -> None:
        begun.append(self.param_groups[0]["params"][0].detach().clone())
        step(self)

    monkeypatch.setattr(Muon, "step", remember)
    distil(SHORT, linear_teacher, Surroundings(), tmp_path, initial=distilled, hardware=CPU)
    before, space = load_distilled(distilled)
    assert torch.equal(begun[0], next(before.encoder.parameters()))
    assert (load_distilled(tmp_path)[1].basis == space.basis).all()
    narrower = dataclasses.replace(SHORT, place_components=2)
    with pytest.raises(ConfigError, match="expected its place_components to be 2, got"):
        distil(
            narrower,
            linear_teacher,
            Surroundings(),
            tmp_path / "other",
            initial=distilled,
            hardware=CPU,
        )
    assert not (tmp_path / "other").exists()


def test_more_components_than_were_extracted_are_refused(
    linear_teacher: Extraction, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match="expected at most 4 components, as many as were extracted, got 5"
    ):
        distil(
            dataclasses.replace(SHORT, components=5),
            linear_teacher,
            Surroundings(),
            tmp_path / "run",
            hardware=CPU,
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_rows": 0}, "expected batch_rows > 0, got 0"),
        ({"delay_s": -0.1}, r"expected delay_s >= 0, got -0\.1"),
        ({"whitening": 1.5}, r"expected 0 <= whitening <= 1, got 1\.5"),
        ({"cut_share": -1}, "expected 0 <= cut_share <= 1, got -1"),
        ({"warmup_steps": 1}, "expected warmup_steps of 0 or at least 2, got 1"),
        (
            {"encoder": dataclasses.replace(TINY.encoder, stride=2)},
            "expected an encoder of stride 1, whose frames are the teacher's, got stride 2",
        ),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SETTINGS, **change)
