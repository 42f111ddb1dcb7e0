"""The local client gives the same as the predictor and the policy."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from turnstream.stream.engine import Engine
from turnstream.stream.live.local_client import LocalClient
from turnstream.stream.pause_model import PauseModel
from turnstream.stream.policy import TurnPolicy
from turnstream.stream.policy_settings import PRESETS, Policies, PolicySettings
from turnstream.stream.prediction import Prediction, TurnEvent
from turnstream.stream.predictor import TurnPredictor
from turnstream.stream.protocol import TerminationMessage, WarningMessage
from turnstream.stream.settings import StreamSettings

from ..pauses import BlockedPauseModel, pausing_call, tiny_pause_model
from ..serving import until

NOISE = np.random.default_rng(8).normal(0, 0.1, (8100, 2)).astype(np.float32)


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


async def test_with_a_pause_model_it_predicts_as_the_predictor_does(
    engine: Engine, tmp_path: Path
) -> None:
    model, audio = PauseModel(tiny_pause_model(tmp_path)), pausing_call(1.0)
    expected = TurnPredictor(engine, pause_model=model).push_audio(audio)
    assert [p.p_next for p in expected] != [
        p.p_next for p in TurnPredictor(engine).push_audio(audio)
    ]
    client, found = LocalClient(engine, StreamSettings(), model), list[Prediction]()
    for start in range(0, len(audio), 320):
        await client.push_audio(audio[start : start + 320])
        while not client._messages.empty():
            message = client._messages.get_nowait()
            found += [message] if isinstance(message, Prediction) else []
    assert [(p.frame, p.p_next) for p in found] == [(p.frame, p.p_next) for p in expected]


async def test_others_run_while_the_pause_model_is_asked_and_the_end_waits_for_its_answer(
    engine: Engine,
) -> None:
    model = BlockedPauseModel(0.0)
    client = LocalClient(engine, StreamSettings(), model)
    pushing = asyncio.create_task(client.push_audio(pausing_call(1.0)[:15_999]))
    async with asyncio.timeout(20):
        await until(lambda: model.asked)
        pushing.cancel()  # as the second Ctrl-C does
        with pytest.raises(asyncio.CancelledError):
            await pushing
        closing = asyncio.create_task(client.close())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not closing.done()
        model.may_answer.set()
        messages = [message async for message in client]
        await closing
    # No frame is lost. The last one was completed with silence.
    frames = [message.frame for message in messages if isinstance(message, Prediction)]
    assert frames == list(range(50))
    assert isinstance(messages[-1], TerminationMessage)
    assert messages[-1].seconds == pytest.approx(15_999 / 16000)


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


def test_the_policy_is_the_one_asked_for_or_the_default(engine: Engine) -> None:
    own = Policies({**PRESETS, "german": PolicySettings(end_threshold=0.6)}, "german")
    default = LocalClient(engine, StreamSettings(), policies=own).begin.settings
    assert (default.policy, default.policy_settings.end_threshold) == ("german", 0.6)
    asked = LocalClient(engine, StreamSettings(policy="fast", policy_values={"start_secs": 0.2}))
    assert asked.begin.settings.policy_settings == replace(PRESETS["fast"], start_secs=0.2)
