import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .making import listed, spoken, words, write, write_audio

SID = "00d676d7058c49bb"


def segment(
    role: str,
    offset_ms: int,
    machine: str,
    human: str,
    offsets_ms: list[int],
    durations_ms: list[int],
) -> dict[str, object]:
    return {
        "channel_index": 1 if role == "caller" else 2,
        "dialog_acts": [],
        "duration_ms": offsets_ms[-1] + durations_ms[-1],
        "emotion": {"neutral": 1.0, "negative": 0.0, "positive": 0.0},
        "human_transcript": human,
        "index": 1,
        "offset_ms": offset_ms,
        "speaker_role": role,
        "start_ms": offset_ms - 400,  # counts from another origin
        "start_timestamp_ms": 1591059889597,
        "transcript": machine,
        "word_durations_ms": durations_ms,
        "word_offsets_ms": offsets_ms,
    }


SEGMENTS = [
    segment("caller", 400, "[noise]", "[noise]", [0], [450]),
    segment("agent", 1000, "hello this", "hello there", [0, 600], [500, 400]),
    segment("caller", 2500, "hi [laughter] bob", "hi bob", [0, 300, 700], [300, 400, 300]),
    segment("agent", 4000, "right", "[laughter]", [0], [180]),
    segment("agent", 4500, "<unk>", "<unk>", [0], [240]),
]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "gridspace-stanford-harper-valley"
    write_audio(folder / "data" / "audio" / "caller" / f"{SID}.wav", [[(2.5, 3.5)]], 5.0)
    write_audio(folder / "data" / "audio" / "agent" / f"{SID}.wav", [[(1.0, 2.0)]], 5.0)
    write(folder / "data" / "transcript" / f"{SID}.json", json.dumps(SEGMENTS))
    write(
        folder / "data" / "metadata" / f"{SID}.json",
        json.dumps({"sid": SID, "caller": {"speaker_id": 60}, "agent": {"speaker_id": 17}}),
    )
    return folder


def test_words_say_who_spoke_with_the_corrected_text(corpus: Path) -> None:
    (dialogue,) = listed("harpervalley", corpus)
    assert (dialogue.id, dialogue.speakers, dialogue.licence, dialogue.activity_from) == (
        SID,
        ("harpervalley60", "harpervalley17"),
        "CC BY 4.0",
        "words",
    )
    assert [path.parent.name for path in dialogue.audio] == ["caller", "agent"]
    assert words(dialogue) == [(1, "hello"), (1, "there"), (0, "hi"), (0, "bob"), (1, "<unk>")]
    assert spoken(dialogue) == [[(2.5, 2.8), (3.2, 3.5)], [(1.0, 2.0), (4.5, 4.74)]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (f"transcript/{SID}.json", "[", "transcript/00d676d7058c49bb.json: expected JSON, got: "),
        (
            f"transcript/{SID}.json",
            '[{"speaker_role": "agent"}]',
            "expected a list of segments with speaker_role, offset_ms, transcript",
        ),
        (
            f"transcript/{SID}.json",
            json.dumps([segment("caller", 0, "a b", "a b", [0], [1])]),
            "expected a list of segments",
        ),
        (
            f"metadata/{SID}.json",
            None,
            "expected metadata/00d676d7058c49bb.json, which says who talks, got none",
        ),
        (
            f"metadata/{SID}.json",
            "{}",
            "expected caller.speaker_id and agent.speaker_id, got: KeyError('caller')",
        ),
        (f"audio/agent/{SID}.wav", None, f"expected its audio, caller/{SID} and agent/{SID} ("),
    ],
)
def test_what_is_missing_or_broken_is_named(
    name: str, text: str | None, message: str, corpus: Path, complaint: Callable[..., str]
) -> None:
    path = corpus / "data" / name
    path.unlink() if text is None else path.write_text(text)
    assert message in complaint(
        "manifest", "harpervalley", corpus, "--out", corpus.parent / "m.jsonl"
    )
