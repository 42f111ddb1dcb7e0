"""The same points at several stages: of a run's snapshots, several networks, or CSV files.

A CSV file is one stage: a row per point. Its representation is one series of numbered columns
(`d0`, `d1`, ...; or `latent_0`, ...), from 0 or 1 on without a gap; `id` says which point a row is
(without it the row's place does), `wrong` (0 or 1) that the network got it wrong at that stage; all
others are labels, such as `speaker1` or `year2` as well.
"""

from __future__ import annotations

import csv
import math
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
from ..collection import RNNS, Collection
from ..memory.readings import Readings, silence_readings, sound_at
from ..parts import Arrays, Parts
from ..paths.heard import described_dialogues, hearing
from ..tables import write_rows

if TYPE_CHECKING:
    from ...turn_model import TurnModel

VALUE = re.compile(r"([A-Za-z_]*)(\d+)")
EVENT_SHARE = 0.5  # of the points at most that are shifts and holds
SOUND_MINUTES = 30.0  # of the dialogues, to hear their moments
SITUATION = {"shift": "done", "hold": "pausing"}  # of the speaker before such a silence


@dataclass(frozen=True)
class Stages:
    """Representations of N points at E stages.

    Attributes:
        names, states: of the stages; states are (N, H) each, and H may differ.
        ids, labels: of the points; labels, by name, are (N,) of text or numbers.
        wrong: (E, N), 1 where the network got the point wrong at that stage, NaN where it is no
            event; None where nobody knows.
        origin: a run over its training, several networks, or CSV files of anyone.
        quality: how good the last network is, in words.
        heard: what a page needs to hear the points (paths/heard.py); {} of files.
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
    moments: Arrays | None = None


def follow(collection: Collection, count: int, seed: int = 0) -> tuple[Readings, Arrays]:
    """Choose about so many moments: frames, and shifts and holds 0.25 s into their silence.

    In them a network is asked about the other speaker than the one whose state is followed (of a
    silence the one before it). Their labels come with them by name, (N,) each; `event` is "" where
    it is no shift or hold. ConfigError without either.
    """
    silences, events = silence_readings(collection)
    order = np.random.default_rng(seed).permutation(len(events))
    chosen = np.sort(order[: max(2, round(EVENT_SHARE * count))])
    events = [events[place] for place in chosen]
    drawn = collection.sample(max(0, count - len(chosen)), ["situation"], seed=seed)
    nothing = [""] * len(drawn["frame"])
    heard_s = (drawn["frame"] + 1) / collection.frame_rate_hz
    frames = (drawn["number"], heard_s, 1 - drawn["speaker"], np.zeros(len(nothing), bool))
    both = zip(vars(silences.only(chosen)).values(), frames, strict=True)
    moments = Readings(*(np.concatenate(values) for values in both))
    dialogues = [collection.dialogues[number] for number in moments.number]
    situations = [SITUATION[event.kind] for event in events]
    return moments, {
        "situation": np.array([*situations, *drawn["situation"]]),
        "event": np.array([event.kind for event in events] + nothing),
        "ending": np.array([event.ending for event in events] + nothing),
        "dialogue": np.array([dialogue.id for dialogue in dialogues]),
        "split": np.array([dialogue.split for dialogue in dialogues]),
        "time in dialogue": np.round(moments.heard_s, 2),
    }


def moving_stages(
    networks: dict[str, TurnModel],
    collection: Collection,
    points: int,
    layer: str,
    seed: int = 0,
    kept: Path | None = None,
) -> Stages:
    """The states of several networks at the same moments, with all that a page needs to play them.

    Networks are by the name of their stage, in order, the layer is one of LAYERS, and dialogues
    have sound. What was heard is `kept` in a folder until all is, to resume what was cut short.
    """
    from ...checkpoint import weights_sha256
    from ...evaluation.torch_runner import dialogue_outputs

    moments, labels = follow(collection, points, seed)
    count, speakers = len(moments), 1 - moments.speaker

    def read(number: int) -> Arrays:
        asked, found = moments.only(moments.of(number)), dict[str, NDArray[Any]]()
        for stage, model in enumerate(networks.values()):
            sound = sound_at(collection, number, model.config.features.sample_rate_hz)
            said = dialogue_outputs(model, sound, collection.dialogues[number].id, [layer])
            last = said["p_next"].shape[1] - 1
            steps = np.minimum(asked.steps(model.config.frame_rate_hz), last)
            found[f"states_{stage}"] = said[layer][1 - asked.speaker, steps]
            found[f"shift_{stage}"] = said["p_next"][asked.speaker, steps] >= 0.5
        return found

    weights = {name: weights_sha256(model) for name, model in networks.items()}
    ids = [dialogue.id for dialogue in collection.dialogues]
    parts = Parts(kept, weights, ids, layer, moments.number, moments.heard_s, moments.speaker)
    widths = [getattr(model.config, RNNS[layer]).hidden for model in networks.values()]
    states = [np.zeros((count, width), np.float32) for width in widths]
    wrong = np.full((len(networks), count), np.nan, np.float32)
    for number in bar(np.unique(moments.number).tolist(), "states", "dialogue"):
        places, found = moments.of(number), parts.of(number, partial(read, number))
        for stage in range(len(networks)):
            states[stage][places] = found[f"states_{stage}"]
            wrong[stage, places] = found[f"shift_{stage}"] != moments.happened[places]
    wrong[:, labels["event"] == ""] = np.nan
    parts.remove()
    dialogues = described_dialogues(collection, SOUND_MINUTES)
    heard = zip(labels["dialogue"], moments.heard_s, speakers, strict=True)
    frames = moments.steps(collection.frame_rate_hz)
    return Stages(
        tuple(networks),
        tuple(states),
        tuple(f"{name}, {heard_s:.2f} s, speaker {speaker}" for name, heard_s, speaker in heard),
        labels,
        wrong,
        heard=hearing(collection, dialogues, collection.events()),
        moments={"number": moments.number, "frame": frames, "speaker": speakers},
    )


def write_stages(stages: Stages, folder: Path) -> list[Path]:
    """One CSV file for each stage, which `read_csv_stages` reads again."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for place, (name, states) in enumerate(zip(stages.names, stages.states, strict=True)):
        columns: dict[str, Any] = {"id": stages.ids}
        columns |= {label: values.astype(str) for label, values in stages.labels.items()}
        if stages.wrong is not None:
            columns["wrong"] = stages.wrong[place]
        columns |= {f"d{i}": values for i, values in enumerate(states.T)}
        path = folder / f"{place:03d}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.csv"
        write_rows(path, list(columns), zip(*columns.values(), strict=True))
        written.append(path)
    return written


def read_csv_stages(paths: Sequence[Path], points: int | None = None, seed: int = 0) -> Stages:
    """Stages from files, in order: points that are in all of them, with the labels of the last one.

    So many points at most are drawn by the seed (None: all); of others only the ids are held.
    ConfigError for a file that does not hold points, with its line and column, or no common ones.
    """
    ids = [dict.fromkeys(name for name, *_ in _read_rows(path)) for path in paths]
    common = [name for name in ids[-1] if all(name in names for names in ids)]
    if not common:
        raise ConfigError(
            f"expected the same points in {', '.join(map(str, paths))}, got no common id"
        )
    if points is not None and len(common) > points:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(common))[:points])
        common = [common[place] for place in chosen]
    kept = set(common)
    files = [{name: row for name, *row in _read_rows(path) if name in kept} for path in paths]
    columns = [list(zip(*(rows[name] for name in common), strict=True)) for rows in files]
    states = tuple(np.array(values, np.float32) for values, _, _ in columns)
    last, marks = columns[-1][1], [mark for _, _, mark in columns]
    labels = {label: _typed([row[label] for row in last]) for label in last[0]}
    wrong = None if any(mark[0] is None for mark in marks) else np.array(marks, np.float32)
    stems = [path.stem for path in paths]
    names = (f"{path.parent.name}/" * (stems.count(path.stem) > 1) + path.stem for path in paths)
    return Stages(tuple(names), states, tuple(common), labels, wrong, "files")


def _read_rows(path: Path) -> Iterator[tuple[str, list[float], dict[str, str], float | None]]:
    """Id, values, labels and mark of every point of a file; errors as of `read_csv_stages`."""
    table = _lines(path)
    _, header = next(table, ("", []))
    numbered, seen = _numbered(path, header), set[str]()
    for where, row in table:
        if not row:
            continue
        if len(row) != len(header):
            raise ConfigError(f"{where}: expected {len(header)} values, got {len(row)}")
        cells = dict(zip(header, row, strict=True))
        name = cells.pop("id", str(len(seen)))
        if name in seen:
            raise ConfigError(f"{where}: expected every id once, got {name!r} again")
        seen.add(name)
        values = [_number(cells.pop(column), where, column) for column in numbered]
        mark = cells.pop("wrong", None)
        wrong = None if mark is None else _number(mark, where, "wrong") if mark else np.nan
        yield name, values, cells, wrong


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Place and cells of every line, first of the header; ConfigError if it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: expected a CSV file in UTF-8, got: {error}") from None


def _numbered(path: Path, header: Sequence[str]) -> list[str]:
    """Columns of the representation: d0, d1, ..., or the one series there is; else ConfigError."""
    series: dict[str, dict[int, str]] = {}
    for column in header:
        if match := VALUE.fullmatch(column):
            series.setdefault(match[1], {})[int(match[2])] = column
    whole = {
        name: columns
        for name, columns in series.items()
        if 1 < len(columns) == max(columns) - min(columns) + 1 and min(columns) < 2
    }
    whole = {"d": whole["d"]} if "d" in whole else whole
    if len(whole) != 1:
        got = ", ".join(f"{name}..." for name in whole) or ", ".join(header[:8]) or "nothing"
        raise ConfigError(
            f"{path}: expected one series of columns that are numbered from 0 or 1 on (d0, d1, "
            f"...), got {got}"
        )
    (columns,) = whole.values()
    return [columns[number] for number in sorted(columns)]


def _number(cell: str, where: str, column: str) -> float:
    try:
        if math.isfinite(value := float(cell)):
            return value
    except ValueError:
        pass
    raise ConfigError(f"{where}: expected a number in {column}, got {cell!r}")


def _typed(values: list[str]) -> NDArray[Any]:
    """Numbers where all are, else text."""
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return np.array(values)
