"""Distillation: encoder and per-speaker RNN learn to predict the output of a frozen teacher.

The teacher processes an utterance as a whole, the network only the audio so far. The network has
three targets:

- The frame that the teacher outputs for the moment `delay_s` ago, as principal components. It is a
  target wherever there is speech.
- The last frames that the teacher outputs if only silence follows (teachers/extraction.py). They
  are a target at every place that the teacher was asked about, and in the silence after it. A
  place is a point of an utterance where the speaker could stop.
- Turn completeness at these places, by a judge that was fitted on the texts of the utterances and
  on no call.

A judge of turn completeness is a linear function of the second target. The third target makes sure
that the direction that matters is not lost among the other components.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from ...stream.errors import ConfigError
from ..checkpoint import CONFIG_FILE, WEIGHTS_FILE
from ..config import FeatureConfig, from_plain
from ..dialogues.channel import Surroundings
from ..encoder import Encoder
from ..features import LOG_MEAN, LOG_SCALE, LogMel
from ..muon import Muon
from ..recurrent import Recurrent
from ..runs.hardware import Hardware
from ..runs.launch import keep_precise, launched, open_fabric
from ..runs.run_folder import begin_run, read_checkpoint, refuse_to_overwrite, write_validation
from ..state import ShapeTree, StateLayout
from ..teachers.extraction import Extraction
from ..teachers.judge import fit_told, tell, told_places
from ..teachers.place_space import PlaceSpace
from ..turn_model import pack_rows, unpack_rows
from .settings import DistillationSettings
from .speech_stream import SpeechChunk, SpeechStream

# Maps the predicted components of a place back to the teacher's embedding.
PLACES_FILE = "places.npz"
VALIDATION_ROWS, VALIDATION_CHUNKS = 24, 6


class DistilledNetwork(nn.Module):
    """Features, encoder and per-speaker RNN, named as in the turn-taking network, and three heads.

    Args of forward:
        audio, line, warp: see SpeechChunk, as tensors.
        state: packed, (B, S), from `init_state` or the last call.
    Returns:
        Predicted components of frames (B, T, K) and of places (B, T, E), turn completeness (B, T),
        each on the scale of its target, and the next state.
    """

    def __init__(self, settings: DistillationSettings) -> None:
        super().__init__()
        self.settings = settings
        self.features = LogMel(settings.features)
        self.encoder = Encoder(settings.encoder, settings.features.mel_bins)
        self.speaker_rnn = Recurrent(settings.speaker_rnn, settings.encoder.out_channels)
        self.frame_head = nn.Linear(settings.speaker_rnn.hidden, settings.components)
        self.place_head = nn.Linear(settings.speaker_rnn.hidden, settings.place_components)
        self.told_head = nn.Linear(settings.speaker_rnn.hidden, 1)
        self.shapes: dict[str, ShapeTree] = {
            name: getattr(self, name).state_shapes()
            for name in ("features", "encoder", "speaker_rnn")
        }
        self.layout = StateLayout.of(self.shapes)

    def init_state(self, batch: int) -> Tensor:
        """Return the state before any audio, (batch, S); each row holds one speaker."""
        return next(self.parameters()).new_zeros(batch, self.layout.speaker_size)

    def forward(
        self, audio: Tensor, line: Tensor, warp: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        before = unpack_rows(state, self.shapes, self.layout)
        mel, tail = self.features(audio, before["features"])
        encoded, encoder = self.encoder(
            over_line(mel, line, warp, self.settings.features), before["encoder"]
        )
        own, rnn = self.speaker_rnn(encoded, before["speaker_rnn"])
        after = pack_rows({"features": tail, "encoder": encoder, "speaker_rnn": rnn}, self.layout)
        return self.frame_head(own), self.place_head(own), self.told_head(own)[..., 0], after


def over_line(mel: Tensor, line: Tensor, warp: Tensor, features: FeatureConfig) -> Tensor:
    """Return log-mel frames as another recording and another vocal tract would give them.

    Args:
        mel: log-mel frames (B, T, M).
        line: gain of each band in nats, (B, M).
        warp: factor that stretches the frequency axis, (B,).
        features: configuration of the frames.
    Returns:
        log-mel frames (B, T, M).
    """
    bands = mel.shape[2]
    at = (torch.arange(bands, device=mel.device) * warp[:, None]).clamp(max=bands - 1)  # (B, M)
    low = at.floor().long().clamp(max=bands - 2)
    share = (at - low)[:, None, :]
    index = low[:, None, :].expand(-1, mel.shape[1], -1)
    warped = mel.gather(2, index) * (1 - share) + mel.gather(2, index + 1) * share
    # No gain moves a band below digital silence.
    return (warped + line[:, None, :] * LOG_SCALE).clamp(min=mel_of_silence(features))


def mel_of_silence(features: FeatureConfig) -> float:
    """Return the value of every band in a log-mel frame of digital silence."""
    return (math.log(features.log_floor) - LOG_MEAN) * LOG_SCALE


@dataclass(frozen=True)
class Targets:
    """The scales of the teacher's components, and the targets at each place.

    All tensors are on the training device.

    Attributes:
        frame_scale: factor of each component of a frame, (K,).
        place_scale: factor of each component of a place, (E,).
        places: components at the places that the teacher was asked about, (P, E). These are the
            first of all places.
        told: logit of the judge that was fitted on texts, at all places, (L,). It has mean 0 and
            variance 1, and is NaN where the text does not tell.
        told_mean, told_deviation: mean and standard deviation of that logit before it was
            standardised.
    """

    frame_scale: Tensor
    place_scale: Tensor
    places: Tensor
    told: Tensor
    told_mean: float = 0.0
    told_deviation: float = 1.0

    def of_chunk(self, chunk: SpeechChunk) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return what is to be predicted of a chunk.

        Returns:
            Which frames have a target, (B, T), and these targets (F, K); the row of each frame's
            place, (B, T); which of them the teacher was asked about, (B, T), and these targets
            (P, E); and which have a logit in `told`, (B, T).
        """
        device = self.places.device
        known = torch.from_numpy(chunk.known).to(device)
        frames = torch.from_numpy(chunk.frames).to(device)[known] * self.frame_scale
        rows = torch.from_numpy(chunk.places).to(device)
        asked = (rows >= 0) & (rows < len(self.places))
        places = self.places[rows[asked]] * self.place_scale
        return known, frames, rows, asked, places, (rows >= 0) & ~self.told[rows].isnan()

    def told_scores(self, rows: Tensor) -> Tensor:
        """Return that judge's probability that a turn is complete, at places in any shape."""
        return torch.sigmoid(self.told[rows] * self.told_deviation + self.told_mean)

    @classmethod
    def of(
        cls,
        extraction: Extraction,
        space: PlaceSpace,
        settings: DistillationSettings,
        device: torch.device,
    ) -> Targets:
        deviation = extraction.components.scale[: settings.components]
        # The components of frames are stored in standard deviations.
        frame_scale = _balanced(deviation, settings.whitening)
        clips, _, kinds, embeddings = extraction.places()
        coordinates = space.coordinates_of(embeddings)
        told, mean, spread = np.full(len(extraction.listed()[0]), np.nan), 0.0, 1.0
        if settings.told_weight:
            told, mean, spread = told_logits(extraction, clips, kinds, coordinates)
        arrays = frame_scale, place_scale(space, settings), coordinates, told
        tensors = (torch.from_numpy(np.asarray(array, np.float32)).to(device) for array in arrays)
        return cls(*tensors, told_mean=mean, told_deviation=spread)


def told_logits(
    extraction: Extraction,
    clips: NDArray[np.int32],
    kinds: NDArray[np.int8],
    coordinates: NDArray[np.float32],
) -> tuple[NDArray[np.float32], float, float]:
    """Return the logit of the judge that was fitted on texts, at every listed place.

    Where the teacher was not asked, the logit is the mean over the asked places of the same kind,
    voice (recorded or synthetic) and completeness. It is NaN where the text does not tell.

    Args:
        extraction: output of the teacher.
        clips, kinds: of the places that the teacher was asked about, (P,).
        coordinates: components of these places, (P, E).
    Returns:
        the standardised logits (L,), and their mean and standard deviation before.
    """
    asked = fit_told(told_places(extraction, clips, kinds, coordinates)).logits(coordinates)
    mean, deviation = float(asked.mean()), float(asked.std()) + 1e-9
    asked = (asked - mean) / deviation
    all_clips, _, all_kinds = extraction.listed()
    complete, known, neural = tell(extraction, all_clips, all_kinds)
    alike = all_kinds + 4 * complete + 8 * neural
    told = np.full(len(alike), np.nan, np.float32)
    for group in np.unique(alike):
        own = alike == group
        if own[: len(asked)].any():
            told[own & known] = asked[own[: len(asked)]].mean()
    told[: len(asked)] = asked
    return told, mean, deviation


def place_scale(space: PlaceSpace, settings: DistillationSettings) -> NDArray[np.float32]:
    """Return the factor of each component of a place that gives its target, (E,)."""
    return _balanced(space.deviation, settings.whitening) / space.deviation


def _balanced(deviation: NDArray[np.float32], whitening: float) -> NDArray[np.float32]:
    """Return the standard deviations of the targets.

    They are the components' own, evened out by `whitening`; their mean square is 1.
    """
    scale = deviation ** (1 - 2 * whitening)
    return scale / np.sqrt(np.mean(scale**2))


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
    frames, places, told, state = network(audio, line, warp, state)
    known, wanted, rows, at, wanted_places, said = targets.of_chunk(chunk)
    frame_error = (frames[known] - wanted) ** 2
    place_error = (places[at] - wanted_places) ** 2
    told_error = (told[said] - targets.told[rows[said]]) ** 2
    losses = {
        "frames": frame_error.mean() if len(frame_error) else frames.sum() * 0,
        "places": place_error.mean() if len(place_error) else places.sum() * 0,
        "told": told_error.mean() if len(told_error) else told.sum() * 0,
    }
    sums = {
        "frame_error": frame_error.detach().sum(dim=0),
        "frame_square": (wanted**2).sum(dim=0),
        "place_error": place_error.detach().sum(dim=0),
        "place_square": (wanted_places**2).sum(dim=0),
        "told_error": ((told[at] - targets.told[rows[at]]) ** 2).detach().sum(),
        "told_square": (targets.told[rows[at]] ** 2).sum(),
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
    start: tuple[DistilledNetwork, PlaceSpace] | None,
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
    first, leads, batch_rows = 0, fabric.is_global_zero, settings.batch_rows // fabric.world_size
    own = range(fabric.global_rank * batch_rows, (fabric.global_rank + 1) * batch_rows)
    stream = SpeechStream(extraction, settings, surroundings, own)
    out.mkdir(parents=True, exist_ok=True)
    if saved is not None:
        space = PlaceSpace(**{name: tensor.numpy() for name, tensor in saved["space"].items()})
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
        space = PlaceSpace.fit(extraction.places()[3], settings.place_components)
    targets = Targets.of(extraction, space, settings, fabric.device)
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    keep_precise(network.features, fabric.device)
    model, optimizer = fabric.setup(network, optimizer)
    state = network.init_state(batch_rows)
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

    It is measured for turn completeness, and for frames and places over all components and by
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


def save_distilled(network: DistilledNetwork, space: PlaceSpace, folder: Path) -> None:
    """Write the network as other checkpoints are written, and the space of its places.

    `checkpoint.load_encoder` can read its features, encoder and per-speaker RNN.
    """
    (folder / CONFIG_FILE).write_text(
        json.dumps(dataclasses.asdict(network.settings), indent=1) + "\n"
    )
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()},
        folder / WEIGHTS_FILE,
    )
    space.save(folder / PLACES_FILE)


def load_distilled(folder: Path) -> tuple[DistilledNetwork, PlaceSpace]:
    """Return the network that `save_distilled` wrote, in evaluation mode, and its space of places.

    Raises:
        ConfigError: a file is missing or damaged, or the folder is not that of a distillation.
    """
    try:
        network = DistilledNetwork(
            from_plain(
                DistillationSettings,
                json.loads((folder / CONFIG_FILE).read_text()),
                str(folder / CONFIG_FILE),
            )
        )
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        space = PlaceSpace.load(folder / PLACES_FILE)
    except (
        OSError,
        EOFError,
        BadZipFile,
        SafetensorError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
    ) as error:
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ConfigError(
            f"{folder}: expected the folder of a distillation (`turnstream pretrain distill`): "
            f"{reason}"
        ) from None
    return network.eval(), space
