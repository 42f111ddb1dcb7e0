"""`turnstream latents probes`: how well, and how long before a silence, can what comes be read from
each layer?

At each time around a question's moments, a linear probe (probe_fits.py) reads the states of each
layer. Beside them are the newest frame of sound, what the network itself says, and counting how
often this speaker's earlier silences were of the first class. As a control the same probes are
fitted to labels in random order within dialogue and speaker, which says how far chance takes them.
Only moments up to the end of an event count, so that no answer is read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
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
from . import probe_fits, probe_results
from .contrasts import CONTRASTS, EVENT_CONTRASTS, Cases
from .label_contrasts import HOW, contrast_in, find_cases
from .probe_fits import LEAST, SOUND, Reach, States
from .probe_results import COUNTED, LINES, SAID, Curve, Probed, ProbeResults

if TYPE_CHECKING:
    from ...turn_model import TurnModel

# 0.25 s is where a prediction is called right or wrong
TIMES_S = (*(round(-2 + 0.1 * step, 1) for step in range(23)), 0.25, 0.3, 0.4, 0.5)
CONTROL_EVERY = 3  # times: the control is fitted at every third of them
MOST = 2000
# What the network says of a question: these outputs, else p_next; of these the speaker's own, else
# the other's.
OUTPUTS = {"speaking": "vad", "speaker-listener": "vad", "backchannel": "p_backchannel"}
OWN = (*OUTPUTS, "hold-correct")


@dataclass(frozen=True)
class _Work:
    """A question's cases, their places among all moments read, and when they are there."""

    question: str
    cases: Cases
    rows: NDArray[np.int64]
    reach: Reach

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many of each class are there at each time, (K, 2)."""
        first, there = self.cases.first[:, None], self.reach.there
        return np.stack([(first & there).sum(axis=0), (~first & there).sum(axis=0)], axis=1)


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
        drawn = {"questions": (*CONTRASTS, *args.label), "most": args.most, "seed": args.seed}
        model, parts = network_of(collection, args.model), parts_beside(args.out)
        results = probe(collection, model=model, parts=parts, **drawn)
    view = probe_results.draw_probes(results, args.out)
    if args.csv is not None:
        probe_results.write_csv(results, args.csv)
    if args.json is not None:
        probe_results.write_json(results, args.json)
    print(f"{probe_results.table(results)}\n")
    return shown(view)


def network_of(collection: Collection, folder: Path | None) -> TurnModel | None:
    """Return the network that a collection is of, if it is this one (None: the bundled one) and its
    sound is there to be heard; else None.
    """
    heard = all(d.audio and all(Path(p).is_file() for p in d.audio) for d in collection.dialogues)
    return own_network(collection, folder) if heard else None


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
        collection, model: to read, and its network, for what it hears (`network_of`).
        questions: some of CONTRASTS, or of labels of one's own (label_contrasts.py).
        times_s: from the moments, ascending; None: TIMES_S.
        most: silences, frames, and backchannels (and as many windows without) that are read; more
            are drawn from.
        seed: of the draws.
        parts: folder for what is done already, to resume work; removed in the end.
    Raises:
        ConfigError: no such question; the sound that `model` needs is not there.
    """
    times_s = TIMES_S if times_s is None else times_s
    about = collection.about
    asked = find_cases(collection, questions, most, seed)
    work, states = _read(collection, asked, times_s, model)
    there = {*about.sizes, SAID, COUNTED, *([] if model is None else [SOUND])}
    lines = [line for line in LINES if line.split()[0] in there]
    cases = [[len(one.cases), float(one.cases.start_s.sum())] for one in work]
    ids = [dialogue.id for dialogue in collection.dialogues]
    key = [about.weights_sha256, ids, list(questions), lines, list(times_s), most, seed, cases]
    kept = Parts(parts, json.dumps(key))
    probed: list[Probed] = []
    with bar(None, "probe", "probe", len(work) * len(lines) * len(times_s)) as progress:
        for one in work:
            found: dict[str, dict[str, NDArray[np.float64]]] = {}
            enough = one.counts.min(axis=1).max() >= LEAST
            for place, line in enumerate(lines if enough else ()):
                if line != COUNTED or is_counted(one.question):
                    make = partial(_curve, one, states, line, place, seed, progress)
                    found[line] = kept.of(len(probed) * len(lines) + place, make)
            probed.append(_probed(one, found))
    kept.remove()
    return ProbeResults(
        about.model,
        about.weights_sha256,
        len(ids),
        np.asarray(times_s, np.float64),
        tuple(probed),
        quality_of(collection).in_words(),
    )


def said(
    question: str, states: States, rows: NDArray[np.int64], time: int, speaker: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return what the network says of a question, as one number, (n,).

    It is p(speech), own p(speech) of speaker or listener, p_backchannel, own p_next, which is
    p(hold), of holds, and p_next of the other speaker, which is p(shift), of all others.
    """
    whose = speaker if question in OWN else 1 - speaker
    return states.values[OUTPUTS.get(question, "p_next")][rows, time, whose].astype(np.float64)


def _read(
    collection: Collection,
    found: Mapping[str, Cases],
    times_s: Sequence[float],
    model: TurnModel | None,
) -> tuple[list[_Work], States]:
    """Read each moment once, whatever the number of questions about it."""
    reaches = [probe_fits.reach_of(cases, times_s, collection) for cases in found.values()]
    number = np.concatenate([cases.number for cases in found.values()])
    start_s = np.concatenate([cases.start_s for cases in found.values()])
    moments = np.stack([number, np.round(start_s * 1e6).astype(np.int64)], axis=1)
    _, first_at, place = np.unique(moments, axis=0, return_index=True, return_inverse=True)
    steps = np.concatenate([reach.steps for reach in reaches])[first_at]
    edges = np.cumsum([len(cases) for cases in found.values()])[:-1]
    rows = np.split(place.reshape(-1), edges)
    work = [_Work(*one) for one in zip(found, found.values(), rows, reaches, strict=True)]
    return work, probe_fits.read_states(collection, number[first_at], steps, model)


def _probed(one: _Work, found: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> Probed:
    """What was found of a question, by line."""
    # All probes of a question are alike in how far chance takes them. What the network says, and a
    # count, are not fitted, and chance takes them less far.
    unfitted = (SAID, COUNTED)
    fitted = [arrays["permuted"] for line, arrays in found.items() if line not in unfitted]
    curves: list[Curve] = []
    for line, arrays in found.items():
        tried = arrays["permuted"] if line in unfitted else np.concatenate(fitted)
        curves.append(Curve(line, **arrays, chance=probe_results.chance_of(tried)))
    if all(np.isnan(curve.auc).all() for curve in curves):
        curves = []
    dialogues = len(np.unique(one.cases.number))
    return Probed(one.question, one.cases.counts(), dialogues, one.counts, tuple(curves))


def _curve(
    one: _Work, states: States, line: str, place: int, seed: int, progress: Any
) -> dict[str, NDArray[np.float64]]:
    """AUC of one line at every time, with the control."""
    from threadpoolctl import threadpool_limits

    cases, times = one.cases, len(one.reach.times_s)
    folds, units = probe_fits.folds_of(cases)
    counted = count_earlier(cases.first, cases.number, cases.speaker)
    auc, low, high, permuted = (np.full(times, np.nan) for _ in range(4))
    with threadpool_limits(1):  # the problems are small: threads only wait for each other
        for k in range(times):
            progress.update()
            there = one.reach.there[:, k]
            some, control = cases.only(there), None
            if min(some.counts()) < LEAST:
                continue
            shuffled = replace(some, first=some.shuffled(np.random.default_rng([seed, place, k])))
            if line == COUNTED:
                scores = counted[there]
            elif line == SAID:
                scores = control = said(one.question, states, one.rows[there], k, some.speaker)
            else:
                (layer, whose), within = line.split(), probe_fits.some_of(folds, there)
                rows, both = one.rows[there], whose == "both"
                values = states.of(layer, rows, k, some.speaker, both=both)
                scores = probe_fits.held_out_scores(values, some, within)
                if k % CONTROL_EVERY == 0:
                    control = probe_fits.held_out_scores(values, shuffled, within)
            found = probe_fits.auc_of(scores, some, units[there])
            auc[k], low[k], high[k] = found.value, found.low, found.high
            if control is not None:
                permuted[k] = probe_fits.auc_of(control, shuffled, units[there]).value
    return {"auc": auc, "low": low, "high": high, "permuted": permuted}


def is_counted(question: str) -> bool:
    """Return whether a question is one of events whose earlier outcomes a speaker has."""
    return question in EVENT_CONTRASTS and not CONTRASTS[question].of_speakers
