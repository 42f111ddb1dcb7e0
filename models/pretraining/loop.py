"""The loop of pre-training: conversations as in `turnstream train`, but without labels.

It runs in one process, and can be resumed exactly.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...stream.errors import ConfigError
from ..dialogues.labels import FrameLabels
from ..dialogues.loading import duration_s, load_audio
from ..dialogues.manifest import Dialogue
from ..projection import UNKNOWN
from ..runs.run_folder import begin_run, read_checkpoint, refuse_to_overwrite, write_validation
from ..training.labelled import LabelledAudio
from ..training.sources import ConversationSource, ShuffledDialogues
from ..training.stream import ConversationStream
from .network import PretrainingNetwork, save_network
from .objectives import perplexity
from .settings import PretrainingSettings

_log = logging.getLogger(__name__)


class UnlabelledDialogues(ShuffledDialogues):
    """Shuffled dialogues of which only the audio is read. They need no labels."""

    def load(self, dialogue: Dialogue) -> LabelledAudio:
        audio = load_audio(dialogue, self._chunks.sample_rate_hz)
        frames = audio.shape[1] // self._chunks.frame_samples
        silent, unknown = np.zeros((2, frames), bool), np.full(frames, UNKNOWN)
        nothing = np.zeros(frames, np.float32)
        labels = FrameLabels(
            silent,
            unknown,
            unknown,
            nothing + 0.5,
            nothing,
            silent,
            np.full((2, frames), np.nan, np.float32),
        )
        return audio[:, : frames * self._chunks.frame_samples], labels


def pretrain(
    settings: PretrainingSettings,
    training: Sequence[Dialogue] | ConversationSource,
    out: Path,
    *,
    validation: Sequence[Dialogue] = (),
    resume: bool = False,
    device: str = "auto",
) -> PretrainingNetwork:
    """Train an encoder and write it to `out`, in the same files as a run of `turnstream train`.

    Args:
        settings: settings of the run.
        training: conversations to learn from; a source is not closed.
        out: folder of the run; each validation writes a checkpoint there.
        validation: held-out conversations, on which the objective is measured. If there are none,
            the measures of the last training chunk are used.
        resume: resume exactly from the last checkpoint in the folder.
        device: torch device; "auto" is a GPU if there is one.
    Returns:
        The network, in evaluation mode, on the CPU.
    Raises:
        ConfigError: there is no such device, or nothing to train on or to resume from; or `out`
            already contains a run, but resume is not set; or the checkpoint has other settings or
            dialogues.
        DialogueError: a conversation cannot be read.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"expected a device that this machine has, got {device!r}")
    if validation and max(duration_s(dialogue) for dialogue in validation) < settings.chunk_s:
        raise ConfigError(
            f"expected a held-out dialogue of {settings.chunk_s:g} s or more, got none"
        )
    source = (
        training
        if isinstance(training, ConversationSource)
        else UnlabelledDialogues(training, settings.chunks)
    )
    saved = read_checkpoint(out, settings) if resume else None
    if saved is None:
        refuse_to_overwrite(out)
    torch.manual_seed(settings.seed)
    network = PretrainingNetwork(settings).to(device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        settings.learning_rate,
        total_steps=settings.steps,
        pct_start=min(0.3, settings.warmup_steps / settings.steps),
    )
    stream = ConversationStream(source, settings.chunks)
    state, first = network.init_state(settings.batch_rows), 0
    parts: dict[str, Any] = {
        "network": network,
        "optimizer": optimizer,
        "schedule": schedule,
        "stream": stream,
    }
    if saved is not None:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        state, first = saved["state"].to(device), saved["step"]
        torch.set_rng_state(saved["generator"])
        if "cuda_generator" in saved and state.is_cuda:
            torch.cuda.set_rng_state(saved["cuda_generator"], state.device)
        _log.info("resumed from step %d", first)
    begin_run(out, settings, first)
    network.train()
    progress = tqdm(
        range(first + 1, settings.steps + 1),
        initial=first,
        total=settings.steps,
        unit="step",
        disable=None,
    )
    for step in progress:
        chunk = stream.next_chunk()
        state = torch.where(chunk.begins[:, None].to(device), torch.zeros_like(state), state)
        judged, state = network(chunk.audio.to(device), state)
        optimizer.zero_grad(set_to_none=True)
        judged.loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
        optimizer.step()
        schedule.step()
        state = state.detach()
        if step % 20 == 0:
            progress.set_postfix(
                {
                    name: f"{float(value):.3f}"
                    for name, value in judged.measures.items()
                    if not name.startswith("accuracy_")
                }
            )
        if step % settings.validate_every == 0 or step == settings.steps:
            measured = (
                measure(network, validation)
                if validation
                else {name: float(value) for name, value in judged.measures.items()}
            )
            progress.write(
                f"step {step}: "
                + ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
            )
            kept = {name: part.state_dict() for name, part in parts.items()} | {
                "state": state.cpu(),
                "generator": torch.get_rng_state(),
            }
            kept |= (
                {"cuda_generator": torch.cuda.get_rng_state(state.device)} if state.is_cuda else {}
            )
            write_validation(out, settings, step, measured, kept)
    save_network(network, out)
    return network.cpu().eval()


def measure(network: PretrainingNetwork, dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Return the measures of the objective on held-out dialogues, averaged over chunks.

    They include the perplexity of each codebook: the effective number of codes in use, from 1 to
    the size of the codebook. Every call draws the same negatives.

    Raises:
        ConfigError: no dialogue is as long as a chunk.
    """
    settings, device = network.settings, next(network.parameters()).device
    sums: dict[str, float] = {}
    counts: dict[str, Tensor] = {}
    chunks = 0
    training = network.training
    network.eval()
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for dialogue in dialogues:
            state = network.init_state(1)
            for audio in _chunks(load_audio(dialogue, settings.features.sample_rate_hz), settings):
                judged, state = network(torch.from_numpy(audio)[None].to(device), state)
                chunks += 1
                for name, value in judged.measures.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
                for name, index in judged.codes.items():
                    counts[name] = counts.get(name, torch.zeros(settings.codes)) + torch.bincount(
                        index.flatten().cpu(), minlength=settings.codes
                    )
    network.train(training)
    if not chunks:
        raise ConfigError(
            f"expected a held-out dialogue of {settings.chunk_s:g} s or more, got none"
        )
    # The commitment is known in training only.
    measured = {name: value / chunks for name, value in sums.items() if name != "commitment"}
    if "reconstruction" in measured:
        measured["explained"] = (
            1 - measured["reconstruction"] / measured["variance"]
            if measured["variance"]
            else math.nan
        )
    return measured | {f"perplexity_{name}": perplexity(count) for name, count in counts.items()}


def _chunks(
    audio: np.ndarray[Any, np.dtype[np.float32]], settings: PretrainingSettings
) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    size = settings.chunks.samples
    return [audio[:, start : start + size] for start in range(0, audio.shape[1] - size + 1, size)]
