from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from numpy.typing import NDArray

from turnstream.cli import main
from turnstream.models.dialogues.channel import Surroundings
from turnstream.models.dialogues.labels import label_frames
from turnstream.models.dialogues.loading import load_activity, load_audio
from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.training import calls as module
from turnstream.models.training import loop
from turnstream.models.training.calls import MixedConversations, VariedCalls, vary
from turnstream.models.training.labelled import LabelledAudio
from turnstream.models.training.settings import TrainingSettings
from turnstream.models.training.sources import ConversationSource, RecordedDialogues
from turnstream.stream.errors import DialogueError

from ...networks import TINY
from ..interruption import interrupted_after_validation

SETTINGS = TrainingSettings(batch_rows=2, chunk_s=2.0, model=TINY)
FRAMES = 450  # frames of a call
NO_SCORES = "expected the scores of `turnstream pretrain judge`"


def open_calls(
    dialogues: Sequence[Dialogue],
    judged: dict[str, NDArray[np.float32]] | None = None,
    seed: int = 0,
) -> VariedCalls:
    return VariedCalls(
        dialogues, dataclasses.replace(SETTINGS, seed=seed), Surroundings(), judged or {}
    )


@pytest.fixture
def plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EQUALISED_SHARE", "NOISE_SHARE", "BLEED_SHARE"):
        monkeypatch.setattr(module, name, 0.0)


def at_speed(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPEEDS", (speed, speed))


def agreement(audio: NDArray[np.float32], active: NDArray[np.bool_]) -> float:
    """Return the share of frames that are loud in speech and quiet elsewhere."""
    frames = min(audio.shape[1] // 320, active.shape[1])
    level = np.sqrt((audio[:, : frames * 320].reshape(2, frames, 320) ** 2).mean(axis=2))
    return float(((level > 0.02) == active[:, :frames]).mean())


@pytest.mark.usefixtures("plain_lines")
@pytest.mark.parametrize("speed", [0.88, 1.14])
def test_who_speaks_when_is_stretched_with_the_sound(
    speed: float, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_speed(speed, monkeypatch)
    audio, labels = open_calls(dialogues[:1]).conversation(0)
    assert labels.vad.shape[1] == pytest.approx(FRAMES / speed, abs=1)
    assert audio.shape[1] == 320 * labels.vad.shape[1]
    assert agreement(audio, labels.vad) > 0.97
    unstretched, _ = load_activity(dialogues[0])
    assert agreement(audio, unstretched) < 0.93


@pytest.mark.usefixtures("plain_lines")
def test_backchannels_and_a_judges_scores_are_stretched_too(
    dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_speed(1.1, monkeypatch)
    scores = np.stack([np.linspace(0, 1, FRAMES), np.full(FRAMES, np.nan)]).astype(np.float32)
    dialogue = next(one for one in dialogues if load_activity(one)[1].any())
    _, labels = open_calls([dialogue], {dialogue.id: scores}).conversation(0)
    source = (np.arange(labels.vad.shape[1]) * 1.1).astype(int)
    assert labels.completeness[0] == pytest.approx(scores[0, source])
    assert np.isnan(labels.completeness[1]).all()
    activity, backchannel = load_activity(dialogue)
    expected = label_frames(
        activity[:, source], backchannel[:, source], 50.0, TINY.bin_edges_s, scores[:, source]
    )
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(labels, name), value)
    assert labels.backchannel.any()


@pytest.mark.usefixtures("plain_lines")
def test_scores_shorter_than_the_call_say_nothing_of_the_rest(
    dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_speed(1.0, monkeypatch)
    _, labels = open_calls(
        dialogues[:1],
        {"0": np.full((2, 300), 0.25, np.float32), "1": np.full((2, FRAMES), 0.5, np.float32)},
    ).conversation(0)
    assert (labels.completeness[:, :300] == 0.25).all()
    assert np.isnan(labels.completeness[:, 300:]).all()


def test_the_same_number_is_the_same_conversation_and_another_is_another(
    dialogues: list[Dialogue],
) -> None:
    source = open_calls(dialogues)
    third = source.conversation(3)
    source.conversation(4)
    again = open_calls(dialogues).conversation(3)
    assert np.array_equal(third[0], again[0])
    assert np.array_equal(third[1].next_second, again[1].next_second)
    sounds = {source.conversation(number)[0].tobytes() for number in range(8)}
    assert len(sounds) == 8
    assert not np.array_equal(third[0], open_calls(dialogues, seed=1).conversation(3)[0])


def test_a_call_is_never_played_twice_the_same_way(dialogues: list[Dialogue]) -> None:
    source = open_calls(dialogues[:1])
    played = [source.conversation(number)[0] for number in range(5)]
    assert len({audio.shape[1] for audio in played}) > 3
    assert all(np.abs(audio).max() <= 1 for audio in played)


def test_every_call_is_drawn(dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch) -> None:
    at_speed(1.0, monkeypatch)
    source = open_calls(dialogues)
    activity = {dialogue.id: load_activity(dialogue)[0].tobytes() for dialogue in dialogues}
    drawn = [source.conversation(number)[1].vad.tobytes() for number in range(24)]
    assert set(drawn) == set(activity.values())


@pytest.mark.parametrize(
    ("share", "channels"), [("EQUALISED_SHARE", 2), ("NOISE_SHARE", 2), ("BLEED_SHARE", 2)]
)
@pytest.mark.usefixtures("plain_lines")
def test_every_effect_changes_the_sound(
    share: str, channels: int, dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    audio = load_audio(dialogues[0])
    plain = vary(audio, 1.0, Surroundings(), np.random.default_rng(0))
    monkeypatch.setattr(module, share, 1.0)
    changed = vary(audio, 1.0, Surroundings(), np.random.default_rng(0))
    assert changed.shape == plain.shape
    gains = (changed * plain).sum(axis=1, keepdims=True) / (plain**2).sum(axis=1, keepdims=True)
    assert (np.abs(changed - gains * plain).max(axis=1) > 1e-4).sum() == channels


@pytest.mark.usefixtures("plain_lines")
def test_noises_of_the_surroundings_are_heard(
    dialogues: list[Dialogue], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOISE_SHARE", 1.0)
    tone = np.sin(np.arange(20000) * 2 * np.pi * 3000 / 16000).astype(np.float32)
    silent = np.zeros((2, 64000), np.float32)
    heard = [
        vary(silent, 1.0, Surroundings(noises=[tone]), np.random.default_rng(seed))
        for seed in range(6)
    ]
    peaks_hz = {
        int(np.abs(np.fft.rfft(channel)).argmax()) / 4 for audio in heard for channel in audio
    }
    assert 3000.0 in peaks_hz
    assert max(np.abs(audio).max() for audio in heard) < 0.1


def test_the_fingerprint_names_the_calls(dialogues: list[Dialogue]) -> None:
    assert open_calls(dialogues).fingerprint == open_calls(dialogues).fingerprint
    assert open_calls(dialogues).fingerprint.startswith("4 varied calls, ")
    others = {
        open_calls(some).fingerprint
        for some in (dialogues, dialogues[:3], dialogues[1:], dialogues[::-1])
    }
    assert len(others) == 4


def test_no_calls_and_calls_shorter_than_a_chunk_are_refused(dialogues: list[Dialogue]) -> None:
    with pytest.raises(DialogueError, match="expected real calls to learn from, got none"):
        open_calls([])
    long = dataclasses.replace(SETTINGS, chunk_s=30.0)
    with pytest.raises(DialogueError, match=r"call '\d': expected at least 30 s, got \d+ frames"):
        VariedCalls(dialogues, long, Surroundings(), {}).conversation(0)


class Numbered(ConversationSource):
    """Conversations that consist of their number; it records the requests."""

    workers = 3

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[int] = []
        self.ahead: list[int] = []
        self.closed = False

    @property
    def fingerprint(self) -> str:
        return self.name

    def conversation(self, number: int) -> LabelledAudio:
        self.asked.append(number)
        return np.zeros((2, 0), np.float32), None  # pyright: ignore[reportReturnType]

    def prefetch(self, numbers: Sequence[int]) -> None:
        self.ahead += numbers

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 0, 0), (0.3, 250, 350), (1.0, 1000, 1000)]
)
def test_so_large_a_share_of_the_conversations_are_calls(
    share: float, least: int, most: int
) -> None:
    simulated, real = Numbered("simulated"), Numbered("real")
    mixed = MixedConversations(simulated, real, share, seed=1)
    for number in range(1000):
        mixed.conversation(number)
    assert least <= len(real.asked) <= most
    assert sorted(simulated.asked + real.asked) == list(range(1000))
    mixed.prefetch(range(1000))
    assert simulated.ahead == simulated.asked
    assert real.ahead == []


def test_which_conversations_are_calls_is_fixed_by_the_seed() -> None:
    def real_ones(seed: int) -> list[int]:
        real = Numbered("real")
        mixed = MixedConversations(Numbered("simulated"), real, 0.3, seed)
        for number in range(99, -1, -1):
            mixed.conversation(number)
        return sorted(real.asked)

    assert real_ones(1) == real_ones(1) != real_ones(2)


def test_a_mixture_is_known_by_both_its_sources_and_its_share() -> None:
    simulated, real = Numbered("simulated"), Numbered("real")
    mixed = MixedConversations(simulated, real, 0.3, 0)
    assert mixed.fingerprint == "simulated; 0.3 of them real"
    assert mixed.workers == 3
    mixed.close()
    assert simulated.closed


def source_of(
    options: list[str], manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ConversationSource:
    """Return the source that `turnstream train` would learn from."""
    seen: list[ConversationSource] = []
    monkeypatch.setattr(loop, "train", lambda _settings, training, *_, **__: seen.append(training))
    assert (
        main(["train", "--manifest", str(manifest), "--out", str(tmp_path / "run"), *options]) == 0
    )
    return seen[0]


def test_the_command_mixes_calls_in_and_can_leave_one_out(
    manifest: Path, dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TrainingSettings()
    recorded = RecordedDialogues(dialogues, settings).fingerprint
    options = ["--calls", str(manifest)]
    everything = source_of(options, manifest, tmp_path, monkeypatch)
    assert everything.fingerprint == f"{recorded}; 0.3 of them {open_calls(dialogues).fingerprint}"
    without = source_of([*options, "--without", "2"], manifest, tmp_path, monkeypatch)
    left = open_calls([*dialogues[:2], dialogues[3]]).fingerprint
    assert without.fingerprint == f"{recorded}; 0.3 of them {left}"
    assert source_of([], manifest, tmp_path, monkeypatch).__class__ is RecordedDialogues


def write_scores(path: Path, lowest: float = 0.0) -> None:
    """Write a judge's scores of four calls, 0.1 apart."""
    scores = {str(n): np.full((2, FRAMES), lowest + n / 10, np.float32) for n in range(4)}
    np.savez(path, **scores)  # pyright: ignore[reportArgumentType]


def scores_of(source: ConversationSource) -> set[float]:
    """Return the scores in the first twelve conversations."""
    return {
        round(float(score), 4)
        for number in range(12)
        for score in np.unique(source.conversation(number)[1].completeness)
    }


def test_the_command_gives_calls_the_scores_of_their_judge_and_noises(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOISE_SHARE", 1.0)
    write_scores(tmp_path / "all.npz")
    (tmp_path / "settings.json").write_text('{"calls_share": 1.0, "chunk_s": 2.0}')
    (tmp_path / "noise").mkdir()
    sf.write(tmp_path / "noise" / "tone.wav", 0.1 * np.sin(np.arange(20000)), 16000)
    options = ["--calls", str(manifest), "--settings", str(tmp_path / "settings.json")]
    options += ["--judge", str(tmp_path)]
    hissing, source = (
        source_of([*options, *more], manifest, tmp_path, monkeypatch)
        for more in ([], ["--data", str(tmp_path)])
    )
    assert scores_of(source) == {0.0, 0.1, 0.2, 0.3}
    assert any(
        not np.array_equal(source.conversation(number)[0], hissing.conversation(number)[0])
        for number in range(4)
    )


def test_a_call_that_is_left_out_has_not_been_heard_by_the_judge_either(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scores(tmp_path / "all.npz")
    write_scores(tmp_path / "without_2.npz", lowest=0.5)
    (tmp_path / "settings.json").write_text('{"calls_share": 1.0, "chunk_s": 2.0}')
    options = ["--calls", str(manifest), "--settings", str(tmp_path / "settings.json")]
    options += ["--judge", str(tmp_path), "--without", "2"]
    assert scores_of(source_of(options, manifest, tmp_path, monkeypatch)) == {0.5, 0.6, 0.8}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--without", "nobody"], "expected a call 'nobody' to leave out, got 0, 1, 2, 3"),
        (["--judge", "nowhere"], f"{Path('nowhere', 'all.npz')}: {NO_SCORES}"),
        (["--judge", "empty"], f"{Path('empty', 'all.npz')}: {NO_SCORES}"),
        (["--judge", "rubbish"], f"{Path('rubbish', 'all.npz')}: {NO_SCORES}"),
        (["--judge", "truncated"], f"{Path('truncated', 'all.npz')}: {NO_SCORES}"),
        (["--judge", "empty", "--without", "2"], f"{Path('empty', 'without_2.npz')}: {NO_SCORES}"),
    ],
)
def test_calls_that_cannot_be_had_are_one_line_and_exit_code_2(
    options: list[str],
    message: str,
    manifest: Path,
    tmp_path: Path,
    complaint: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in {"empty": b"", "rubbish": b"rubbish", "truncated": b"PK\x03\x04"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.npz").write_bytes(content)
    words = ["--manifest", manifest, "--out", "run", "--calls", manifest]
    assert message in complaint("train", *words, *options)
    assert not (tmp_path / "run").exists()


def test_training_on_a_mixture_resumes_exactly(dialogues: list[Dialogue], tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=6, warmup_steps=2, validate_every=3)

    def mixture() -> ConversationSource:
        return MixedConversations(
            RecordedDialogues(dialogues, settings),
            VariedCalls(dialogues, settings, Surroundings(), {}),
            0.5,
            settings.seed,
        )

    loop.train(settings, mixture(), tmp_path / "whole")
    with interrupted_after_validation(loop):
        loop.train(settings, mixture(), tmp_path / "parts")
    loop.train(settings, mixture(), tmp_path / "parts", resume=True)
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()
