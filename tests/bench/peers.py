"""What bench_peers.py compares: each answers on one second of a stereo call at 16 kHz.

A peer that is not installed is left out, with a line that says how to install it.
"""

from __future__ import annotations

import ctypes
import importlib.util
import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from turnstream import Engine, TurnPredictor
from turnstream.models.teachers.smart_turn import INPUT_SAMPLES, SmartTurn
from turnstream.stream.bench import SILERO_CONTEXT, SILERO_WINDOW
from turnstream.stream.engine import INT8
from turnstream.stream.errors import MissingExtraError
from turnstream.stream.onnx_session import open_session

RATE_HZ = 16000
TEN_HOP = 256
PAUSE_S = 0.2  # into a pause, Smart Turn is asked: as pipecat does it

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Peer:
    """A program that hears a call.

    Attributes:
        name: its name and version.
        answers: what it answers, and how often.
        hear: takes the start of a second of the call, in samples, and processes it. Returns the
            milliseconds of processor time that a second of both speakers costs.
    """

    name: str
    answers: str
    hear: Callable[[int], float]


def peers(audio: Float32, batch: int) -> tuple[list[Peer], list[str]]:
    """Return the peers that are installed, and what to do for those that are not.

    Args:
        audio: the call, (N, 2).
        batch: conversations per step of the peers that run in batches.
    """
    float32, int8 = Engine(), Engine(INT8)
    found = [
        stepped("turnstream", float32, audio, 1),
        stepped("turnstream, int8", int8, audio, 1),
        pushed("turnstream, int8, with Python around it", int8, audio),
        stepped(f"turnstream, batches of {batch}", float32, audio, batch),
        stepped(f"turnstream, int8, batches of {batch}", int8, audio, batch),
    ]
    missing: list[str] = []
    for make in (silero, ten_vad, smart_turn):
        try:
            found.append(make(audio))
        except (MissingExtraError, ImportError, OSError) as error:
            missing.append(f"{make.__name__}: {error}")
    return found, missing


def stepped(name: str, engine: Engine, audio: Float32, batch: int) -> Peer:
    """Return the engine alone, which steps conversations that start at different places."""
    size = engine.metadata.frame_samples
    frames = audio[: len(audio) // size * size].reshape(-1, size, 2).transpose(0, 2, 1)
    places = np.arange(batch) * len(frames) // batch
    state = engine.init_state(batch)

    def hear(start: int) -> float:
        nonlocal state
        steps = max(5, RATE_HZ // size // batch)
        first = start // size
        xs = [frames[(places + t) % len(frames)].copy() for t in range(first, first + steps)]
        began = time.thread_time()
        for x in xs:
            _, state = engine.step(x, state)
        return milliseconds(began, steps * batch * size / RATE_HZ)

    return Peer(name, "turns of both speakers, every 20 ms", hear)


def pushed(name: str, engine: Engine, audio: Float32) -> Peer:
    """Return `TurnPredictor` with a policy, which takes 20 ms at a time."""
    predictor = TurnPredictor(engine, policy="balanced")

    def hear(start: int) -> float:
        began = time.thread_time()
        for begin in range(start, start + RATE_HZ, RATE_HZ // 50):
            predictor.push_audio(audio[begin : begin + RATE_HZ // 50])
        return milliseconds(began, 1.0)

    return Peer(name, "turns of both speakers, events, every 20 ms", hear)


def silero(audio: Float32) -> Peer:
    """Return Silero VAD on both channels.

    Raises:
        MissingExtraError: silero-vad is not installed.
    """
    found = importlib.util.find_spec("silero_vad")
    if found is None or found.origin is None:
        raise MissingExtraError("silero-vad", "bench")
    session = open_session(Path(found.origin).parent / "data" / "silero_vad.onnx")
    rate = np.array(RATE_HZ, np.int64)
    states = [np.zeros((2, 1, 128), np.float32) for _ in range(2)]
    windows = round(RATE_HZ / SILERO_WINDOW)

    def hear(start: int) -> float:
        began = time.thread_time()
        for t in range(windows):
            end = start + SILERO_CONTEXT + (t + 1) * SILERO_WINDOW
            for channel in (0, 1):
                x = np.ascontiguousarray(audio[end - SILERO_WINDOW - SILERO_CONTEXT : end, channel])
                _, states[channel] = session.run(
                    None, {"input": x[None], "state": states[channel], "sr": rate}
                )
        return milliseconds(began, windows * SILERO_WINDOW / RATE_HZ)

    return Peer("Silero VAD", "who speaks, every 32 ms", hear)


def ten_vad(audio: Float32) -> Peer:
    """Return TEN VAD on both channels, in a process of its own.

    Beside the libc++ that it needs, numpy's Fourier transform crashed.

    Raises:
        ImportError: ten-vad is not installed.
        OSError: its library needs libc++, which is not installed.
    """
    if importlib.util.find_spec("ten_vad") is None:
        raise ImportError("not installed: pip install ten-vad, and Debian's libc++1")
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    context.Process(target=serve_ten_vad, args=(theirs, audio), daemon=True).start()
    if problem := ours.recv():
        raise OSError(f"its library needs Debian's libc++1: {problem}")

    def hear(start: int) -> float:
        ours.send(start)
        return float(ours.recv())

    return Peer("TEN VAD", "who speaks, every 16 ms", hear)


def serve_ten_vad(connection: Connection, audio: Float32) -> None:
    """Send what is missing, if anything; then answer starts of seconds with their milliseconds."""
    try:
        ctypes.CDLL("libc++.so.1")
    except OSError as error:
        connection.send(str(error))
        return
    connection.send("")
    from ten_vad import TenVad

    detectors = [TenVad(TEN_HOP) for _ in range(2)]
    integers = np.round(audio.T * 32767).astype(np.int16)
    hops = round(RATE_HZ / TEN_HOP)
    with suppress(EOFError):
        while True:
            start = connection.recv()
            began = time.thread_time()
            for begin in range(start, start + hops * TEN_HOP, TEN_HOP):
                for detector, channel in zip(detectors, integers, strict=True):
                    detector.process(channel[begin : begin + TEN_HOP])
            connection.send(milliseconds(began, hops * TEN_HOP / RATE_HZ))


def smart_turn(audio: Float32) -> Peer:
    """Return Smart Turn, asked once in every pause of the call, features included.

    Raises:
        MissingExtraError: pipecat-ai is not installed.
    """
    network = SmartTurn()
    asked = len(pauses(audio)) / (len(audio) / RATE_HZ)  # answers a second

    def hear(start: int) -> float:
        end = start + RATE_HZ
        began = time.thread_time()
        network.scores([audio[max(0, end - INPUT_SAMPLES) : end, 0]])
        return milliseconds(began, 1 / asked)

    return Peer("Smart Turn v3.2", f"end of turn, once a pause: {60 * asked:.0f} a minute", hear)


def milliseconds(began: float, seconds: float) -> float:
    """Return the processor time since `began`, in ms for each of so many seconds of audio."""
    return (time.thread_time() - began) * 1000 / seconds


def pauses(audio: Float32) -> list[float]:
    """Return the times, in seconds, at which a speaker has paused for PAUSE_S."""
    times: list[float] = []
    silent, spoke = [0.0, 0.0], [False, False]
    for prediction in TurnPredictor().push_audio(audio):
        for speaker in (0, 1):
            if prediction.active[speaker]:
                silent[speaker], spoke[speaker] = 0.0, True
                continue
            silent[speaker] += prediction.frame_s
            if spoke[speaker] and silent[speaker] >= PAUSE_S:
                spoke[speaker] = False
                times.append(prediction.time_s)
    return times
