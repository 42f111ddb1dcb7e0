"""What the JavaScript package must reproduce: inputs, and what Python makes of them, as JSON.

`python tests/stream/js/vectors.py FOLDER` writes `predictor.json`, `policy.json` and
`resample.json` for tests of another implementation. `--presets` writes the policy's settings to
stream/js/presets.js, which a test compares with stream/policy_settings.py.
"""

from __future__ import annotations

import argparse
import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from turnstream import TurnPredictor
from turnstream.stream.engine import bundled_model
from turnstream.stream.floor import FloorTracker
from turnstream.stream.policy import TurnPolicy
from turnstream.stream.policy_settings import (
    _RANGES,
    POLICY_VALUES,
    PRESETS,
    PolicySettings,
)
from turnstream.stream.prediction import Prediction, TurnEvent
from turnstream.stream.resample import StreamingResampler
from turnstream.stream.sources import bundled_sample

ROOT = Path(__file__).parents[3]
PRESETS_FILE = ROOT / "stream" / "js" / "presets.js"
FRAME_S = 0.02
NO_LATENT = np.zeros((2, 1), np.float32)
RATES_HZ = (8000, 16000, 44100)


def presets_module() -> str:
    """Return the text of stream/js/presets.js."""
    presets = {name: asdict(settings) for name, settings in PRESETS.items()}
    ranges = {name: _RANGES[name.rsplit("_", 1)[1]] for name in POLICY_VALUES}
    return (
        "// Written by `python tests/stream/js/vectors.py --presets` from\n"
        "// stream/policy_settings.py, which says what the values mean. Do not edit.\n\n"
        "/** Settings of the policy by the name of the preset. */\n"
        f"export const PRESETS = {json.dumps(presets, indent=2)};\n\n"
        "/** Smallest and largest value of each setting. */\n"
        f"export const RANGES = {_short_lists(ranges)};\n"
    )


def _short_lists(ranges: dict[str, tuple[float, float]]) -> str:
    lines = [f'  "{name}": [{low:g}, {high:g}],' for name, (low, high) in ranges.items()]
    return "\n".join(["{", *lines, "}"])


def part_of_the_call(rate_hz: int, start_s: float, end_s: float) -> NDArray[np.int16]:
    """Return a part of the bundled call at another rate, (N, 2) int16."""
    samples, file_rate_hz = sf.read(bundled_sample(), dtype="float32", always_2d=True)
    part = samples[round(start_s * file_rate_hz) : round(end_s * file_rate_hz)]
    resampler = StreamingResampler(file_rate_hz, rate_hz, 2)
    resampled = np.concatenate([resampler.push(part), resampler.flush()])
    return np.clip(np.rint(32768 * resampled), -32768, 32767).astype(np.int16)


def predictor_vector(
    model: Path,
    samples: NDArray[np.int16],
    rate_hz: int,
    *,
    channels: int = 2,
    policy: str | PolicySettings = "balanced",
) -> dict[str, Any]:
    """Return audio, and the predictions on it."""
    predictor = TurnPredictor(model, sample_rate_hz=rate_hz, policy=policy, pause_model=False)
    predictions = predictor.push_audio(samples[:, :channels]) + predictor.flush()
    return {
        "model": str(model),
        "sampleRate": rate_hz,
        "channels": channels,
        "policy": policy if isinstance(policy, str) else "balanced",
        "policyValues": {} if isinstance(policy, str) else asdict(policy),
        "samples": base64.b64encode(
            np.ascontiguousarray(samples[:, :channels], "<i2").tobytes()
        ).decode(),
        "predictions": [_prediction(one) for one in predictions],
        "latent": predictions[-1].latent.ravel().tolist(),
        "latentSpeaker": predictions[-1].latent_speaker.ravel().tolist(),
    }


def _prediction(one: Prediction) -> dict[str, Any]:
    values = msgspec.structs.asdict(one)
    del values["latent"], values["latent_speaker"]
    values["events"] = [_event(event) for event in one.events]
    return {_camel(name): value for name, value in values.items()}


def _event(event: TurnEvent) -> dict[str, Any]:
    return {_camel(name): value for name, value in msgspec.structs.asdict(event).items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def predictor_vectors(tiny_model: Path | None = None) -> list[dict[str, Any]]:
    """Return predictions on the bundled call, by the bundled models and by a tiny one."""
    vectors = [
        predictor_vector(bundled_model(), part_of_the_call(rate_hz, 12.5, 21.0), rate_hz)
        for rate_hz in RATES_HZ
    ]
    call = part_of_the_call(8000, 12.5, 21.0)
    vectors.append(predictor_vector(bundled_model(), call, 8000, channels=1, policy="fast"))
    vectors.append(predictor_vector(bundled_model("int8"), call, 8000, policy="patient"))
    if tiny_model is not None:
        eager = PolicySettings(end_threshold=0.2, eager_threshold=0.1, end_silence_secs=0.3)
        short = part_of_the_call(44100, 13.0, 16.0)
        vectors.append(predictor_vector(tiny_model, short, 44100, policy=eager))
    return vectors


def policy_vectors(scenes: int = 40) -> list[dict[str, Any]]:
    """Return planted probabilities and levels, and the events of the policy for them."""
    return [_policy_vector(np.random.default_rng(seed)) for seed in range(scenes)]


def _policy_vector(rng: np.random.Generator) -> dict[str, Any]:
    policy = list(PRESETS)[rng.integers(len(PRESETS))]
    values = {} if rng.random() < 0.5 else _values(rng)
    settings = PolicySettings(**(asdict(PRESETS[policy]) | values))
    machine, floor = TurnPolicy(settings), FloorTracker()
    frames: list[dict[str, Any]] = []
    while len(frames) < 1000:
        speaking = rng.random(2) < (0.45, 0.4)
        sure = rng.random()
        p_user_next, backchannel = float(rng.random()), rng.random(2).round(4)
        level = np.where(rng.random(2) < 0.8, -25.0, -52.0) + rng.normal(0, 3, 2)
        for _ in range(rng.integers(2, 70)):
            vad = np.clip(np.where(speaking, 0.5 + sure / 2, 0.3) + rng.normal(0, 0.08, 2), 0, 1)
            frames.append(
                _frame(
                    machine,
                    floor,
                    len(frames),
                    vad.round(4).tolist(),
                    p_user_next,
                    backchannel.tolist(),
                    np.where(speaking, level, -75.0).round(2).tolist(),
                )
            )
            if rng.random() < 0.002:
                speaker = int(rng.integers(2))
                frames[-1]["endTurn"] = {
                    "speaker": speaker,
                    "events": [_event(event) for event in machine.end_turn(speaker)],
                }
    return {"policy": policy, "policyValues": values, "frames": frames}


def _values(rng: np.random.Generator) -> dict[str, float]:
    end_threshold, end_silence_s = rng.uniform(0.1, 0.9), rng.uniform(0.1, 1.0)
    return {
        "end_threshold": end_threshold,
        "eager_threshold": end_threshold * rng.random(),
        "end_silence_secs": end_silence_s,
        "eager_silence_secs": end_silence_s * rng.random(),
        "timeout_secs": end_silence_s + rng.random(),
        "start_secs": rng.uniform(0.0, 0.3),
        "overlap_secs": rng.uniform(0.0, 0.6),
        "backchannel_threshold": rng.uniform(0.1, 0.9),
        "backchannel_max_secs": rng.uniform(0.2, 1.5),
        "min_level_dbfs": rng.uniform(-80.0, -40.0),
        "speech_range_db": rng.uniform(5.0, 40.0),
    }


def _frame(
    machine: TurnPolicy,
    floor: FloorTracker,
    index: int,
    vad: list[float],
    p_user_next: float,
    p_backchannel: list[float],
    level_dbfs: list[float],
) -> dict[str, Any]:
    levels = (level_dbfs[0], level_dbfs[1])
    floor.update((vad[0], vad[1]), FRAME_S, levels)
    prediction = Prediction(
        frame=index,
        time_s=(index + 1) * 320 / 16000,
        holder=floor.holder,
        p_shift=None,
        p_hold=None,
        vad=(vad[0], vad[1]),
        p_now=(0.5, 0.5),
        p_future=(0.5, 0.5),
        p_next=(p_user_next, 1 - p_user_next),
        p_backchannel=(p_backchannel[0], p_backchannel[1]),
        latent=NO_LATENT,
        latent_speaker=NO_LATENT,
        active=floor.active,
        level_dbfs=levels,
    )
    events = machine.update(prediction)
    return {
        "vad": vad,
        "pNext": prediction.p_next,
        "pBackchannel": p_backchannel,
        "levelDbfs": level_dbfs,
        "holder": floor.holder,
        "active": floor.active,
        "events": [_event(event) for event in events],
    }


def resample_vectors() -> list[dict[str, Any]]:
    """Return noise at several rates, and the resampler's output at 16 kHz and at 44.1 kHz."""
    rng = np.random.default_rng(0)
    vectors: list[dict[str, Any]] = []
    rates = [(8000, 16000), (44100, 16000), (48000, 16000), (22051, 16000), (16000, 16000)]
    for input_rate_hz, output_rate_hz in [*rates, (192000, 8000), (8000, 44100)]:
        inputs = rng.uniform(-1, 1, (input_rate_hz // 20, 2)).astype(np.float32)
        resampler = StreamingResampler(input_rate_hz, output_rate_hz, 2)
        outputs = np.concatenate([resampler.push(inputs), resampler.flush()])
        vectors.append(
            {
                "inputRate": input_rate_hz,
                "outputRate": output_rate_hz,
                "inputs": inputs.T.tolist(),
                "outputs": outputs.T.tolist(),
            }
        )
    return vectors


def write_vectors(folder: Path, tiny_model: Path | None = None) -> None:
    """Write all vectors to a folder that exists."""
    vectors = {
        "predictor": predictor_vectors(tiny_model),
        "policy": policy_vectors(),
        "resample": resample_vectors(),
    }
    for name, content in vectors.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="folder that the vectors go to")
    parser.add_argument("--presets", action="store_true", help="write stream/js/presets.js")
    args = parser.parse_args()
    if args.presets:
        PRESETS_FILE.write_text(presets_module())
    if args.folder is not None:
        args.folder.mkdir(parents=True, exist_ok=True)
        write_vectors(args.folder)


if __name__ == "__main__":
    main()
