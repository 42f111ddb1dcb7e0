"""`turnstream manifest`: makes a checked manifest of the dialogues of a corpus on disk.

    turnstream manifest switchboard /corpora/LDC97S62 --out swb.jsonl
    turnstream train --manifest swb.jsonl --out run

The manifest also says which dialogues are for training (splits.py). Audio files stay where they
are. Words are written to a folder beside the manifest, `swb.words/`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter
from pathlib import Path

from ....stream.errors import DialogueError
from ..loading import duration_s
from ..manifest import ACTIVITY_SOURCES, Dialogue, write_manifest
from .conversation import Conversation
from .folder import CorpusFolder
from .registry import CORPORA
from .splits import assign_splits

# Words may end this long after their audio. If they end later, they belong to another recording.
SPOKEN_BEYOND_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream manifest`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "files of each corpus, anywhere below FOLDER:\n" + "\n".join(
        f"  {name:13} {corpus.layout}" for name, corpus in CORPORA.items()
    )
    parser.add_argument("corpus", metavar="CORPUS", help=f"one of {', '.join(CORPORA)}")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder of the corpus")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="manifest to write (JSON Lines)"
    )
    parser.add_argument(
        "--licence",
        metavar="NAME",
        help="licence to note in the manifest (default: the corpus's known licence)",
    )
    parser.add_argument(
        "--val-share",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the speakers held out for validation, from 0 to 1 (default 0.1)",
    )
    parser.add_argument(
        "--activity-from",
        choices=ACTIVITY_SOURCES[1:],
        help="what says who spoke when (default: the best one of this corpus)",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="skip recordings that lack a file or cannot be read, instead of stopping",
    )


def main(args: argparse.Namespace) -> int:
    """Read and check the corpus, write the manifest, and print a one-line summary."""
    if args.corpus not in CORPORA:
        raise DialogueError(
            f"expected CORPUS to be one of {', '.join(CORPORA)}, got {args.corpus!r}"
        )
    if not 0 <= args.val_share < 1:
        raise DialogueError(f"expected 0 <= --val-share < 1, got {args.val_share:g}")
    words_folder = args.out.with_name(f"{args.out.stem}.words")
    corpus = CORPORA[args.corpus]
    conversations: list[Conversation] = []
    dialogues: list[Dialogue] = []
    hours, left_out = 0.0, 0
    recordings = corpus.find(CorpusFolder(args.folder))
    for name, read in recordings.items():
        try:
            found = read()
            made = [
                _dialogue(conversation, words_folder, args.corpus, args.activity_from)
                for conversation in found
            ]
            length_s = sum(
                _checked_length_s(dialogue, conversation)
                for dialogue, conversation in zip(made, found, strict=True)
            )
        except DialogueError as error:
            if not args.skip_broken:
                raise
            print(f"left out {name}: {error}", file=sys.stderr)
            left_out += 1
        else:
            conversations += found
            dialogues += made
            hours += length_s / 3600
            _write_words(made, found)
    if not dialogues:
        raise DialogueError(
            f"{args.folder}: expected dialogues of two people, got none in "
            f"{len(recordings)} recordings, {left_out} of them left out"
        )
    licence = corpus.licence if args.licence is None else args.licence
    splits = assign_splits(conversations, args.corpus, args.val_share)
    write_manifest(
        args.out,
        [
            dataclasses.replace(d, licence=licence, split=split)
            for d, split in zip(dialogues, splits, strict=True)
        ],
    )
    counts = ", ".join(f"{count} {split}" for split, count in sorted(Counter(splits).items()))
    rest = f"; left out {left_out} of {len(recordings)} recordings" if left_out else ""
    print(f"{len(dialogues)} dialogues ({counts}), {hours:.2f} h, in {args.out}{rest}")
    return 0


def _dialogue(
    conversation: Conversation, words_folder: Path, corpus: str, activity_from: str | None
) -> Dialogue:
    source = activity_from or conversation.activity_from
    if (source == "words" and not conversation.utterances) or (
        source == "segments" and not conversation.segments
    ):
        raise DialogueError(
            f"{conversation.id}: expected {source} to say who spoke when, "
            f"got none from corpus {corpus!r}"
        )
    return Dialogue(
        id=conversation.id,
        audio=conversation.audio,
        speakers=conversation.speakers,
        corpus=corpus,
        words=words_folder / f"{conversation.id}.json" if conversation.utterances else None,
        segments=conversation.segments,
        segments_of=conversation.segments_of,
        activity_from=source,
        start_s=conversation.start_s,
        end_s=conversation.end_s,
    )


def _checked_length_s(dialogue: Dialogue, conversation: Conversation) -> float:
    """Return the length of a dialogue in seconds, after checking its audio.

    Raises:
        DialogueError: the audio cannot be read, or is shorter than the words.
    """
    length_s = duration_s(dialogue)
    last_s = max((utterance.end_s for utterance in conversation.utterances), default=0.0)
    if dialogue.end_s is None and last_s > length_s + SPOKEN_BEYOND_S:
        raise DialogueError(
            f"{dialogue.audio[0]}: expected {last_s:.1f} s of audio, up to the last word, "
            f"got {length_s:.1f} s"
        )
    return length_s


def _write_words(dialogues: list[Dialogue], conversations: list[Conversation]) -> None:
    for dialogue, conversation in zip(dialogues, conversations, strict=True):
        if dialogue.words is not None:
            words = [
                {
                    "ch": u.channel,
                    "start": round(u.start_s, 4),
                    "end": round(u.end_s, 4),
                    "text": u.text,
                }
                for u in conversation.utterances
            ]
            dialogue.words.parent.mkdir(parents=True, exist_ok=True)
            dialogue.words.write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8")
