"""Learning from dialogues and from a teacher at once, so that distilled knowledge is not lost.

Besides dialogues, every step uses speech of single speakers, as in distillation
(distillation/speech_stream.py). The other channel is silent, except for faint crosstalk of some
speakers.

The encoder and the per-speaker RNN keep predicting the teacher's frames, and its embeddings of
stop points. A stop point is a point of an utterance where the speaker could stop. At every stop
point, also in the middle of speech, turn completeness and next holder learn the score of a judge.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...stream.errors import ConfigError
from ..dialogues.channel import Surroundings
from ..distillation.network import DistilledNetwork, load_distilled, mel_of_silence, over_line
from ..distillation.speech_stream import SpeechChunk, SpeechStream
from ..distillation.targets import Targets
from ..features import LOG_SCALE
from ..teachers.extraction import Extraction
from ..teachers.saved_judge import SavedJudge
from ..turn_model import TurnModel, TurnOutput
from .settings import TrainingSettings

# Share of the speakers with crosstalk, and its level re their own channel.
BLEED_SHARE, BLEED_DB = 0.4, (-50.0, -15.0)


@dataclass(frozen=True)
class Teaching:
    """The output of a teacher for utterances, and the distillation that learned from it before.

    Attributes:
        extraction: the output of the teacher.
        surroundings: rooms and noises for the recording conditions.
        distilled: folder of the distillation, whose heads are used.
        judge: the judge whose scores are learned; default: the text judge, which was fitted on the
            texts of the utterances.
    """

    extraction: Extraction
    surroundings: Surroundings
    distilled: Path
    judge: SavedJudge | None = None


class TaughtModel(nn.Module):
    """The network, with a distillation's heads for frames and stop points.

    Args of forward:
        audio, state: of dialogues, as for the network.
        speech, line, warp: of single speakers, see SpeechChunk.
        bleed: gain of the speech in the other channel, in nats of power, (B,).
        tail: state of the features for the speech, (B, samples).
        mel_state: state of the rest of the network for the speech, (B, S).
    Returns:
        Output and state of the network for the dialogues; its output for the speech; the predicted
        components of frames (B, T, K) and stop points (B, T, E); the next tail and mel_state.
    """

    def __init__(self, network: TurnModel, distilled: DistilledNetwork) -> None:
        super().__init__()
        self.network, self.frame_head, self.place_head = (
            network,
            distilled.frame_head,
            distilled.place_head,
        )

    def forward(
        self,
        audio: Tensor,
        state: Tensor,
        speech: Tensor,
        line: Tensor,
        warp: Tensor,
        bleed: Tensor,
        tail: Tensor,
        mel_state: Tensor,
    ) -> tuple[TurnOutput, Tensor, TurnOutput, Tensor, Tensor, Tensor, Tensor]:
        output, state = self.network(audio, state)
        features = self.network.config.features
        mel, tail = self.network.features(speech, tail)
        mel = over_line(mel, line, warp, features)
        other = (mel + bleed[:, None, None] * LOG_SCALE).clamp(min=mel_of_silence(features))
        spoken, mel_state = self.network.forward_mel(torch.stack([mel, other], dim=1), mel_state)
        own = spoken.latent_speaker[:, 0]
        frames, stop_points = self.frame_head(own), self.place_head(own)
        return output, state, spoken, frames, stop_points, tail, mel_state


class Lessons:
    """The speech of one process, the network's state in it, and the losses on it.

    Attributes:
        distilled: the distillation, whose heads are used.
        targets: scales of the components, and targets at each stop point.

    Args:
        teaching: output of the teacher, and the distillation.
        settings: settings of the run.
        batch_rows: numbers of this process's rows of speech.
        device: device of the run.
        seed: of the random draws; a resumed run uses another one.
    Raises:
        ConfigError: features, encoder or per-speaker RNN of the distillation are not the network's.
    """

    def __init__(
        self,
        teaching: Teaching,
        settings: TrainingSettings,
        batch_rows: range,
        device: torch.device,
        seed: int,
    ) -> None:
        self.distilled, space = load_distilled(teaching.distilled)
        own = self.distilled.settings
        theirs = settings.model
        for name in ("features", "encoder", "speaker_rnn"):
            if getattr(own, name) != getattr(theirs, name):
                raise ConfigError(
                    f"expected the {name} of {teaching.distilled}, {getattr(own, name)}, "
                    f"got {getattr(theirs, name)}"
                )
        self._settings = dataclasses.replace(own, batch_rows=settings.speech_rows, seed=seed)
        self._stream = SpeechStream(
            teaching.extraction, self._settings, teaching.surroundings, batch_rows
        )
        self.targets = Targets.of(
            teaching.extraction, space, self._settings, device, teaching.judge
        )
        self._device = device
        self._rng = np.random.default_rng([seed, batch_rows.start])
        self._bleed = np.full(len(batch_rows), -np.inf, np.float32)
        self._tail = torch.zeros(0)
        self._mel_state = torch.zeros(0)
        self._chunk: SpeechChunk | None = None

    def next_inputs(self, network: TurnModel) -> tuple[Tensor, ...]:
        """Return the next inputs of the model: speech, line, warp, bleed, tail and mel_state."""
        chunk = self._chunk = self._stream.next_chunk()
        batch_rows = len(chunk.begins)
        if not len(self._tail):
            features = network.config.features
            self._tail = torch.zeros(
                batch_rows, features.window_samples - features.hop_samples, device=self._device
            )
            self._mel_state = network.init_mel_state(batch_rows)
        level_db = self._rng.uniform(*BLEED_DB, batch_rows)
        drawn = np.where(
            self._rng.random(batch_rows) < BLEED_SHARE, level_db * math.log(10) / 10, -np.inf
        )
        self._bleed = np.where(chunk.begins, drawn, self._bleed).astype(np.float32)
        kept = ~torch.from_numpy(chunk.begins).to(self._device)
        self._tail = self._tail * kept[:, None]
        self._mel_state = self._mel_state * kept[:, None]
        arrays = chunk.audio, chunk.line, chunk.warp, self._bleed
        return (
            *(torch.from_numpy(array).to(self._device) for array in arrays),
            self._tail,
            self._mel_state,
        )

    def losses(
        self,
        spoken: TurnOutput,
        frames: Tensor,
        stop_points: Tensor,
        tail: Tensor,
        mel_state: Tensor,
    ) -> dict[str, Tensor]:
        """Return the mean losses, by name, on the speech that `next_inputs` returned last.

        They are weighted as in the distillation.
        """
        assert self._chunk is not None
        self._tail, self._mel_state = tail.detach(), mel_state.detach()
        settings = self._settings
        wanted = self.targets.of_chunk(self._chunk)
        complete = self.targets.judge_scores(wanted.rows[wanted.judged])
        return {
            "frames": settings.frame_weight * _mean((frames[wanted.known] - wanted.frames) ** 2),
            "places": settings.place_weight
            * _mean((stop_points[wanted.asked] - wanted.stop_points) ** 2),
            "judged": settings.told_weight
            * _mean(
                F.binary_cross_entropy_with_logits(
                    spoken.completeness[:, 0][wanted.judged], complete, reduction="none"
                )
            ),
            "judged_next": settings.told_weight
            * _mean(
                F.binary_cross_entropy_with_logits(
                    spoken.next[:, 1][wanted.judged], complete, reduction="none"
                )
            ),
        }


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.sum()
