"""A tiny pause model, stand-ins for it, and a call with pauses that the talkative model hears."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from turnstream.stream.engine import Float32
from turnstream.stream.pause_model import PauseHead, PauseMix, PauseModel

SAMPLES = 3200
HEAD = PauseHead("made up", weights=(20.0, 5.0), bias=-4.0, mix=PauseMix(0.7, 0.5))


def tiny_pause_model(folder: Path, head: PauseHead = HEAD, samples: int = SAMPLES) -> Path:
    """Write a pause model and its head into a folder; return the path for `PauseModel`.

    The two dimensions of its embedding are the mean and the last absolute value of the window.
    """
    weights = np.zeros((samples, 2), np.float32)
    weights[:, 0] = 1 / samples
    weights[-1, 1] = 1
    graph = helper.make_graph(
        [
            helper.make_node("Abs", ["audio"], ["absolute"]),
            helper.make_node("MatMul", ["absolute", "weights"], ["embedding"]),
        ],
        "pause",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["B", samples])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 2])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path = folder / "tiny_pause.onnx"
    onnx.save(model, str(path))
    path.with_suffix(".json").write_bytes(msgspec.json.encode(head))
    return path


def pausing_call(seconds: float, seed: int = 0, rate_hz: int = 16000) -> NDArray[np.int16]:
    """Return two channels in which the speakers take turns with pauses of 0.4 s, (N, 2) int16.

    The talkative model hears speech in faint noise, and none in a loud low tone. So here a turn is
    noise and a pause is two tones. They swell, so that no pause is like another one.
    """
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    swell = 0.25 + 0.1 * np.sin(2 * np.pi * 0.7 * time_s[:, None] + np.array([0, 1]))
    tones = swell * np.sin(2 * np.pi * np.array([207, 233]) * time_s[:, None])
    noise = 0.003 * np.random.default_rng(seed).standard_normal((len(time_s), 2))
    part = np.floor(time_s / 0.4 + seed).astype(int) % 4  # a turn, a pause, a turn, a pause
    speaks = np.stack([part == 0, part == 2], axis=1)
    return (np.where(speaks, noise, tones) * 32767).astype(np.int16)


class RecordingPauseModel(PauseModel):
    """Keeps what it is asked.

    Attributes:
        audios: the audio of every question.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.audios: list[Float32] = []

    def logit(self, audio: Float32) -> float:
        self.audios.append(audio.copy())
        return super().logit(audio)


class BlockedPauseModel(PauseModel):
    """Answers when it is told to.

    Args:
        answer: the logit, or an error that it raises.
    Attributes:
        asked: number of questions so far.
        may_answer: while it is cleared, a question waits.
    """

    def __init__(self, answer: float | Exception) -> None:
        self.head, self.samples = HEAD, SAMPLES
        self.asked = 0
        self.may_answer = threading.Event()
        self._outcome = answer

    def load_soon(self) -> None:
        pass  # there is no file

    def logit(self, audio: Float32) -> float:
        self.asked += 1
        assert self.may_answer.wait(20), "no test lets it answer"
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome
