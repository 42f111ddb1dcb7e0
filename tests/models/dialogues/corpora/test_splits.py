from collections import Counter
from pathlib import Path

from turnstream.models.dialogues.corpora.conversation import Conversation
from turnstream.models.dialogues.corpora.splits import assign_splits


def talk(first: str, second: str, circle: str = "") -> Conversation:
    return Conversation(
        f"{first} {second}", (Path("a.wav"),), (first, second), "audio", circle=circle
    )


def heard_in(conversations: list[Conversation], splits: list[str], split: str) -> set[str]:
    return {
        speaker
        for conversation, its in zip(conversations, splits, strict=True)
        if its == split
        for speaker in conversation.speakers
    }


def test_pairs_that_meet_nobody_else_are_held_out_by_share() -> None:
    conversations = [talk(f"a{i}", f"b{i}") for i in range(1000)]
    splits = assign_splits(conversations, "calls", 0.1)
    counts = Counter(splits)
    assert set(counts) == {"train", "val"}
    assert 70 < counts["val"] < 130
    assert splits == assign_splits(conversations, "calls", 0.1)
    assert splits != assign_splits(conversations, "others", 0.1)


def test_where_everybody_talks_with_everybody_no_speaker_is_in_two_splits() -> None:
    conversations = [talk(f"s{i}", f"s{j}") for i in range(60) for j in range(i)]
    splits = assign_splits(conversations, "calls", 0.2)
    assert set(splits) == {"train", "val", "mixed"}
    assert not heard_in(conversations, splits, "train") & heard_in(conversations, splits, "val")


def test_people_who_talk_with_each_other_through_others_stay_together() -> None:
    conversations = [
        pair
        for i in range(50)
        for pair in (talk(f"a{i}", f"b{i}"), talk(f"b{i}", f"c{i}"), talk(f"d{i}", f"c{i}"))
    ]
    splits = assign_splits(conversations, "calls", 0.3)
    assert set(splits) == {"train", "val"}
    assert not heard_in(conversations, splits, "train") & heard_in(conversations, splits, "val")


def test_a_circle_stays_together_though_its_names_differ() -> None:
    conversations = [
        talk(f"{quad}/{game}/g", f"{quad}/{game}/f", f"quad{quad}")
        for quad in range(40)
        for game in range(8)
    ]
    splits = assign_splits(conversations, "games", 0.3)
    assert all(len(set(splits[8 * quad : 8 * quad + 8])) == 1 for quad in range(40))
    assert set(splits) == {"train", "val"}


def test_nothing_is_held_out_where_nothing_should() -> None:
    assert assign_splits([talk("a", "b"), talk("b", "c")], "calls", 0.0) == ["train", "train"]
