import shutil
from pathlib import Path

import numpy as np
import pytest

from turnstream.models.dialogues import synthesis
from turnstream.models.dialogues.utterances import UtterancePool, decode_set
from turnstream.models.errors import DialogueError

needs_synthesiser = pytest.mark.skipif(not any(map(shutil.which, synthesis.SYNTHESISERS)), reason="no flite or espeak-ng")


def test_without_a_synthesiser_the_packages_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(DialogueError, match="apt-get install flite espeak-ng"):
        synthesis.draw_voices(1, np.random.default_rng(0))


@needs_synthesiser
def test_voices_are_reproducible_and_differ():
    first, again = (synthesis.draw_voices(10, np.random.default_rng(1)) for _ in range(2))
    assert first == again
    assert len({voice.name for voice in first}) == 10


@needs_synthesiser
def test_lines_of_scripts_become_a_set_that_the_pool_reads(tmp_path: Path):
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    said = ["Hello there, how are you?", "<UNIN/> not this.", "Very <UNSURE>well</UNSURE>, thank you.", "no full stop"]
    intervals = "".join(f'intervals [{i}]:\n xmin = {i}\n xmax = {i + 1}\n text = "{text}"\n' for i, text in enumerate(said))
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\nxmin = 0\nxmax = 4\ntiers? <exists>\nsize = 1\nitem []:\n'
    tier = f'item [1]:\nclass = "IntervalTier"\nname = "doctor"\nxmin = 0\nxmax = 4\nintervals: size = {len(said)}\n'
    (scripts / "a_doctor.TextGrid").write_text(head + tier + intervals)
    folder = synthesis.render_scripts(scripts, tmp_path / "cache", voices=2, lines_per_voice=10)
    assert folder.name == synthesis.SYNTHETIC_SET
    pool = UtterancePool([decode_set(folder, tmp_path / "cache")])
    assert len(pool.utterances) == 2 * (2 + synthesis.DICTATIONS_PER_VOICE)
    assert all(u.finished == 1 and 0.5 < u.speech_s < 9 for u in pool.utterances)
    assert synthesis.render_scripts(scripts, tmp_path / "cache", voices=2, lines_per_voice=10) == folder


def test_scripts_without_text_are_named(tmp_path: Path):
    with pytest.raises(DialogueError, match="expected TextGrids with text, got none"):
        synthesis.render_scripts(tmp_path, tmp_path / "cache")


def test_dictations_are_numbers_names_and_dates():
    rng = np.random.default_rng(4)
    said = [synthesis.draw_dictation(rng) for _ in range(200)]
    assert all(text.endswith(".") and len(text) < 120 for text in said)
    assert any("seven" in text for text in said)
    assert any("October" in text for text in said)
    assert len(set(said)) > 190
