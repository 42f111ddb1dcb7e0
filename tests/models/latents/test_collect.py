"""What is collected is what the network says and holds in mind, beside what happened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from turnstream.cli import main
from turnstream.models.checkpoint import bundled_checkpoint
from turnstream.models.dialogues.activity import Samples, segments_to_frames
from turnstream.models.dialogues.loading import load_activity, load_audio
from turnstream.models.dialogues.manifest import Dialogue, read_manifest
from turnstream.models.latents import collect as module
from turnstream.models.latents.collect import (
    collect,
    load_network,
    name_of,
    opened_collection,
    read_source,
)
from turnstream.models.latents.collection import COLUMNS, LAYERS, Collection
from turnstream.models.latents.moments import SITUATIONS, find_moments, find_situations
from turnstream.models.latents.writing import event_row, frame_columns
from turnstream.stream.errors import ConfigError, DialogueError

from ...networks import CONFIGS, random_model


def test_latents_and_probabilities_are_those_of_the_network(
    tiny_collection: Collection, tiny_checkpoint: Path, tiny_manifest: Path
) -> None:
    model = load_network(tiny_checkpoint)
    audio = load_audio(read_manifest(tiny_manifest)[1])
    with torch.inference_mode():
        output, _ = model(torch.from_numpy(audio)[None], model.init_state())
        said = model.probabilities(output)
    frames = tiny_collection.frames(1, [*COLUMNS, *LAYERS])
    for source, names in ((output, LAYERS), (said, ("p_next", "vad"))):
        for name in names:
            expected = getattr(source, name)[0].transpose(0, 1)
            np.testing.assert_allclose(frames[name], expected, atol=1e-5)
    assert frames["frame"][7].tolist() == [7, 7]
    assert frames["speaker"][7].tolist() == [0, 1]
    np.testing.assert_allclose(frames["time_s"][7], 0.16)


def test_labels_are_those_of_the_activity(tiny_collection: Collection, tiny_manifest: Path) -> None:
    activity, backchannel = load_activity(read_manifest(tiny_manifest)[0])
    frames = tiny_collection.frames(0, [*COLUMNS])
    assert np.array_equal(frames["speaking"], activity.T)
    assert np.array_equal(frames["other_speaking"], activity[::-1].T)
    assert np.array_equal(frames["backchannel"], backchannel.T)
    assert np.array_equal(frames["situation"], np.array(SITUATIONS)[find_situations(activity).T])
    assert set(frames["event"][200:225].reshape(-1)) == {"hold"}
    assert set(frames["floor"][350:375].reshape(-1)) == {"gap"}
    assert (frames["holder"][:25] == -1).all()
    assert (frames["holder"][375:600] == 1).all()
    assert set(frames["split"].reshape(-1)) == {"train"}
    assert np.isnan(frames["correct"][:200]).all()
    hold = tiny_collection.events("hold")[0]
    assert hold.start_s == 4.0
    assert (frames["correct"][200:225] == float(bool(hold.correct))).all()


def test_where_no_backchannel_is_annotated_the_column_holds_short_reactions() -> None:
    activity = segments_to_frames([[(0.5, 11.0)], [(5.0, 5.6)]], 600)
    none, annotated = np.zeros_like(activity), np.zeros_like(activity)
    annotated[0, 100:120] = True
    for backchannel, expected in ((none, activity & [[False], [True]]), (annotated, annotated)):
        moments = find_moments(activity, backchannel)
        events = [event_row("a", "", moment, None) for moment in moments]
        found = frame_columns(activity, backchannel, events)["backchannel"]
        assert np.array_equal(found, expected.T)
    assert not none.any()  # nothing is written into what is given


def test_an_event_is_right_when_the_network_said_so_a_quarter_of_a_second_into_it(
    tiny_collection: Collection,
) -> None:
    events = tiny_collection.events("shift", "hold")
    kinds = [event.kind for event in events if event.number == 0]
    assert kinds == ["hold", "shift", "hold", "shift", "shift"]
    for event in events:
        p_next = tiny_collection.frames(event.number, ["p_next"])["p_next"]
        # the end of this frame is the last that was heard by then
        read = p_next[round(event.start_s * 50) + 11, 1 - event.speaker]
        assert event.p_shift == pytest.approx(read)
        assert event.correct == ((read >= 0.5) == (event.kind == "shift"))


def test_questions_are_known_where_there_is_text(tiny_collection: Collection) -> None:
    gaps = [event for event in tiny_collection.events("gap") if event.number == 1]
    endings = {(event.start_s, event.ending) for event in gaps}
    assert endings == {(7.0, "question"), (12.0, "statement"), (16.0, "")}


def test_another_collection_is_not_overwritten(
    tiny_collection: Collection, tiny_manifest: Path
) -> None:
    other, source = random_model(CONFIGS["tiny"], seed=8), read_source(tiny_manifest)
    with pytest.raises(ConfigError, match="expected an empty folder or the same collection"):
        collect(other, "other", source, tiny_collection.folder)


def test_a_strided_network_has_rows_at_its_own_rate(tiny_manifest: Path, tmp_path: Path) -> None:
    model = random_model(CONFIGS["lstm_2d_gated_stride_concat"])
    found = collect(model, "strided", read_source(tiny_manifest)[:1], tmp_path)
    assert found.frame_rate_hz == 25
    frames = found.frames(0, ["latent", "speaking", "time_s"])
    assert frames["latent"].shape == (500, 2, 7)
    activity, _ = load_activity(read_manifest(tiny_manifest)[0])
    assert np.array_equal(frames["speaking"], activity[:, 1::2].T)
    np.testing.assert_allclose(frames["time_s"][:2, 0], [0.04, 0.08])


def test_one_audio_file_is_a_dialogue_whose_activity_the_network_can_say_itself(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 3)
    sf.write(tmp_path / "user.wav", noise, 16000)
    monkeypatch.setattr(module, "is_installed", lambda: False)
    monkeypatch.setattr("turnstream.models.dialogues.annotation.is_installed", lambda: False)
    with opened_collection(tmp_path / "user.wav", tiny_checkpoint) as found:
        assert found.dialogues[0].id == "user"
        assert found.dialogues[0].activity_from == module.OWN_VAD
        frames = found.frames(0, ["vad", "speaking", "latent"])
        assert frames["latent"].shape == (150, 2, 10)
        assert not (frames["speaking"] & (frames["vad"] < 0.5)).any() or frames["speaking"].any()
        folder = found.folder
    assert not folder.exists()


def test_a_collection_that_is_kept_is_resumed(
    tiny_checkpoint: Path, tiny_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, heard = tmp_path / "kept", []
    load_sound = module.load_sound

    def cut(dialogue: Dialogue, rate: int) -> Samples:
        heard.append(dialogue.id)
        if heard == ["0", "1"]:
            raise KeyboardInterrupt
        return load_sound(dialogue, rate)

    monkeypatch.setattr(module, "load_sound", cut)
    opened = opened_collection(tiny_manifest, tiny_checkpoint, folder)
    with pytest.raises(KeyboardInterrupt), opened:
        pass
    with pytest.raises(ConfigError, match="expected a whole collection, got one without 2 of its"):
        Collection(folder)
    with opened_collection(tiny_manifest, tiny_checkpoint, folder) as found:
        assert found.folder == folder
    assert heard == ["0", "1", "1", "2"]


def test_a_mono_file_is_the_user_and_silence(tmp_path: Path) -> None:
    sf.write(tmp_path / "user.wav", np.full(1600, 0.5), 16000)
    sound = module.load_sound(read_source(tmp_path / "user.wav")[0], 16000)
    np.testing.assert_allclose(sound, np.stack([np.full(1600, 0.5), np.zeros(1600)]), atol=1e-4)


def test_a_collection_of_another_network_is_refused(tiny_collection: Collection) -> None:
    with opened_collection(tiny_collection.folder, None) as opened:
        assert opened.about == tiny_collection.about
    other = opened_collection(tiny_collection.folder, bundled_checkpoint())
    with pytest.raises(ConfigError, match="expected a collection of"), other:
        pass


def test_what_is_no_source_or_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match="expected a manifest"):
        read_source(tmp_path / "missing.wav")
    with pytest.raises(ConfigError, match="expected a checkpoint folder, whose weights can be"):
        load_network(Path("model.onnx"))


def test_snapshots_are_named_after_their_run() -> None:
    assert name_of(Path("runs/gru/snapshots/step_000100")) == "gru step_000100"
    assert name_of(Path("runs/gru")) == "gru"
    assert name_of(None) == "the bundled model"


def test_the_command_says_how_much_there_is(
    tiny_checkpoint: Path, tiny_manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    what = ["--out", str(tmp_path / "c"), "--model", str(tiny_checkpoint)]
    assert main(["latents", "collect", str(tiny_manifest), *what]) == 0
    assert "3 dialogues, 1.0 minutes, 9 shifts, 6 holds" in capsys.readouterr().out
    assert json.loads((tmp_path / "c" / "collection.json").read_text())["model"] == "tiny"
