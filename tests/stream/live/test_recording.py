"""Recordings: their content, predictions on them, and errors in writing them."""

from __future__ import annotations

import argparse
import csv
import errno
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from turnstream.stream import predict
from turnstream.stream.errors import AudioFormatError
from turnstream.stream.live import listen, recording
from turnstream.stream.live.recording import Recording
from turnstream.stream.prediction import FrameMessage, TurnEvent
from turnstream.stream.sources import FileSource

from ..command_server import command_server

NOISE = np.random.default_rng(8).normal(0, 0.1, (44100, 2)).astype(np.float32)
FRAME = FrameMessage(
    0, 0.02, 0, 0.25, 0.75, (0.9, 0.1), (0.8, 0.2), (0.7, 0.3), (0.75, 0.25), (0.05, 0.0)
)


def listen_to_noise(folder: Path, *words: object) -> None:
    """Listen to noise at 22050 Hz, which is resampled and ends inside a frame, and record it."""
    parser = argparse.ArgumentParser()
    listen.add_arguments(parser)
    form = ["--encoding", "pcm_f32le", "--sample-rate", "22050"]
    args = parser.parse_args([*form, "--record", str(folder), *map(str, words)])
    assert listen.run(args, raw_input=io.BytesIO(NOISE.tobytes()), out=io.StringIO()) == 0


def predict_again(folder: Path, model: Path) -> tuple[Path, Path]:
    """Return predictions and events of the recorded audio."""
    parser = argparse.ArgumentParser()
    predict.add_arguments(parser)
    rows, events = folder / "again.csv", folder / "again_events.csv"
    words = (folder / "audio.wav", "--model", model, "--out", rows, "--events", events)
    assert predict.main(parser.parse_args([*map(str, words)])) == 0
    return rows, events


def test_the_recorded_audio_gives_the_same_predictions_and_events_to_the_byte(
    talkative_path: Path, tmp_path: Path
) -> None:
    listen_to_noise(tmp_path, "--model", talkative_path)
    rows, events = predict_again(tmp_path, talkative_path)
    assert (tmp_path / "predictions.csv").read_bytes() == rows.read_bytes()
    assert (tmp_path / "events.csv").read_bytes() == events.read_bytes()
    assert len(rows.read_text().splitlines()) == 101
    assert len(events.read_text().splitlines()) > 1


def test_a_server_gives_the_same_predictions_to_the_decimals_of_the_wire(
    talkative_path: Path, tmp_path: Path
) -> None:
    with command_server(talkative_path) as server:
        listen_to_noise(tmp_path, "--url", server.url)
    rows, events = predict_again(tmp_path, talkative_path)
    for ours, again in ((tmp_path / "predictions.csv", rows), (tmp_path / "events.csv", events)):
        with ours.open() as one, again.open() as other:
            for row, expected in zip(csv.reader(one), csv.reader(other), strict=True):
                for word, expected_word in zip(row, expected, strict=True):
                    assert word == expected_word or float(word) == pytest.approx(
                        float(expected_word), abs=6e-5
                    )


def test_everything_is_on_disk_before_it_is_closed(tmp_path: Path) -> None:
    kept = Recording(tmp_path / "a" / "b", 8000, 2)
    samples = np.arange(640, dtype=np.int16).reshape(320, 2)
    kept.on_audio(samples[:7])
    kept.on_audio(samples[7:])
    kept.on_prediction(FRAME)
    kept.on_event(TurnEvent("end_of_turn", 1, 0.02, 0.5, 3, "model"))
    source = FileSource(tmp_path / "a" / "b" / "audio.wav")
    assert (source.sample_rate_hz, source.channels) == (8000, 2)
    np.testing.assert_array_equal(np.concatenate(list(source)) * 32768, samples)
    source.close()
    assert (
        (tmp_path / "a" / "b" / "predictions.csv")
        .read_text()
        .endswith("\n0.02,0,0.25,0.75,0.9,0.1,0.8,0.2,0.7,0.3,0.75,0.25,0.05,0.0\n")
    )
    assert (tmp_path / "a" / "b" / "events.csv").read_text() == (
        "time_s,type,speaker,probability,turn_index,trigger\n0.02,end_of_turn,1,0.5,3,model\n"
    )
    kept.close()
    kept.close()
    assert soundfile.info(tmp_path / "a" / "b" / "audio.wav").frames == 320


def test_an_earlier_recording_is_never_overwritten(tmp_path: Path) -> None:
    Recording(tmp_path, 16000, 1).close()
    before = (tmp_path / "audio.wav").read_bytes()
    with pytest.raises(AudioFormatError, match=r"without a recording, got .* with audio\.wav"):
        Recording(tmp_path, 16000, 1)
    assert (tmp_path / "audio.wav").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        AudioFormatError, match=r"expected a folder that can be written, got .*file/kept"
    ):
        Recording(tmp_path / "file" / "kept", 16000, 1)


def test_a_full_disk_or_a_full_wav_is_said_and_what_was_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recording, "_MAX_AUDIO_BYTES", 400)
    with Recording(tmp_path, 16000, 1) as kept:
        kept.on_audio(np.ones((100, 1), np.int16))
        with monkeypatch.context() as disk:
            disk.setattr(kept._audio, "writeframes", full)
            with pytest.raises(OSError, match="No space left on device") as caught:
                kept.on_audio(np.ones((50, 1), np.int16))
            assert caught.value.filename == str(tmp_path)
        with pytest.raises(AudioFormatError, match="less than 4 GB"):
            kept.on_audio(np.ones((100, 1), np.int16))
    assert soundfile.info(tmp_path / "audio.wav").frames == 100
