"""Collected latents on disk: a folder of Parquet files, one for each dialogue.

    collection.json         the network (name, hash, layer sizes, frame rate), and the dialogues
                            with their audio
    frames/00000.parquet    a row for every frame and speaker, speaker 0 before speaker 1 (COLUMNS,
                            then the latents of each layer)
    events/00000.parquet    a row for every event (EVENT_COLUMNS)
    labels/00000.parquet    labels of one's own, in the order of the frames, where there are any
                            (labels.py)

Dialogues are written and read one after another, in blocks, so memory is bounded by one dialogue
however many hours there are. A folder that lacks some of its dialogues is resumed by collecting
into it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES
from ...stream.errors import ConfigError
from .moments import SITUATIONS
from .tables import TEXT, to_numpy, write_json

LAYERS = ("latent_speaker", "latent")  # the first RNN's output, and the last one's
RNNS = {"latent_speaker": "speaker_rnn", "latent": "dialogue_rnn"}  # whose outputs the layers are
COLUMNS: dict[str, Any] = {
    "dialogue": TEXT,
    "split": TEXT,
    "speaker": pa.int8(),
    "frame": pa.int32(),  # step of the network, from 0
    "time_s": pa.float64(),  # end of the frame
    "speaking": pa.bool_(),
    "other_speaking": pa.bool_(),
    "holder": pa.int8(),  # who spoke alone last; -1 before anyone has
    "situation": TEXT,  # what this speaker is doing (moments.py)
    "floor": TEXT,  # what the conversation is doing
    # this speaker is giving one, as among the events: where none is annotated, a short reaction
    # (moments.py)
    "backchannel": pa.bool_(),
    "event": TEXT,  # "shift" or "hold" in a mutual silence that is clearly one, else ""
    # of such a silence: did the network say so 0.25 s into it? null elsewhere
    "correct": pa.bool_(),
    **dict.fromkeys(PROBABILITIES, pa.float32()),
}
EVENT_COLUMNS: dict[str, Any] = {  # see Event
    **dict.fromkeys(("dialogue", "split", "kind"), pa.string()),
    **dict.fromkeys(("speaker", "next"), pa.int8()),
    **dict.fromkeys(("start_s", "end_s"), pa.float64()),
    **{"ending": pa.string(), "p_shift": pa.float64(), "correct": pa.bool_()},
}
ABOUT, FRAMES, EVENTS, LABELS = "collection.json", "frames", "events", "labels"
LABELS_RESERVED = ("number", *LAYERS)  # beside COLUMNS, what no label of one's own may be called
# In the metadata of a dialogue's frames, where no backchannel was annotated.
SHORT_REACTIONS = {b"backchannels": b"short reactions"}

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class CollectedDialogue:
    """One dialogue of a collection; id and split are those of the manifest."""

    id: str
    split: str
    audio: tuple[str, ...]  # its files, absolute
    sample_rate_hz: int | None  # of raw audio
    start_s: float  # the part of the files that it is
    end_s: float | None
    activity_from: str  # what said who spoke when
    words: str | None = None  # file of its words, absolute


@dataclass(frozen=True)
class About:
    """What a collection is of."""

    model: str  # name of the network
    weights_sha256: str
    frame_rate_hz: float  # rows a second and speaker
    sizes: dict[str, int]  # width of each of LAYERS
    dialogues: tuple[CollectedDialogue, ...]  # in the order of the files
    runnable: bool = True  # it is a network of turnstream's, which views can run again


class Collection:
    """Reads the folder that `turnstream latents collect` or `import` wrote.

    Raises:
        ConfigError: not a collection, or one that lacks some of its dialogues.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = read_about(folder)
        self.frame_rate_hz = self.about.frame_rate_hz
        if missing := sum(not is_written(folder, n) for n in range(len(self.dialogues))):
            raise ConfigError(
                f"{folder}: expected a whole collection, got one without {missing} of its "
                "dialogues; collect into it again"
            )

    @property
    def dialogues(self) -> tuple[CollectedDialogue, ...]:
        return self.about.dialogues

    def frame_count(self, number: int) -> int:
        return pq.read_metadata(file_of(self.folder, FRAMES, number)).num_rows // 2

    @property
    def frame_counts(self) -> list[int]:
        return [self.frame_count(number) for number in range(len(self.dialogues))]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels of one's own that were joined to it."""
        path = file_of(self.folder, LABELS, 0)
        return tuple(pq.read_schema(path).names) if path.is_file() else ()

    def frames(self, number: int, columns: Sequence[str]) -> Columns:
        """Columns of one dialogue by name: (T, 2), latents (T, 2, H); ConfigError if there is none.

        `correct` is a float, NaN where null. A label of one's own is text, "" where unknown, or a
        number, NaN where unknown.
        """
        own = [name for name in columns if name not in COLUMNS and name not in self.about.sizes]
        if unknown := [name for name in own if name not in self.labels]:
            raise ConfigError(
                f"{self.folder}: expected a column or one of its labels "
                f"({', '.join(self.labels) or 'none'}), got {unknown[0]!r}"
            )
        shared = [name for name in columns if name not in own]
        found: Columns = {}
        for kind, names in ((FRAMES, shared), (LABELS, own)):
            if names:
                table = pq.read_table(file_of(self.folder, kind, number), columns=names)
                found |= {name: by_frame(to_numpy(table.column(name))) for name in names}
        return found

    def backchannels_annotated(self, number: int) -> bool:
        """Are the backchannels of a dialogue's frames annotated, or else short reactions?"""
        metadata = pq.read_schema(file_of(self.folder, FRAMES, number)).metadata or {}
        return not SHORT_REACTIONS.items() <= metadata.items()

    def events(self, *kinds: str) -> list[Event]:
        """All events, or those of some kinds, in order of dialogue and time."""
        return [
            Event(number, **row)
            for number in range(len(self.dialogues))
            for row in pq.read_table(file_of(self.folder, EVENTS, number)).to_pylist()
            if not kinds or row["kind"] in kinds
        ]

    def frame_of(self, seconds: float) -> int:
        """The first frame that is heard whole after a time."""
        return round(seconds * self.frame_rate_hz)

    def windows(
        self, events: Sequence[Event], layer: str, before_s: float, after_s: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Latents around the starts of events.

        Args:
            events: of this collection.
            layer: one of LAYERS, or another column of numbers.
            before_s, after_s: how much, from the event's start.
        Returns:
            (E, W, 2, H), or (E, W, 2) of a column that is no layer: the speaker before the event
            first; NaN outside of the dialogue. And the times of the W frames' ends, from the
            event's start.
        """
        before, after = self.frame_of(before_s), self.frame_of(after_s)
        width = (self.about.sizes[layer],) if layer in self.about.sizes else ()
        found = np.full((len(events), before + after, 2, *width), np.nan, np.float32)
        for number in sorted({event.number for event in events}):
            values = self.frames(number, [layer])[layer]
            for place, event in enumerate(events):
                if event.number == number:
                    at = self.frame_of(event.start_s) + np.arange(-before, after)
                    there = (at >= 0) & (at < len(values))
                    found[place, there] = values[at[there]][:, :: -1 if event.speaker else 1]
        return found, (np.arange(-before, after) + 1) / self.frame_rate_hz

    def sample(
        self, count: int, columns: Sequence[str], *, seed: int = 0, spare: float = 0.5
    ) -> Columns:
        """Draw frames of single speakers, so that rare moments are seen.

        Args:
            count: how many at most.
            columns: to give; `number` (of the dialogue), `frame` and `speaker` come with them.
            seed, spare: share drawn alike from every situation; the rest as often as each occurs.
        Returns:
            Columns of N rows, in order of dialogue, frame and speaker.
        """
        rng = np.random.default_rng(seed)
        situations = [self._coded_situations(number) for number in range(len(self.dialogues))]
        amounts = np.sum(
            [np.bincount(codes.reshape(-1), minlength=len(SITUATIONS)) for codes in situations],
            axis=0,
        )
        alike = spare / (np.count_nonzero(amounts) * np.maximum(amounts, 1))
        chance = np.minimum(1.0, count * ((1 - spare) / amounts.sum() + alike))
        parts: list[Columns] = []
        for number, codes in enumerate(situations):
            frame, speaker = np.nonzero(rng.random(codes.shape) < chance[codes])
            drawn = {"number": np.full(len(frame), number), "frame": frame, "speaker": speaker}
            found = self.frames(number, [name for name in columns if name not in drawn])
            rows = {name: array[frame, speaker] for name, array in found.items()}
            parts.append(drawn | rows)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if len(joined["frame"]) > count:
            kept = np.sort(rng.permutation(len(joined["frame"]))[:count])
            joined = {name: values[kept] for name, values in joined.items()}
        return joined

    def _coded_situations(self, number: int) -> NDArray[np.uint8]:
        """Indices into SITUATIONS, (T, 2): a byte each, since those of all dialogues are held."""
        situation = self.frames(number, ["situation"])["situation"]
        names, places = np.unique(situation, return_inverse=True)
        codes = np.array([SITUATIONS.index(name) for name in names], np.uint8)
        return codes[places].reshape(situation.shape)


@dataclass(frozen=True)
class Event:
    """A row of events."""

    number: int  # of its dialogue; not in the file
    dialogue: str
    split: str
    kind: str  # shift, hold, gap, pause, overlap, backchannel
    speaker: int  # before it; of an overlap who spoke first, of a backchannel who gives it
    next: int
    start_s: float
    end_s: float
    ending: str  # of the words before it, one of ENDINGS (moments.py)
    p_shift: float | None  # of shifts and holds, 0.25 s into the silence
    correct: bool | None


def write_events(folder: Path, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the events of one dialogue."""
    table: Any = pa.Table.from_pylist(list(rows), schema=pa.schema([*EVENT_COLUMNS.items()]))
    pq.write_table(table, file_of(folder, EVENTS, number))


def write_about(folder: Path, about: About) -> None:
    """Make the folder ready, or find it that of the same collection, or raise a ConfigError."""
    for name in (FRAMES, EVENTS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if not (folder / ABOUT).exists():
        write_json(folder / ABOUT, asdict(about))
    elif (there := read_about(folder)) != about:
        raise ConfigError(
            f"{folder}: expected an empty folder or the same collection, got that of "
            f"{_short(there)}, not {_short(about)}"
        )


def read_about(folder: Path) -> About:
    """What the collection in a folder is of; ConfigError if there is none."""
    try:
        return msgspec.json.decode((folder / ABOUT).read_bytes(), type=About)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigError(
            f"{folder}: expected a collection of latents (a folder with {ABOUT}): "
            f"{type(error).__name__} {error}"
        ) from None


def is_written(folder: Path, number: int) -> bool:
    """Is this dialogue there, whole?"""
    return all(file_of(folder, kind, number).is_file() for kind in (FRAMES, EVENTS))


def file_of(folder: Path, kind: str, number: int) -> Path:
    """Where the FRAMES, EVENTS or LABELS of a dialogue are."""
    return folder / kind / f"{number:05d}.parquet"


def by_frame(rows: NDArray[Any]) -> NDArray[Any]:
    """(2 T, ...) in the order of the file to (T, 2, ...)."""
    return rows.reshape(-1, 2, *rows.shape[1:])


def _short(about: About) -> str:
    return f"{len(about.dialogues)} dialogues and {about.model} {about.weights_sha256[:8]}"
