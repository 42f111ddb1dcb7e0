"""The command line: `turnstream COMMAND ...`.

Each command has its own module, which is imported only when the command runs. The module defines
`add_arguments(parser)` and `main(args) -> int`. A `TurnstreamError` is printed as one line, with
exit code 2. Bad arguments give the same exit code. What the surroundings refuse (a full disk, too
few file descriptors) is one line, too, with exit code 1.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from turnstream.completion import SHELLS, completion_script
from turnstream.stream.environment import parse_arguments
from turnstream.stream.errors import MissingExtraError, TurnstreamError
from turnstream.stream.printable import open_standard_streams, printable, settle_stdout

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

COMMANDS: dict[str, tuple[str, str]] = {  # name: (module, what it does)
    "demo": (
        "turnstream.stream.live.demo",
        "watch live predictions of your microphone, or of a bundled telephone call",
    ),
    "predict": (
        "turnstream.stream.predict",
        "predict on an audio file: CSV or JSON Lines, events, latents, a picture",
    ),
    "listen": (
        "turnstream.stream.live.listen",
        "predict live from a microphone or from raw audio on standard input, here or on a server",
    ),
    "serve": ("turnstream.stream.service.serve", "run the websocket server"),
    "page": (
        "turnstream.stream.service.static_page",
        "write the demo page as files for any web host; the network runs in the browser tab",
    ),
    "client": (
        "turnstream.stream.clients.command",
        "send a file, raw audio or the microphone to a server and print what it answers",
    ),
    "info": ("turnstream.stream.info", "describe a model file"),
    "bench": ("turnstream.stream.bench", "measure the cost per frame on this machine"),
    "manifest": (
        "turnstream.models.dialogues.corpora.command",
        "list the dialogues of a corpus on disk, to train or evaluate on",
    ),
    "simulate": ("turnstream.models.dialogues.command", "make two-channel dialogues to train on"),
    "pretrain": (
        "turnstream.models.pretraining.command",
        (
            "train an encoder on speech without labels: "
            "distill (from a teacher), cpc, vqvae and others"
        ),
    ),
    "train": ("turnstream.models.training.command", "train a network on dialogues"),
    "average": (
        "turnstream.models.averaging.command",
        "average the weights of networks that were trained from the same start",
    ),
    "cross-validate": (
        "turnstream.models.cross_validation.command",
        "train on real calls, each left out in turn, to measure on them honestly",
    ),
    "compare": (
        "turnstream.compare",
        (
            "train and measure a grid of encoders, read-outs and ways of learning, "
            "with the same budget"
        ),
    ),
    "evaluate": (
        "turnstream.models.evaluation.command",
        "measure a model on dialogues: shift/hold, end-of-turn frontier, calibration, robustness",
    ),
    "latents": (
        "turnstream.models.latents.command",
        "look inside a model: latent space, cells and gates, memory, training",
    ),
    "export": ("turnstream.export.command", "turn a trained network into a verified ONNX file"),
}

_EXTRA_OF = {  # package: the extra that installs it
    **dict.fromkeys(
        (
            "torch",
            "torchaudio",
            "safetensors",
            "scipy",
            "tqdm",
            "joblib",
            "tensorboard",
            "soxr",
            "lightning_fabric",
        ),
        "train",
    ),
    **dict.fromkeys(("onnx", "onnxscript"), "export"),
    "matplotlib": "plot",
    **dict.fromkeys(("pyarrow", "sklearn", "openTSNE", "umap", "plotly", "av"), "latents"),
    "vector_quantize_pytorch": "pretrain",
    "silero_vad": "bench",
    "faster_whisper": "teacher",
}


class _Parser(argparse.ArgumentParser):
    """Reports a failure to print the help, and prints no control codes."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if file is sys.stdout:
            sys.stdout.write(message)  # the base class ignores an OSError
        else:
            super()._print_message(message, file)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime would report to its maker
    open_standard_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = " ".join(["turnstream", *(word for word in arguments[:1] if word in COMMANDS)])
    try:
        try:
            return _command(arguments)
        finally:
            sys.stdout.flush()  # raises here, not when the interpreter exits
    except TurnstreamError as error:
        return _failed(name, str(error), 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader closed the pipe, as `head` does; this is not an error
        settle_stdout()
        return 0
    except OSError as error:
        where = error.filename if settle_stdout() else "standard output"
        reason = error.strerror or str(error)
        return _failed(name, reason if where is None else f"{where}: {reason}", 1)


def _failed(name: str, message: str, code: int) -> int:
    with suppress(OSError):
        print(f"{name}: error: {printable(message)}", file=sys.stderr)
    return code


def _command(arguments: list[str]) -> int:
    parser = _Parser(
        prog="turnstream",
        description="Streaming turn-taking prediction: is the floor about to shift or be held?",
        epilog="`turnstream COMMAND --help` describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="turnstream [--version] [--print-completion SHELL] COMMAND ...",
    )
    parser.add_argument(
        "--version", action="version", version=f"turnstream {version('turnstream')}"
    )
    parser.add_argument(
        "--print-completion",
        choices=SHELLS,
        metavar="SHELL",
        help=f"print a script with which this shell completes commands: {', '.join(SHELLS)}",
    )
    listing = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    commands = {name: listing.add_parser(name, help=what) for name, (_, what) in COMMANDS.items()}
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        near = difflib.get_close_matches(arguments[0], COMMANDS, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        parser.error(f"expected one of {', '.join(COMMANDS)}, got {arguments[0]!r}{hint}")
    own_option = arguments[:1] and arguments[0].startswith("-") and arguments[0] != "--"
    known = parser.parse_args(arguments if own_option else arguments[:1])
    if known.print_completion is not None:
        for name, command in commands.items():
            importlib.import_module(COMMANDS[name][0]).add_arguments(command)
        print(completion_script(parser, known.print_completion))
        return 0
    if known.command is None:
        parser.print_help()
        return 0
    return _run(known.command, arguments[1:])


def _run(command: str, arguments: Sequence[str]) -> int:
    try:
        module = importlib.import_module(COMMANDS[command][0])
        parser = _Parser(prog=f"turnstream {command}", description=COMMANDS[command][1])
        module.add_arguments(parser)
        return module.main(parse_arguments(parser, arguments))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA_OF:
            raise
        raise MissingExtraError(package, _EXTRA_OF[package]) from None


if __name__ == "__main__":
    sys.exit(main())
