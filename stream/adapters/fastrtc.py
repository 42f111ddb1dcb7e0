"""Turn detection for FastRTC: `ReplyOnTurn` stands where `ReplyOnPause` stood.

    stream = Stream(ReplyOnTurn(reply), modality="audio", mode="send-receive")

The reply begins when turnstream's policy ends the user's turn, and stops as soon as the user takes
the turn back. A backchannel does not stop it. The reply is heard as the second channel: FastRTC
plays it in real time, so a sample of the user's audio stands for a sample of the reply.

FastRTC calls from two threads: one receives the audio and predicts, the other makes the reply. Each
connection has a predictor of its own. Bound: of a turn, the last two minutes are kept.

FastRTC is no extra, because it wants an older websockets than turnstream's server and client do.
README.md says how to install both.
"""
# pyright: basic, reportMissingImports=false
# FastRTC is not installed where the types are checked.

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from fastrtc import ReplyOnPause
from numpy.typing import NDArray

from ..devices.agent_voice import AgentVoice
from ..pause_model import PauseModel
from ..policy import PolicySettings
from .predictors import Model, Predictors

USER = 0
LEAD_S = 0.5  # a turn began this long before it was recognised
LONGEST_S = 120.0


class ReplyOnTurn(ReplyOnPause):  # pyright: ignore[reportGeneralTypeIssues]
    """Calls a reply function with the user's audio at the end of each of the user's turns.

    Args:
        fn: as for `ReplyOnPause`: a generator function, also an asynchronous one, that takes
            (sample rate, samples (1, N) int16) and yields such pairs.
        policy, model, pause_model: as for `TurnPredictor`, whose errors come here, too.
            All connections share the models.
        can_interrupt: whether the user can stop a reply. If not, a turn that ends during a reply
            gets none.
        input_sample_rate: rate of the audio that `fn` gets.
        options: further options of `ReplyOnPause`: `startup_fn`, `output_sample_rate`,
            `needs_args`. Those of its voice activity detection have no effect.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        policy: str | PolicySettings = "balanced",
        model: Model = None,
        pause_model: bool | PauseModel | None = None,
        can_interrupt: bool = True,
        input_sample_rate: int = 16000,
        **options: Any,
    ) -> None:
        # Any model that is given keeps ReplyOnPause from loading its own.
        super().__init__(
            fn,
            can_interrupt=can_interrupt,
            input_sample_rate=input_sample_rate,
            **{**options, "model": self},
        )
        predictors = Predictors(policy, model, pause_model)
        self._copied = {
            **options,
            "policy": policy,
            "model": predictors.engine,
            "pause_model": predictors.pause_model or False,
            "can_interrupt": can_interrupt,
            "input_sample_rate": input_sample_rate,
        }
        self._predictor = predictors.begin(input_sample_rate)
        self._voice = AgentVoice(input_sample_rate)
        self._heard: deque[NDArray[np.int16]] = deque()  # the user's newest audio, in blocks (N,)
        self._heard_samples = 0
        self._kept_s = LEAD_S
        self._reply = self._emitting = 0  # number of the reply, and of the one that is being made

    def copy(self) -> ReplyOnTurn:
        """Return a handler for another connection."""
        return ReplyOnTurn(self.fn, **self._copied)

    # ---- the thread that receives ----

    def receive(self, frame: tuple[int, NDArray[np.int16]]) -> None:
        """Predict on the user's audio; start a reply, or stop it."""
        rate_hz, array = frame
        user = np.asarray(array).reshape(-1)
        self.state.sampling_rate = rate_hz
        self._keep(user)
        both = np.stack([user / np.float32(32768), self._voice.take(len(user))], axis=1)
        for prediction in self._predictor.push_audio(both):
            for event in prediction.events:
                if event.speaker != USER:
                    continue
                if event.type == "start_of_turn":
                    self._kept_s = LONGEST_S
                    if self.can_interrupt and self._is_replying:
                        self._stop_reply()
                elif event.type == "end_of_turn":
                    self._kept_s = LEAD_S
                    if not self._is_replying:
                        self.state.stream = np.concatenate(self._heard)
                        self.event.set()

    def _keep(self, user: NDArray[np.int16]) -> None:
        self._heard.append(user)
        self._heard_samples += len(user)
        kept = round(self._kept_s * self.input_sample_rate)
        while self._heard_samples - len(self._heard[0]) >= kept:
            self._heard_samples -= len(self._heard.popleft())

    @property
    def _is_replying(self) -> bool:
        return self.event.is_set() or self._voice.speaking

    def _stop_reply(self) -> None:
        self._reply += 1
        self.event.clear()
        self._close_generator()
        self.generator = None
        self.state = self.state.new()
        self.clear_queue()
        self._voice.stop()

    # ---- the thread that replies ----

    def emit(self) -> Any:
        """Return the next piece of the reply, or None."""
        self._emitting = self._reply
        output = super().emit()
        if self._emitting != self._reply:  # it was stopped meanwhile
            return None
        audio = output[0] if isinstance(output, tuple) and isinstance(output[0], tuple) else output
        if isinstance(audio, tuple):
            rate_hz, samples = audio[:2]
            mono = np.atleast_2d(samples)[0]
            self._voice.say(mono if mono.dtype == np.int16 else np.clip(mono, -1, 1), rate_hz)
        return output

    def reset(self) -> None:
        """Get ready for the next turn. The end of a stopped reply changes nothing."""
        if self._emitting == self._reply:
            super().reset()
