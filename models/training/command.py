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
from ..dialogues.manifest import Dialogue, read_manifest
from ..runs.options import (
    SETTINGS_AS_OPTIONS,
    add_hardware_options,
    add_run_options,
    given_settings,
    hardware_from,
)
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
    "network",
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
        help="dialogues that were recorded or simulated before (JSON Lines); those whose split "
        "is train or not given are used",
    )
    data.add_argument(
        "--simulate",
        type=Path,
        metavar="FOLDER",
        help="simulate dialogues during the training, from a data folder as for "
        "`turnstream simulate`",
    )
    calls = parser.add_argument_group("real calls to learn from as well, varied anew each time")
    calls.add_argument(
        "--calls",
        type=Path,
        metavar="MANIFEST",
        help="manifest of real calls; they are a share of the conversations (setting calls_share)",
    )
    calls.add_argument(
        "--without", metavar="ID", help="leave out the call with this id, to evaluate on it"
    )
    calls.add_argument(
        "--judged",
        type=Path,
        metavar="FILE",
        help="turn completeness of these calls, a file from `turnstream pretrain judge`",
    )
    calls.add_argument(
        "--noises",
        type=Path,
        metavar="FOLDER",
        help="mix the noises in FOLDER/noise into the calls (default: synthetic hiss only)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder of the run: checkpoints, logs and finally the network",
    )
    parser.add_argument(
        "--validation",
        type=Path,
        help="manifest of held-out dialogues (default: those of --manifest whose split is val); "
        "their losses are logged and decide early stopping",
    )
    parser.add_argument(
        "--real",
        type=Path,
        help="manifest of real dialogues; their shift/hold AUC is logged, they are never used "
        "for training",
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
        metavar="CHECKPOINT",
        help="start with the encoder of this network or pre-training (`turnstream pretrain`), "
        "and with its per-speaker RNN if it has one; their configuration is used too",
    )
    parser.add_argument(
        "--network",
        metavar="CHECKPOINT",
        help="start with this whole network instead of an encoder; its configuration is used too",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="FOLDER",
        help="also keep learning from the output of `turnstream pretrain teacher` in FOLDER; "
        "needs --speech, and a distillation as --encoder",
    )
    parser.add_argument(
        "--speech",
        type=Path,
        metavar="FOLDER",
        help="with --teacher: the --data folder of `turnstream pretrain teacher`",
    )
    parser.add_argument(
        "--freeze-encoder",
        action="store_true",
        default=None,
        help="keep the weights of that encoder fixed (default: train them too)",
    )
    parser.add_argument(
        "--freeze-speaker-rnn",
        action="store_true",
        default=None,
        help="keep the weights of that per-speaker RNN fixed (default: train them too)",
    )
    parser.add_argument(
        "--snapshots",
        action="store_true",
        help="also keep the network of every validation, to show how it learned "
        "(`turnstream latents`)",
    )
    add_hardware_options(parser)
    simulation = parser.add_argument_group("with --simulate")
    simulation.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="simulating processes per training process (default 1)",
    )
    simulation.add_argument(
        "--simulate-cache",
        type=Path,
        default=Path.home() / ".cache" / "turnstream",
        help="folder of decoded utterances (default ~/.cache/turnstream)",
    )
    simulation.add_argument(
        "--lengths",
        type=float,
        nargs=2,
        metavar=("FROM", "TO"),
        default=(120.0, 360.0),
        help="shortest and longest dialogue in seconds (default 120 360)",
    )
    simulation.add_argument(
        "--no-synthetic", action="store_true", help="use recorded voices only, no synthetic ones"
    )
    simulation.add_argument(
        "--completeness",
        type=Path,
        metavar="FOLDER",
        help="end turns where they sound complete, by the scores of `turnstream pretrain judge` "
        "in FOLDER",
    )


def main(args: argparse.Namespace) -> int:
    """Train a network and print where it is."""
    from lightning_fabric.utilities import rank_zero_only

    from .loop import train

    settings = settings_from(given_settings(args, OWN_SETTINGS_AS_OPTIONS))
    hardware = hardware_from(args)
    validation = _read_validation_part(args)
    real = read_manifest(args.real) if args.real else []
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
            real=real,
            resume=args.resume,
            teaching=teaching,
            hardware=hardware,
            snapshots=args.snapshots,
        )
    rank_zero_only(print)(
        f"trained network in {args.out}; export it with: turnstream export {args.out} "
        f"{args.out}/model.onnx"
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
    if args.judged:
        try:
            # NumPy itself leaves a broken archive open.
            with args.judged.open("rb") as file, np.load(file) as stored:
                judged = dict(stored)
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise DialogueError(
                f"{args.judged}: expected a judge's scores of calls (.npz): {error}"
            ) from None
    surroundings = read_surroundings(args.noises) if args.noises else Surroundings()
    return VariedCalls(
        [call for call in calls if call.id != args.without], settings, surroundings, judged
    )


def _read_teaching(args: argparse.Namespace, settings: TrainingSettings) -> Teaching:
    from ..dialogues.channel import read_surroundings
    from ..dialogues.utterances import UtterancePool, decode_speech
    from ..teachers.extraction import Extraction
    from .teaching import Teaching

    if not args.speech or not settings.encoder:
        raise ConfigError(
            "expected --speech and a distillation as --encoder beside --teacher, got --teacher "
            "without one of them"
        )
    pool = UtterancePool(decode_speech(args.speech, args.simulate_cache))
    return Teaching(
        Extraction(args.teacher, pool), read_surroundings(args.speech), Path(settings.encoder)
    )


def _open_simulator(args: argparse.Namespace, settings: TrainingSettings) -> ConversationSource:
    from .simulated import SimulatedDialogues

    return SimulatedDialogues(
        args.simulate,
        settings,
        args.simulate_cache,
        workers=args.workers,
        lengths_s=(args.lengths[0], args.lengths[1]),
        synthetic=not args.no_synthetic,
        completeness=args.completeness,
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
    if plain.get("network") and not model:
        from ..checkpoint import load_checkpoint

        return from_plain(
            TrainingSettings,
            plain | {"model": asdict(load_checkpoint(Path(str(plain["network"]))).config)},
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
