"""`turnstream train`: from dialogues to a checkpoint.

Dialogues that a manifest assigns to validation or test are not used for training.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from ...stream.errors import ConfigError, DialogueError
from ..config import from_plain
from ..dialogues.completeness import COMPLETENESS
from ..dialogues.manifest import Dialogue, read_manifest
from ..runs.options import (
    SETTINGS_AS_OPTIONS,
    add_data_options,
    add_hardware_options,
    add_jobs_option,
    add_run_options,
    given_settings,
    hardware_from,
)
from ..teachers.judge_files import ALL, WITHOUT, judge_path, scores_path
from .settings import TrainingSettings
from .sources import ConversationSource, RecordedDialogues

if TYPE_CHECKING:
    from .teaching import Teaching

TRAINING_SPLITS, VALIDATION_SPLITS = ("", "train"), ("", "val")
OWN_SETTINGS_AS_OPTIONS = (
    *SETTINGS_AS_OPTIONS,
    "patience",
    "measure",
    "keep_best",
    "encoder",
    "initial",
    "freeze_encoder",
    "freeze_speaker_rnn",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream train`."""
    defaults = TrainingSettings()
    data = parser.add_argument_group("dialogues to learn from").add_mutually_exclusive_group(
        required=True
    )
    data.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="manifest (JSON Lines) of dialogues that were recorded or simulated before; those "
        "whose split is train or not given are used",
    )
    data.add_argument(
        "--simulate",
        action="store_true",
        help="simulate dialogues from --data during the training",
    )
    calls = parser.add_argument_group("real calls to learn from as well, varied anew each time")
    calls.add_argument(
        "--calls",
        type=Path,
        metavar="FILE",
        help="manifest of real calls; they are a share of the conversations (setting calls_share)",
    )
    calls.add_argument(
        "--without", metavar="ID", help="leave out the call with this id, to evaluate on it"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder of the run: checkpoints, logs and finally the network",
    )
    add_data_options(
        parser,
        "folder of recorded utterances, noises and more, as for `turnstream simulate`; --simulate "
        "and --teacher need it, and its noises are mixed into --calls (default: synthetic hiss "
        "only)",
        required=False,
    )
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="FOLDER",
        help="folder of `turnstream pretrain judge`: also learn the scores of the judge that was "
        "fitted on --calls, of these and with --teacher of recorded speech; with --simulate end "
        "turns where they sound complete to the judge that was fitted on texts",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="FILE",
        help="manifest of held-out dialogues (default: those of --manifest whose split is val); "
        "their losses are logged and decide early stopping",
    )
    parser.add_argument(
        "--test-calls",
        type=Path,
        metavar="FILE",
        help="manifest of real calls to measure on; their shift/hold AUC is logged, and they are "
        "never used for training",
    )
    add_run_options(
        parser,
        defaults,
        row="conversations",
        shape="network",
        resume="resume exactly from the last checkpoint in --out",
    )
    parser.add_argument(
        "--patience",
        type=int,
        metavar="N",
        help="stop after N validations in a row without a better --measure (default 0: never)",
    )
    parser.add_argument(
        "--measure",
        metavar="LOSS",
        help="validation loss that decides which weights are best: the name of a head, or "
        f"total (default {defaults.measure})",
    )
    parser.add_argument(
        "--keep-best",
        action="store_true",
        default=None,
        help="write the weights with the best --measure at the end, not the last ones",
    )
    parser.add_argument(
        "--encoder",
        metavar="FOLDER",
        help="start with the encoder of this run of `turnstream train` or `turnstream pretrain`, "
        "and with its per-speaker RNN if it has one; their configuration is used too",
    )
    parser.add_argument(
        "--initial",
        metavar="FOLDER",
        help="start with the whole network of this run of `turnstream train`; its configuration "
        "is used too",
    )
    parser.add_argument(
        "--freeze-encoder",
        action="store_true",
        default=None,
        help="keep the weights of the encoder that the run starts with (default: train them too)",
    )
    parser.add_argument(
        "--freeze-speaker-rnn",
        action="store_true",
        default=None,
        help="keep the weights of the per-speaker RNN that the run starts with (default: train "
        "them too)",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FOLDER",
        help="also keep learning from the output of `turnstream pretrain teacher` in FOLDER; "
        "needs the same --data, and --distilled",
    )
    parser.add_argument(
        "--distilled",
        type=Path,
        metavar="FOLDER",
        help="run of `turnstream pretrain distill` whose outputs --teacher keeps teaching "
        "(default: --encoder)",
    )
    parser.add_argument(
        "--snapshots",
        action="store_true",
        help="also keep the network of every validation, to show how it learned "
        "(`turnstream latents`)",
    )
    add_hardware_options(parser)
    simulation = parser.add_argument_group("with --simulate")
    add_jobs_option(simulation, "simulating processes per training process", cluster=False)
    simulation.add_argument(
        "--lengths",
        type=float,
        nargs=2,
        metavar=("FROM", "TO"),
        default=(120.0, 360.0),
        help="shortest and longest dialogue in seconds (default 120 360)",
    )
    simulation.add_argument(
        "--no-synthetic",
        action="store_true",
        help="use recorded voices only; then the extra `voices` is not needed",
    )


def main(args: argparse.Namespace) -> int:
    """Train a network and print where it is."""
    from lightning_fabric.utilities import rank_zero_only

    from .loop import train

    settings = settings_from(given_settings(args, OWN_SETTINGS_AS_OPTIONS))
    hardware = hardware_from(args)
    validation = _read_validation_part(args)
    test_calls = read_manifest(args.test_calls) if args.test_calls else []
    with ExitStack() as stack:
        training = (
            _read_recorded(args, settings)
            if args.manifest
            else stack.enter_context(closing(_open_simulator(args, settings)))
        )
        if args.calls:
            from .calls import MixedConversations

            training = MixedConversations(
                training, _read_calls(args, settings), settings.calls_share, settings.seed
            )
        teaching = _read_teaching(args, settings) if args.teacher else None
        train(
            settings,
            training,
            args.out,
            validation=validation,
            real=test_calls,
            resume=args.resume,
            teaching=teaching,
            hardware=hardware,
            snapshots=args.snapshots,
        )
    rank_zero_only(print)(
        f"trained network in {args.out}; export it with: turnstream export {args.out} "
        f"--out {args.out}/model.onnx"
    )
    return 0


def _read_recorded(args: argparse.Namespace, settings: TrainingSettings) -> ConversationSource:
    return RecordedDialogues(read_training_part(args.manifest), settings)


def _read_calls(args: argparse.Namespace, settings: TrainingSettings) -> ConversationSource:
    import numpy as np

    from ..dialogues.channel import Surroundings, read_surroundings
    from .calls import VariedCalls

    calls = read_training_part(args.calls)
    if args.without and args.without not in {call.id for call in calls}:
        raise DialogueError(
            f"{args.calls}: expected a call {args.without!r} to leave out, "
            f"got {', '.join(call.id for call in calls)}"
        )
    judged: dict[str, np.ndarray] = {}
    if args.judge:
        scores = scores_path(args.judge, _judge_name(args))
        try:
            # NumPy itself leaves a broken archive open.
            with scores.open("rb") as file, np.load(file) as stored:
                judged = dict(stored)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise DialogueError(
                f"{scores}: expected the scores of `turnstream pretrain judge`, which writes those "
                f"for --without only with --each, got: {error}"
            ) from None
    surroundings = read_surroundings(args.data) if args.data else Surroundings()
    return VariedCalls(
        [call for call in calls if call.id != args.without], settings, surroundings, judged
    )


def _judge_name(args: argparse.Namespace) -> str:
    return WITHOUT + args.without if args.without else ALL


def _read_teaching(args: argparse.Namespace, settings: TrainingSettings) -> Teaching:
    from ..dialogues.channel import read_surroundings
    from ..dialogues.utterances import UtterancePool, decode_speech
    from ..teachers.extraction import Extraction
    from ..teachers.saved_judge import SavedJudge
    from .teaching import Teaching

    distilled = args.distilled or settings.encoder
    if not args.data or not distilled:
        raise ConfigError(
            "expected --data, and --distilled or --encoder, beside --teacher, got --teacher "
            "without one of them"
        )
    judge = None
    if args.judge and args.calls:
        judge = SavedJudge.load(judge_path(args.judge, _judge_name(args)))
    pool = UtterancePool(decode_speech(args.data, args.cache))
    return Teaching(
        Extraction(args.teacher, pool), read_surroundings(args.data), Path(distilled), judge
    )


def _open_simulator(args: argparse.Namespace, settings: TrainingSettings) -> ConversationSource:
    from .simulated import SimulatedDialogues

    if not args.data:
        raise ConfigError("expected --data FOLDER with --simulate, got none")
    return SimulatedDialogues(
        args.data,
        settings,
        args.cache,
        workers=args.jobs,
        lengths_s=(args.lengths[0], args.lengths[1]),
        synthetic=not args.no_synthetic,
        completeness=args.judge and args.judge / COMPLETENESS,
    )


def read_training_part(path: Path) -> list[Dialogue]:
    """Return the dialogues of a manifest that may be used for training.

    Raises:
        DialogueError: there are none.
    """
    dialogues = read_manifest(path)
    training = [dialogue for dialogue in dialogues if dialogue.split in TRAINING_SPLITS]
    if not training:
        others = (
            ", ".join(sorted({repr(dialogue.split) for dialogue in dialogues})) or "no dialogues"
        )
        raise DialogueError(
            f"{path}: expected dialogues whose split is 'train' or not given, got {others}"
        )
    return training


def _read_validation_part(args: argparse.Namespace) -> list[Dialogue]:
    if args.validation is None:
        return (
            [dialogue for dialogue in read_manifest(args.manifest) if dialogue.split == "val"]
            if args.manifest
            else []
        )
    return read_held_out(args.validation)


def read_held_out(path: Path) -> list[Dialogue]:
    """Return the dialogues of a manifest that may be used for validation.

    Raises:
        DialogueError: there are none.
    """
    held_out = [dialogue for dialogue in read_manifest(path) if dialogue.split in VALIDATION_SPLITS]
    if not held_out:
        raise DialogueError(
            f"{path}: expected dialogues whose split is 'val' or not given, got none"
        )
    return held_out


def settings_from(plain: dict[str, Any]) -> TrainingSettings:
    """Return training settings from a (nested) dict.

    If the settings name an encoder or a network, but not its configuration, then features and
    network have the configuration of that checkpoint.

    Raises:
        ConfigError: a field is unknown, a value is out of range, or there is no such checkpoint.
    """
    model = plain.get("model", {})
    if plain.get("initial") and not model:
        from ..checkpoint import load_checkpoint

        return from_plain(
            TrainingSettings,
            plain | {"model": asdict(load_checkpoint(Path(str(plain["initial"]))).config)},
            "settings",
        )
    if (
        plain.get("encoder")
        and isinstance(model, dict)
        and not {"features", "encoder"} & set(model)
    ):
        from ..checkpoint import load_encoder

        given = load_encoder(Path(str(plain["encoder"])))
        shape = {"features": asdict(given.features), "encoder": asdict(given.config)}
        if given.speaker_rnn is not None and "speaker_rnn" not in model:
            shape["speaker_rnn"] = asdict(given.speaker_rnn)
        plain = plain | {"model": model | shape}
    return from_plain(TrainingSettings, plain, "settings")
