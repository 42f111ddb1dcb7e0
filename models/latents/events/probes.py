"""`turnstream latents probes`: how well, and how long before a silence, can what comes be read from
each layer?

turnstream latents probes SOURCE --out probes.png [--csv FILE.csv] [--json FILE.json]
    [--model FOLDER] [--most N] [--seed N]

For each question (contrasts.py) and each time around its moments, a linear probe (probe_fits.py)
reads the states of each layer. Beside them are the newest frame of what the network hears, which
shows what can be had without memory, what the network itself says, one number, taken as it is, and
counting how often this speaker's earlier silences were of the first class, which hears nothing. AUC
compares moments of the same dialogue and speaker. As a control the same probes are fitted to labels
in random order within dialogue and speaker, which also says how far chance takes them. Only moments
up to the end of an event count, so that no answer is read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...evaluation.shift_hold import count_earlier
from ..bars import bar
from ..collect import add_model_argument, add_source_argument, opened_collection, own_network
from ..collection import Collection
from ..options import add_out, add_seed, check_files, option, shown
from ..parts import Parts, parts_beside
from ..quality import quality_of
from .contrasts import (
    CONTRASTS,
    EVENT_CONTRASTS,
    Cases,
)
from .label_contrasts import HOW, contrast_in, find_cases
from .probe_fits import (
    LEAST,
    SOUND,
    Reach,
    States,
    auc_of,
    folds_of,
    held_out_scores,
    reach_of,
    read_states,
    some_of,
)
from .probe_results import (
    COUNTED,
    LINES,
    SAID,
    Curve,
    Probed,
    ProbeResults,
    chance_of,
    draw_probes,
    table,
    write_csv,
    write_json,
)

if TYPE_CHECKING:
    from ...turn_model import TurnModel

# 0.25 s is where a prediction is called right or wrong
TIMES_S = (*(round(-2 + 0.1 * step, 1) for step in range(23)), 0.25, 0.3, 0.4, 0.5)
CONTROL_EVERY = 3  # times: the control is fitted at every third of them
MOST = 2000


@dataclass(frozen=True)
class _Work:
    """A question's cases, their places among all moments read, and when they are there."""

    question: str
    cases: Cases
    rows: NDArray[np.int64]
    reach: Reach


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents probes`."""
    add_source_argument(parser)
    files = {"csv": "the figures as a table", "json": "them with what they were measured on"}
    add_out(parser, "probes.png", **files)
    what = f"also ask for a label of your own: {HOW}; can be repeated"
    parser.add_argument("--label", action="append", default=[], metavar="CONTRAST", help=what)
    option(parser, "--most N", "use at most N silences, frames, and backchannel windows", MOST)
    add_seed(parser)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Probe, draw and write."""
    check_files(args, ".png")
    if args.most < 1:
        raise ConfigError(f"expected at least one silence to read, got --most {args.most}")
    with opened_collection(args.source, args.model) as collection:
        for name in args.label:  # refused before the network is loaded
            contrast_in(collection, name)
        results = probe(
            collection,
            model=network_of(collection, args.model),
            questions=(*CONTRASTS, *args.label),
            most=args.most,
            seed=args.seed,
            parts=parts_beside(args.out),
        )
    view = draw_probes(results, args.out)
    if args.csv is not None:
        write_csv(results, args.csv)
    if args.json is not None:
        write_json(results, args.json)
    print(f"{table(results)}\n")
    return shown(view)


def network_of(collection: Collection, folder: Path | None) -> TurnModel | None:
    """The network that a collection is of, if it is this one (None: the bundled one) and its sound
    is there to be heard; else None.
    """
    if any(
        not dialogue.audio or not all(Path(path).is_file() for path in dialogue.audio)
        for dialogue in collection.dialogues
    ):
        return None
    return own_network(collection, folder)


def probe(
    collection: Collection,
    *,
    model: TurnModel | None = None,
    questions: Sequence[str] = tuple(CONTRASTS),
    times_s: Sequence[float] | None = None,
    most: int = MOST,
    seed: int = 0,
    parts: Path | None = None,
) -> ProbeResults:
    """Put questions to the states of a collection.

    Args:
        collection: to read.
        model: its network, for what it hears; None leaves that line out (`network_of`).
        questions: some of CONTRASTS, or of labels of one's own (label_contrasts.py).
        times_s: from the moments, ascending; None: TIMES_S.
        most: silences, frames, and backchannels (and as many windows without) that are read; more
            are drawn from.
        seed: of the draws.
        parts: folder for what is done already, so that work that was cut short is gone on with;
            removed in the end.
    Raises:
        ConfigError: no such question; the sound that `model` needs is not there.
    """
    times_s = TIMES_S if times_s is None else times_s
    found = find_cases(collection, questions, most, seed)
    work, states = _read(collection, found, times_s, model)
    there = {*collection.about.sizes, SAID, COUNTED, *([] if model is None else [SOUND])}
    lines = [line for line in LINES if line.split()[0] in there]
    about = [
        collection.about.weights_sha256,
        [dialogue.id for dialogue in collection.dialogues],
        list(questions),
        lines,
        list(times_s),
        most,
        seed,
    ]
    key = hashlib.sha256(
        json.dumps(
            [*about, [[len(one.cases), float(one.cases.start_s.sum())] for one in work]]
        ).encode()
    ).hexdigest()
    kept = Parts(parts, key)
    with bar(None, "probe", "probe", len(work) * len(lines) * len(times_s)) as progress:
        probed = tuple(
            _probe(one, states, lines, kept, number, seed, progress)
            for number, one in enumerate(work)
        )
    kept.remove()
    return ProbeResults(
        collection.about.model,
        collection.about.weights_sha256,
        len(collection.dialogues),
        np.asarray(times_s, np.float64),
        probed,
        quality_of(collection).in_words(),
    )


def said(
    question: str, states: States, rows: NDArray[np.int64], time: int, speaker: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What the network says of a question, as one number, (n,).

    Speaking: p(speech). Backchannel: p_backchannel. Speaker or listener: own p(speech). Holds,
        correct or wrong: own p_next, which is p(hold). All others:
    p_next of the other speaker, which is p(shift).
    """
    output = {"speaking": "vad", "speaker-listener": "vad", "backchannel": "p_backchannel"}.get(
        question, "p_next"
    )
    whose = (
        speaker
        if question in ("speaking", "backchannel", "speaker-listener", "hold-correct")
        else 1 - speaker
    )
    return states.values[output][rows, time, whose].astype(np.float64)


def _read(
    collection: Collection,
    found: Mapping[str, Cases],
    times_s: Sequence[float],
    model: TurnModel | None,
) -> tuple[list[_Work], States]:
    """Read each moment once, whatever the number of questions about it."""
    reaches = {name: reach_of(cases, times_s, collection) for name, cases in found.items()}
    moments = np.concatenate(
        [
            np.stack([cases.number, np.round(cases.start_s * 1e6).astype(np.int64)], axis=1)
            for cases in found.values()
        ]
    )
    _, first_at, place = np.unique(moments, axis=0, return_index=True, return_inverse=True)
    number = np.concatenate([cases.number for cases in found.values()])[first_at]
    steps = np.concatenate([reach.steps for reach in reaches.values()])[first_at]
    edges = np.cumsum([0, *(len(cases) for cases in found.values())])
    rows = [place.reshape(-1)[low:high] for low, high in zip(edges, edges[1:], strict=False)]
    work = [
        _Work(name, found[name], places, reaches[name])
        for name, places in zip(found, rows, strict=True)
    ]
    return work, read_states(collection, number, steps, model)


def _probe(
    one: _Work,
    states: States,
    lines: Sequence[str],
    kept: Parts,
    number: int,
    seed: int,
    progress: Any,
) -> Probed:
    counts = np.array(
        [one.cases.only(there).counts() for there in one.reach.there.T], np.int64
    ).reshape(-1, 2)
    moments, dialogues = one.cases.counts(), len(np.unique(one.cases.number))
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    if len(one.cases) and counts.min(axis=1).max() >= LEAST:
        for place, line in enumerate(lines):
            if line == COUNTED and not is_counted(one.question):
                continue
            found[line] = kept.of(
                number * len(lines) + place,
                lambda line=line, place=place: _curve(one, states, line, place, seed, progress),
            )
    # All probes of a question are alike in how far chance takes them. What the network says, and a
    # count, are not fitted, and chance takes them less far.
    fitted = np.concatenate(
        [arrays["permuted"] for line, arrays in found.items() if line not in (SAID, COUNTED)]
        or [np.empty(0)]
    )
    curves = [
        Curve(
            line,
            **arrays,
            chance=chance_of(arrays["permuted"] if line in (SAID, COUNTED) else fitted),
        )
        for line, arrays in found.items()
    ]
    some = not all(np.isnan(curve.auc).all() for curve in curves)
    return Probed(one.question, moments, dialogues, counts, tuple(curves) if some else ())


def _curve(
    one: _Work, states: States, line: str, place: int, seed: int, progress: Any
) -> dict[str, NDArray[np.float64]]:
    """AUC of one line at every time, with the control."""
    from threadpoolctl import threadpool_limits

    cases, times = one.cases, len(one.reach.times_s)
    folds, units = folds_of(cases)
    counted = count_earlier(cases.first, cases.number, cases.speaker)
    auc, low, high, permuted = (np.full(times, np.nan) for _ in range(4))
    with threadpool_limits(1):  # the problems are small: threads only wait for each other
        for k in range(times):
            progress.update()
            there = one.reach.there[:, k]
            some = cases.only(there)
            if min(some.counts()) < LEAST:
                continue
            within, shuffled = (
                some_of(folds, there),
                some.shuffled(np.random.default_rng([seed, place, k])),
            )
            values = None
            if line == COUNTED:
                scores = counted[there]
            elif line == SAID:
                scores = said(one.question, states, one.rows[there], k, some.speaker)
            else:
                layer, whose = line.split()
                values = states.of(layer, one.rows[there], k, some.speaker, both=whose == "both")
                scores = held_out_scores(values, some.first, some.strata, within)
            found = auc_of(scores, some.first, units[there], some.speaker)
            auc[k], low[k], high[k] = found.value, found.low, found.high
            if line == SAID or (values is not None and k % CONTROL_EVERY == 0):
                if values is not None:
                    scores = held_out_scores(values, shuffled, some.strata, within)
                permuted[k] = auc_of(scores, shuffled, units[there], some.speaker).value
    return {"auc": auc, "low": low, "high": high, "permuted": permuted}


def is_counted(question: str) -> bool:
    """Whether a question is one of events whose earlier outcomes a speaker has."""
    return question in EVENT_CONTRASTS and not CONTRASTS[question].of_speakers
