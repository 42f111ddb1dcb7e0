"""Synthetic engine outputs, noise, what a session makes of them, and changed snapshots."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from turnstream.stream.engine import Float32, ModelMetadata, StepOutput
from turnstream.stream.policy import PRESETS
from turnstream.stream.session import Session
from turnstream.stream.snapshot import pack, unpack

METADATA = ModelMetadata(
    name="made",
    version="1",
    sample_rate_hz=16000,
    frame_samples=320,
    frame_rate_hz=50.0,
    state_size=6,
    latent_size=4,
    latent_speaker_size=3,
    weights_sha256="a" * 64,
    config={},
)


def output(vad: tuple[float, float], user_next: float = 0.3, rows: int = 1) -> StepOutput:
    """Return one step's output.

    It is the same for every row, except for the latents, which hold the row's number.
    """

    def pair(first: float, second: float) -> Float32:
        return np.tile(np.array([[first, second]], np.float32), (rows, 1))

    number = np.arange(rows, dtype=np.float32)[:, None, None]
    return StepOutput(
        vad=pair(*vad),
        p_now=pair(0.25, 0.75),
        p_future=pair(0.125, 0.875),
        p_next=pair(user_next, 1 - user_next),
        p_backchannel=pair(0.0625, 0.5),
        latent=number + np.zeros((rows, 2, 4), np.float32),
        latent_speaker=number + np.zeros((rows, 2, 3), np.float32),
    )


def noise(samples: int, seed: int = 0) -> Float32:
    return (0.1 * np.random.default_rng(seed).standard_normal((samples, 2))).astype(np.float32)


def frames_of(session: Session) -> list[Float32]:
    return [session.take_frame() for _ in range(session.frames_waiting)]


def sure_end(preset: str) -> int:
    """Return the frame in which a preset ends a turn of one second when a shift is certain."""
    return 50 + round(50 * PRESETS[preset].end_silence_secs)


def end_of_turn_frame(session: Session) -> int:
    """Return how many frames pass until a turn of one second ends, with a certain shift."""
    for number in range(300):
        vad = (0.9, 0.1) if number < 50 else (0.1, 0.1)
        if any(
            event.type == "end_of_turn"
            for event in session.accept(output(vad, user_next=0.0)).events
        ):
            return number + 1
    raise AssertionError("expected an end of turn, got none")


def lively(policy: str | None = "balanced") -> Session:
    """Return a busy session: audio waits, the filter is filled, the user is in a turn."""
    session = Session(METADATA, sample_rate_hz=8000, policy=policy, buffer_s=1.0)
    session.push_audio(noise(1001))
    session.take_frame()
    for _ in range(10):
        session.accept(output((0.9, 0.1)))
    session.state = noise(3).reshape(6)
    return session


def rewritten(snapshot: bytes, arrays_too: dict[str, Any] | None = None, **changes: Any) -> bytes:
    """Return a snapshot with fields of its header, or arrays, replaced; `...` removes one.

    Its checksum is right, and so are the shapes of the arrays unless they are replaced.
    """
    header, arrays = unpack(snapshot)
    kept = {
        name: np.asarray(array, np.float32)
        for name, array in ({**arrays, **(arrays_too or {})}).items()
        if array is not ...
    }
    shapes = {name: array.shape for name, array in kept.items()}
    fields: Any = {
        name: value
        for name, value in (msgspec.to_builtins(header) | {"shapes": shapes} | changes).items()
        if value is not ...
    }
    return pack(fields, kept)
