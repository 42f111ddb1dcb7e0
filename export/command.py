"""The command `turnstream export`: converts a checkpoint or a judge to a verified ONNX file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..stream.errors import ExportError

if TYPE_CHECKING:
    from .step_input import StepInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream export` to a parser."""
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        metavar="RUN",
        help="folder of `turnstream train` (model.safetensors and config.json); or folds.json of "
        "`turnstream cross-validate`, to export all its networks; or folder of `turnstream "
        "pretrain judge`, to export the pause model; or folder of a Moonshine model in ONNX "
        "Runtime's format, to export its recogniser; or, with --triton alone, an ONNX file that "
        "was exported before, or int8 for the bundled model in int8 (default: the bundled one)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="ONNX file to write; beside it, as .json, its metadata or the head of a pause model; "
        "not for folds.json, which names the files; for a recogniser, the beginning of the names "
        "of its three files, without .onnx",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FOLDER",
        help="for the pause model: the Whisper model of the judge, in CTranslate2's "
        "format (default: Whisper-base from the teacher extra)",
    )
    parser.add_argument(
        "--mel",
        action="store_true",
        help="export a model whose input is log-mel frames (default: audio samples)",
    )
    parser.add_argument(
        "--quantize",
        action="store_true",
        help="also write the network in int8, as FILE.int8.onnx: a third of the size, and more "
        "than twice as fast in batches; it is compared with the float network on real speech",
    )
    parser.add_argument(
        "--triton",
        type=Path,
        metavar="DIR",
        help="write a model repository for NVIDIA Triton, which keeps the states: DIR/NAME with "
        "the ONNX file and config.pbtxt; with --quantize, of the network in int8",
    )
    parser.add_argument(
        "--golden",
        type=Path,
        metavar="FILE",
        help="also write example inputs and outputs to this .npz file, for tests of other "
        "implementations; not for folds.json",
    )
    parser.add_argument(
        "--name",
        default="turnstream",
        metavar="NAME",
        help="name of the model in the metadata (default turnstream)",
    )
    parser.add_argument(
        "--model-version",
        default="1",
        metavar="VERSION",
        help="version of the model in the metadata (default 1)",
    )


def main(args: argparse.Namespace) -> int:
    """Export the model and print the differences that the verification found. Returns 0."""
    if args.triton is not None and _is_exported(args.run):
        if args.out or args.mel or args.quantize or args.golden or args.teacher:
            raise ExportError(
                "expected --triton alone for a network that is exported already, got it with an "
                "option that exports one"
            )
        return _write_triton(args.run, args.triton)
    if args.run is None:
        raise ExportError(
            "expected RUN, a folder of `turnstream train`, or --triton DIR, got neither"
        )
    from .export import export, int8_file
    from .step_input import MEL, PCM

    step_input = MEL if args.mel else PCM
    folds, judges = args.run.suffix == ".json", (args.run / "judges.json").is_file()
    if args.triton is not None and (args.out is None or args.mel or folds or judges):
        raise ExportError(
            "expected --triton with an ONNX file, or with a folder of `turnstream train`, --out "
            f"FILE and no --mel; got it with {str(args.run)!r}"
        )
    if folds:
        if args.out or args.golden or args.teacher:
            raise ExportError(
                "expected no --out, --golden and --teacher with folds.json, which names the files, "
                "got one of them"
            )
        for path in _read_folds(args.run):
            found = export(
                path.parent / "run",
                path,
                step_input=step_input,
                name=args.name,
                version=args.model_version,
            )
            print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, verified: {found}")
            if args.quantize:
                _quantize(path.parent / "run", path, step_input)
        return 0
    if args.out is None:
        raise ExportError("expected --out FILE, the .onnx file to write, got none")
    if (args.run / "encoder_model.ort").is_file():
        if args.mel or args.golden or args.quantize or args.teacher or args.triton:
            raise ExportError("expected --out alone for a recogniser, got another option")
        return _export_recogniser(args.run, args.out)
    if judges and (args.mel or args.golden or args.quantize):
        raise ExportError(
            "expected no --mel, --golden and --quantize for a pause model, got one of them"
        )
    if args.teacher is not None and not judges:
        raise ExportError(
            "expected --teacher with a folder of `turnstream pretrain judge`, got it with "
            f"{str(args.run)!r}"
        )
    if judges:
        return _export_pause_model(args.run, args.teacher, args.out)
    found = export(
        args.run,
        args.out,
        step_input=step_input,
        name=args.name,
        version=args.model_version,
        golden=args.golden,
    )
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, verified: {found}")
    if args.quantize:
        _quantize(args.run, args.out, step_input)
    if args.golden:
        print(f"{args.golden}: golden inputs and outputs")
    if args.triton:
        return _write_triton(int8_file(args.out) if args.quantize else args.out, args.triton)
    return 0


def _is_exported(run: Path | None) -> bool:
    """Returns whether this is a network that needs no export: an ONNX file, or a bundled one."""
    return run is None or run.suffix == ".onnx" or str(run) == "int8"


def _write_triton(model: Path | None, repository: Path) -> int:
    from ..stream.engine import INT8, bundled_model
    from .triton import write_triton

    if model is None or str(model) == INT8:
        model = bundled_model(None if model is None else INT8)
    print(f"{write_triton(model, repository)}: a model for Triton, which keeps its states")
    return 0


def _quantize(run: Path, out: Path, step_input: StepInput) -> None:
    from .export import export_int8, int8_file

    found = export_int8(run, out, step_input=step_input)
    small = int8_file(out)
    print(f"{small}: {small.stat().st_size / 1e6:.2f} MB, verified: {found}")


def _export_pause_model(judges: Path, teacher: Path | None, out: Path) -> int:
    from ..models.teachers.judge_files import ALL, judge_path
    from ..models.teachers.saved_judge import SavedJudge
    from ..models.teachers.whisper import whisper_folder
    from .pause_graph import export_pause_model

    calls = len(json.loads((judges / "judges.json").read_text())["calls"])
    found = export_pause_model(
        SavedJudge.load(judge_path(judges, ALL)),
        whisper_folder(teacher),
        out,
        f"silences of {calls} calls, and texts of utterances",
    )
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB, verified: {found}")
    return 0


def _export_recogniser(moonshine: Path, out: Path) -> int:
    from .recogniser_graph import export_recogniser

    for path in export_recogniser(moonshine, out):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


def _read_folds(path: Path) -> list[Path]:
    """Returns the .onnx files that folds.json names, without duplicates."""
    try:
        named = json.loads(path.read_text())
        return [path.parent / name for name in dict.fromkeys(named.values())]
    except (OSError, json.JSONDecodeError, AttributeError, TypeError) as error:
        raise ExportError(
            f"{path}: expected folds.json of `turnstream cross-validate`, got: {error}"
        ) from None
