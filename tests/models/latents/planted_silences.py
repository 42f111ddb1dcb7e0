"""A collection of noise with a signal of known time and size in its shifts and holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from turnstream.models.latents.collection import (
    About,
    CollectedDialogue,
    Collection,
    write_about,
    write_events,
)
from turnstream.models.latents.writing import write_frames
from turnstream.stream.contract import PROBABILITIES

SIZES = {"latent_speaker": 6, "latent": 5}
RATE_HZ = 50.0
EVERY, LASTS = 200, 30  # frames from one silence to the next, and of a silence


def planted_silences(
    folder: Path,
    *,
    dialogues: int = 5,
    silences: int = 16,
    onset_s: float | None = -0.4,
    size: float = 1.5,
    seed: int = 0,
) -> Collection:
    """From `onset_s` to a silence's end, a unit is `size` higher in shifts and lower in holds.

    It is unit 2 of the last layer, of the speaker before the silence.

    Every other column is noise, or says the same in every frame. Which events are shifts, and which
    speaker is the one before, is drawn.
    """
    rng = np.random.default_rng(seed)
    described = tuple(
        CollectedDialogue(f"d{n}", "", (), None, 0.0, None, "made") for n in range(dialogues)
    )
    about = About("planted", "0" * 64, RATE_HZ, SIZES, described)
    write_about(folder, about)
    for number in range(dialogues):
        frames = EVERY * (silences + 1)
        latents = {
            name: rng.normal(0, 1, (frames, 2, width)).astype(np.float32)
            for name, width in SIZES.items()
        }
        kinds = rng.permutation(np.arange(silences) % 2 == 0)
        rows = []
        for place, shift in enumerate(kinds):
            start, speaker = EVERY * (place + 1), int(rng.integers(2))
            if onset_s is not None:
                # A state at time t is that of the frame that ends at t.
                first = start + round(onset_s * RATE_HZ) - 1
                latents["latent"][first : start + LASTS, speaker, 2] += size if shift else -size
            common = {
                **{"dialogue": f"d{number}", "split": "", "speaker": speaker, "ending": ""},
                **{"start_s": start / RATE_HZ, "end_s": (start + LASTS) / RATE_HZ},
                "next": 1 - speaker if shift else speaker,
            }
            judged = {"p_shift": 0.5, "correct": bool(rng.integers(2))}
            rows.append(common | judged | {"kind": "shift" if shift else "hold"})
            rows.append(common | {"kind": "gap" if shift else "pause"})
        columns = {name: rng.random((frames, 2)) for name in PROBABILITIES}
        constant = {"holder": np.array(0), "floor": np.array("speech")}
        write_events(folder, number, rows)
        write_frames(folder, number, about, columns | constant | latents)
    return Collection(folder)
