import json
from collections.abc import Callable
from pathlib import Path

import pytest

from turnstream.models.dialogues.loading import load_audio

from .making import listed, spoken, words, write, write_audio

CALL = "0020a0c5-1658-4747-99c1-2839e736b481"
LEFT, RIGHT = "5fa072f4f4aa580b63834357", "5a73899f9cdd1800017786f0"
SPEAKERS = [[(0.5, 2.0)], [(2.2, 3.0)]]
HEADER = (
    "turn_id,speaker,start,stop,utterance,interval,delta,questions,end_question,overlap,n_words\n"
)
TURNS = (
    f'0,{LEFT},0.5,2.0,"Hi, how are you?",,1.5,1,True,False,4\n'
    f"1,{RIGHT},2.2,3.0,Good.,0.2,0.8,0,False,False,1\n"
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "candor"
    write_audio(folder / CALL / "processed" / f"{CALL}.mp3", SPEAKERS, 4.0, 48000)
    write(folder / CALL / "processed" / "channel_map.json", json.dumps({"L": LEFT, "R": RIGHT}))
    write(folder / CALL / "transcription" / "transcript_audiophile.csv", HEADER + TURNS)
    write(folder / CALL / "transcription" / "transcript_cliffhanger.csv", HEADER)
    write(folder / CALL / "survey.csv", "user_id\n")
    return folder


def test_a_call_is_stereo_with_its_turns_on_the_right_channel(corpus: Path) -> None:
    (dialogue,) = listed("candor", corpus)
    assert (dialogue.id, dialogue.speakers, dialogue.activity_from) == (
        CALL,
        (LEFT, RIGHT),
        "audio",
    )
    assert words(dialogue) == [(0, "Hi, how are you?"), (1, "Good.")]
    audio = load_audio(dialogue)
    assert abs(audio[0, 16000:24000]).mean() > 10 * abs(audio[1, 16000:24000]).mean()
    (chosen,) = listed("candor", corpus, "--activity-from", "words")
    assert spoken(chosen) == SPEAKERS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "transcript_audiophile.csv",
            "turn_id,speaker,start,stop\n",
            "expected columns speaker, start, stop, utterance, got none named utterance",
        ),
        (
            "transcript_audiophile.csv",
            HEADER + TURNS + "2,somebody,1,2,hm,,,,,,\n",
            f"line 4: expected a turn of {LEFT} or {RIGHT} with start and stop",
        ),
        (
            "transcript_audiophile.csv",
            HEADER + f"0,{LEFT},x,2,hm,,,,,,\n",
            "line 2: expected a turn of",
        ),
        ("channel_map.json", "{", "channel_map.json: expected {"),
        ("channel_map.json", '{"L": "a"}', "KeyError('R')"),
        (f"{CALL}.mp3", None, f"transcript_audiophile.csv: expected its audio, processed/{CALL} ("),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    (path,) = corpus.rglob(name)
    path.unlink() if text is None else path.write_text(text)
    assert message in complaint("manifest", "candor", corpus, "--out", corpus.parent / "m.jsonl")
