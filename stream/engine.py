"""Runs an exported network on any number of conversations. The caller keeps their states."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from .contract import FORMAT_VERSION, LABELS, METADATA_KEY, PROBABILITIES
from .errors import ModelError, ShapeError
from .onnx_session import open_model
from .prediction import Pair
from .printable import printable
from .resample import MAX_RATE_HZ, MIN_RATE_HZ

Float32 = NDArray[np.float32]
_Text = Annotated[str, Meta(max_length=200)]
_Size = Annotated[int, Meta(ge=1, le=1 << 24)]
_Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]

_OUTPUTS = list(LABELS)


INT8 = "int8"  # name of the bundled model in int8


def bundled_model(name: str | None = None) -> Path:
    """Return the path of the model that is installed with the package.

    Args:
        name: INT8 for the same network in int8.
    """
    return bundled_file("turnstream.int8.onnx" if name == INT8 else "turnstream.onnx")


def bundled_file(name: str) -> Path:
    """Return the path of a file in the folder of the bundled model.

    The folder is found by its module: `importlib.resources` takes 5 ms longer to be imported.
    """
    return Path(import_module("turnstream.models.weights").__path__[0]) / name


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """The metadata of a model file, written by export/metadata.py.

    Attributes:
        name, version: name and version of the model, printable.
        sample_rate_hz: rate of the input audio.
        frame_samples: samples per channel in a frame.
        frame_rate_hz: frames per second.
        state_size: length S of one conversation's packed state.
        latent_size: length H of `latent`, per speaker.
        latent_speaker_size: length H of `latent_speaker`, per speaker.
        weights_sha256: SHA-256 of the weights, in hex.
        precision: numbers of the products, "float32" or "int8".
        quantized_from: weights_sha256 of the float model that an int8 model was made from.
        config: configuration of the network, as JSON values.
        receptive_field_samples: how much audio the encoder sees before the end of a frame; None
            if the file does not say. Recurrent layers see further.
    """

    name: _Text
    version: _Text
    sample_rate_hz: Annotated[int, Meta(ge=MIN_RATE_HZ, le=MAX_RATE_HZ)]
    frame_samples: _Size
    frame_rate_hz: Annotated[float, Meta(gt=0, le=MAX_RATE_HZ)]
    state_size: _Size
    latent_size: _Size
    latent_speaker_size: _Size
    weights_sha256: _Hash
    config: dict[str, Any]
    precision: _Text = "float32"
    quantized_from: _Hash | None = None
    receptive_field_samples: _Size | None = None

    @property
    def network_sha256(self) -> str:
        """The hash of the float weights: what is fitted to the states of one fits both."""
        return self.quantized_from or self.weights_sha256


@dataclass(frozen=True)
class StepOutput:
    """The outputs of one step of B conversations; `contract.LABELS` documents their meanings.

    The probabilities have shape (B, 2). The latents have shape (B, 2, H).
    """

    vad: Float32
    p_now: Float32
    p_future: Float32
    p_next: Float32
    p_backchannel: Float32
    latent: Float32
    latent_speaker: Float32

    @cached_property
    def probabilities(self) -> list[tuple[Pair, Pair, Pair, Pair, Pair]]:
        """The `contract.PROBABILITIES` of each conversation, as Python floats.

        Converting all conversations together costs a fifth of converting them one by one.
        """
        arrays = (getattr(self, name) for name in PROBABILITIES)
        return list(zip(*(map(tuple, array.tolist()) for array in arrays), strict=True))

    def is_finite(self, row: int) -> bool:
        """Whether no output of a conversation is NaN or infinite."""
        (a, b), (c, d), (e, f), (g, h), (i, j) = self.probabilities[row]
        return math.isfinite(a + b + c + d + e + f + g + h + i + j) and (
            self._latents_finite
            or bool(
                np.isfinite(self.latent[row]).all() and np.isfinite(self.latent_speaker[row]).all()
            )
        )

    @cached_property
    def _latents_finite(self) -> bool:
        """Whether the latents of all conversations are finite: one product for each."""
        own, speaker = self.latent, self.latent_speaker
        return math.isfinite(np.vdot(own, own) + np.vdot(speaker, speaker))


class Engine:
    """A loaded model. It keeps no state between steps, so threads can share it.

    Args:
        path: an ONNX file written by `turnstream export`; None is the bundled model, and "int8"
            the bundled model in int8.
        threads: number of threads in one step; 1 is fastest for single frames.
    Raises:
        ModelError: the file does not exist, is not ONNX, has another format or version, or its
            graph does not do what its metadata promises.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | Path | None = None, *, threads: int = 1) -> None:
        if path is None or str(path) == INT8:
            self.path = bundled_model(None if path is None else INT8)
        else:
            self.path = Path(path)
        self._session = open_model(self.path, "an ONNX model file", threads=threads)
        self.metadata = self._read_metadata()
        self._try_one_frame()

    @property
    def is_bundled(self) -> bool:
        """Whether this is the bundled model, in float32 or int8."""
        return self.path in {bundled_model(), bundled_model(INT8)}

    def _read_metadata(self) -> ModelMetadata:
        stored: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in stored:
            raise ModelError(
                f"{self.path}: expected metadata {METADATA_KEY!r}, "
                f"which `turnstream export` writes, got {sorted(stored) or 'none'}"
            )
        try:
            described: dict[str, Any] = json.loads(stored[METADATA_KEY])
            version = described["format_version"]
            if version != FORMAT_VERSION:
                raise ModelError(
                    f"{self.path}: expected model format {FORMAT_VERSION}, got {version}; "
                    "export the model again with this version of turnstream"
                )
            if described["input"] != "pcm":
                raise ModelError(
                    f"{self.path}: expected a model whose input is 'pcm', "
                    f"got {described['input']!r}; the runtime feeds audio"
                )
            missing = sorted(set(LABELS) - set(described["outputs"]))
            if missing:
                raise ModelError(
                    f"{self.path}: expected the outputs {', '.join(LABELS)}; "
                    f"missing {', '.join(missing)}"
                )
            values = {
                "name": printable(described["name"]),
                "version": printable(described["version"]),
                "sample_rate_hz": described["sample_rate_hz"],
                "frame_samples": described["frame_samples"],
                "frame_rate_hz": described["frame_rate_hz"],
                "state_size": described["state"]["size"],
                "latent_size": described["outputs"]["latent"]["shape"][1],
                "latent_speaker_size": described["outputs"]["latent_speaker"]["shape"][1],
                "weights_sha256": described["weights_sha256"],
                "config": described["config"],
                "precision": described.get("precision", "float32"),
                "quantized_from": described.get("quantized_from"),
                "receptive_field_samples": described.get("receptive_field", {}).get("samples"),
            }
            metadata = msgspec.convert(values, ModelMetadata)
            if not math.isclose(
                metadata.frame_rate_hz, metadata.sample_rate_hz / metadata.frame_samples
            ):
                raise ValueError(
                    f"{metadata.frame_rate_hz:g} frames a second of {metadata.frame_samples} "
                    f"samples at {metadata.sample_rate_hz} Hz"
                )
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            IndexError,
            RecursionError,
        ) as error:
            raise ModelError(
                f"{self.path}: its metadata is damaged: {type(error).__name__} {error}"
            ) from None
        absent = sorted(set(LABELS) - {node.name for node in self._session.get_outputs()})
        if absent:
            raise ModelError(
                f"{self.path}: its metadata promises the outputs {', '.join(LABELS)}, "
                f"its graph lacks {', '.join(absent)}"
            )
        shapes = {node.name: list(node.shape[1:]) for node in self._session.get_inputs()}
        expected = {"audio": [2, metadata.frame_samples], "state": [metadata.state_size]}
        if shapes != expected:
            raise ModelError(
                f"{self.path}: its metadata promises the inputs {expected} per conversation, "
                f"its graph has {shapes}"
            )
        return metadata

    def _try_one_frame(self) -> None:
        """Raise ModelError if the graph cannot be run, or gives other outputs than promised."""
        metadata = self.metadata
        expected = {
            **dict.fromkeys(PROBABILITIES, (1, 2)),
            "latent": (1, 2, metadata.latent_size),
            "latent_speaker": (1, 2, metadata.latent_speaker_size),
            "next_state": (1, metadata.state_size),
        }
        silence = np.zeros((1, 2, metadata.frame_samples), np.float32)
        try:
            outputs = self._session.run(
                list(expected), {"audio": silence, "state": self.init_state()}
            )
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            raise ModelError(
                f"{self.path}: ONNX Runtime cannot run it: {str(error).splitlines()[0][:200]}"
            ) from None
        for (name, shape), output in zip(expected.items(), outputs, strict=True):
            if output.shape != shape or output.dtype != np.float32:
                raise ModelError(
                    f"{self.path}: its metadata promises {name} as float32 of shape {shape}, "
                    f"its graph gives {output.dtype} {output.shape}"
                )
            if not np.isfinite(output).all():
                raise ModelError(
                    f"{self.path}: expected finite outputs, got NaN or infinity in {name} "
                    "for a frame of silence"
                )

    def init_state(self, batch: int = 1) -> Float32:
        """Return the state before the first frame: zeros, (batch, S) float32."""
        return np.zeros((batch, self.metadata.state_size), np.float32)

    def step(self, audio: Float32, state: Float32) -> tuple[StepOutput, Float32]:
        """Advance every conversation by one frame.

        Args:
            audio: samples in [-1, 1], (B, 2, frame_samples) float32; channel 0 is the user.
            state: packed state, (B, S) float32, from `init_state` or the last step.
        Returns:
            The outputs and the next state, (B, S).
        Raises:
            ShapeError: the shape or type of audio or state does not fit the model.
        """
        batch = audio.shape[0] if audio.ndim else 0
        expected = (batch, 2, self.metadata.frame_samples)
        if audio.shape != expected or audio.dtype != np.float32 or not batch:
            raise ShapeError(
                f"expected float32 audio of shape (B >= 1, 2, {self.metadata.frame_samples}), "
                f"got {audio.dtype} {audio.shape}"
            )
        if state.shape != (batch, self.metadata.state_size) or state.dtype != np.float32:
            raise ShapeError(
                f"expected a float32 state of shape ({batch}, {self.metadata.state_size}), "
                f"got {state.dtype} {state.shape}"
            )
        *outputs, next_state = self._session.run(_OUTPUTS, {"audio": audio, "state": state})
        return StepOutput(*outputs), next_state
