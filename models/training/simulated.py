"""Training conversations straight from the simulator: other processes make them while training goes on. No torch.

Conversation `number` is dialogue `number` of the run's seed, so the series does not depend on how many workers make it.
At most twice as many dialogues as there are workers are begun ahead of need (one of five minutes is 20 MB).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from ...stream.errors import ConfigError, DialogueError
from ..dialogues.simulation import LENGTHS_S, Material, SimulatedDialogue, open_material, simulate
from ..dialogues.utterances import SAMPLE_RATE_HZ
from .labelled import LabelledAudio, label_audio
from .settings import TrainingSettings
from .sources import ConversationSource

AHEAD_PER_WORKER = 2

_material: Material | None = None  # one per worker process, read once


class SimulatedDialogues(ConversationSource):
    """Dialogues simulated from a folder of material as they are needed.

    Args:
        folder: material, as for `turnstream simulate`.
        settings: of the run; its seed is the simulator's.
        cache: where decoded utterances are kept.
        workers: processes that simulate, at least one.
        lengths_s: shortest and longest dialogue.
        synthetic: synthetic voices too; needs a speech synthesiser.
        finality: folder of a judge's scores of how complete turns sound (dialogues/finality.py).
    Raises:
        ConfigError: no worker, lengths that are none, or a network of another sample rate than the simulator's.
        DialogueError: material that cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        settings: TrainingSettings,
        cache: Path,
        *,
        workers: int = 1,
        lengths_s: tuple[float, float] = LENGTHS_S,
        synthetic: bool = True,
        finality: Path | None = None,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"expected at least one process to simulate, got {workers}")
        if not 0 < lengths_s[0] <= lengths_s[1]:
            raise ConfigError(
                f"expected lengths of simulated dialogues with 0 < shortest <= longest, got {lengths_s[0]:g} and {lengths_s[1]:g}"
            )
        if settings.model.features.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ConfigError(
                f"expected a network at the simulator's {SAMPLE_RATE_HZ} Hz, got {settings.model.features.sample_rate_hz} Hz"
            )
        self.workers = workers
        self._settings = settings
        self._lengths_s = lengths_s
        arguments = (folder, cache, "train", workers, synthetic, finality)
        speakers = open_material(
            *arguments
        ).cast.speakers  # decodes and synthesises once, before the workers share the result
        judged = finality is not None
        self._fingerprint = f"simulated from {speakers} speakers, {lengths_s[0]:g} to {lengths_s[1]:g} s, synthetic voices {synthetic}, judged {judged}"
        self._pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _open, arguments
        )
        self._begun: dict[int, Future[SimulatedDialogue]] = {}

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def conversation(self, number: int) -> LabelledAudio:
        try:
            simulated = (self._begun.pop(number, None) or self._begin(number)).result()
        except BrokenProcessPool:
            raise DialogueError(
                "expected the processes that simulate to go on, got one that ended (out of memory?)"
            ) from None
        audio = np.divide(simulated.audio, 32768, dtype=np.float32)
        audio, labels = label_audio(
            audio,
            simulated.activity,
            simulated.backchannel,
            self._settings.model,
            simulated.finality,
        )
        if labels.vad.shape[1] < self._settings.chunk_frames:
            got_s = audio.shape[1] / SAMPLE_RATE_HZ
            raise DialogueError(
                f"expected simulated dialogues of at least one chunk ({self._settings.chunk_s:g} s), got one of {got_s:.1f} s; make them longer"
            )
        return audio, labels

    def prefetch(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if len(self._begun) >= AHEAD_PER_WORKER * self.workers:
                return
            if number not in self._begun:
                self._begun[number] = self._begin(number)

    def _begin(self, number: int) -> Future[SimulatedDialogue]:
        try:
            return self._pool.submit(_simulate, self._settings.seed, number, self._lengths_s)
        except BrokenProcessPool as error:
            failed: Future[SimulatedDialogue] = Future()
            failed.set_exception(error)  # told to whoever waits for it
            return failed

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _open(
    folder: Path, cache: Path, split: str, jobs: int, synthetic: bool, finality: Path | None
) -> None:
    global _material  # noqa: PLW0603  (a worker's own)
    _material = open_material(folder, cache, split, jobs, synthetic, finality)


def _simulate(seed: int, number: int, lengths_s: tuple[float, float]) -> SimulatedDialogue:
    assert _material is not None
    return simulate(_material, seed, number, lengths_s)
