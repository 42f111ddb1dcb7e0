"""A fixed plane through the space of latent states, in which a conversation's path can be watched.

The plane is spanned by two principal components of the last layer's states in many dialogues: the first, along which they vary most
(speaking or not, as it turns out), and, of the next few, the one that best tells who is done from who only pauses, which is what
the model is for. It is fitted once for a model and shipped with it, so that the same state is at the same place in every conversation.
Landmarks say what the places mean: where the states lie on average while a speaker speaks, listens, pauses, or is done.

    python -m turnstream.models.latents.plane MANIFEST --out plane.json     (needs the train extra)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contract import METADATA_KEY
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, Samples
from ..dialogues.annotation import load_annotated
from ..dialogues.events import find_transitions
from ..dialogues.loading import duration_s
from ..dialogues.manifest import Dialogue, read_manifest
from ..errors import ConfigError, DialogueError
from ..onnx_session import open_session

# What one speaker is doing in a frame; the first is everything that the others are not.
SITUATIONS = ("other", "speaking", "listening", "pausing", "done", "about to speak", "both speaking")
CANDIDATES = 6  # principal components that the second direction is chosen from
KEPT_EVERY = 5  # frames: neighbours are nearly alike
RANGE_PERCENT = (3, 97)  # of the states, in each direction, bound the part that is drawn
DIGITS = 6
DIALOGUES_PER_BATCH = 8

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Plane:
    """Two directions in the space of latent states.

    Attributes:
        model_sha256: of the weights whose states they are.
        mean: (H,), the plane's origin.
        components: (2, H), orthonormal.
        principal: which principal components these are, from 1.
        explained: share of the variance that lies in each direction.
        low, high: corners of the part of the plane to draw.
        landmarks: mean position in each of SITUATIONS but the first.
        seconds: of dialogue that it was fitted on.
    """

    model_sha256: str
    mean: Float32
    components: Float32
    principal: tuple[int, int]
    explained: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    landmarks: dict[str, tuple[float, float]]
    seconds: float

    def project(self, latent: Float32) -> Float32:
        """Positions of states, (..., H) -> (..., 2)."""
        return np.asarray((latent - self.mean) @ self.components.T, np.float32)

    def to_json(self) -> str:
        """What `load_plane` reads; the web page reads it, too."""
        return json.dumps(
            {
                "model_sha256": self.model_sha256,
                "latent": "latent",
                "mean": _rounded(self.mean),
                "components": [_rounded(row) for row in self.components],
                "principal": list(self.principal),
                "explained": _rounded(self.explained),
                "low": _rounded(self.low),
                "high": _rounded(self.high),
                "landmarks": {name: _rounded(place) for name, place in self.landmarks.items()},
                "seconds": round(self.seconds, 2),
            },
            indent=1,
        )


def bundled_plane() -> Path:
    """Path of the plane that is installed with the bundled model."""
    return Path(str(files("turnstream.models.weights") / "plane.json"))


def load_plane(path: str | Path | None = None) -> Plane:
    """Read a plane; None is the bundled model's.

    Raises:
        ConfigError: no such file, or not a plane.
    """
    path = bundled_plane() if path is None else Path(path)
    try:
        words: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        plane = Plane(
            model_sha256=str(words["model_sha256"]),
            mean=np.array(words["mean"], np.float32),
            components=np.array(words["components"], np.float32),
            principal=(int(words["principal"][0]), int(words["principal"][1])),
            explained=_pair(words["explained"]),
            low=_pair(words["low"]),
            high=_pair(words["high"]),
            landmarks={str(name): _pair(place) for name, place in words["landmarks"].items()},
            seconds=float(words["seconds"]),
        )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: expected the plane of a model's latent states: {type(error).__name__} {error}") from None
    if plane.mean.ndim != 1 or plane.components.shape != (2, len(plane.mean)):
        raise ConfigError(f"{path}: expected a mean (H,) and components (2, H), got {plane.mean.shape} and {plane.components.shape}")
    return plane


def fit_plane(latents: Float32, situations: NDArray[np.int64], model_sha256: str, seconds: float) -> Plane:
    """Fit the plane; the same states give the same plane, signs included.

    "speaking" lies to the right of "listening", and "about to speak" above "done", where these occur. Without states of both "done" and
    "pausing" the second direction is the second principal component.

    Args:
        latents: states of single speakers, (N, H).
        situations: of each, index into SITUATIONS, (N,).
        model_sha256: of the weights whose states they are.
        seconds: of dialogue that they are from.
    Raises:
        DialogueError: fewer than three states, or shapes that do not fit.
    """
    if latents.ndim != 2 or latents.shape[0] < 3 or latents.shape[1] < 2 or situations.shape != latents.shape[:1]:
        raise DialogueError(f"expected at least 3 states (N, H >= 2) and their situations (N,), got {latents.shape} and {situations.shape}")
    mean = latents.mean(axis=0, dtype=np.float64)
    centred = latents - mean
    _, variances, directions = np.linalg.svd(centred.T @ centred)  # (H, H): the right singular vectors of (N, H) itself, at little memory
    directions = directions[:CANDIDATES]
    places = centred @ directions.T
    done, pausing = (places[situations == SITUATIONS.index(name)] for name in ("done", "pausing"))
    chosen = [0, 1 + _most_telling(done[:, 1:], pausing[:, 1:])]
    components, places = directions[chosen], places[:, chosen]
    found = {name: places[situations == index].mean(axis=0) for index, name in enumerate(SITUATIONS) if index and (situations == index).any()}
    signs = np.array([_sign(found, "speaking", "listening", 0), _sign(found, "about to speak", "done", 1)])
    low, high = np.percentile(places * signs, RANGE_PERCENT, axis=0)
    return Plane(
        model_sha256=model_sha256,
        mean=mean.astype(np.float32),
        components=(components * signs[:, None]).astype(np.float32),
        principal=(chosen[0] + 1, chosen[1] + 1),
        explained=_pair(variances[chosen] / max(variances.sum(), np.finfo(float).tiny)),
        low=_pair(low),
        high=_pair(high),
        landmarks={name: _pair(place * signs) for name, place in found.items()},
        seconds=seconds,
    )


def find_situations(activity: BoolFrames) -> NDArray[np.int64]:
    """What each speaker is doing in every frame, as indices into SITUATIONS, (2, T).

    A mutual silence counts only where it is clearly a shift or a hold (`find_transitions`).

    Args:
        activity: who spoke when, (2, T) at 50 Hz.
    """
    situation = {name: index for index, name in enumerate(SITUATIONS)}
    found = np.zeros(activity.shape, np.int64)
    for speaker in (0, 1):
        own, other = activity[speaker], activity[1 - speaker]
        found[speaker][own & ~other] = situation["speaking"]
        found[speaker][~own & other] = situation["listening"]
        found[speaker][own & other] = situation["both speaking"]
    for silence in find_transitions(activity):
        span = slice(silence.silence_start_frame, silence.silence_end_frame)
        found[silence.previous, span] = situation["pausing" if silence.kind == "hold" else "done"]
        found[1 - silence.previous, span] = situation["listening" if silence.kind == "hold" else "about to speak"]
    return found


class LatentReader:
    """Runs an exported model on recordings for the states of its last layer.

    Args:
        model: an ONNX file written by `turnstream export`.
    Attributes:
        sha256: of its weights.
        sample_rate_hz: of the audio that it hears.
    Raises:
        ConfigError: not such a file, or its frames are not those of the activity.
    """

    def __init__(self, model: Path) -> None:
        try:
            self._session = open_session(model)
            described: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        except Exception as error:  # ONNX Runtime's own exceptions share no public base class
            raise ConfigError(f"{model}: expected a model that `turnstream export` wrote: {str(error).splitlines()[0][:200]}") from None
        if described["frame_rate_hz"] != FRAME_RATE_HZ:
            raise ConfigError(f"{model}: expected {FRAME_RATE_HZ:g} frames a second, got {described['frame_rate_hz']:g}")
        self.sha256: str = described["weights_sha256"]
        self.sample_rate_hz: int = described["sample_rate_hz"]
        self._frame_samples: int = described["frame_samples"]
        self._state_size: int = described["state"]["size"]

    def read(self, recordings: Sequence[Samples]) -> list[Float32]:
        """States after every whole frame of each recording, (2, N) -> (T, 2, H); all are stepped side by side."""
        size = self._frame_samples
        frames = [audio.shape[1] // size for audio in recordings]
        state = np.zeros((len(recordings), self._state_size), np.float32)
        latents: list[list[Float32]] = [[] for _ in recordings]
        for t in range(max(frames, default=0)):
            audio = np.zeros((len(recordings), 2, size), np.float32)
            for row, recording in zip(audio, recordings, strict=True):
                heard = recording[:, t * size : (t + 1) * size]
                row[:, : heard.shape[1]] = heard
            latent, state = self._session.run(["latent", "next_state"], {"audio": audio, "state": state})
            for kept, count, values in zip(latents, frames, latent, strict=True):
                if t < count:
                    kept.append(values)
        return [np.stack(kept) for kept in latents]


def fit_on_dialogues(reader: LatentReader, dialogues: Sequence[Dialogue]) -> Plane:
    """Step the model through dialogues, both channels heard, and fit the plane to its states.

    Raises:
        DialogueError: a dialogue that cannot be read.
    """
    latents: list[Float32] = []
    situations: list[NDArray[np.int64]] = []
    seconds = 0.0
    for start in range(0, len(dialogues), DIALOGUES_PER_BATCH):
        annotated = [load_annotated(dialogue, reader.sample_rate_hz) for dialogue in dialogues[start : start + DIALOGUES_PER_BATCH]]
        for states, (_, activity, _) in zip(reader.read([audio for audio, _, _ in annotated]), annotated, strict=True):
            frames = min(len(states), activity.shape[1])
            latents.append(states[:frames:KEPT_EVERY].reshape(-1, states.shape[-1]))
            situations.append(find_situations(activity)[:, :frames:KEPT_EVERY].T.reshape(-1))
            seconds += frames / FRAME_RATE_HZ
    return fit_plane(np.concatenate(latents), np.concatenate(situations), reader.sha256, seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit a plane and write it; what it amounts to is printed."""
    parser = argparse.ArgumentParser(prog="python -m turnstream.models.latents.plane", description="Fit the plane in which a model's latent path is drawn.")
    parser.add_argument("manifest", type=Path, help="dialogues (JSON Lines), as for `turnstream train`")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    parser.add_argument("--model", type=Path, default=Path(str(files("turnstream.models.weights") / "turnstream.onnx")), help="(default: the bundled one)")
    parser.add_argument("--hours", type=float, default=1.5, help="of dialogue, from the manifest's beginning (default 1.5)")
    args = parser.parse_args(argv)
    chosen: list[Dialogue] = []
    left_s = 3600 * args.hours
    for dialogue in read_manifest(args.manifest):
        if left_s <= 0:
            break
        chosen.append(dialogue)
        left_s -= duration_s(dialogue)
    if not chosen:
        raise DialogueError(f"{args.manifest}: expected at least one dialogue, got none")
    plane = fit_on_dialogues(LatentReader(args.model), chosen)
    args.out.write_text(plane.to_json() + "\n", encoding="utf-8")
    first, second = (f"component {number}, {share:.2f} of the variance" for number, share in zip(plane.principal, plane.explained, strict=True))
    print(f"{plane.seconds / 3600:.2f} h of dialogue; to the right: {first}; up: {second}")
    for name, (x, y) in plane.landmarks.items():
        print(f"{name:15} {x:7.2f} {y:7.2f}")
    return 0


def _most_telling(done: NDArray[np.float64], pausing: NDArray[np.float64]) -> int:
    """The column in which the two (N, K) lie farthest apart, by their spread; the first without both."""
    if len(done) < 2 or len(pausing) < 2:
        return 0
    spread = np.sqrt(done.var(axis=0) + pausing.var(axis=0)) + np.finfo(float).tiny
    return int(np.argmax(np.abs(done.mean(axis=0) - pausing.mean(axis=0)) / spread))


def _sign(landmarks: dict[str, NDArray[np.float64]], greater: str, smaller: str, axis: int) -> float:
    if greater in landmarks and smaller in landmarks and landmarks[greater][axis] < landmarks[smaller][axis]:
        return -1.0
    return 1.0


def _pair(values: Any) -> tuple[float, float]:
    first, second = values
    return float(first), float(second)


def _rounded(values: Any) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


if __name__ == "__main__":
    sys.exit(main())
