import pytest

from turnstream.models.dialogues.marks import is_speech


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "[laughter]",
        "[noise] [breath]",
        "<cough>",
        "{lip smack}",
        "sil",
        "SP",
        "<sil>",
        "[Vocalized-Noise]",
    ],
)
def test_laughter_noise_breath_and_silence_are_no_speech(text: str) -> None:
    assert not is_speech(text)


@pytest.mark.parametrize(
    "text",
    [
        "mhm",
        "well [laughter]",
        "<UNIN/>",
        "<INAUDIBLE_SPEECH/>",
        "[unintelligible]",
        "<unk>",
        "<UNSURE>no</UNSURE>",
        "(( ))",
    ],
)
def test_words_and_speech_that_nobody_understood_are(text: str) -> None:
    assert is_speech(text)
