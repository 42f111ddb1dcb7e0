"""`turnstream listen`: predict live on this machine, without a server, from the microphone or from raw audio on standard input."""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from pathlib import Path
from typing import BinaryIO, TextIO

from .audio_check import AudioWarning
from .engine import Engine
from .live import farewell, levels_dbfs, seconds_word
from .microphone import MicrophoneSource, list_microphones
from .policy import PRESETS, TurnPolicy
from .prediction import Prediction
from .predictor import TurnPredictor
from .sources import ENCODINGS, RawPcmSource
from .terminal import TerminalView
from .terminal_screen import Screen
from .terminal_words import EXPLANATION, SPEAK, warning_words

_RAW_DEFAULTS = (16000, 2)
_NAMES = ("You", "Other")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream listen`."""
    parser.add_argument("--device", help="microphone, by number or name (default: the system's)")
    parser.add_argument("--list-devices", action="store_true", help="list the microphones and end")
    parser.add_argument("--raw", choices=ENCODINGS, metavar="ENCODING", help=f"raw audio on standard input instead of the microphone: {', '.join(ENCODINGS)}")
    parser.add_argument("--sample-rate", type=int, metavar="HZ", help="of the microphone (default: its own) or of raw audio (default 16000)")
    parser.add_argument("--channels", type=int, choices=(1, 2), help="1 is you, 2 you and the other speaker (default: 1 for the microphone, 2 for raw audio)")
    parser.add_argument("--seconds", type=seconds_word, help="end after so much audio")
    parser.add_argument("--model", type=Path, help="ONNX model (default: the bundled one)")
    parser.add_argument("--policy", choices=tuple(PRESETS), default="balanced", help="preset that makes the events (default balanced)")
    parser.add_argument("--plain", action="store_true", help="lines of events instead of the picture")


def main(args: argparse.Namespace) -> int:
    """Show until the audio ends or Ctrl-C, then sum up."""
    return run(args)


def run(args: argparse.Namespace, *, raw_input: BinaryIO | None = None, out: TextIO | None = None) -> int:
    """Listen; returns the exit code.

    Args:
        args: of `add_arguments`.
        raw_input: raw audio; standard input if not given.
        out: where to show it; standard output if not given.
    Raises:
        TurnstreamError: the model, the device or the audio cannot be used.
    """
    if args.list_devices:
        print(_device_list(), file=out, flush=True)
        return 0
    logging.getLogger("turnstream").addHandler(logging.NullHandler())  # a line of log would fall into the picture
    engine = Engine(args.model)
    if args.raw is None:
        source = MicrophoneSource(args.device, sample_rate_hz=args.sample_rate, channels=args.channels or 1)
        title, explanation = f"microphone {source.microphone.name}", SPEAK
    else:
        rate_hz, channels = args.sample_rate or _RAW_DEFAULTS[0], args.channels or _RAW_DEFAULTS[1]
        source = RawPcmSource(raw_input or sys.stdin.buffer, args.raw, rate_hz, channels)
        title, explanation = f"standard input, {args.raw}", EXPLANATION
    view = TerminalView(
        title,
        f"{engine.metadata.name} {engine.metadata.version}",
        names=_NAMES,
        end_threshold=PRESETS[args.policy].end_threshold,
        frame_rate_hz=engine.metadata.frame_rate_hz,
        duration_s=args.seconds,
        explanation=explanation,
    )
    listener = _Listener(TurnPredictor(engine, sample_rate_hz=source.sample_rate_hz), TurnPolicy(args.policy), Screen(view, plain=args.plain, out=out))
    try:
        listener.listen(source, args.seconds)
    except KeyboardInterrupt:  # the usual end; the screen is closed by now
        pass
    finally:
        source.close()
    lost_s = source.dropped_samples / source.sample_rate_hz if isinstance(source, MicrophoneSource) else 0.0
    if lost_s:
        print(f"{lost_s:.2f} s of sound were skipped because this computer was too slow.", file=out)
    print(farewell("listen", view.tally, "from receiving a frame's last sample to its prediction"), file=out, flush=True)
    return 0


class _Listener:
    """Audio to predictions to events to the screen."""

    def __init__(self, predictor: TurnPredictor, policy: TurnPolicy, screen: Screen) -> None:
        self._predictor = predictor
        self._policy = policy
        self._screen = screen
        self._reported = {"dropped": False, "overflow": False}

    def listen(self, source: MicrophoneSource | RawPcmSource, seconds: float | None) -> None:
        """Show the source to its end, or `seconds` of it."""
        limit = math.inf if seconds is None else round(seconds * source.sample_rate_hz)
        total = 0
        with self._screen:
            for block in source:
                part = block[: int(min(len(block), limit - total))]
                total += len(part)
                received_s = time.perf_counter()
                predictions = self._predictor.push_audio(part)
                self._screen.on_level(levels_dbfs(part))
                self._show(predictions, time.perf_counter() - received_s)
                self._warn(self._predictor.take_warnings(), source)
                if total >= limit:
                    break
            self._show(self._predictor.flush(), None)

    def _show(self, predictions: list[Prediction], latency_s: float | None) -> None:
        for prediction in predictions:
            for event in self._policy.update(prediction):
                self._screen.on_event(event)
            self._screen.on_prediction(prediction, latency_s)

    def _warn(self, warnings: list[AudioWarning], source: MicrophoneSource | RawPcmSource) -> None:
        """Say in words what is wrong with the audio, and once each that some was lost."""
        for warning in warnings:
            self._screen.on_warning(warning_words(warning.message, _NAMES))
        if not isinstance(source, MicrophoneSource):
            return
        if source.dropped_samples and not self._reported["dropped"]:
            self._reported["dropped"] = True
            self._screen.on_warning("this computer is too slow: some sound was skipped, so the picture jumps")
        if source.overflows and not self._reported["overflow"]:
            self._reported["overflow"] = True
            self._screen.on_warning("the sound card lost some audio before it came here (overflow)")


def _device_list() -> str:
    microphones = list_microphones()
    if not microphones:
        return "No microphone found. Raw audio can be piped in: see --raw."
    lines = [f"{m.index:>3} {'*' if m.is_default else ' '} {m.name}  ({m.channels} channels, {m.sample_rate_hz} Hz)" for m in microphones]
    return "\n".join([*lines, "* is the default; choose another with --device NUMBER or --device NAME"])
