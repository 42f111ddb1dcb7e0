from pathlib import Path

import pytest

from turnstream.models.dialogues.corpora.loudness import first_is_on_channel_0
from turnstream.stream.errors import DialogueError

from .making import sphere_header, write, write_audio

FIRST, SECOND = [(0.5, 2.0)], [(1.8, 3.0)]


@pytest.mark.parametrize("rate_hz", [8000, 20000, 44100])
def test_a_speaker_is_louder_on_the_own_channel(rate_hz: int, tmp_path: Path) -> None:
    audio = write_audio(tmp_path / "a.wav", [FIRST, SECOND], 4.0, rate_hz)
    assert first_is_on_channel_0(audio, [FIRST, SECOND])
    assert not first_is_on_channel_0(audio, [SECOND, FIRST])


def test_what_does_not_tell_them_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DialogueError, match=r"a\.wav: expected 2 channels, got 1"):
        first_is_on_channel_0(write_audio(tmp_path / "a.wav", [FIRST], 4.0), [FIRST, SECOND])
    with pytest.raises(
        DialogueError, match=r"b\.wav: expected both speakers to speak alone somewhere"
    ):
        first_is_on_channel_0(write_audio(tmp_path / "b.wav", [FIRST, SECOND], 4.0), [FIRST, FIRST])
    with pytest.raises(
        DialogueError,
        match=r"c\.wav: expected one speaker on each channel, got channels that differ by 0\.\d dB",
    ):
        first_is_on_channel_0(
            write_audio(tmp_path / "c.wav", [FIRST + SECOND, FIRST + SECOND], 4.0), [FIRST, SECOND]
        )
    with pytest.raises(DialogueError, match=r"d\.wav: expected an audio file"):
        first_is_on_channel_0(write(tmp_path / "d.wav", "no audio"), [FIRST, SECOND])


def test_packed_audio_is_refused_with_what_unpacks_it(tmp_path: Path) -> None:
    packed = tmp_path / "a.sph"
    packed.write_bytes(
        sphere_header(8000, "ulaw,embedded-shorten-v2.00", 1, "1") + b"ajkg\x02" + bytes(100)
    )
    with pytest.raises(
        DialogueError,
        match=(
            r"a\.sph: expected SPHERE audio that is not packed, got shorten; unpack it with: "
            r"sph2pipe -f wav a\.sph a\.wav"
        ),
    ):
        first_is_on_channel_0(packed, [FIRST, SECOND])
