"""The local client gives the same as the predictor and the policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.live.local_client import LocalClient
from turnstream.stream.policy import TurnPolicy
from turnstream.stream.prediction import Prediction, TurnEvent
from turnstream.stream.predictor import TurnPredictor
from turnstream.stream.protocol import TerminationMessage, WarningMessage
from turnstream.stream.settings import StreamSettings

from ..talkative import talkative_model

NOISE = np.random.default_rng(8).normal(0, 0.1, (8100, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def engine(tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(
        talkative_model(tiny_model_path, tmp_path_factory.mktemp("talkative") / "model.onnx")
    )


async def test_predictions_events_and_the_end_are_those_of_the_predictor_and_the_policy(
    engine: Engine,
) -> None:
    predictor, policy = TurnPredictor(engine), TurnPolicy("fast")
    predictions = [*predictor.push_audio(NOISE), *predictor.flush()]
    events = [event for p in predictions for event in policy.update(p)]
    async with LocalClient(engine, StreamSettings(policy="fast")) as client:
        assert (client.begin.model_name, client.begin.frame_rate_hz, client.begin.session) == (
            "tiny",
            50.0,
            "",
        )
        assert client.begin.latent_sizes == {
            "latent": predictions[0].latent.shape[1],
            "latent_speaker": predictions[0].latent_speaker.shape[1],
        }
        messages: list[object] = []
        for start in range(0, len(NOISE), 333):
            await client.push_audio(NOISE[start : start + 333])
            while not client._messages.empty():
                messages.append(await anext(aiter(client)))
        await client.close()
        await client.close()
        messages += [message async for message in client]
    assert [(p.frame, p.p_next) for p in messages if isinstance(p, Prediction)] == [
        (p.frame, p.p_next) for p in predictions
    ]
    assert [message for message in messages if isinstance(message, TurnEvent)] == events
    assert events
    assert messages[-1] == TerminationMessage(26, 8100 / 16000, "close")
    assert client.finished


async def test_suspicious_audio_is_a_warning(engine: Engine) -> None:
    client = LocalClient(engine, StreamSettings(sample_rate_hz=8000, channels=1))
    warnings: list[WarningMessage] = []
    for _ in range(60):
        await client.push_audio(np.zeros(800, np.int16))
        while not client._messages.empty():
            message = client._messages.get_nowait()
            if isinstance(message, WarningMessage):
                warnings.append(message)
    assert [(warning.code, warning.severity) for warning in warnings] == [("silent", "warning")]
