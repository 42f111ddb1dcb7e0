"""A teacher that stays while the network learns dialogues.

With it, what was distilled is kept and improves. Without it, what was distilled is forgotten.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from turnstream.models.checkpoint import load_encoder
from turnstream.models.config import ModelConfig
from turnstream.models.dialogues.channel import Surroundings
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.distillation.loop import measure
from turnstream.models.distillation.network import load_distilled
from turnstream.models.distillation.targets import Targets
from turnstream.models.runs.hardware import Hardware
from turnstream.models.teachers.extraction import Extraction
from turnstream.models.training import loop
from turnstream.models.training.loop import new_network, train
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.teaching import Lessons, TaughtModel, Teaching
from turnstream.models.turn_model import TurnModel
from turnstream.stream.errors import ConfigError

from ...networks import TINY
from ..interruption import interrupted_after_validation
from ..linear_teacher import CPU

pytestmark = pytest.mark.usefixtures("plain_lines")


def settings_of(run: Path, **others: Any) -> TrainingSettings:
    given = load_encoder(run)
    assert given.speaker_rnn is not None
    model = ModelConfig(
        features=given.features,
        encoder=given.config,
        speaker_rnn=given.speaker_rnn,
        dialogue_rnn=TINY.dialogue_rnn,
    )
    plain = {
        "steps": 30,
        "batch_rows": 2,
        "chunk_s": 1.0,
        "warmup_steps": 4,
        "learning_rate": 1e-2,
        "average_decay": 0.5,
        "speech_rows": 4,
    }
    return TrainingSettings(encoder=str(run), model=model, **(plain | others))


def explained(run: Path, network: TurnModel, teacher: Extraction) -> float:
    """Return the share of the frames' variance that the distillation's head explains.

    The head stands on a network's encoder and per-speaker RNN.
    """
    student, space = load_distilled(run)
    for name in ("encoder", "speaker_rnn"):
        getattr(student, name).load_state_dict(getattr(network, name).state_dict())
    return measure(
        student,
        teacher,
        Surroundings(),
        Targets.of(teacher, space, student.settings, torch.device("cpu")),
    )["frames_explained"]


def test_what_was_distilled_is_kept_with_the_teacher_and_forgotten_without(
    distilled: Path, linear_teacher: Extraction, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    teaching = Teaching(linear_teacher, Surroundings(), distilled)
    settings = settings_of(distilled, steps=60, learning_rate=3e-2)
    with_teacher = train(settings, dialogues, tmp_path / "with", teaching=teaching, hardware=CPU)
    alone = train(settings, dialogues, tmp_path / "alone", hardware=CPU)
    kept, forgotten = (
        explained(distilled, network, linear_teacher) for network in (with_teacher, alone)
    )
    assert kept > 0.3
    assert kept > forgotten + 0.1


def test_turn_completeness_is_learned_at_the_stop_points_of_the_speech(
    distilled: Path, linear_teacher: Extraction
) -> None:
    settings = settings_of(distilled)
    lessons = Lessons(
        Teaching(linear_teacher, Surroundings(), distilled),
        settings,
        range(settings.speech_rows),
        torch.device("cpu"),
        0,
    )
    # These scores differ more than the buzzes.
    lessons.targets = dataclasses.replace(lessons.targets, judge_deviation=4.0)
    network = new_network(settings)
    taught = TaughtModel(network, lessons.distilled)
    dialogue = torch.zeros(1, 2, settings.model.frame_samples), network.init_state(1)
    optimizer = torch.optim.AdamW(taught.parameters(), lr=1e-2)
    found: list[dict[str, float]] = []
    for _ in range(60):
        losses = lessons.losses(*taught(*dialogue, *lessons.next_inputs(network))[2:])
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        found.append({name: loss.item() for name, loss in losses.items()})
    assert found[0].keys() == {"frames", "places", "judged", "judged_next"}
    for name in ("judged", "judged_next"):
        first, last = ([losses[name] for losses in part] for part in (found[:10], found[-10:]))
        assert sum(last) < 0.9 * sum(first), name
    # Shares of the variance: training continues with the distillation's heads.
    assert max(losses["frames"] for losses in found) < 1.3


def test_a_speakers_speech_begins_with_no_memory_of_another(
    distilled: Path, linear_teacher: Extraction
) -> None:
    settings = settings_of(distilled)
    lessons = Lessons(
        Teaching(linear_teacher, Surroundings(), distilled),
        settings,
        range(2),
        torch.device("cpu"),
        0,
    )
    network = TurnModel(settings.model)
    taught = TaughtModel(network, lessons.distilled)
    dialogue = torch.zeros(1, 2, settings.model.frame_samples), network.init_state(1)
    states: list[torch.Tensor] = []
    for _ in range(12):
        inputs = lessons.next_inputs(network)
        states.append(inputs[-1])
        lessons.losses(*taught(*dialogue, *inputs)[2:])
    cleared = torch.stack([(state == 0).all(dim=1) for state in states])  # (chunks, batch rows)
    assert cleared[0].all()
    assert cleared[1:].any()
    assert not cleared[1:].all()


def test_a_run_with_a_teacher_is_resumed_with_its_heads_and_other_speech(
    distilled: Path,
    linear_teacher: Extraction,
    dialogues: list[Dialogue],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teaching = Teaching(linear_teacher, Surroundings(), distilled)
    settings = settings_of(distilled, steps=4, validate_every=2)
    with interrupted_after_validation(loop):
        train(settings, dialogues, tmp_path, teaching=teaching, hardware=CPU)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    begun: list[torch.Tensor] = []
    forward = TaughtModel.forward

    def remember(self: TaughtModel, *inputs: torch.Tensor) -> Any:
        begun.append(self.frame_head.weight.detach().clone())
        return forward(self, *inputs)

    monkeypatch.setattr(TaughtModel, "forward", remember)
    train(settings, dialogues, tmp_path, teaching=teaching, resume=True, hardware=CPU)
    assert len(begun) == 2  # steps 3 and 4
    assert torch.equal(begun[0], saved["model"]["frame_head.weight"])
    assert not torch.equal(begun[1], begun[0])


def test_a_distillation_of_another_shape_is_refused(
    distilled: Path, linear_teacher: Extraction, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    settings = settings_of(distilled)
    other = dataclasses.replace(
        settings.model, speaker_rnn=dataclasses.replace(TINY.speaker_rnn, hidden=9)
    )
    with pytest.raises(ConfigError, match="expected the speaker_rnn of "):
        train(
            dataclasses.replace(settings, model=other),
            dialogues,
            tmp_path,
            teaching=Teaching(linear_teacher, Surroundings(), distilled),
            hardware=CPU,
        )


def test_rows_of_speech_that_the_processes_cannot_share_are_refused(
    distilled: Path, linear_teacher: Extraction, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    teaching = Teaching(linear_teacher, Surroundings(), distilled)
    settings = settings_of(distilled, speech_rows=3)
    two = Hardware(accelerator="cpu", devices=2)
    with pytest.raises(ConfigError, match="speech_rows in multiples of the 2 processes, got 3"):
        train(settings, dialogues, tmp_path, teaching=teaching, hardware=two)


def test_the_command_wants_data_and_a_distillation_beside_a_teacher(
    manifest: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    assert "expected --data, and --distilled or --encoder, beside --teacher" in complaint(
        "train", "--manifest", manifest, "--out", tmp_path / "run", "--teacher", tmp_path
    )
