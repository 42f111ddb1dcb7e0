"""Predicts in this process, with the methods of `AsyncClient`.

So code that shows a server's messages also works without a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import ArrayLike

from ..engine import Engine
from ..pause_model import PauseModel
from ..policy_settings import Policies
from ..prediction import Prediction, TurnEvent
from ..predictor import TurnPredictor
from ..protocol import BeginMessage, TerminationMessage, WarningMessage
from ..settings import StreamSettings

LocalMessage = Prediction | TurnEvent | WarningMessage | TerminationMessage

_UNREAD_MESSAGES = 64  # when so many wait to be read, `push_audio` waits


class LocalClient:
    """One conversation on an engine.

    A client is an async context manager, and an async iterator of predictions, events and warnings.

    Args:
        engine: the model.
        settings: the form of the audio, and the policy.
        pause_model: asked in the pauses; None for none.
        policies: the presets that the settings can name, and the default.
    Attributes:
        begin: describes the session: model, settings and sizes.
        finished: whether the iteration has yielded the last message.
    """

    def __init__(
        self,
        engine: Engine,
        settings: StreamSettings,
        pause_model: PauseModel | None = None,
        policies: Policies | None = None,
    ) -> None:
        metadata = engine.metadata
        settings = settings.resolved(policies or Policies())
        self.begin = BeginMessage(
            session="",
            model_name=metadata.name,
            model_version=metadata.version,
            model_sha256=metadata.network_sha256,
            frame_rate_hz=metadata.frame_rate_hz,
            latent_sizes={
                "latent": metadata.latent_size,
                "latent_speaker": metadata.latent_speaker_size,
            },
            settings=settings,
            pause_model=pause_model is not None,
        )
        self.finished = False
        self._predictor = TurnPredictor(
            engine,
            sample_rate_hz=settings.sample_rate_hz,
            policy=settings.policy_settings,
            pause_model=pause_model or False,
        )
        self._messages: asyncio.Queue[LocalMessage] = asyncio.Queue(_UNREAD_MESSAGES)
        self._samples = self._frames = 0
        self._closing = False
        # The thread's task and its number of samples, until its predictions are said.
        self._pushing: tuple[asyncio.Task[list[Prediction]], int] | None = None

    async def __aenter__(self) -> LocalClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Do nothing: there is nothing to close."""

    async def push_audio(self, samples: ArrayLike) -> None:
        """Predict on audio of any length.

        Raises:
            AudioFormatError: as `TurnPredictor.push_audio`.
        """
        # In a thread, because the pause model takes 0.1 s, in which the view must not stop.
        task = asyncio.create_task(asyncio.to_thread(self._predictor.push_audio, samples))
        self._pushing = task, len(np.asarray(samples))
        try:
            predictions = await asyncio.shield(task)
        finally:
            if task.done():
                self._pushing = None
        self._samples += len(np.asarray(samples))
        await self._say(predictions)
        for warning in self._predictor.take_warnings():
            await self._messages.put(
                WarningMessage(warning.code, warning.severity, warning.message)
            )
        # Lets the reader run: with a full pipe of audio, nothing else here would wait.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """End the audio; silence completes the last frame."""
        if not self._closing:
            self._closing = True
            if self._pushing is not None:  # `push_audio` was cancelled, its thread was not
                task, samples = self._pushing
                await self._say(await task)
                self._samples += samples
            await self._say(self._predictor.flush())
            seconds = self._samples / self.begin.settings.sample_rate_hz
            await self._messages.put(TerminationMessage(self._frames, seconds, "close"))

    async def __aiter__(self) -> AsyncIterator[LocalMessage]:
        """Yield messages to the end. Events follow the prediction that decided them."""
        while not self.finished:
            message = await self._messages.get()
            self.finished = isinstance(message, TerminationMessage)
            yield message

    async def _say(self, predictions: list[Prediction]) -> None:
        for prediction in predictions:
            self._frames += 1
            await self._messages.put(prediction)
            for event in prediction.events:
                await self._messages.put(event)
