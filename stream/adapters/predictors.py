"""The predictors of an adapter: one for each conversation, in a thread where asyncio must not wait.

A thread is needed because the pause model takes some 0.1 s, and the frameworks wait for a call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine import Engine
from ..pause_model import PauseModel, choose_pause_model
from ..policy_settings import PolicySettings, policy_settings
from ..prediction import Prediction
from ..predictor import TurnPredictor

logger = logging.getLogger(__name__)

Model = str | Path | Engine | None
MOST_WAITING_S = 10.0


class Predictors:
    """Makes the predictors of conversations, which share the policy and the models.

    Args:
        policy, model, pause_model: as for `TurnPredictor`.
    Attributes:
        settings, engine, pause_model: what the arguments stand for.
    Raises:
        ModelError: the model cannot be run.
        PolicyError: no preset of that name.
    """

    def __init__(
        self,
        policy: str | PolicySettings,
        model: Model,
        pause_model: bool | PauseModel | None,
    ) -> None:
        self.settings = policy_settings(policy)
        self.engine = model if isinstance(model, Engine) else Engine(model)
        self.pause_model = choose_pause_model(pause_model, self.engine)

    def begin(self, sample_rate_hz: int) -> TurnPredictor:
        """Return the predictor of a new conversation.

        Raises:
            AudioFormatError: the rate is not from 8000 to 192,000 Hz.
        """
        return TurnPredictor(
            self.engine,
            sample_rate_hz=sample_rate_hz,
            policy=self.settings,
            pause_model=self.pause_model or False,
        )


class ThreadedPredictor:
    """Predicts on one conversation in a thread.

    Bound: ten seconds of audio may wait. What exceeds it is dropped, and the log says so.

    Args:
        predictor: nothing else may use it.
        sample_rate_hz: of the audio; an attribute, too.
        tell: gets the predictions, in order, in the event loop.
    """

    def __init__(
        self,
        predictor: TurnPredictor,
        sample_rate_hz: int,
        tell: Callable[[Sequence[Prediction]], Awaitable[None]],
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._predictor = predictor
        self._tell = tell
        self._waiting: deque[NDArray[Any]] = deque()  # blocks (N,)
        self._task: asyncio.Task[None] | None = None
        self._in_thread = self._stopped = False

    @property
    def is_idle(self) -> bool:
        """Whether all audio was predicted on."""
        return not (self._waiting or self._in_thread)

    def push_audio(self, samples: NDArray[Any]) -> None:
        """Queue the user's audio, (N,) int16, or float32 in [-1, 1]; nothing after `stop`.

        Raises:
            Exception: the prediction on earlier audio failed.
        """
        if self._task is not None and self._task.done():
            self._task.result()
        if self._stopped:
            return
        if sum(map(len, self._waiting)) + len(samples) > MOST_WAITING_S * self.sample_rate_hz:
            logger.warning("dropped audio: %g s wait for a prediction", MOST_WAITING_S)
            return
        self._waiting.append(samples)
        if self._task is None:
            self._task = asyncio.create_task(self._predict())

    def stop(self) -> None:
        """Drop the audio that waits, and tell nothing more."""
        self._stopped = True
        self._waiting.clear()

    async def close(self) -> None:
        """Stop, and wait until the thread has ended; if it failed, the log says so."""
        self.stop()
        if (task := self._task) is not None:
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("a prediction failed", exc_info=error)

    async def _predict(self) -> None:
        while self._waiting:
            audio = np.concatenate(self._waiting)
            self._waiting.clear()
            self._in_thread = True
            predictions = await asyncio.to_thread(self._predictor.push_audio, audio)
            self._in_thread = False
            if not self._stopped:
                await self._tell(predictions)
        self._task = None
