"""The training loop: truncated back-propagation through conversations, with averaged weights.

It runs in one process or in several. Every process trains its share of the batch rows and carries
their state. Gradients are averaged over the processes, so all hold the same weights.

Only the first process validates and writes files. The others wait for its measures, which decide
when to stop. The validation sets are small enough for one process, and so the scores, each over
all events at once, do not depend on the number of processes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...stream.errors import ConfigError
from ..checkpoint import load_checkpoint, load_encoder, save_checkpoint
from ..dialogues.manifest import Dialogue
from ..runs.hardware import Hardware
from ..runs.launch import keep_precise, launched, open_fabric, own_rows
from ..runs.run_folder import (
    begin_run,
    read_checkpoint,
    refuse_to_overwrite,
    snapshot_folder,
    write_validation,
)
from ..turn_model import TurnModel
from .losses import head_losses, total_loss
from .settings import TrainingSettings
from .shares import mean_over_processes, scale_losses
from .sources import ConversationSource, RecordedDialogues
from .stream import ConversationStream
from .teaching import Lessons, TaughtModel, Teaching
from .validation import BestWeights, measure

_log = logging.getLogger(__name__)


def train(
    settings: TrainingSettings,
    training: Sequence[Dialogue] | ConversationSource,
    out: Path,
    *,
    validation: Sequence[Dialogue] = (),
    real: Sequence[Dialogue] = (),
    resume: bool = False,
    teaching: Teaching | None = None,
    hardware: Hardware | None = None,
    snapshots: bool = False,
) -> TurnModel:
    """Train a network and write it to `out` (run_folder.py lists the files).

    With several devices, the running script is started once more for each, as torchrun does. Every
    process returns the same network.

    Args:
        settings: settings of the run.
        training: conversations to learn from; a source is not closed.
        out: folder of the run; each validation writes a checkpoint there.
        validation: held-out conversations; their losses are logged and decide early stopping.
        real: real conversations; their shift/hold AUC is logged, but never used for training or
            for any decision.
        resume: resume exactly from the last checkpoint in the folder. With another number of
            processes only dropout differs. The speech for a teacher starts anew, with other random
            draws.
        teaching: output of a teacher, to learn from besides the dialogues.
        hardware: devices to train on; default: one process on the best available device.
        snapshots: also keep the averaged network at the start and at every validation.
    Returns:
        The averaged network, in evaluation mode, on the CPU: the best or the last one, see
        settings.
    Raises:
        ConfigError: there is nothing to train on, no such device, nothing to resume from, or no
            validation dialogues to stop by; or `out` already contains a run, but resume is not
            set; or the checkpoint has other settings or dialogues.
        DialogueError: a conversation cannot be read.
    """
    source = (
        training
        if isinstance(training, ConversationSource)
        else RecordedDialogues(training, settings)
    )
    hardware = hardware or Hardware()
    if settings.keeps_best and not validation:
        raise ConfigError(
            "expected validation dialogues to stop early by, or to choose the best weights by, "
            "got none"
        )
    if teaching is not None and settings.speech_rows % hardware.processes:
        raise ConfigError(
            f"expected speech_rows in multiples of the {hardware.processes} processes, "
            f"got {settings.speech_rows}"
        )
    fabric = open_fabric(hardware, settings.batch_rows)
    saved = read_checkpoint(out, settings) if resume else None
    if saved is None:
        refuse_to_overwrite(out)
    with launched(fabric, hardware, source.workers):
        trained = _Run(fabric, settings, source, out, saved, snapshots, teaching).train(
            validation, real
        )
        fabric.barrier()
    return trained


def new_network(settings: TrainingSettings, *, with_encoder: bool = True) -> TurnModel:
    """Return the network before its first step.

    Its weights are random, except those of a checkpoint that the settings name.

    Args:
        settings: settings of the run.
        with_encoder: load the checkpoint that the settings name. This is not needed if the weights
            of a resumed run follow.
    Raises:
        ConfigError: the checkpoint cannot be read, or its features or shape differ from the
            network's.
    """
    network = TurnModel(settings.model)
    if settings.encoder and with_encoder:
        given = load_encoder(Path(settings.encoder))
        for what, theirs, own in (
            ("features", given.features, settings.model.features),
            ("encoder", given.config, settings.model.encoder),
        ):
            if theirs != own:
                raise ConfigError(
                    f"expected a network with the {what} of {settings.encoder}, {theirs}, got {own}"
                )
        network.encoder.load_state_dict(given.weights)
        if given.speaker_rnn == settings.model.speaker_rnn:
            network.speaker_rnn.load_state_dict(given.speaker_rnn_weights)
    if settings.initial and with_encoder:
        whole = load_checkpoint(Path(settings.initial))
        if whole.config != settings.model:
            raise ConfigError(
                f"expected the shape of {settings.initial}, {whole.config}, got {settings.model}"
            )
        network.load_state_dict(whole.state_dict())
    network.encoder.requires_grad_(not settings.freeze_encoder)
    network.speaker_rnn.requires_grad_(not settings.freeze_speaker_rnn)
    return network


class _Run:
    """The state of a run in one of its processes."""

    def __init__(
        self,
        fabric: Fabric,
        settings: TrainingSettings,
        source: ConversationSource,
        out: Path,
        saved: dict[str, Any] | None,
        snapshots: bool,
        teaching: Teaching | None,
    ) -> None:
        self.fabric, self.settings, self.out, self.snapshots = fabric, settings, out, snapshots
        torch.manual_seed(settings.seed)
        network = new_network(settings, with_encoder=saved is None).to(fabric.device)
        self.average = AveragedModel(
            network, multi_avg_fn=get_ema_multi_avg_fn(settings.average_decay)
        )
        given = (
            [*network.encoder.parameters(), *network.speaker_rnn.parameters()]
            if settings.given
            else []
        )
        first = saved["step"] if saved is not None else 0
        self.lessons, self.learner = None, network
        if teaching is not None:
            own = range(settings.speech_rows)[own_rows(fabric, settings.speech_rows)]
            self.lessons = Lessons(teaching, settings, own, fabric.device, settings.seed + first)
            self.learner = TaughtModel(network, self.lessons.distilled).to(fabric.device)
        others = [
            one for one in self.learner.parameters() if all(one is not other for other in given)
        ]
        rate = settings.learning_rate
        groups = [
            (rate, learning)
            for rate, parameters in ((rate * settings.given_rate, given), (rate, others))
            if (learning := [one for one in parameters if one.requires_grad])
        ]
        optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for rate, parameters in groups],
            weight_decay=settings.weight_decay,
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [rate for rate, _ in groups],
            total_steps=settings.steps,
            pct_start=min(0.3, settings.warmup_steps / settings.steps),
        )
        keep_precise(network.features, fabric.device)  # rounding would show in the logarithm
        self.network = network
        self.model, self.optimizer = fabric.setup(self.learner, optimizer)
        self.own_rows = own_rows(fabric, settings.batch_rows)
        rows = range(settings.batch_rows)[self.own_rows]
        self.stream = ConversationStream(source, settings.chunks, rows)
        self.state = network.init_state(len(rows))
        self.best = BestWeights(settings)
        self.step = 0
        if fabric.global_rank:  # each process drops other activations
            torch.manual_seed(settings.seed + fabric.global_rank)
        if saved is not None:
            self._restore(saved)
            _log.info("resumed from step %d", self.step)

    @property
    def _parts(self) -> dict[str, Any]:
        """Objects with the same state in every process; each saves and loads its own state."""
        return {
            "model": self.learner,
            "average": self.average,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "precision": self.fabric.strategy.precision,
            "best": self.best,
        }

    def train(self, validation: Sequence[Dialogue], real: Sequence[Dialogue]) -> TurnModel:
        from torch.utils.tensorboard import SummaryWriter
        from tqdm import tqdm

        settings, first = self.settings, self.step
        leads = self.fabric.is_global_zero
        with ExitStack() as stack:
            writer = None
            if leads:
                begin_run(self.out, settings, first)
                if not first:
                    self._keep_snapshot()
                writer = stack.enter_context(
                    SummaryWriter(str(self.out), purge_step=first + 1 if first else None)
                )
            progress = stack.enter_context(
                tqdm(initial=first, total=settings.steps, unit="step", disable=not leads)
            )
            while self.step < settings.steps and not self.best.exhausted:
                losses = self._update()
                progress.update()
                progress.set_postfix(
                    {name: f"{value:.3f}" for name, value in losses.items()}, refresh=False
                )
                _write_scalars(writer, "train", losses, self.step)
                if self.step % settings.validate_every == 0 or self.step == settings.steps:
                    measured = self._validate(validation, real)
                    _write_scalars(writer, "validation", measured, self.step)
                    if leads:
                        progress.write(
                            f"step {self.step}: "
                            + ", ".join(f"{name} {value:.4f}" for name, value in measured.items())
                        )
            if self.best.exhausted and leads:
                progress.write(
                    f"stopped at step {self.step}: no better {settings.measure} since "
                    f"step {self.best.step}"
                )
        trained: Any = self.average.module.cpu().eval()
        if self.best.weights is not None:
            trained.load_state_dict(self.best.weights)
        if leads:
            save_checkpoint(trained, self.out)
        return trained

    def _update(self) -> dict[str, float]:
        """Train one step on the next chunk and return the losses."""
        device = self.fabric.device
        chunk = self.stream.next_chunk()
        self.model.train()
        state = torch.where(
            chunk.begins.to(device)[:, None], torch.zeros_like(self.state), self.state
        )
        target, audio = chunk.target.to(device), chunk.audio.to(device)
        learned = dict[str, Tensor]()
        if self.lessons is None:
            output, state = self.model(audio, state)
        else:
            output, state, *of_speech = self.model(
                audio, state, *self.lessons.next_inputs(self.network)
            )
            learned = self.lessons.losses(*of_speech)
        losses = scale_losses(self.fabric, head_losses(output, target), target)
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(
            total_loss(losses, self.settings.losses)
            + self.settings.teacher_weight * sum(learned.values())
        )
        self.fabric.clip_gradients(
            self.model,
            self.optimizer,
            max_norm=self.settings.gradient_clip,
            error_if_nonfinite=False,
        )
        self.optimizer.step()
        self.state = state.detach()
        self.schedule.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return mean_over_processes(self.fabric, losses | learned)

    def _validate(
        self, validation: Sequence[Dialogue], real: Sequence[Dialogue]
    ) -> dict[str, float]:
        """Measure the averaged weights, keep them if they are the best, and write a checkpoint."""
        averaged: Any = self.average.module.eval()
        leads = self.fabric.is_global_zero
        measured = (
            measure(averaged, validation, real, self.settings.losses, str(self.fabric.device))
            if leads
            else {}
        )
        measured = self.fabric.broadcast(measured)
        self.best.update(measured, self.step, averaged)
        progress = self._gather_progress()
        if leads:
            write_validation(
                self.out,
                self.settings,
                self.step,
                measured,
                {name: part.state_dict() for name, part in self._parts.items()} | progress,
            )
            self._keep_snapshot()
        return measured

    def _keep_snapshot(self) -> None:
        if self.snapshots:
            averaged: Any = self.average.module
            save_checkpoint(averaged, snapshot_folder(self.out, self.step))

    def _gather_progress(self) -> dict[str, Any]:
        """Return the progress of all batch rows and processes.

        This is the carried state (batch_rows, S), the position of each row in its conversation,
        and the state of each process's random generators.
        """
        stream = self.stream.state_dict()
        positions = self._gather(torch.tensor(stream["batch_rows"])).reshape(-1, 2)
        progress = {
            "state": self._gather(self.state),
            "stream": stream | {"batch_rows": positions.tolist()},
        }
        return progress | {
            name: self._gather(state[None]) for name, state in self._generators().items()
        }

    def _gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, (R, ...) to (processes * R, ...), on the CPU."""
        everyone: Any = torch.zeros(
            self.fabric.world_size, *rows.shape, dtype=rows.dtype, device=self.fabric.device
        )
        everyone[self.fabric.global_rank] = rows
        if self.fabric.world_size > 1:
            everyone = self.fabric.all_reduce(everyone, reduce_op="sum")
        return everyone.flatten(0, 1).cpu()

    def _generators(self) -> dict[str, Tensor]:
        on_gpu = self.fabric.device.type == "cuda"
        return {"cpu_generator": torch.get_rng_state()} | (
            {"cuda_generator": torch.cuda.get_rng_state(self.fabric.device)} if on_gpu else {}
        )

    def _restore(self, saved: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(saved[name])
        self.step = saved["step"]
        self.state = saved["state"][self.own_rows].to(self.fabric.device)
        self.stream.load_state_dict(
            saved["stream"] | {"batch_rows": saved["stream"]["batch_rows"][self.own_rows]}
        )
        if len(saved["cpu_generator"]) != self.fabric.world_size:
            torch.manual_seed(
                self.settings.seed + self.step * self.fabric.world_size + self.fabric.global_rank
            )
            return
        # The clone is needed because torch 2.13 reads a view from the wrong offset.
        torch.set_rng_state(saved["cpu_generator"][self.fabric.global_rank].clone())
        if "cuda_generator" in saved and self.fabric.device.type == "cuda":
            torch.cuda.set_rng_state(
                saved["cuda_generator"][self.fabric.global_rank], self.fabric.device
            )


def _write_scalars(writer: Any, group: str, values: dict[str, float], step: int) -> None:
    if writer is not None:
        for name, value in values.items():
            writer.add_scalar(f"{group}/{name}", value, step)
