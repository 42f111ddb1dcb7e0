from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.dialogues.manifest import Dialogue
from turnstream.models.training.labelled import labelled_audio
from turnstream.stream.errors import DialogueError

from ...networks import TINY


@pytest.mark.parametrize("seconds", [1, 5])
def test_activity_much_longer_or_shorter_than_the_audio_is_refused(
    seconds: int, tmp_path: Path
) -> None:
    sf.write(tmp_path / "a.wav", np.zeros((3 * 16000, 2)), 16000)
    np.savez(tmp_path / "a.npz", activity=np.zeros((2, seconds * 50), bool))
    with pytest.raises(
        DialogueError,
        match=rf"dialogue 'a': expected activity as long as the audio, 3\.0 s, got {seconds}\.0 s",
    ):
        labelled_audio(
            Dialogue("a", (tmp_path / "a.wav",), ("a", "b"), activity=tmp_path / "a.npz"), TINY
        )
