"""`turnstream pretrain METHOD`: train an encoder on speech without labels.

`turnstream train --encoder` starts with such an encoder. The method `reconstruct` shows what an
encoder kept of a recording; `teacher`, `distill` and `judge` use a frozen speech recogniser.

turnstream pretrain cpc --manifest dialogues.jsonl --out cpc
turnstream pretrain reconstruct --run vqvae --audio call.wav --out reconstructed
turnstream pretrain teacher --data data --out teacher
turnstream pretrain distill --data data --teacher teacher --out distilled
turnstream pretrain judge --data data --teacher teacher --calls calls.jsonl --out judged
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config import from_plain
from ..dialogues.manifest import read_manifest
from ..distillation.settings import DistillationSettings
from ..runs.options import (
    add_data_options,
    add_hardware_options,
    add_jobs_option,
    add_run_options,
    given_settings,
    hardware_from,
    workers_from,
)
from ..training.command import read_held_out, read_training_part
from ..work import HERE
from .settings import METHODS, PretrainingSettings

UTTERANCES = "folder of the utterances, in speech/SET/manifest.csv, as for `turnstream simulate`"
RECONSTRUCT, TEACHER, DISTILL, JUDGE = "reconstruct", "teacher", "distill", "judge"
OTHERS = {
    RECONSTRUCT: "reconstruct a recording with a trained autoencoder, vqvae or vqvae2",
    TEACHER: "run a frozen Whisper encoder, the teacher, on utterances and store its output",
    DISTILL: "train encoder and per-speaker RNN to predict the teacher's output from past audio",
    JUDGE: "fit turn completeness to the teacher's output on calls; score utterances and calls",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream pretrain`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = METHODS | OTHERS
    width = max(map(len, what))
    parser.epilog = "methods:\n" + "\n".join(
        f"  {name:{width}}  {words}" for name, words in what.items()
    )
    methods = parser.add_subparsers(dest="method", metavar="METHOD", required=True)
    defaults = PretrainingSettings("cpc")
    for method, words in METHODS.items():
        own = methods.add_parser(method, help=words, description=words)
        own.add_argument(
            "--manifest",
            type=Path,
            required=True,
            metavar="FILE",
            help="manifest of dialogues (JSON Lines); those whose split is train or not given are "
            "used",
        )
        own.add_argument(
            "--out", type=Path, required=True, metavar="FOLDER", help="folder of the run"
        )
        own.add_argument(
            "--validation",
            type=Path,
            metavar="FILE",
            help="manifest of held-out dialogues (default: those of --manifest whose split is val)",
        )
        add_run_options(
            own,
            defaults,
            row="conversations",
            shape="encoder",
            resume="resume exactly from the last checkpoint in --out",
        )
        add_hardware_options(own, one_process=True)
    listening = methods.add_parser(
        RECONSTRUCT, help=what[RECONSTRUCT], description=what[RECONSTRUCT]
    )
    listening.add_argument(
        "--run",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of a run of autoencoder, vqvae or vqvae2",
    )
    listening.add_argument(
        "--audio",
        type=Path,
        required=True,
        metavar="FILE",
        help="recording with one or two channels",
    )
    listening.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for original.wav, reconstruction.wav and reconstruction.png",
    )
    listening.add_argument(
        "--start",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="time in the recording from which to reconstruct (default 0)",
    )
    listening.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="reconstruct at most this much (default 20)",
    )
    _add_teacher_arguments(
        methods.add_parser(TEACHER, help=what[TEACHER], description=what[TEACHER])
    )
    _add_distill_arguments(
        methods.add_parser(DISTILL, help=what[DISTILL], description=what[DISTILL])
    )
    _add_judge_arguments(methods.add_parser(JUDGE, help=what[JUDGE], description=what[JUDGE]))


def _add_judge_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser, UTTERANCES)
    parser.add_argument(
        "--teacher",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of `turnstream pretrain teacher` for the same data",
    )
    parser.add_argument(
        "--calls",
        type=Path,
        required=True,
        metavar="FILE",
        help="manifest of real calls, at least three",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the scores of all utterances and calls, which other commands take as "
        "--judge",
    )
    parser.add_argument(
        "--whisper",
        type=Path,
        metavar="FOLDER",
        help="model in CTranslate2's format, as for `turnstream pretrain teacher` (default: "
        "Whisper-base, extra teacher)",
    )
    parser.add_argument(
        "--each",
        action="store_true",
        help="also fit, for each call, a judge without this call (for `turnstream cross-validate`)",
    )
    add_jobs_option(parser)


def _add_teacher_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser, UTTERANCES)
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder for the teacher's output; an interrupted run is resumed",
    )
    parser.add_argument(
        "--whisper",
        type=Path,
        metavar="FOLDER",
        help="model in CTranslate2's format (default: Whisper-base, extra teacher)",
    )
    parser.add_argument(
        "--components",
        type=int,
        default=128,
        metavar="N",
        help="principal components kept per frame (default 128)",
    )
    parser.add_argument(
        "--stop-points",
        type=int,
        metavar="N",
        help="embed at most N stop points: points where a speaker could stop (default: all)",
    )
    add_jobs_option(parser)


def _add_distill_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser, UTTERANCES)
    parser.add_argument(
        "--teacher",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of `turnstream pretrain teacher` for the same data",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder of the run"
    )
    add_run_options(
        parser,
        DistillationSettings(),
        row="streams of speech",
        shape="network",
        resume="resume from the last checkpoint in --out; later speech differs from an "
        "uninterrupted run",
    )
    parser.add_argument(
        "--initial",
        type=Path,
        metavar="FOLDER",
        help="start with the weights of this run of `turnstream pretrain distill`, which has a "
        "network of the same shape",
    )
    add_hardware_options(parser)


def main(args: argparse.Namespace) -> int:
    """Run the method, and print where the result is."""
    if args.method == RECONSTRUCT:
        from .reconstruct import reconstruct

        print(reconstruct(args.run, args.audio, args.out, start_s=args.start, seconds=args.seconds))
        return 0
    if args.method in (TEACHER, DISTILL, JUDGE):
        return _from_teacher(args)
    from .loop import pretrain

    plain = given_settings(args) | {"method": args.method}
    settings = from_plain(PretrainingSettings, plain, "settings")
    training = read_training_part(args.manifest)
    held_out = (
        read_held_out(args.validation)
        if args.validation
        else [one for one in read_manifest(args.manifest) if one.split == "val"]
    )
    pretrain(
        settings,
        training,
        args.out,
        validation=held_out,
        resume=args.resume,
        device=args.accelerator,
    )
    print(
        f"trained encoder in {args.out}; continue with: turnstream train --encoder {args.out} ..."
    )
    return 0


def _from_teacher(args: argparse.Namespace) -> int:
    from ..dialogues.channel import read_surroundings
    from ..dialogues.utterances import UtterancePool, decode_speech
    from ..teachers.extraction import Extraction, extract

    workers = workers_from(args) if "jobs" in args else HERE
    sets = decode_speech(args.data, args.cache, workers)
    if args.method == TEACHER:
        extract(
            args.out,
            sets,
            teacher=args.whisper,
            components=args.components,
            most_stop_points=args.stop_points,
            workers=workers,
        )
        print(
            f"the teacher's output is in {args.out}; continue with: turnstream pretrain "
            f"distill --teacher {args.out} ..."
        )
        return 0
    if args.method == JUDGE:
        from ..teachers.judging import judge_calls

        extraction = Extraction(args.teacher, UtterancePool(sets))
        measured = judge_calls(
            read_training_part(args.calls),
            extraction,
            args.out,
            teacher=args.whisper,
            each=args.each,
            workers=workers,
        )
        shown = ", ".join(f"{auc:.3f}" for auc in measured.values())
        print(
            "AUC of each call by the judge of the others, at the moments of a silence in "
            f"turn: {shown}; scores are in {args.out}"
        )
        return 0
    from lightning_fabric.utilities import rank_zero_only

    from ..distillation.loop import distil

    settings = from_plain(DistillationSettings, given_settings(args), "settings")
    extraction = Extraction(args.teacher, UtterancePool(sets))
    distil(
        settings,
        extraction,
        read_surroundings(args.data),
        args.out,
        initial=args.initial,
        resume=args.resume,
        hardware=hardware_from(args),
    )
    rank_zero_only(print)(
        f"trained encoder and per-speaker RNN in {args.out}; continue with: turnstream train "
        f"--encoder {args.out} ..."
    )
    return 0
