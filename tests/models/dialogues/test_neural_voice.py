import csv
import importlib.util
import sys
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.dialogues.activity import energy_segments
from turnstream.models.dialogues.neural_voice import (
    PLAYBACK_FACTORS,
    SPEAKERS,
    Line,
    open_synthesiser,
    render_set,
    speak,
)
from turnstream.models.dialogues.utterances import SAMPLE_RATE_HZ
from turnstream.stream.errors import MissingExtraError

from .fake_voice import SECONDS_PER_LETTER, FakeVoice

needs_voice = pytest.mark.skipif(
    importlib.util.find_spec("hibari") is None, reason="hibari-tts is not installed"
)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def loudest_hz(sound: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(sound)).argmax() * SAMPLE_RATE_HZ / len(sound))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)
    with pytest.raises(
        MissingExtraError,
        match=r"hibari-tts is not installed; to install it: pip install 'turnstream\[voices\]'",
    ):
        open_synthesiser()


def test_speakers_differ_in_pitch_and_keep_the_pace() -> None:
    text = "a sentence of some length."
    lowest, highest = (
        speak(FakeVoice(), Line(speaker, text, 1.1), 0) for speaker in (0, SPEAKERS - 1)
    )
    assert loudest_hz(highest) / loudest_hz(lowest) == pytest.approx(
        PLAYBACK_FACTORS[1] / PLAYBACK_FACTORS[0], rel=0.02
    )
    for sound in (lowest, highest):
        ((start_s, end_s),) = energy_segments(sound, SAMPLE_RATE_HZ)
        assert end_s - start_s == pytest.approx(len(text) * SECONDS_PER_LETTER / 1.1, abs=0.05)


def test_an_unfinished_text_is_spoken_with_an_open_end() -> None:
    voice = FakeVoice()
    speak(voice, Line(3, "And then, um,", 1.0), 0)
    assert [text for text, _ in voice.said] == ["And then, um…"]


def test_a_clip_is_cut_out_of_its_sentence_where_its_text_ends() -> None:
    line = Line(5, "So I was thinking,", 1.0, "that we could go.")
    cut = speak(FakeVoice(), line, 0)
    ((start_s, end_s),) = energy_segments(cut, SAMPLE_RATE_HZ)
    assert end_s - start_s == pytest.approx(len("So I was thinking") * SECONDS_PER_LETTER, abs=0.1)
    assert not cut[-round(0.25 * SAMPLE_RATE_HZ) :].any()


def test_no_at_the_end_of_a_sentence_is_not_read_as_number() -> None:
    voice = FakeVoice()
    speak(voice, Line(0, "Uh, no. No, no. I know. Domino.", 1.0), 0)
    ((said, _),) = voice.said
    assert said == "Uh, [no](/nˈO/). No, [no](/nˈO/). I know. Domino."


def test_a_set_lists_its_clips_and_ends_when_it_is_long_enough(tmp_path: Path) -> None:
    lines = (Line(i % SPEAKERS, f"This is number {i}.", 1.0) for i, _ in enumerate(repeat(0)))
    folder = render_set(lines, tmp_path / "hibari", hours=20 / 3600, synthesiser=FakeVoice())
    lengths_s = [sf.info(folder / row["file"]).duration for row in rows(folder)]
    assert sum(lengths_s[:-1]) < 20 <= sum(lengths_s)
    assert [row["transcript"] for row in rows(folder)][:2] == [
        "This is number 0.",
        "This is number 1.",
    ]
    assert rows(folder)[1]["speaker"] == "hibari_01"


def test_an_interrupted_set_has_no_manifest_and_is_continued(tmp_path: Path) -> None:
    lines = [Line(i, f"Line {i}.", 1.0) for i in range(4)]
    voice = FakeVoice()

    def interrupted():
        yield from lines[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_set(interrupted(), tmp_path, synthesiser=voice)
    assert not (tmp_path / "manifest.csv").exists()
    # In another order: a clip is identified by its text
    render_set(reversed(lines), tmp_path, synthesiser=voice)
    assert [text for text, _ in voice.said] == ["Line 0.", "Line 1.", "Line 3.", "Line 2."]
    assert len(rows(tmp_path)) == 4


@needs_voice
def test_the_neural_voice_speaks_reproducibly_and_differently_by_speaker() -> None:
    voice = open_synthesiser()
    first, again = (speak(voice, Line(0, "Hello, how are you?", 1.0), 7) for _ in range(2))
    assert np.array_equal(first, again)
    other = speak(voice, Line(11, "Hello, how are you?", 1.0), 7)
    assert 0.7 < len(first) / SAMPLE_RATE_HZ < 2.5
    assert len(other) / len(first) == pytest.approx(1.0, abs=0.1)
    assert np.abs(first).max() > 0.05
