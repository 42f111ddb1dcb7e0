"""The same points at several stages: of a run's snapshots, several networks, or CSV files.

A CSV file is one stage: a row per point. Its representation is one series of numbered columns
(`d0`, `d1`, ...; or `latent_0`, ...), from 0 or 1 on without a gap; `id` says which point a row is
(without it the row's place does), `wrong` (0 or 1) that the network got it wrong at that stage; all
others are labels, such as `speaker1` or `year2` as well.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..bars import bar
from ..collection import Collection
from ..memory.readings import silence_readings, sound_at
from ..parts import Parts

if TYPE_CHECKING:
    from ...turn_model import TurnModel

VALUE = re.compile(r"([A-Za-z_]*)(\d+)")
EVENT_SHARE = 0.5  # of the points at most that are shifts and holds


@dataclass(frozen=True)
class Stages:
    """Representations of N points at E stages.

    Attributes:
        names: of the stages.
        states: (N, H) each; H may differ.
        ids: of the points.
        labels: of the points, (N,) of text or numbers, by name.
        wrong: (E, N), 1 where the network got the point wrong at that stage, NaN where it is no
            event; None where nobody knows.
        origin: a run over its training, several networks, or CSV files of anyone, in which nobody
            says what the points are.
        quality: how good the last network is, in words.
        heard: what a page needs to hear the points (paths/page.py); {} of files.
        moments: `number`, `frame` and `speaker` of each point, (N,); None of files.
    """

    names: tuple[str, ...]
    states: tuple[NDArray[np.float32], ...]
    ids: tuple[str, ...]
    labels: dict[str, NDArray[Any]]
    wrong: NDArray[np.float32] | None = None
    origin: Literal["run", "networks", "files"] = "networks"
    quality: str = ""
    heard: dict[str, Any] = field(default_factory=dict[str, Any])
    moments: dict[str, NDArray[Any]] | None = None


@dataclass(frozen=True)
class Followed:
    """Moments of single speakers whose states are followed from network to network.

    Attributes:
        number: of the dialogue in its collection, (N,).
        heard_s: how much of the dialogue has been heard, (N,).
        speaker: whose state it is, (N,).
        shifts: 1 where it is 0.25 s into a shift, 0 into a hold, NaN elsewhere, (N,).
        labels: (N,) each, by name.
    """

    number: NDArray[np.int64]
    heard_s: NDArray[np.float64]
    speaker: NDArray[np.int64]
    shifts: NDArray[np.float32]
    labels: dict[str, NDArray[Any]]

    def moments(self, frame_rate_hz: float) -> dict[str, NDArray[Any]]:
        """Return the dialogue, newest frame and speaker of each, as pages name moments."""
        frame = np.maximum((self.heard_s * frame_rate_hz + 1e-6).astype(int) - 1, 0)
        return {"number": self.number, "frame": frame, "speaker": self.speaker}


def follow(collection: Collection, count: int, seed: int = 0) -> Followed:
    """Choose moments: frames of all situations, and shifts and holds.

    Shifts and holds are read 0.25 s into their silence, in the speaker before it.

    Args:
        collection: of dialogues.
        count: how many about; at most half of them are shifts and holds.
        seed: of the draw.
    Raises:
        ConfigError: there are no shifts, or no holds.
    """
    readings, events = silence_readings(collection)
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(len(events))[: max(2, round(EVENT_SHARE * count))])
    drawn = collection.sample(max(0, count - len(kept)), ["situation"], seed=seed)
    number = np.concatenate([readings.number[kept], drawn["number"]])
    nothing = np.full(len(drawn["frame"]), "")
    dialogues = np.array([dialogue.id for dialogue in collection.dialogues])
    splits = np.array([dialogue.split for dialogue in collection.dialogues])
    situations = [{"shift": "done", "hold": "pausing"}[events[place].kind] for place in kept]
    heard_s = np.concatenate(
        [readings.heard_s[kept], (drawn["frame"] + 1) / collection.frame_rate_hz]
    )
    return Followed(
        number=number,
        heard_s=heard_s,
        speaker=np.concatenate([1 - readings.speaker[kept], drawn["speaker"]]),
        shifts=np.concatenate([readings.happened[kept], np.full(len(nothing), np.nan)]).astype(
            np.float32
        ),
        labels={
            "situation": np.concatenate([situations, drawn["situation"]]),
            "event": np.concatenate([[events[place].kind for place in kept], nothing]),
            "ending": np.concatenate([[events[place].ending for place in kept], nothing]),
            "dialogue": dialogues[number],
            "split": splits[number],
            "time in dialogue": np.round(heard_s, 2),
        },
    )


def read_stages(
    networks: dict[str, TurnModel],
    collection: Collection,
    followed: Followed,
    layer: str,
    kept: Path | None = None,
) -> Stages:
    """The states of several networks at the same moments.

    Args:
        networks: by the name of their stage, in order.
        collection: that the moments are of, with sound.
        followed: the moments.
        layer: "latent" or "latent_speaker".
        kept: folder for what has been heard of each dialogue, so that work that was cut short is
            gone on with; removed in the end.
    """
    from ...checkpoint import weights_sha256

    weights = {name: weights_sha256(model) for name, model in networks.items()}
    moments = hashlib.sha256(
        b"".join(
            values.tobytes() for values in (followed.number, followed.heard_s, followed.speaker)
        )
    ).hexdigest()
    parts = Parts(
        kept,
        json.dumps([weights, [dialogue.id for dialogue in collection.dialogues], moments, layer]),
    )
    states = {
        name: np.zeros((len(followed.number), _width(model, layer)), np.float32)
        for name, model in networks.items()
    }
    wrong = np.full((len(networks), len(followed.number)), np.nan, np.float32)
    for number in bar(np.unique(followed.number).tolist(), "states", "dialogue"):
        places = np.flatnonzero(followed.number == number)
        found = parts.of(
            number,
            partial(
                _read_dialogue,
                networks,
                collection,
                number,
                followed.heard_s[places],
                followed.speaker[places],
                layer,
            ),
        )
        for stage, name in enumerate(networks):
            states[name][places] = found[f"states_{stage}"]
        shifts = followed.shifts[places]
        wrong[:, places] = np.where(np.isnan(shifts), np.nan, found["shift"] != (shifts == 1))
    parts.remove()
    ids = [
        f"{dialogue}, {heard_s:.2f} s, speaker {speaker}"
        for dialogue, heard_s, speaker in zip(
            followed.labels["dialogue"], followed.heard_s, followed.speaker, strict=True
        )
    ]
    return Stages(tuple(networks), tuple(states.values()), tuple(ids), followed.labels, wrong)


def _read_dialogue(
    networks: dict[str, TurnModel],
    collection: Collection,
    number: int,
    heard_s: NDArray[np.float64],
    speaker: NDArray[np.int64],
    layer: str,
) -> dict[str, NDArray[Any]]:
    """States of every network at moments of one dialogue, (N, H) each, and its answers, (E, N).

    An answer is whether the other will speak next.
    """
    from ...evaluation.torch_runner import run_dialogue

    found: dict[str, NDArray[Any]] = {"shift": np.zeros((len(networks), len(heard_s)), bool)}
    for stage, model in enumerate(networks.values()):
        heard = list(
            run_dialogue(model, sound_at(collection, number, model.config.features.sample_rate_hz))
        )
        latent, p_next = (
            np.concatenate(pieces, axis=1)
            for pieces in zip(*((getattr(o, layer)[0], p.p_next[0]) for o, p in heard), strict=True)
        )
        steps = np.clip(
            (heard_s * model.config.frame_rate_hz + 1e-6).astype(int) - 1, 0, latent.shape[1] - 1
        )
        found[f"states_{stage}"] = latent[speaker, steps]
        found["shift"][stage] = p_next[1 - speaker, steps] >= 0.5
    return found


def write_stages(stages: Stages, folder: Path) -> list[Path]:
    """One CSV file for each stage, which `read_csv_stages` reads again."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for place, (name, states) in enumerate(zip(stages.names, stages.states, strict=True)):
        path = folder / f"{place:03d}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.csv"
        with path.open("w", newline="", encoding="utf-8") as out:
            rows = csv.writer(out, lineterminator="\n")
            rows.writerow(
                [
                    "id",
                    *stages.labels,
                    *(["wrong"] if stages.wrong is not None else []),
                    *(f"d{i}" for i in range(states.shape[1])),
                ]
            )
            for point, values in enumerate(states):
                mark = (
                    []
                    if stages.wrong is None
                    else [
                        ""
                        if np.isnan(stages.wrong[place, point])
                        else int(stages.wrong[place, point])
                    ]
                )
                labels = [values[point] for values in stages.labels.values()]
                rows.writerow(
                    [stages.ids[point], *labels, *mark, *(f"{value:.6g}" for value in values)]
                )
        written.append(path)
    return written


def read_csv_stages(paths: Sequence[Path], points: int | None = None, seed: int = 0) -> Stages:
    """Stages from files: points that are in all of them, with the labels of the last file.

    Args:
        paths: of the files, in order.
        points: how many at most, drawn from those in all files; of others only the ids are held.
            None takes all.
        seed: of the draw.
    Raises:
        ConfigError: a file that cannot be read, without numbered columns, with a value that is no
            number, or an id twice; no common points.
    """
    ids = [dict.fromkeys(name for name, _ in _read_rows(path)) for path in paths]
    common = [name for name in ids[-1] if all(name in names for names in ids)]
    if not common:
        raise ConfigError(
            f"expected the same points in {', '.join(str(path) for path in paths)}, got no common "
            "id"
        )
    if points is not None and len(common) > points:
        common = [
            common[place]
            for place in np.sort(np.random.default_rng(seed).permutation(len(common))[:points])
        ]
    kept = set(common)
    files = [{name: row for name, row in _read_rows(path) if name in kept} for path in paths]
    last = [files[-1][name] for name in common]
    states = tuple(np.array([file[name].values for name in common], np.float32) for file in files)
    labels = {label: _typed([row.labels[label] for row in last]) for label in last[0].labels}
    marks = [[file[name].wrong for name in common] for file in files]
    wrong = None if any(row[0] is None for row in marks) else np.array(marks, np.float32)
    names = [path.stem for path in paths]
    unique = [
        name if names.count(name) == 1 else f"{path.parent.name}/{name}"
        for name, path in zip(names, paths, strict=True)
    ]
    return Stages(tuple(unique), states, tuple(common), labels, wrong, "files")


@dataclass(frozen=True)
class _Row:
    """A row of a file, its columns by what they are."""

    values: list[float]
    labels: dict[str, str]
    wrong: float | None


def _read_rows(path: Path) -> Iterator[tuple[str, _Row]]:
    """Id and row of every point of a file, one after another.

    Raises:
        ConfigError: see `read_csv_stages`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.reader(lines)
            header = next(table, [])
            numbered = _numbered(path, header)
            others = {
                name: place
                for place, name in enumerate(header)
                if place not in numbered and name not in ("id", "wrong")
            }
            seen: set[str] = set()
            for line, row in enumerate(table, 2):
                if not row:
                    continue
                where = f"{path}, line {line}"
                if len(row) != len(header):
                    raise ConfigError(f"{where}: expected {len(header)} values, got {len(row)}")
                name = row[header.index("id")] if "id" in header else str(len(seen))
                if name in seen:
                    raise ConfigError(f"{where}: expected every id once, got {name!r} again")
                seen.add(name)
                values = [_number(row[place], where, header[place]) for place in numbered]
                mark = row[header.index("wrong")] if "wrong" in header else None
                wrong = None if mark is None else _number(mark, where, "wrong") if mark else np.nan
                yield (
                    name,
                    _Row(values, {label: row[place] for label, place in others.items()}, wrong),
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: expected a CSV file of representations, got: {error}") from None


def _numbered(path: Path, header: Sequence[str]) -> list[int]:
    """Places of the columns of the representation: d0, d1, ..., or the one series there is.

    Raises:
        ConfigError: no such series, or several.
    """
    series: dict[str, dict[int, int]] = {}
    for place, name in enumerate(header):
        if match := VALUE.fullmatch(name):
            series.setdefault(match[1], {})[int(match[2])] = place
    whole = {
        name: places
        for name, places in series.items()
        if len(places) > 1
        and sorted(places) == list(range(min(places), min(places) + len(places)))
        and min(places) < 2
    }
    whole = {"d": whole["d"]} if "d" in whole else whole
    if len(whole) != 1:
        got = ", ".join(f"{name}..." for name in whole) or ", ".join(header[:8]) or "nothing"
        raise ConfigError(
            f"{path}: expected one series of columns that are numbered from 0 or 1 on (d0, d1, "
            f"...), got {got}"
        )
    (places,) = whole.values()
    return [places[number] for number in sorted(places)]


def _number(text: str, where: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ConfigError(f"{where}: expected a number in {column}, got {text!r}") from None
    if not np.isfinite(value):
        raise ConfigError(f"{where}: expected a number in {column}, got {text!r}")
    return value


def _typed(values: list[str]) -> NDArray[Any]:
    """Numbers where all are, else text."""
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return np.array(values, dtype=str)


def _width(model: TurnModel, layer: str) -> int:
    return (model.config.dialogue_rnn if layer == "latent" else model.config.speaker_rnn).hidden
