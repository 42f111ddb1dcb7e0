"""Collected latents on disk: a folder of Parquet files, one for each dialogue.

Pandas, polars, DuckDB or R read them as well.

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

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...stream.errors import ConfigError
from .tables import to_numpy

LAYERS = ("latent_speaker", "latent")  # the first RNN's output, and the last one's
RNNS = {"latent_speaker": "speaker_rnn", "latent": "dialogue_rnn"}  # whose outputs the layers are
COLUMNS: dict[str, Any] = {
    "dialogue": pa.dictionary(pa.int32(), pa.string()),
    "split": pa.dictionary(pa.int32(), pa.string()),
    "speaker": pa.int8(),
    "frame": pa.int32(),  # step of the network, from 0
    "time_s": pa.float64(),  # end of the frame
    "speaking": pa.bool_(),
    "other_speaking": pa.bool_(),
    "holder": pa.int8(),  # who spoke alone last; -1 before anyone has
    "situation": pa.dictionary(pa.int32(), pa.string()),  # what this speaker is doing (moments.py)
    "floor": pa.dictionary(pa.int32(), pa.string()),  # what the conversation is doing
    # this speaker is giving one, as among the events: where none is annotated, a short reaction
    # (moments.py)
    "backchannel": pa.bool_(),
    "event": pa.dictionary(
        pa.int32(), pa.string()
    ),  # "shift" or "hold" in a mutual silence that is clearly one, else ""
    # of such a silence: did the network say so 0.25 s into it? null elsewhere
    "correct": pa.bool_(),
    "vad": pa.float32(),
    "p_now": pa.float32(),
    "p_future": pa.float32(),
    "p_next": pa.float32(),
    "p_backchannel": pa.float32(),
}
EVENT_COLUMNS: dict[str, Any] = {
    "dialogue": pa.string(),
    "split": pa.string(),
    "kind": pa.string(),  # shift, hold, gap, pause, overlap, backchannel
    "speaker": pa.int8(),  # before it; of an overlap who spoke first, of a backchannel who gives it
    "next": pa.int8(),
    "start_s": pa.float64(),
    "end_s": pa.float64(),
    "ending": pa.string(),  # of the words before it: question, statement, or "" where nobody knows
    "p_shift": pa.float64(),  # of shifts and holds, 0.25 s into the silence; null elsewhere
    "correct": pa.bool_(),
}
ABOUT, FRAMES, EVENTS, LABELS = "collection.json", "frames", "events", "labels"
LABELS_RESERVED = ("number", *LAYERS)  # beside COLUMNS, what no label of one's own may be called
BACKCHANNELS, SHORT_REACTIONS = (
    b"backchannels",
    b"short reactions",
)  # in the metadata of a dialogue's frames, where none was annotated

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class CollectedDialogue:
    """One dialogue of a collection.

    Attributes:
        id, split: as in the manifest.
        audio: its files, absolute.
        sample_rate_hz: of raw audio, else None.
        start_s, end_s: the part of the files that it is.
        activity_from: what said who spoke when.
        words: file of its words, absolute, or None.
    """

    id: str
    split: str
    audio: tuple[str, ...]
    sample_rate_hz: int | None
    start_s: float
    end_s: float | None
    activity_from: str
    words: str | None = None


@dataclass(frozen=True)
class About:
    """What a collection is of.

    Attributes:
        model: name of the network.
        weights_sha256: of its weights.
        frame_rate_hz: rows a second and speaker.
        sizes: width of each of LAYERS.
        dialogues: in the order of the files.
        runnable: it is a network of turnstream's, which views can run again.
    """

    model: str
    weights_sha256: str
    frame_rate_hz: float
    sizes: dict[str, int]
    dialogues: tuple[CollectedDialogue, ...]
    runnable: bool = True


class Collection:
    """Reads a collection.

    Args:
        folder: written by `turnstream latents collect` or `import`.
    Attributes:
        folder, about: see above.
        dialogues: those of `about`.
    Raises:
        ConfigError: not a collection, or one that lacks some of its dialogues.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = read_about(folder)
        missing = [
            d.id for number, d in enumerate(self.about.dialogues) if not is_written(folder, number)
        ]
        if missing:
            raise ConfigError(
                f"{folder}: expected a whole collection, got one without {len(missing)} of its "
                "dialogues; collect into it again"
            )

    @property
    def dialogues(self) -> tuple[CollectedDialogue, ...]:
        return self.about.dialogues

    @property
    def frame_rate_hz(self) -> float:
        return self.about.frame_rate_hz

    def frame_count(self, number: int) -> int:
        """Frames of a dialogue."""
        return pq.read_metadata(frames_file(self.folder, number)).num_rows // 2

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels of one's own that were joined to it."""
        path = labels_file(self.folder, 0)
        return tuple(pq.read_schema(path).names) if path.is_file() else ()

    def frames(self, number: int, columns: Sequence[str]) -> Columns:
        """Columns of one dialogue by name: (T, 2), latents (T, 2, H). `correct` is a float, NaN
        where null.

        A label of one's own is text, "" where unknown, or a number, NaN where unknown.

        Raises:
            ConfigError: there is no such column.
        """
        own = [name for name in columns if name not in COLUMNS and name not in self.about.sizes]
        for name in own:
            if name not in self.labels:
                raise ConfigError(
                    f"{self.folder}: expected a column or one of its labels "
                    f"({', '.join(self.labels) or 'none'}), got {name!r}"
                )
        table = pq.read_table(
            frames_file(self.folder, number), columns=[n for n in columns if n not in own]
        )
        labels = pq.read_table(labels_file(self.folder, number), columns=own) if own else table
        return {
            name: by_frame(to_numpy((labels if name in own else table).column(name)))
            for name in columns
        }

    def backchannels_annotated(self, number: int) -> bool:
        """Are the backchannels of a dialogue's frames annotated ones? Else they are short
        reactions.
        """
        metadata: dict[bytes, bytes] = (
            pq.read_schema(frames_file(self.folder, number)).metadata or {}
        )
        return metadata.get(BACKCHANNELS) != SHORT_REACTIONS

    def events(self, *kinds: str) -> list[Event]:
        """All events, or those of some kinds, in order of dialogue and time."""
        found: list[Event] = []
        for number in range(len(self.dialogues)):
            for row in pq.read_table(events_file(self.folder, number)).to_pylist():
                if not kinds or row["kind"] in kinds:
                    found.append(Event(number, **row))
        return found

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
        shape = (
            len(events),
            before + after,
            2,
            *([self.about.sizes[layer]] if layer in self.about.sizes else []),
        )
        found = np.full(shape, np.nan, np.float32)
        for number in sorted({event.number for event in events}):
            values = self.frames(number, [layer])[layer]
            for place, event in enumerate(events):
                if event.number == number:
                    first = self.frame_of(event.start_s) - before
                    low, high = max(0, first), min(len(values), first + before + after)
                    if low < high:
                        found[place, low - first : high - first] = (
                            values[low:high, ::-1] if event.speaker else values[low:high]
                        )
        return found, (np.arange(-before, after) + 1) / self.frame_rate_hz

    def sample(
        self, count: int, columns: Sequence[str], *, seed: int = 0, spare: float = 0.5
    ) -> Columns:
        """About `count` frames of single speakers, drawn evenly over situations and dialogues, so
        that rare moments are seen.

        Half of them (`spare`) are drawn alike from every situation, the rest as often as each
        occurs.

        Args:
            count: how many at most.
            columns: to give; `number` (of the dialogue), `frame` and `speaker` come with them.
            seed: of the draw.
            spare: share drawn alike from every situation.
        Returns:
            Columns of N rows, in order of dialogue, frame and speaker.
        """
        rng = np.random.default_rng(seed)
        situations, kinds = self._coded_situations()
        amounts = np.sum(
            [np.bincount(codes.reshape(-1), minlength=kinds) for codes in situations], axis=0
        )
        chance = np.minimum(1.0, count * ((1 - spare) / amounts.sum() + spare / (kinds * amounts)))
        parts: list[Columns] = []
        for number, codes in enumerate(situations):
            frame, speaker = np.nonzero(rng.random(codes.shape) < chance[codes])
            found = self.frames(
                number, [name for name in columns if name not in ("number", "frame", "speaker")]
            )
            rows = {name: array[frame, speaker] for name, array in found.items()}
            parts.append(
                {"number": np.full(len(frame), number), "frame": frame, "speaker": speaker} | rows
            )
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if len(joined["frame"]) > count:
            kept = np.sort(rng.permutation(len(joined["frame"]))[:count])
            joined = {name: values[kept] for name, values in joined.items()}
        return joined

    def _coded_situations(self) -> tuple[list[NDArray[np.uint8]], int]:
        """The situations of every dialogue, (T, 2), a byte each since all are held at once, and how
        many kinds there are.
        """
        known: dict[str, int] = {}
        coded: list[NDArray[np.uint8]] = []
        for number in range(len(self.dialogues)):
            situation = self.frames(number, ["situation"])["situation"]
            names, places = np.unique(situation, return_inverse=True)
            codes = np.array([known.setdefault(str(name), len(known)) for name in names], np.uint8)
            coded.append(codes[places].reshape(situation.shape))
        return coded, len(known)


@dataclass(frozen=True)
class Event:
    """A row of events; `number` is its dialogue's, and the columns are EVENT_COLUMNS."""

    number: int
    dialogue: str
    split: str
    kind: str
    speaker: int
    next: int
    start_s: float
    end_s: float
    ending: str
    p_shift: float | None
    correct: bool | None


class FramesWriter:
    """Writes the frames of one dialogue in blocks; the file appears when it is whole.

    Args:
        folder, number: of the collection, and the dialogue in it.
        sizes: width of each layer.
        annotated: its backchannels are annotated ones, not short reactions.
    """

    def __init__(
        self, folder: Path, number: int, sizes: Mapping[str, int], *, annotated: bool = True
    ) -> None:
        self._path = frames_file(folder, number)
        self._part = self._path.with_suffix(".part")
        fields = [
            *COLUMNS.items(),
            *((name, pa.list_(pa.float32(), size)) for name, size in sizes.items()),
        ]
        self._schema: Any = pa.schema(
            fields, metadata=None if annotated else {BACKCHANNELS: SHORT_REACTIONS}
        )
        self._writer: Any = pq.ParquetWriter(self._part, self._schema, compression="zstd")

    def write(self, columns: Mapping[str, Any]) -> None:
        """Add a block: columns (T, 2), latents (T, 2, H); a float `correct` is null where NaN."""
        arrays = []
        for field in self._schema:
            values = np.asarray(columns[field.name])
            flat = values.reshape(-1)
            if field.name == "correct":
                arrays.append(pa.array(flat == 1, pa.bool_(), mask=np.isnan(flat)))
            elif pa.types.is_fixed_size_list(field.type):
                arrays.append(
                    pa.FixedSizeListArray.from_arrays(
                        pa.array(flat, pa.float32()), field.type.list_size
                    )
                )
            elif pa.types.is_dictionary(field.type):
                arrays.append(pa.array(flat.astype(object), pa.string()).dictionary_encode())
            else:
                arrays.append(pa.array(flat, field.type))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        """The dialogue is whole."""
        self._writer.close()
        self._part.replace(self._path)


def write_events(folder: Path, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the events of one dialogue."""
    schema: Any = pa.schema([*EVENT_COLUMNS.items()])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), events_file(folder, number))


def write_about(folder: Path, about: About) -> None:
    """Make the folder ready, or find it to be that of the same collection.

    Raises:
        ConfigError: there is another collection in it.
    """
    for name in (FRAMES, EVENTS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if (folder / ABOUT).exists():
        there = read_about(folder)
        if there != about:
            raise ConfigError(
                f"{folder}: expected an empty folder or the same collection, got that of "
                f"{_short(there)}, not {_short(about)}"
            )
        return
    (folder / ABOUT).write_text(json.dumps(asdict(about), indent=1) + "\n", encoding="utf-8")


def read_about(folder: Path) -> About:
    """What the collection in a folder is of.

    Raises:
        ConfigError: there is none.
    """
    try:
        words = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        dialogues = tuple(
            CollectedDialogue(**{**entry, "audio": tuple(entry["audio"])})
            for entry in words["dialogues"]
        )
        return About(
            words["model"],
            words["weights_sha256"],
            float(words["frame_rate_hz"]),
            {k: int(v) for k, v in words["sizes"].items()},
            dialogues,
            bool(words.get("runnable", True)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{folder}: expected a collection of latents (a folder with {ABOUT}): "
            f"{type(error).__name__} {error}"
        ) from None


def is_written(folder: Path, number: int) -> bool:
    """Is this dialogue there, whole?"""
    return frames_file(folder, number).is_file() and events_file(folder, number).is_file()


def frames_file(folder: Path, number: int) -> Path:
    """Where the frames of a dialogue are."""
    return folder / FRAMES / f"{number:05d}.parquet"


def events_file(folder: Path, number: int) -> Path:
    """Where its events are."""
    return folder / EVENTS / f"{number:05d}.parquet"


def labels_file(folder: Path, number: int) -> Path:
    """Where its labels of one's own are, if there are any."""
    return folder / LABELS / f"{number:05d}.parquet"


def by_frame(rows: NDArray[Any]) -> NDArray[Any]:
    """(2 T, ...) in the order of the file to (T, 2, ...)."""
    return rows.reshape(-1, 2, *rows.shape[1:])


def _short(about: About) -> str:
    return f"{len(about.dialogues)} dialogues and {about.model} {about.weights_sha256[:8]}"
