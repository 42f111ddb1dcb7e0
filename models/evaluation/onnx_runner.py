"""Run whole dialogues through the engine, many in one batch, with the same steps as live.

torch_runner.py does the same with a network in torch. Both give an EvaluatedDialogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...stream.contract import PROBABILITIES
from ...stream.engine import Engine
from ...stream.floor import FloorTracker
from ...stream.pause_model import PauseModel
from ...stream.pause_tracker import PauseTracker
from ...stream.session import levels_dbfs
from .predictions import DialoguePrediction, EvaluatedDialogue
from .recording import Recording

Float32 = NDArray[np.float32]
Outputs = dict[str, Float32]  # every output by its name, (2, T)
# Input channels of the three batch rows of a dialogue: both, the first alone, the second alone.
CHANNEL_MASKS = np.array([[1, 1], [1, 0], [0, 1]], np.float32)[:, :, None]


def evaluate_dialogues(
    engine: Engine,
    recordings: Sequence[Recording],
    pause_models: Mapping[str, PauseModel] | None = None,
) -> list[EvaluatedDialogue]:
    """Run dialogues through a model, in stereo and mono, and bring its predictions to 50 Hz.

    Args:
        engine: the model.
        recordings: the dialogues; their audio is at the model's sample rate.
        pause_models: of each dialogue, by id; asked in its pauses, as in a live conversation.
            None for none.
    Raises:
        DialogueError: a dialogue has no audio.
    """
    evaluated: list[EvaluatedDialogue] = []
    rows = step_recordings(engine, [recording.audio for recording in recordings])
    for recording, outputs in zip(recordings, rows, strict=True):
        if pause_models is not None:
            for row, mask in zip(outputs, CHANNEL_MASKS, strict=True):
                mix_pauses(row, recording.audio * mask, engine, pause_models[recording.id])
        stereo, first, second = (
            DialoguePrediction.from_outputs(
                row, engine.metadata.frame_rate_hz, recording.activity.shape[1]
            )
            for row in outputs
        )
        evaluated.append(
            EvaluatedDialogue(
                recording.id, recording.activity, recording.backchannel, stereo, (first, second)
            )
        )
    return evaluated


def mix_pauses(outputs: Outputs, audio: Float32, engine: Engine, pause_model: PauseModel) -> None:
    """Ask the pause model as a live conversation does, and change `p_next` of the outputs.

    Args:
        outputs: of `step_recordings`, for this audio.
        audio: what the model heard, (2, N).
        engine: the model.
        pause_model: the pause model.
    """
    size = engine.metadata.frame_samples
    frame_s = size / engine.metadata.sample_rate_hz
    floor, pause = FloorTracker(), PauseTracker()
    p_next = outputs["p_next"]
    for t, vad in enumerate(outputs["vad"].T.tolist()):
        frame = np.ascontiguousarray(audio[:, t * size : (t + 1) * size])
        frame = np.pad(frame, ((0, 0), (0, size - frame.shape[1])))
        both = vad[0], vad[1]
        floor.update(both, frame_s, levels_dbfs(frame))
        pause.update(both, floor.holder, frame_s)
        first, second = p_next[:, t].tolist()
        p_next[:, t] = pause.mixed((first, second), floor.holder, pause_model.head.mix)
        if pause.due is not None:
            heard = audio[pause.due, max(0, (t + 1) * size - pause_model.samples) : (t + 1) * size]
            pause.answer(pause_model.logit(np.ascontiguousarray(heard)))


def step_recordings(
    engine: Engine, recordings: Sequence[Float32]
) -> list[tuple[Outputs, Outputs, Outputs]]:
    """Run every recording from its own beginning to its own end, three times in one batch.

    Args:
        engine: the model.
        recordings: samples in [-1, 1] at the model's sample rate, (2, N) each; an incomplete last
            frame is padded with zeros.
    Returns:
        For each recording, the outputs with both channels as input, with the first channel alone,
        and with the second alone. The missing channel is digital silence. Each output is (2,
        ceil(N / frame_samples)).
    """
    size, masks = engine.metadata.frame_samples, len(CHANNEL_MASKS)
    frames = [-(-audio.shape[1] // size) for audio in recordings]
    # Longest first: recordings that are still running are then the first batch rows.
    order = sorted(range(len(frames)), key=lambda index: -frames[index])
    outputs = [
        {name: np.zeros((masks, 2, count), np.float32) for name in PROBABILITIES}
        for count in frames
    ]
    state = engine.init_state(masks * len(recordings))
    for t in range(max(frames, default=0)):
        running = [index for index in order if frames[index] > t]
        audio = np.zeros((len(running), masks, 2, size), np.float32)
        for row, index in zip(audio, running, strict=True):
            frame = recordings[index][:, t * size : (t + 1) * size]
            row[:, :, : frame.shape[1]] = frame * CHANNEL_MASKS
        output, state = engine.step(audio.reshape(-1, 2, size), state[: masks * len(running)])
        for name in PROBABILITIES:
            values = getattr(output, name).reshape(-1, masks, 2)
            for index, value in zip(running, values, strict=True):
                outputs[index][name][:, :, t] = value

    def of(index: int, row: int) -> Outputs:
        return {name: outputs[index][name][row] for name in PROBABILITIES}

    return [(of(index, 0), of(index, 1), of(index, 2)) for index in range(len(recordings))]
