"""Which conversations are held out for validation: by speaker, so that nobody is heard in training and in validation."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from .conversation import Conversation

LARGEST_CIRCLE = 0.5  # of all conversations


def assign_splits(
    conversations: Sequence[Conversation], corpus: str, val_share: float
) -> list[str]:
    """ "train", "val" or "mixed" for every conversation; the same files give the same splits.

    People who talk with each other, directly or through others, are a circle, and a circle goes to validation as a whole, if its hash says so: about
    `val_share` of them do. In corpora where nearly everybody is in one circle (Switchboard) it is the speakers who go to
    validation, and a conversation between one who does and one who does not is "mixed": it is neither trained on nor validated on.
    So of conversations about `val_share`^2 become validation there, and 2 `val_share` (1 - `val_share`) mixed.
    """
    circles = _circles(conversations)
    sizes = Counter(circles[conversation.speakers[0]] for conversation in conversations)
    splits: list[str] = []
    for conversation in conversations:
        circle = circles[conversation.speakers[0]]
        whole = (
            sizes[circle] <= LARGEST_CIRCLE * len(conversations)
            or bool(conversation.circle)
            or len(conversations) == 1
        )
        held_out = {
            _position(corpus, circle if whole else speaker) < val_share
            for speaker in conversation.speakers
        }
        splits.append("mixed" if len(held_out) == 2 else "val" if held_out.pop() else "train")
    return splits


def _circles(conversations: Sequence[Conversation]) -> dict[str, str]:
    """The circle of every speaker, named after the first of its members in the alphabet."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for conversation in conversations:
        names = (*conversation.speakers, conversation.circle or conversation.speakers[0])
        first, *others = sorted({find(name) for name in names})
        leader |= dict.fromkeys(others, first)
    return {name: find(name) for name in leader}


def _position(corpus: str, name: str) -> float:
    """A number in 0-1 that only the names decide."""
    return int.from_bytes(hashlib.sha256(f"{corpus}/{name}".encode()).digest()[:8]) / 2**64
