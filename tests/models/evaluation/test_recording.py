from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.evaluation.recording import load_recording
from turnstream.stream.errors import DialogueError


def test_activity_of_another_recording_is_refused(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", np.zeros((16000, 2)), 16000)
    np.savez(tmp_path / "a.npz", activity=np.zeros((2, 250), bool))
    with pytest.raises(
        DialogueError,
        match=r"dialogue 'a': expected activity as long as the audio, 1\.0 s, got 5\.0 s",
    ):
        load_recording(
            Dialogue("a", (tmp_path / "a.wav",), ("a", "b"), activity=tmp_path / "a.npz")
        )
