"""Held-out conversations: a split by speaker, so that nobody is in both training and validation."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from .conversation import Conversation

LARGEST_CIRCLE = 0.5  # share of all conversations up to which a circle stays whole


def assign_splits(
    conversations: Sequence[Conversation], corpus: str, val_share: float
) -> list[str]:
    """Return "train", "val" or "mixed" for every conversation; equal input gives equal splits.

    A circle is a group of people who talk with each other, directly or through others. A whole
    circle goes to validation if its hash says so; about `val_share` of them do.
    In some corpora (Switchboard) nearly everybody is in one circle. There single speakers go to
    validation. A conversation between a held-out speaker and another one is "mixed": it is used
    neither for training nor for validation. So about `val_share`^2 of the conversations are for
    validation, and 2 `val_share` (1 - `val_share`) are mixed.

    Args:
        conversations: of one corpus.
        corpus: its name, part of the hash.
        val_share: share of speakers to hold out, in [0, 1).
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
    """The circle of every speaker, named after its alphabetically first member."""
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
    """A number in [0, 1) that depends only on the two names."""
    return int.from_bytes(hashlib.sha256(f"{corpus}/{name}".encode()).digest()[:8]) / 2**64
