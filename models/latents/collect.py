"""`turnstream latents collect`: run a network on dialogues, and write a collection.

All of it (collection.py) is the network's own: the pause model is not asked.

turnstream latents collect MANIFEST --out collection [--model RUN]
turnstream latents collect call.wav --out collection
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from ...stream.errors import ConfigError, DialogueError
from ..checkpoint_files import refuse_missing_files
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, Samples
from ..dialogues.annotation import MOST_APART_S, activity_source, speech_activity
from ..dialogues.labels import bridge_short_pauses
from ..dialogues.loading import load_audio, load_texts
from ..dialogues.manifest import Dialogue, read_manifest
from ..dialogues.silero import SAMPLE_RATE_HZ, detect_activity, is_installed
from ..dialogues.sphere import unreadable_audio
from ..evaluation.predictions import at_activity_rate
from .bars import bar
from .collection import LAYERS, RNNS, About, CollectedDialogue, Collection, is_written, write_about
from .moments import EVENT_KINDS
from .writing import write_dialogue

if TYPE_CHECKING:
    from ..turn_model import TurnModel

OWN_VAD = "the network's own voice activity"
SPEAKING = 0.5  # p(speech) from which the network calls a speaker active
BRIDGED_S = 0.2  # shorter silences of one speaker are bridged, as in the activity of a detector


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents collect`."""
    what = "manifest of dialogues (JSON Lines), or one audio file"
    parser.add_argument("source", type=Path, metavar="SOURCE", help=what)
    what = "folder for the collection; an interrupted one is resumed"
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help=what)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Collect, and print how much there is."""
    dialogues = read_source(args.source)  # refused before the network is loaded
    collection = collect(load_network(args.model), name_of(args.model), dialogues, args.out)
    counts = Counter(event.kind for event in collection.events())
    kinds = ", ".join(f"{counts[kind]} {kind}s" for kind in EVENT_KINDS)
    minutes = sum(collection.frame_counts) / collection.frame_rate_hz / 60
    print(f"{len(collection.dialogues)} dialogues, {minutes:.1f} minutes, {kinds}, in {args.out}")
    return 0


def add_source_argument(parser: argparse.ArgumentParser) -> None:
    """Add SOURCE, which most views share."""
    what = "folder of `latents collect`, manifest of dialogues (JSON Lines), or one audio file"
    parser.add_argument("source", type=Path, metavar="SOURCE", help=what)


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add --model, which all views of a network share."""
    what = "folder of a run or of one of its snapshots (default: the bundled network)"
    parser.add_argument("--model", type=Path, metavar="FOLDER", help=what)


def check_checkpoint(folder: Path) -> None:
    """Raise a ConfigError for a folder that is no checkpoint, without torch."""
    if folder.suffix == ".onnx":
        raise ConfigError(
            "expected a checkpoint folder, whose weights can be looked into, got the exported file "
            f"{str(folder)!r}"
        )
    refuse_missing_files(folder)


def load_network(folder: Path | None) -> TurnModel:
    """Return the network of a checkpoint in evaluation mode; None is the bundled one.

    Raises:
        ConfigError: the folder is no checkpoint, or the network has not 50 feature frames a second.
    """
    if folder is not None:
        check_checkpoint(folder)
    from ..checkpoint import bundled_checkpoint, load_checkpoint

    model = load_checkpoint(folder or bundled_checkpoint())
    rate_hz = model.config.features.sample_rate_hz / model.config.features.hop_samples
    if rate_hz != FRAME_RATE_HZ:
        raise ConfigError(f"expected {FRAME_RATE_HZ:g} feature frames a second, got {rate_hz:g}")
    return model


def network_to_run(collection: Collection, folder: Path | None) -> TurnModel:
    """Return the network to run on a collection; ConfigError if that is not of turnstream's."""
    if not collection.about.runnable:
        raise ConfigError(
            f"{collection.folder}: expected a collection of a network of turnstream's, which this "
            f"view runs again, got states of {collection.about.model}, whose weights are not there"
        )
    return load_network(folder)


def own_network(collection: Collection, folder: Path | None) -> TurnModel | None:
    """Return the network of a checkpoint if it is the collection's, else None."""
    model = load_network(folder) if collection.about.runnable else None
    return model if model is not None and _is_of(collection, model) else None


def name_of(folder: Path | None) -> str:
    """Return the name of a network in views."""
    if folder is None:
        return "the bundled model"
    if folder.parent.name == "snapshots":
        return f"{folder.parent.parent.name} {folder.name}"
    return folder.name


def read_source(path: Path) -> list[Dialogue]:
    """Return the dialogues of a manifest, or an audio file as one, or raise a DialogueError."""
    if path.suffix in (".jsonl", ".json"):
        if dialogues := read_manifest(path):
            return dialogues
        raise DialogueError(f"{path}: expected at least one dialogue, got none")
    if not path.is_file():
        raise DialogueError(
            "expected a manifest (.jsonl), an audio file or a collection, got "
            f"{str(path)!r}, which is none"
        )
    return [Dialogue(path.stem, (path,), (f"{path.stem}/0", f"{path.stem}/1"))]


@contextmanager
def opened_collection(
    source: Path, model: Path | None, keep: Path | None = None
) -> Iterator[Collection]:
    """Open a collection, or collect one from a manifest or an audio file.

    Args:
        source: collection, manifest or audio file.
        model: folder of the network's checkpoint; None accepts a collection of any network, and
            collects with the bundled one.
        keep: folder to collect into, where an interrupted collection is resumed; None is a
            folder that is deleted at the end of the context.
    Raises:
        ConfigError: the collection is of another network, or `keep` has another collection.
        DialogueError: the source is none of the three.
    """
    if source.is_dir():
        collection = Collection(source)
        if model is not None and not _is_of(collection, load_network(model)):
            raise ConfigError(
                f"{source}: expected a collection of {model}, got one of {collection.about.model}"
            )
        yield collection
        return
    dialogues = read_source(source)  # refused before the network is loaded
    network = load_network(model)
    prefix = "turnstream-latents-"
    with TemporaryDirectory(prefix=prefix) if keep is None else nullcontext(keep) as folder:
        yield collect(network, name_of(model), dialogues, Path(folder))


def _is_of(collection: Collection, model: TurnModel) -> bool:
    from ..checkpoint import weights_sha256  # loads torch

    return weights_sha256(model) == collection.about.weights_sha256


def collect(model: TurnModel, name: str, dialogues: Sequence[Dialogue], out: Path) -> Collection:
    """Run a network, in evaluation mode, on dialogues in stereo, and write the collection.

    Dialogues that are already in the folder are not run again.

    Raises:
        ConfigError: the folder has another collection.
        DialogueError: a dialogue cannot be read.
    """
    from ..checkpoint import weights_sha256
    from ..evaluation.torch_runner import dialogue_outputs

    sizes = {layer: getattr(model, rnn).config.hidden for layer, rnn in RNNS.items()}
    heard, rate_hz = tuple(map(described, dialogues)), model.config.frame_rate_hz
    about = About(name, weights_sha256(model), rate_hz, sizes, heard)
    write_about(out, about)
    for number, dialogue in enumerate(bar(dialogues, "collect", "dialogue")):
        if is_written(out, number):
            continue
        audio = load_sound(dialogue, model.config.features.sample_rate_hz)
        outputs = dialogue_outputs(model, audio, dialogue.id, LAYERS)
        audio_s = outputs["vad"].shape[1] / rate_hz
        vad = at_activity_rate(outputs["vad"], rate_hz, round(audio_s * FRAME_RATE_HZ))
        spoken, texts = activity_of(dialogue, audio_s, vad), load_texts(dialogue)
        columns = {name: values.swapaxes(0, 1) for name, values in outputs.items()}
        write_dialogue(out, number, about, columns, spoken, texts=texts)
    return Collection(out)


def described(dialogue: Dialogue) -> CollectedDialogue:
    """Return a dialogue as a collection describes it."""
    source = activity_source(dialogue)
    return CollectedDialogue(
        dialogue.id,
        dialogue.split,
        tuple(str(path.resolve()) for path in dialogue.audio),
        dialogue.sample_rate_hz,
        dialogue.start_s,
        dialogue.end_s,
        source if source != "detector" or is_installed() else OWN_VAD,
        None if dialogue.words is None else str(dialogue.words.resolve()),
    )


def activity_of(
    dialogue: Dialogue, audio_s: float, vad: NDArray[np.float32] | None = None
) -> tuple[BoolFrames, BoolFrames]:
    """Return who spoke when and annotated backchannels, (2, T) each at 50 Hz.

    Args:
        dialogue: annotated, or else heard by Silero VAD.
        audio_s: length of its audio.
        vad: of the network, (2, T) at 50 Hz, where there is neither.
    Raises:
        DialogueError: there is none of these, or the activity is not as long as the audio.
    """
    if activity_source(dialogue) != "detector":
        activity, backchannel = speech_activity(dialogue)
    else:
        if is_installed():
            activity = detect_activity(load_sound(dialogue, SAMPLE_RATE_HZ))
        elif vad is not None:
            activity = bridge_short_pauses(vad >= SPEAKING, round(BRIDGED_S * FRAME_RATE_HZ))
        else:
            asked = "who spoke when in the manifest, or Silero VAD (extra `bench`)"
            raise DialogueError(f"dialogue {dialogue.id!r}: expected {asked}, got neither")
        backchannel = np.zeros_like(activity)
    activity_s = activity.shape[1] / FRAME_RATE_HZ
    if not activity.shape[1] or abs(audio_s - activity_s) > MOST_APART_S:
        asked = f"activity as long as the audio, {audio_s:.1f} s"
        raise DialogueError(f"dialogue {dialogue.id!r}: expected {asked}, got {activity_s:.1f} s")
    return activity, backchannel


def load_sound(dialogue: Dialogue, sample_rate_hz: int) -> Samples:
    """Return both channels in [-1, 1], (2, N); the second of a mono file is silent."""
    if len(dialogue.audio) == 1 and dialogue.audio[0].suffix != ".npy":
        try:
            channels = sf.info(dialogue.audio[0]).channels
        except (sf.LibsndfileError, OSError) as error:
            raise unreadable_audio(dialogue.audio[0], error) from None
        if channels == 1:
            twice = load_audio(replace(dialogue, audio=dialogue.audio * 2), sample_rate_hz)
            return twice * np.array([[1], [0]], np.float32)
    return load_audio(dialogue, sample_rate_hz)
