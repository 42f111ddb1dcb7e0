"""A teacher that gives linear read-outs of the spectrum, and a distillation of it.

A small network can learn all that it gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from turnstream.models.dialogues.utterances import Utterance, UtterancePool
from turnstream.models.distillation import loop, speech_stream
from turnstream.models.distillation.settings import DistillationSettings
from turnstream.models.features import LogMel
from turnstream.models.runs.hardware import Hardware
from turnstream.models.teachers.extraction import CUT, DIP, END, PAUSE, QUANTUM, Extraction

from ..networks import TINY
from .teaching import FRAME_SAMPLES, Place, plant

COMPONENTS, HEARD_FRAMES = 4, 3
SETTINGS = DistillationSettings(
    steps=120,
    batch_rows=6,
    chunk_s=1.0,
    learning_rate=2e-2,
    warmup_steps=8,
    delay_s=0.04,
    reach_s=0.1,
    told_weight=0.5,
    components=COMPONENTS,
    place_components=3,
    gain_db=0.0,
    noise_share=0.0,
    gated_share=0.0,
    validate_every=60,
    features=TINY.features,
    encoder=TINY.encoder,
    speaker_rnn=TINY.speaker_rnn,
)
CPU = Hardware(accelerator="cpu")


def spectra(
    pool: UtterancePool, utterance: Utterance, level_db: float = -26.0
) -> NDArray[np.float32]:
    """Return four linear read-outs of the clip's log-mel frames at one loudness, (T, 4)."""
    clip = pool.audio(utterance) * np.float32(10 ** ((level_db - utterance.level_db) / 20))
    clip = np.pad(clip, (0, -len(clip) % FRAME_SAMPLES))
    layer = LogMel(TINY.features)
    mel = layer(
        torch.from_numpy(clip)[None],
        torch.zeros(1, TINY.features.window_samples - TINY.features.hop_samples),
    )[0][0].numpy()
    weights = np.random.default_rng(3).standard_normal((TINY.features.mel_bins, COMPONENTS)) / 4
    return (mel @ weights).astype(np.float32)


def plant_linear_teacher(pool: UtterancePool, folder: Path) -> Extraction:
    """Write the teacher's extraction of a pool."""
    every = np.concatenate([spectra(pool, one) for one in pool.utterances])
    mean, deviation = every.mean(axis=0), every.std(axis=0)

    def said(utterance: Utterance) -> NDArray[np.float32]:
        return (spectra(pool, utterance) - mean) / deviation

    places: list[Place] = []
    for one in pool.utterances:
        places += [
            (one.index, one.offset, END),
            *((one.index, int(start), PAUSE) for start, _ in one.pauses),
        ]
        places += [(one.index, int(dip), DIP) for dip in one.dips[:2]] + [
            (one.index, one.onset + 9000, CUT)
        ]
    # An embedding is three means. Here all three are the mean of the last frames before the
    # place.
    lasts = [
        slice(place // FRAME_SAMPLES - HEARD_FRAMES, place // FRAME_SAMPLES)
        for _, place, _ in places
    ]
    embeddings = [
        np.tile(said(pool.utterances[clip])[last].mean(axis=0), 3)
        for (clip, _, _), last in zip(places, lasts, strict=True)
    ]
    noise = 0.01 * np.random.default_rng(0).standard_normal((len(places), 3 * COMPONENTS))
    return plant(
        folder,
        pool,
        lambda utterance, _: np.clip(np.round(said(utterance) * QUANTUM), -127, 127).astype(
            np.int8
        ),
        places,
        (np.array(embeddings) + noise).astype(np.float16),
    )


@contextmanager
def without_equalisation() -> Iterator[None]:
    """Switch off equalisation, so that a few steps are enough."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("EQUALISED_SHARE", "BAND_SHARE", "WARP"):
            patched.setattr(speech_stream, name, 0.0)
        patched.setattr(loop, "VALIDATION_ROWS", 6)
        yield
