"""Distillation: encoder and per-speaker RNN learn to predict the output of a frozen teacher.

The teacher processes an utterance as a whole, the network only the audio so far. The network has
three targets:

- The frame that the teacher outputs for the moment `delay_s` ago, as principal components. It is a
  target wherever there is speech.
- The last frames that the teacher outputs if only silence follows (teachers/extraction.py). They
  are a target at every stop point that the teacher was asked about, and in the silence after it. A
  stop point is a point of an utterance where the speaker could stop.
- Turn completeness at these stop points, by the text judge: it was fitted on the texts of the
  utterances and on no call.

A judge of turn completeness is a linear function of the second target. The third target makes sure
that the direction that matters is not lost among the other components.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from tqdm import tqdm

from ...stream.errors import ConfigError
from ..dialogues.channel import Surroundings
from ..muon import Muon
from ..runs.hardware import Hardware
from ..runs.launch import keep_precise, launched, open_fabric, own_rows
from ..runs.run_folder import begin_run, read_checkpoint, refuse_to_overwrite, write_validation
from ..teachers.extraction import Extraction
from ..teachers.stop_point_space import StopPointSpace
from .network import DistilledNetwork, load_distilled, save_distilled
from .settings import DistillationSettings
from .speech_stream import SpeechChunk, SpeechStream
from .targets import Targets

VALIDATION_ROWS, VALIDATION_CHUNKS = 24, 6


def losses_of(
    network: nn.Module, chunk: SpeechChunk, targets: Targets, state: Tensor
) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    """Return losses, the next state, and sums from which explained variance is computed.

    The losses are mean squared errors over the frames that have a target, by name.
    """
    device = state.device
    audio, line, warp = (
        torch.from_numpy(array).to(device) for array in (chunk.audio, chunk.line, chunk.warp)
    )
    frames, stop_points, judge, state = network(audio, line, warp, state)
    wanted = targets.of_chunk(chunk)
    frame_error = (frames[wanted.known] - wanted.frames) ** 2
    stop_point_error = (stop_points[wanted.asked] - wanted.stop_points) ** 2
    judge_error = (judge[wanted.judged] - targets.judge[wanted.rows[wanted.judged]]) ** 2
    losses = {
        "frames": frame_error.mean() if len(frame_error) else frames.sum() * 0,
        "places": stop_point_error.mean() if len(stop_point_error) else stop_points.sum() * 0,
        "told": judge_error.mean() if len(judge_error) else judge.sum() * 0,
    }
    asked_logits = targets.judge[wanted.rows[wanted.asked]]
    sums = {
        "frame_error": frame_error.detach().sum(dim=0),
        "frame_square": (wanted.frames**2).sum(dim=0),
        "place_error": stop_point_error.detach().sum(dim=0),
        "place_square": (wanted.stop_points**2).sum(dim=0),
        "told_error": ((judge[wanted.asked] - asked_logits) ** 2).detach().sum(),
        "told_square": (asked_logits**2).sum(),
    }
    return losses, state, sums


def distil(
    settings: DistillationSettings,
    extraction: Extraction,
    surroundings: Surroundings,
    out: Path,
    *,
    initial: Path | None = None,
    resume: bool = False,
    hardware: Hardware | None = None,
) -> None:
    """Distil a teacher into an encoder and a per-speaker RNN, and write them to `out`.

    A resumed run uses other speech than an uninterrupted one: its batch rows start anew, with
    other random draws.

    Args:
        settings: settings of the run.
        extraction: output of the teacher for a pool of utterances.
        surroundings: rooms and noises to draw from.
        out: folder of the run.
        initial: folder of a distillation of the same shape whose weights the run starts from.
        resume: resume from the last checkpoint in the folder.
        hardware: devices to train on; default: one process on the best available device.
    Raises:
        ConfigError: there is nothing to learn from, to start from or to resume from, or fewer
            components than the settings ask for; or `initial` holds a network of another shape;
            or `out` already contains a run, but resume is not set; or the checkpoint has other
            settings.
    """
    hardware = hardware or Hardware()
    if settings.components > extraction.width:
        raise ConfigError(
            f"expected at most {extraction.width} components, as many as were extracted, "
            f"got {settings.components}"
        )
    fabric = open_fabric(hardware, settings.batch_rows)
    saved = read_checkpoint(out, settings) if resume else None
    start = None
    if saved is None:
        refuse_to_overwrite(out)
        if initial is not None:
            start = load_distilled(initial)
            _refuse_another_shape(start[0].settings, settings, initial)
    with launched(fabric, hardware, 0):
        _train(fabric, settings, extraction, surroundings, out, start, saved)
        fabric.barrier()


def _refuse_another_shape(
    theirs: DistillationSettings, wanted: DistillationSettings, folder: Path
) -> None:
    for name in ("features", "encoder", "speaker_rnn", "components", "place_components"):
        before, now = getattr(theirs, name), getattr(wanted, name)
        if before != now:
            raise ConfigError(f"{folder}: expected its {name} to be {now}, got {before}")


def _train(
    fabric: Fabric,
    settings: DistillationSettings,
    extraction: Extraction,
    surroundings: Surroundings,
    out: Path,
    start: tuple[DistilledNetwork, StopPointSpace] | None,
    saved: dict[str, Any] | None,
) -> None:
    torch.manual_seed(settings.seed)
    network = DistilledNetwork(settings).to(fabric.device)
    optimizer = Muon(
        network,
        (network.frame_head, network.place_head, network.told_head),
        settings.learning_rate,
        settings.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        optimizer.learning_rates,
        total_steps=settings.steps,
        pct_start=min(0.3, settings.warmup_steps / settings.steps),
        cycle_momentum=False,
    )
    first, leads = 0, fabric.is_global_zero
    own = range(settings.batch_rows)[own_rows(fabric, settings.batch_rows)]
    stream = SpeechStream(extraction, settings, surroundings, own)
    out.mkdir(parents=True, exist_ok=True)
    if saved is not None:
        space = StopPointSpace(**{name: tensor.numpy() for name, tensor in saved["space"].items()})
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["step"]
        stream = SpeechStream(
            extraction, dataclasses.replace(settings, seed=settings.seed + first), surroundings, own
        )
    elif start is not None:
        network.load_state_dict(start[0].state_dict())
        space = start[1]
    else:
        space = StopPointSpace.fit(extraction.stop_points()[3], settings.place_components)
    targets = Targets.of(extraction, space, settings, fabric.device)
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    keep_precise(network.features, fabric.device)
    model, optimizer = fabric.setup(network, optimizer)
    state = network.init_state(len(own))
    if leads:
        begin_run(out, settings, first)
    progress = tqdm(
        range(first + 1, settings.steps + 1),
        initial=first,
        total=settings.steps,
        unit="step",
        disable=not leads,
        mininterval=5,
    )
    for step in progress:
        network.train()
        chunk = stream.next_chunk()
        state = torch.where(
            torch.from_numpy(chunk.begins)[:, None].to(state.device), torch.zeros_like(state), state
        )
        losses, state, _ = losses_of(model, chunk, targets, state)
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(
            settings.frame_weight * losses["frames"]
            + settings.place_weight * losses["places"]
            + settings.told_weight * losses["told"]
        )
        fabric.clip_gradients(
            model, optimizer, max_norm=settings.gradient_clip, error_if_nonfinite=False
        )
        optimizer.step()
        schedule.step()
        state = state.detach()
        if step % 10 == 0:
            progress.set_postfix(
                {name: f"{loss.item():.3f}" for name, loss in losses.items()}, refresh=False
            )
        if leads and (step % settings.validate_every == 0 or step == settings.steps):
            measured = measure(network, extraction, surroundings, targets)
            progress.write(
                f"step {step}: "
                + ", ".join(
                    f"{name} {value:.4f}"
                    for name, value in measured.items()
                    if "component" not in name
                )
            )
            kept = {name: part.state_dict() for name, part in parts.items()}
            kept["space"] = {
                name: torch.from_numpy(array) for name, array in dataclasses.asdict(space).items()
            }
            write_validation(out, settings, step, measured, kept)
            save_distilled(network, space, out)


def measure(
    network: DistilledNetwork, extraction: Extraction, surroundings: Surroundings, targets: Targets
) -> dict[str, float]:
    """Return the share of the teacher's variance that is explained on held-out speakers.

    It is measured for the text judge, and for frames and stop points over all components and by
    groups of components.
    """
    settings = network.settings
    stream = SpeechStream(
        extraction,
        dataclasses.replace(settings, batch_rows=VALIDATION_ROWS, seed=0),
        surroundings,
        validation=True,
    )
    state = network.init_state(VALIDATION_ROWS)
    sums: dict[str, Tensor] = {}
    network.eval()
    with torch.inference_mode():
        for _ in range(VALIDATION_CHUNKS):
            chunk = stream.next_chunk()
            state = torch.where(
                torch.from_numpy(chunk.begins)[:, None].to(state.device),
                torch.zeros_like(state),
                state,
            )
            _, state, found = losses_of(network, chunk, targets, state)
            sums = {name: sums.get(name, 0) + value for name, value in found.items()}
    measured = {
        "told_explained": 1 - float(sums["told_error"] / sums["told_square"].clamp(min=1e-9))
    }
    for kind in ("frame", "place"):
        error, square = sums[f"{kind}_error"], sums[f"{kind}_square"]
        measured[f"{kind}s_explained"] = 1 - float(error.sum() / square.sum())
        for low, high in ((0, 4), (4, 16), (16, 64), (64, 128)):
            if low < len(error):
                measured[f"{kind}_components_{low}_{min(high, len(error))}_explained"] = 1 - float(
                    error[low:high].sum() / square[low:high].sum()
                )
    return measured
