"""The training loop: truncated back-propagation through conversations, averaged weights, checkpoints, resumable."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..checkpoint import save_checkpoint
from ..dialogues.manifest import Dialogue
from ..errors import ConfigError
from ..turn_model import TurnModel
from .evaluation import shift_hold_report, validation_losses
from .losses import head_losses, total_loss
from .settings import TrainingSettings
from .stream import ConversationStream

_log = logging.getLogger(__name__)


def train(
    settings: TrainingSettings,
    training: Sequence[Dialogue],
    out: Path,
    *,
    validation: Sequence[Dialogue] = (),
    real: Sequence[Dialogue] = (),
    resume: bool = False,
    device: str = "cpu",
) -> TurnModel:
    """Train a network and write it to `out` (model.safetensors, config.json, training.json, TensorBoard logs).

    Args:
        settings: of the run.
        training: conversations to learn from.
        out: folder of the run; a checkpoint is written there at every validation.
        validation: held-out conversations of the same making; their losses are logged.
        real: real conversations; their shift/hold AUC is logged, never trained on.
        resume: go on from the folder's last checkpoint.
        device: torch device.
    Returns:
        The averaged network, in evaluation mode, on the CPU.
    Raises:
        ConfigError: nothing to train on, no such device, nothing to resume from, or the checkpoint has other settings.
    """
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    if not training:
        raise ConfigError("expected at least one dialogue to train on, got none")
    _check_device(device)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)
    model = TurnModel(settings.model).to(device)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.steps, pct_start=min(0.3, settings.warmup_steps / settings.steps)
    )
    parts = {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}
    first = _resume(out, settings, parts) if resume else 0
    stream = ConversationStream(training, dataclasses.replace(settings, seed=settings.seed + first))
    state = model.init_state(settings.lanes)
    with SummaryWriter(str(out)) as writer, tqdm(range(first, settings.steps), initial=first, total=settings.steps, unit="step") as progress:
        for step in progress:
            state, losses = _update(model, optimizer, stream, state, settings, device)
            schedule.step()
            average.update_parameters(model)
            progress.set_postfix({name: f"{value:.3f}" for name, value in losses.items()}, refresh=False)
            for name, value in losses.items():
                writer.add_scalar(f"train/{name}", value, step)
            if (step + 1) % settings.validate_every == 0 or step + 1 == settings.steps:
                measured = _validate(average, validation, real, device)
                for name, value in measured.items():
                    writer.add_scalar(f"validation/{name}", value, step)
                progress.write(f"step {step + 1}: " + ", ".join(f"{name} {value:.4f}" for name, value in measured.items()))
                _save(out, settings, parts, step + 1)
                with (out / "training.jsonl").open("a") as file:
                    file.write(json.dumps({"step": step + 1, **{name: None if math.isnan(value) else value for name, value in measured.items()}}) + "\n")
    trained: Any = average.module.cpu().eval()
    save_checkpoint(trained, out)
    (out / "training.json").write_text(json.dumps(dataclasses.asdict(settings), indent=1))
    return trained


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:  # unknown, not built in, not there: torch raises them all
        raise ConfigError(f"expected a torch device of this machine, such as cpu or cuda, got {device!r}: {str(error).splitlines()[0]}") from None


def _update(
    model: TurnModel, optimizer: torch.optim.Optimizer, stream: ConversationStream, state: Tensor, settings: TrainingSettings, device: str
) -> tuple[Tensor, dict[str, float]]:
    """One step of the optimizer on the next chunk; returns the carried state and the losses."""
    chunk = stream.next_chunk()
    model.train()
    state = torch.where(chunk.begins.to(device)[:, None], torch.zeros_like(state), state)
    target = dataclasses.replace(chunk.target, **{f.name: getattr(chunk.target, f.name).to(device) for f in dataclasses.fields(chunk.target)})
    output, state = model(chunk.audio.to(device), state)
    losses = head_losses(output, target)
    optimizer.zero_grad(set_to_none=True)
    total_loss(losses, settings.losses).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    optimizer.step()
    return state.detach(), {name: loss.item() for name, loss in losses.items()}


def _validate(average: AveragedModel, validation: Sequence[Dialogue], real: Sequence[Dialogue], device: str) -> dict[str, float]:
    model: Any = average.module.eval()
    measured = validation_losses(model, validation, device) if validation else {}
    if real:
        report = shift_hold_report(model, real, device=device)
        measured |= {f"real_auc_{row.silence_ms}ms": row.auc for row in report.rows}
        measured["real_balanced_accuracy_250ms"] = report.at(250).balanced_accuracy
    return measured


def _save(out: Path, settings: TrainingSettings, parts: dict[str, Any], step: int) -> None:
    """Write the checkpoint whole or not at all."""
    saved = {name: part.state_dict() for name, part in parts.items()} | {"step": step, "settings": dataclasses.asdict(settings)}
    torch.save(saved, out / "checkpoint.pt.part")
    os.replace(out / "checkpoint.pt.part", out / "checkpoint.pt")


def _resume(out: Path, settings: TrainingSettings, parts: dict[str, Any]) -> int:
    path = out / "checkpoint.pt"
    if not path.is_file():
        raise ConfigError(f"expected a checkpoint to resume from at {path}, got none")
    saved = torch.load(path, weights_only=True, map_location="cpu")
    changed = [name for name, value in dataclasses.asdict(settings).items() if saved["settings"].get(name) != value]
    if changed:
        raise ConfigError(f"expected the settings of the run in {out}, got another {', '.join(changed)}")
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    _log.info("resumed from %s at step %d", path, saved["step"])
    return saved["step"]
