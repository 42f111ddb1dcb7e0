"""What a predictor alone makes of the audio that a framework gets."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from numpy.typing import NDArray

from turnstream import (
    EVENT_TYPES,
    Engine,
    PolicySettings,
    Prediction,
    TurnEvent,
    TurnPredictor,
)

RATE_HZ = 8000


def predictions(
    engine: Engine,
    audio: NDArray[Any],
    policy: str | PolicySettings = "balanced",
    *,
    pause_model: bool | None = None,
) -> list[Prediction]:
    predictor = TurnPredictor(
        engine, sample_rate_hz=RATE_HZ, policy=policy, pause_model=pause_model
    )
    return predictor.push_audio(audio)


def events_of(
    engine: Engine,
    audio: NDArray[Any],
    policy: str | PolicySettings = "balanced",
    *,
    kinds: Collection[str] = EVENT_TYPES,
    pause_model: bool | None = None,
) -> list[TurnEvent]:
    said = predictions(engine, audio, policy, pause_model=pause_model)
    return [event for one in said for event in one.events if event.type in kinds]
