"""`turnstream predict`: predicts on a recording and writes one row per frame.

On request it also writes the events, the latents and a picture.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from .contract import PROBABILITIES
from .errors import AudioFormatError
from .options import add_pause_model_option, add_policy_options, policies_from
from .pcm import ENCODINGS
from .plot import check_picture, plot_predictions
from .prediction import FrameMessage, Prediction, TurnEvent
from .predictor import TurnPredictor
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

Row = dict[str, object]


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
        help="file for the predictions, .csv or .jsonl (default: CSV on standard output)",
    )
    parser.add_argument(
        "--events", type=Path, help="file for the events, .csv or .jsonl (default: none)"
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
    add_pause_model_option(parser, default=False)
    parser.add_argument("--model", type=Path, help="ONNX model file (default: the bundled model)")
    raw = parser.add_argument_group("raw audio on standard input")
    raw.add_argument(
        "--encoding", choices=ENCODINGS, default="pcm_s16le", help="(default pcm_s16le)"
    )
    raw.add_argument("--sample-rate", type=int, default=16000, metavar="HZ", help="(default 16000)")
    raw.add_argument("--channels", type=int, default=2, help="1 or 2 (default 2)")


def main(args: argparse.Namespace) -> int:
    """Predict, write the outputs and return the exit code.

    The counts of frames and events go to standard error.
    """
    _check_output(args.out, ".csv", ".jsonl")
    _check_output(args.events, ".csv", ".jsonl")
    _check_output(args.latents, ".npz")
    if args.plot:
        check_picture(args.plot)
    _check_output(args.plot)
    source: AudioSource = (
        RawPcmSource(sys.stdin.buffer, args.encoding, args.sample_rate, args.channels)
        if args.file == "-"
        else FileSource(args.file)
    )
    predictor = TurnPredictor(
        args.model,
        sample_rate_hz=source.sample_rate_hz,
        policy=policies_from(args).settings(None, {}),
        pause_model=args.pause_model,
    )
    kept = _Kept(plot=bool(args.plot), latents=bool(args.latents))
    with ExitStack() as stack:
        stack.callback(source.close)
        write_row = _open(args.out, COLUMNS, stack)
        write_event = _open(args.events, EVENT_COLUMNS, stack) if args.events else None

        def take(predictions: Iterable[Prediction]) -> None:
            for prediction in predictions:
                write_row(to_row(prediction))
                kept.frame_count += 1
                if kept.wants_predictions:
                    kept.predictions.append(prediction)
                for event in prediction.events:
                    kept.event_count += 1
                    if kept.wants_plot:
                        kept.events.append(event)
                    if write_event:
                        write_event(event_row(event))

        for block in source:
            take(predictor.push_audio(block))
            if kept.wants_plot:
                kept.audio.append(block)
        take(predictor.flush())
    for warning in predictor.take_warnings():
        print(f"turnstream predict: {warning.severity}: {warning.message}", file=sys.stderr)
    if not kept.frame_count:
        raise AudioFormatError("expected audio on standard input, got none")
    if args.latents:
        with _writing(args.latents):
            write_latents(args.latents, kept.predictions)
    if args.plot:
        with _writing(args.plot):
            plot_predictions(
                args.plot,
                np.concatenate(kept.audio),
                source.sample_rate_hz,
                kept.predictions,
                kept.events,
                title=Path(args.file).name,
            )
    print(f"{kept.frame_count} frames, {kept.event_count} events", file=sys.stderr)
    return 0


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


def _check_output(path: Path | None, *suffixes: str) -> None:
    """Raise AudioFormatError, before any work is done, if an output cannot be written."""
    if path is None:
        return
    if suffixes and path.suffix not in suffixes:
        raise AudioFormatError(
            f"expected an output file ending in {' or '.join(suffixes)}, got {str(path)!r}"
        )
    if not path.parent.is_dir():
        raise AudioFormatError(
            f"expected a file that can be written, got {str(path)!r}: "
            f"no folder {str(path.parent)!r}"
        )


@contextmanager
def _writing(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise AudioFormatError(
            f"expected a file that can be written, got {str(path)!r}: {error.strerror or error}"
        ) from None


def _open(path: Path | None, columns: Sequence[str], stack: ExitStack) -> Callable[[Row], object]:
    """Return a function that writes one row to the file or, without a path, to standard output."""
    out: TextIO = sys.stdout
    if path is not None:
        with _writing(path):
            out = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
    if path is not None and path.suffix == ".jsonl":
        return lambda row: out.write(json.dumps(row) + "\n")
    table = csv.DictWriter(out, columns, lineterminator="\n")
    table.writeheader()
    return table.writerow
