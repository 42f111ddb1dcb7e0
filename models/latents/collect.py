"""`turnstream latents collect`: what a network holds in mind of dialogues, and what happens in them, into a collection.

turnstream latents collect MANIFEST --out collection [--model RUN]
turnstream latents collect call.wav --out collection
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from tqdm import tqdm

from ...stream.contract import PROBABILITIES
from ...stream.errors import ConfigError, DialogueError
from ..checkpoint import bundled_checkpoint, load_checkpoint, weights_sha256
from ..dialogues.activity import (
    FRAME_RATE_HZ,
    BoolFrames,
    Samples,
    bridge_gaps,
    runs,
    segments_to_frames,
)
from ..dialogues.annotation import MOST_APART_S, activity_source, speech_activity
from ..dialogues.events import floor_around
from ..dialogues.loading import load_audio, load_texts
from ..dialogues.manifest import Dialogue, read_manifest
from ..dialogues.silero import SAMPLE_RATE_HZ, detect_activity, is_installed
from ..dialogues.sphere import unreadable_audio
from ..evaluation.dialogue_runner import run_dialogue
from ..evaluation.predictions import at_activity_rate, heard_frame
from ..turn_model import TurnModel
from .collection import (
    LAYERS,
    About,
    CollectedDialogue,
    Collection,
    FramesWriter,
    is_written,
    write_about,
    write_events,
)
from .moments import (
    EVENT_KINDS,
    FLOORS,
    SITUATIONS,
    Moment,
    find_floors,
    find_moments,
    find_situations,
)

JUDGED_S = 0.25  # into a silence, where a prediction is called right or wrong
OWN_VAD = "the network's own voice activity"
SPEAKING = 0.5  # p(speech) from which the network itself calls a speaker active
FRAMES_PER_GROUP = 3000  # of the file: what a reader must hold at least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `turnstream latents collect`."""
    parser.add_argument(
        "source", type=Path, help="manifest of dialogues (JSON Lines), or one audio file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where to write; a folder that was cut short is gone on with",
    )
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Collect, and say how much there is."""
    collection = collect(
        load_network(args.model), name_of(args.model), read_source(args.source), args.out
    )
    events = collection.events()
    kinds = ", ".join(
        f"{sum(event.kind == kind for event in events)} {kind}s" for kind in EVENT_KINDS
    )
    frames = sum(collection.frame_count(number) for number in range(len(collection.dialogues)))
    print(
        f"{len(collection.dialogues)} dialogues, {frames / collection.frame_rate_hz / 60:.1f} minutes, {kinds}, in {args.out}"
    )
    return 0


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """--model, as every view of a network has it."""
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="checkpoint: the folder of a run or of a snapshot (default: the bundled network)",
    )


def load_network(folder: Path | None) -> TurnModel:
    """A checkpoint's network in evaluation mode; None is the bundled one.

    Raises:
        ConfigError: no checkpoint, or one whose frames do not fit those of the activity.
    """
    if folder is not None and folder.suffix == ".onnx":
        raise ConfigError(
            f"expected a checkpoint folder, whose weights can be looked into, got the exported file {str(folder)!r}"
        )
    model = load_checkpoint(folder or bundled_checkpoint())
    features = model.config.features
    if features.sample_rate_hz != features.hop_samples * FRAME_RATE_HZ:
        raise ConfigError(
            f"expected {FRAME_RATE_HZ:g} feature frames a second, got {features.sample_rate_hz / features.hop_samples:g}"
        )
    return model


def name_of(folder: Path | None) -> str:
    """How views call a network."""
    return (
        "the bundled model"
        if folder is None
        else folder.name
        if folder.parent.name != "snapshots"
        else f"{folder.parent.parent.name} {folder.name}"
    )


def read_source(path: Path) -> list[Dialogue]:
    """The dialogues of a manifest, or one audio file as a dialogue.

    Raises:
        DialogueError: neither.
    """
    if path.suffix in (".jsonl", ".json"):
        dialogues = read_manifest(path)
        if not dialogues:
            raise DialogueError(f"{path}: expected at least one dialogue, got none")
        return dialogues
    if not path.is_file():
        raise DialogueError(
            f"expected a manifest (.jsonl), an audio file or a collection, got {str(path)!r}, which is none"
        )
    return [Dialogue(path.stem, (path,), (f"{path.stem}/0", f"{path.stem}/1"))]


@contextmanager
def opened_collection(
    source: Path, model: Path | None, keep: Path | None = None
) -> Iterator[Collection]:
    """The collection in a folder; or one collected from a manifest or an audio file, which lasts as long as the context unless it is kept.

    Args:
        source: collection, manifest or audio file.
        model: folder of the network's checkpoint; None takes the collection as it is, or the bundled network.
        keep: folder to collect into, which is gone on with if it was cut short; None: a temporary one.
    Raises:
        ConfigError: a network is asked for that the collection is not of, or another collection is in the folder to keep it in.
        DialogueError: none of the three.
    """
    if source.is_dir():
        collection = Collection(source)
        if (
            model is not None
            and weights_sha256(load_network(model)) != collection.about.weights_sha256
        ):
            raise ConfigError(
                f"{source}: expected a collection of {model}, got one of {collection.about.model}"
            )
        yield collection
        return
    if keep is not None:
        yield collect(load_network(model), name_of(model), read_source(source), keep)
        return
    with tempfile.TemporaryDirectory(prefix="turnstream-latents-") as folder:
        yield collect(load_network(model), name_of(model), read_source(source), Path(folder))


def collect(model: TurnModel, name: str, dialogues: Sequence[Dialogue], out: Path) -> Collection:
    """Step a network through dialogues, both channels heard, and write what it holds in mind; dialogues that are there already are left.

    Args:
        model: in evaluation mode.
        name: of the network.
        dialogues: to hear.
        out: folder, made if need be.
    Raises:
        ConfigError: another collection is in the folder.
        DialogueError: a dialogue that cannot be read.
    """
    config = model.config
    sizes = {"latent_speaker": config.speaker_rnn.hidden, "latent": config.dialogue_rnn.hidden}
    described = tuple(_described(dialogue) for dialogue in dialogues)
    about = About(name, weights_sha256(model), config.frame_rate_hz, sizes, described)
    write_about(out, about)
    for number, dialogue in enumerate(
        tqdm(dialogues, desc="collect", unit="dialogue", disable=None)
    ):
        if not is_written(out, number):
            _collect(model, dialogue, out, number, about)
    return Collection(out)


def _described(dialogue: Dialogue) -> CollectedDialogue:
    source = OWN_VAD if own_vad(dialogue) else activity_source(dialogue)
    audio = tuple(str(path.resolve()) for path in dialogue.audio)
    return CollectedDialogue(
        dialogue.id,
        dialogue.split,
        audio,
        dialogue.sample_rate_hz,
        dialogue.start_s,
        dialogue.end_s,
        source,
    )


def own_vad(dialogue: Dialogue) -> bool:
    """Must the network itself say who spoke when? Nothing else does, and no detector is installed."""
    return activity_source(dialogue) == "detector" and not is_installed()


def _collect(model: TurnModel, dialogue: Dialogue, out: Path, number: int, about: About) -> None:
    audio = load_sound(dialogue, model.config.features.sample_rate_hz)
    heard: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*PROBABILITIES, *LAYERS)}
    for output, probabilities in run_dialogue(model, audio):
        for name, blocks in heard.items():
            values = getattr(output if name in LAYERS else probabilities, name)[0]
            blocks.append(values.transpose(0, 1).numpy())
    if not heard["vad"]:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected audio of at least a frame, got {audio.shape[1]} samples"
        )
    columns: dict[str, NDArray[Any]] = {
        name: np.concatenate(blocks) for name, blocks in heard.items()
    }  # (T, 2, ...)
    steps, rate_hz = len(columns["vad"]), about.frame_rate_hz
    if own_vad(dialogue):
        activity = _spoken(
            at_activity_rate(columns["vad"].T, rate_hz, round(steps * FRAME_RATE_HZ / rate_hz))
            >= SPEAKING
        )
        backchannel = np.zeros_like(activity)
    elif activity_source(dialogue) == "detector":
        activity = detect_activity(load_sound(dialogue, SAMPLE_RATE_HZ))
        backchannel = np.zeros_like(activity)
    else:
        activity, backchannel = speech_activity(dialogue)
    heard_s, annotated_s = steps / rate_hz, activity.shape[1] / FRAME_RATE_HZ
    if not activity.shape[1] or abs(heard_s - annotated_s) > MOST_APART_S:
        raise DialogueError(
            f"dialogue {dialogue.id!r}: expected activity as long as the audio, {heard_s:.1f} s, got {annotated_s:.1f} s"
        )
    p_next = at_activity_rate(columns["p_next"].T, rate_hz, activity.shape[1])
    events = [
        event_row(dialogue.id, dialogue.split, moment, p_next)
        for moment in find_moments(activity, backchannel, load_texts(dialogue))
    ]
    newest = np.minimum(
        ((np.arange(steps) + 1) * FRAME_RATE_HZ / rate_hz - 1 + 1e-6).astype(int),
        activity.shape[1] - 1,
    )
    frame = np.arange(steps)
    columns |= {
        "dialogue": np.array(dialogue.id),
        "split": np.array(dialogue.split),
        "speaker": np.array([0, 1]),
        "frame": frame[:, None],
        "time_s": (frame[:, None] + 1) / rate_hz,
        **{
            name: labels[newest]
            for name, labels in label_frames(activity, backchannel, events).items()
        },
    }
    columns = {
        name: np.broadcast_to(values, (steps, 2)) if np.ndim(values) < 3 else values
        for name, values in columns.items()
    }
    writer = FramesWriter(out, number, about.sizes, annotated=bool(backchannel.any()))
    for start in range(0, steps, FRAMES_PER_GROUP):
        writer.write(
            {name: values[start : start + FRAMES_PER_GROUP] for name, values in columns.items()}
        )
    write_events(out, number, events)
    writer.close()


def label_frames(
    activity: BoolFrames, backchannel: BoolFrames, events: Sequence[dict[str, Any]]
) -> dict[str, NDArray[Any]]:
    """What happens in every frame at 50 Hz: the columns of collection.py that say so, (T, 2) or (T, 1).

    Args:
        activity, backchannel: who spoke when, and annotated backchannels, (2, T). Where none is annotated, those among the events are taken.
        events: rows of the dialogue's events.
    """
    frames, reacting = activity.shape[1], backchannel.copy()
    event, correct = np.full((frames, 1), "", "<U8"), np.full((frames, 1), np.nan)
    for row in events:
        span = slice(round(row["start_s"] * FRAME_RATE_HZ), round(row["end_s"] * FRAME_RATE_HZ))
        if row["kind"] in ("shift", "hold"):
            event[span], correct[span] = row["kind"], row["correct"]
        elif row["kind"] == "backchannel":  # of annotated ones these are the same frames
            reacting[row["speaker"], span] = True
    return {
        "speaking": activity.T,
        "other_speaking": activity[::-1].T,
        "holder": floor_around(activity)[0][:, None],
        "situation": np.array(SITUATIONS)[find_situations(activity).T],
        "floor": np.array(FLOORS)[find_floors(activity)][:, None],
        "backchannel": reacting.T,
        "event": event,
        "correct": correct,
    }


def event_row(
    dialogue: str, split: str, moment: Moment, p_next: NDArray[np.float32] | None
) -> dict[str, Any]:
    """A row of a dialogue's events; the prediction is read from p_next, (2, T) at 50 Hz, where it is known."""
    p_shift = correct = None
    if p_next is not None and moment.kind in ("shift", "hold"):
        p_shift = float(
            p_next[1 - moment.speaker, heard_frame(moment.start_frame, JUDGED_S, p_next.shape[1])]
        )
        correct = (p_shift >= 0.5) == (moment.kind == "shift")
    return {
        "dialogue": dialogue,
        "split": split,
        "kind": moment.kind,
        "speaker": moment.speaker,
        "next": moment.next,
        "start_s": moment.start_frame / FRAME_RATE_HZ,
        "end_s": moment.end_frame / FRAME_RATE_HZ,
        "ending": moment.ending,
        "p_shift": p_shift,
        "correct": correct,
    }


def load_sound(dialogue: Dialogue, sample_rate_hz: int) -> Samples:
    """Both channels in [-1, 1], (2, N); of a single file with one channel, the user is that channel and the other one is silent.

    Raises:
        DialogueError: a file that cannot be read.
    """
    if len(dialogue.audio) == 1 and dialogue.audio[0].suffix != ".npy":
        try:
            channels = sf.info(dialogue.audio[0]).channels
        except (sf.LibsndfileError, OSError) as error:
            raise unreadable_audio(dialogue.audio[0], error) from None
        if channels == 1:
            return load_audio(
                replace(dialogue, audio=dialogue.audio * 2), sample_rate_hz
            ) * np.array([[1], [0]], np.float32)
    return load_audio(dialogue, sample_rate_hz)


def _spoken(active: BoolFrames) -> BoolFrames:
    """Activity as a detector gives it: gaps under 0.2 s bridged."""
    segments = [
        bridge_gaps([(start / FRAME_RATE_HZ, end / FRAME_RATE_HZ) for start, end in runs(row)])
        for row in active
    ]
    return segments_to_frames(segments, active.shape[1])
