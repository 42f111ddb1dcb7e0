"""Training conversations straight from the simulator. No torch.

Other processes simulate while the network trains. Conversation `number` is dialogue `number` of
the run's seed, so the series does not depend on the number of workers. At most two dialogues per
worker are simulated ahead of need (a dialogue of five minutes takes 20 MB). When a worker dies, all
of them are started again, and so is what they had begun. This is not `work.map_tasks`, because only
the training knows which dialogue it needs next.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from ...stream.errors import ConfigError, DialogueError
from ..dialogues.simulation import LENGTHS_S, SimulatedDialogue
from ..dialogues.simulators import SimulationSource, simulate_here
from ..dialogues.utterances import SAMPLE_RATE_HZ
from ..work import TRIES, Workers
from .labelled import LabelledAudio, label_audio
from .settings import TrainingSettings
from .sources import ConversationSource

AHEAD_PER_WORKER = 2


class SimulatedDialogues(ConversationSource):
    """Dialogues that are simulated as they are needed.

    Args:
        folder: data to simulate from, as for `turnstream simulate`.
        settings: settings of the run; the simulator uses the same seed.
        cache: folder of decoded utterances.
        workers: processes that simulate, at least one.
        lengths_s: shortest and longest dialogue in seconds.
        synthetic: use synthetic voices too; this needs a speech synthesiser.
        completeness: folder of a judge's scores of turn completeness (dialogues/completeness.py).
    Raises:
        ConfigError: there is no worker, the lengths are invalid, or the network's sample rate is
            not the simulator's.
        DialogueError: the data cannot be used.
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
        completeness: Path | None = None,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"expected at least one process to simulate, got {workers}")
        if not 0 < lengths_s[0] <= lengths_s[1]:
            raise ConfigError(
                "expected lengths of simulated dialogues with 0 < shortest <= longest, "
                f"got {lengths_s[0]:g} and {lengths_s[1]:g}"
            )
        if settings.model.features.sample_rate_hz != SAMPLE_RATE_HZ:
            raise ConfigError(
                f"expected a network at the simulator's {SAMPLE_RATE_HZ} Hz, "
                f"got {settings.model.features.sample_rate_hz} Hz"
            )
        self.workers = workers
        self._settings = settings
        self._lengths_s = lengths_s
        self._source = SimulationSource(
            folder, cache, synthetic=synthetic, completeness=completeness
        )
        # This decodes and synthesises once; the processes then find the result in the cache.
        speakers = self._source.open(Workers(workers)).cast.speakers
        judged = completeness is not None
        self._fingerprint = (
            f"simulated from {speakers} speakers, "
            f"{lengths_s[0]:g} to {lengths_s[1]:g} s, synthetic voices {synthetic}, judged {judged}"
        )
        self._executor = self._start()
        self._begun: dict[int, Future[SimulatedDialogue]] = {}

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    def conversation(self, number: int) -> LabelledAudio:
        simulated = self._await(number)
        audio = np.divide(simulated.audio, 32768, dtype=np.float32)
        audio, labels = label_audio(
            audio,
            simulated.activity,
            simulated.backchannel,
            self._settings.model,
            simulated.completeness,
        )
        if labels.vad.shape[1] < self._settings.chunks.frames:
            got_s = audio.shape[1] / SAMPLE_RATE_HZ
            raise DialogueError(
                "expected simulated dialogues of at least one chunk "
                f"({self._settings.chunk_s:g} s), got one of {got_s:.1f} s; make them longer"
            )
        return audio, labels

    def prefetch(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if len(self._begun) >= AHEAD_PER_WORKER * self.workers:
                return
            if number not in self._begun:
                self._begun[number] = self._begin(number)

    def _start(self) -> ProcessPoolExecutor:
        # Not multiprocessing.Pool: it waits for ever when a process cannot start.
        return ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"))

    def _await(self, number: int) -> SimulatedDialogue:
        for _ in range(TRIES):
            try:
                return (self._begun.pop(number, None) or self._begin(number)).result()
            except BrokenProcessPool:
                self.close()
                self._executor = self._start()
                self._begun = {begun: self._begin(begun) for begun in (number, *self._begun)}
        raise DialogueError(
            f"expected dialogue {number} to be simulated, got a process that ended each of {TRIES} "
            "times (out of memory?)"
        )

    def _begin(self, number: int) -> Future[SimulatedDialogue]:
        try:
            return self._executor.submit(
                simulate_here, self._source, self._settings.seed, number, self._lengths_s
            )
        except BrokenProcessPool as error:
            failed: Future[SimulatedDialogue] = Future()
            failed.set_exception(error)  # raised where the result is awaited
            return failed

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
