"""`turnstream predict`: predicts on a recording and writes one row per frame.

On request it also writes the events, the latents and a picture.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from .contract import PROBABILITIES
from .errors import AudioFormatError
from .options import (
    add_model_option,
    add_pause_model_option,
    add_policy_options,
    policies_from,
)
from .pcm import ENCODINGS
from .plot import Recording, check_picture, plot_recording
from .prediction import FrameMessage, Prediction, TurnEvent
from .predictor import TurnPredictor
from .printable import printable
from .progress import progress_bar
from .row_file import ROW_SUFFIXES, Row, RowFile, check_distinct, check_output, writing
from .sources import AudioSource, FileSource, RawPcmSource

COLUMNS = (
    "time_s",
    "holder",
    "p_shift",
    "p_hold",
    *(f"{name}_{speaker}" for name in PROBABILITIES for speaker in (0, 1)),
)
EVENT_COLUMNS = ("time_s", "type", "speaker", "probability", "turn_index", "trigger")
DECIMALS = 5
_NO_LATENT = np.zeros((2, 0), np.float32)
_RAW_DEFAULTS: dict[str, Any] = {"encoding": "pcm_s16le", "sample_rate": 16000, "channels": 2}
_FILE_BLOCK_S = 0.5  # a fifth faster than blocks of 20 ms


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream predict`."""
    parser.add_argument(
        "file",
        help=(
            "audio file (wav, flac, ogg, mp3 ...), or - for raw audio on standard input; "
            "mono is the user alone, stereo is user and other speaker"
        ),
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="file for the predictions: .csv, .jsonl (an object a line) or .json (a list of "
        "objects); a device or pipe gets CSV (default: CSV on standard output)",
    )
    parser.add_argument(
        "--events", type=Path, help="file for the events, in the same formats (default: none)"
    )
    parser.add_argument(
        "--latents",
        type=Path,
        help=(
            "file for the latents of both layers: .npz with time_s (T,), "
            "latent and latent_speaker (T, 2, H) (default: none)"
        ),
    )
    parser.add_argument(
        "--plot",
        type=Path,
        help=(
            "file for a picture of waveforms, activity, probabilities and events: "
            ".png, .svg, .pdf, or .html, which includes the sound (default: none)"
        ),
    )
    add_policy_options(parser)
    add_pause_model_option(parser)
    add_model_option(parser)
    raw = parser.add_argument_group("raw audio on standard input")
    raw.add_argument("--encoding", choices=ENCODINGS, help="(default pcm_s16le)")
    raw.add_argument("--sample-rate", type=int, metavar="HZ", help="(default 16000)")
    raw.add_argument("--channels", type=int, help="1 or 2 (default 2)")


def main(args: argparse.Namespace) -> int:
    """Predict, write the outputs and return the exit code.

    The counts of frames and events go to standard error.
    """
    check_output(args.out, *ROW_SUFFIXES, devices=True)
    check_output(args.events, *ROW_SUFFIXES, devices=True)
    check_output(args.latents, ".npz")
    if args.plot:
        check_picture(args.plot)
    check_output(args.plot)
    check_distinct("--out", args.out, "--events", args.events)
    source = _open_source(args)
    policy = policies_from(args).settings(None, {})
    predictor = TurnPredictor(
        args.model,
        sample_rate_hz=source.sample_rate_hz,
        policy=policy,
        pause_model=args.pause_model,
    )
    kept = _Kept(plot=bool(args.plot), latents=bool(args.latents))
    with ExitStack() as stack:
        stack.callback(source.close)
        write_row = stack.enter_context(RowFile(args.out, COLUMNS)).write
        write_event = (
            stack.enter_context(RowFile(args.events, EVENT_COLUMNS)).write if args.events else None
        )

        def take(predictions: Iterable[Prediction]) -> None:
            for prediction in predictions:
                write_row(to_row(prediction))
                kept.frame_count += 1
                if kept.wants_predictions:
                    # Without the latents an hour takes a fifth of the memory.
                    kept.predictions.append(prediction if args.latents else _bare(prediction))
                for event in prediction.events:
                    kept.event_count += 1
                    if kept.wants_plot:
                        kept.events.append(event)
                    if write_event:
                        write_event(event_row(event))

        stack.callback(_print_warnings, predictor)  # also if the file turns out to be damaged
        advance = stack.enter_context(progress_bar(_length_s(source), rows=args.out is None))
        for block in source:
            take(predictor.push_audio(block))
            if kept.wants_plot:
                kept.audio.append(block)
            advance(len(block) / source.sample_rate_hz)
        take(predictor.flush())
    if not kept.frame_count:
        raise AudioFormatError("expected audio on standard input, got none")
    if args.latents:
        with writing(args.latents):
            write_latents(args.latents, kept.predictions)
    if args.plot:
        with writing(args.plot):
            recording = Recording(
                np.concatenate(kept.audio),
                source.sample_rate_hz,
                kept.predictions,
                kept.events,
                policy.end_threshold,
                printable(Path(args.file).name),
            )
            pages = plot_recording(args.plot, recording)
        if len(pages) > 1:
            print(f"{len(pages)} pages, {pages[0]} to {pages[-1].name}", file=sys.stderr)
    print(f"{kept.frame_count} frames, {kept.event_count} events", file=sys.stderr)
    return 0


def _open_source(args: argparse.Namespace) -> AudioSource:
    given = {name: value for name in _RAW_DEFAULTS if (value := getattr(args, name)) is not None}
    if args.file == "-":
        raw = _RAW_DEFAULTS | given
        return RawPcmSource(sys.stdin.buffer, raw["encoding"], raw["sample_rate"], raw["channels"])
    for name in given:
        raise AudioFormatError(
            f"expected --{name.replace('_', '-')} with -, for raw audio on standard input, got it "
            f"with the file {args.file!r}, which says so itself"
        )
    source = FileSource(args.file)
    source.block_samples = round(_FILE_BLOCK_S * source.sample_rate_hz)  # raw audio may be live
    for remark in source.warnings:
        print(f"turnstream predict: warning: {printable(remark)}", file=sys.stderr)
    return source


def _length_s(source: AudioSource) -> float:
    return source.duration_s if isinstance(source, FileSource) else math.inf


def _print_warnings(predictor: TurnPredictor) -> None:
    for warning in predictor.take_warnings():
        print(f"turnstream predict: {warning.severity}: {warning.message}", file=sys.stderr)


class _Kept:
    """What the outputs need at the end of the run, and the counts of frames and events."""

    def __init__(self, *, plot: bool, latents: bool) -> None:
        self.wants_plot, self.wants_predictions = plot, plot or latents
        self.audio: list[NDArray[np.float32]] = []
        self.predictions: list[Prediction] = []
        self.events: list[TurnEvent] = []
        self.frame_count, self.event_count = 0, 0


def to_row(prediction: FrameMessage) -> Row:
    """Return a prediction as a flat row with the columns COLUMNS.

    holder, p_shift and p_hold are None before anyone has spoken alone.
    """
    row: Row = {"time_s": round(prediction.time_s, 6), "holder": prediction.holder}
    for name in ("p_shift", "p_hold"):
        row[name] = _rounded(getattr(prediction, name))
    for name in PROBABILITIES:
        for speaker, value in enumerate(getattr(prediction, name)):
            row[f"{name}_{speaker}"] = round(value, DECIMALS)
    return row


def _bare(prediction: Prediction) -> Prediction:
    """Return a prediction without its latents."""
    return replace(prediction, latent=_NO_LATENT, latent_speaker=_NO_LATENT)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)


def event_row(event: TurnEvent) -> Row:
    """Return an event as a flat row with the columns EVENT_COLUMNS."""
    return {
        "time_s": round(event.time_s, 6),
        "type": event.type,
        "speaker": event.speaker,
        "probability": round(event.probability, DECIMALS),
        "turn_index": event.turn_index,
        "trigger": event.trigger,
    }


def write_latents(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write time_s (T,), latent (T, 2, H) and latent_speaker (T, 2, H) to an .npz file."""
    np.savez_compressed(
        path,
        time_s=np.array([p.time_s for p in predictions]),
        latent=np.stack([p.latent for p in predictions]),
        latent_speaker=np.stack([p.latent_speaker for p in predictions]),
    )
