"""What a network predicts in a distillation; loop.py describes the three targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..teachers.extraction import Extraction
from ..teachers.judge import fit_text_judge, labelled_stop_points, text_labels
from ..teachers.saved_judge import SavedJudge
from ..teachers.stop_point_space import StopPointSpace
from .settings import DistillationSettings
from .speech_stream import SpeechChunk


@dataclass(frozen=True)
class ChunkTargets:
    """What is to be predicted of a chunk of B rows of T frames.

    Attributes:
        known: which frames have a target, (B, T).
        frames: these targets, (F, K).
        rows: row of each frame's stop point in the tensors of Targets, (B, T).
        asked: which frames have a stop point that the teacher was asked about, (B, T).
        stop_points: their targets, (P, E).
        judged: which frames have a stop point with a logit of the judge, (B, T).
    """

    known: Tensor
    frames: Tensor
    rows: Tensor
    asked: Tensor
    stop_points: Tensor
    judged: Tensor


@dataclass(frozen=True)
class Targets:
    """The scales of the teacher's components, and the targets at each stop point.

    All tensors are on the training device.

    Attributes:
        frame_scale: factor of each component of a frame, (K,).
        stop_point_scale: factor of each component of a stop point, (E,).
        stop_points: components at the stop points that the teacher was asked about, (P, E). These
            are the first of all stop points.
        judge: logit of the judge at all stop points, (L,). It has mean 0 and variance 1, and is
            NaN where the teacher was not asked and the text does not show whether a turn is
            complete.
        judge_mean, judge_deviation: mean and standard deviation of that logit before it was
            standardised.
    """

    frame_scale: Tensor
    stop_point_scale: Tensor
    stop_points: Tensor
    judge: Tensor
    judge_mean: float = 0.0
    judge_deviation: float = 1.0

    def of_chunk(self, chunk: SpeechChunk) -> ChunkTargets:
        """Return what is to be predicted of a chunk."""
        device = self.stop_points.device
        known = torch.from_numpy(chunk.known).to(device)
        frames = torch.from_numpy(chunk.frames).to(device)[known] * self.frame_scale
        rows = torch.from_numpy(chunk.stop_points).to(device)
        asked = (rows >= 0) & (rows < len(self.stop_points))
        stop_points = self.stop_points[rows[asked]] * self.stop_point_scale
        judged = (rows >= 0) & ~self.judge[rows].isnan()
        return ChunkTargets(known, frames, rows, asked, stop_points, judged)

    def judge_scores(self, rows: Tensor) -> Tensor:
        """Return the judge's probability that a turn is complete, for rows of any shape."""
        return torch.sigmoid(self.judge[rows] * self.judge_deviation + self.judge_mean)

    @classmethod
    def of(
        cls,
        extraction: Extraction,
        space: StopPointSpace,
        settings: DistillationSettings,
        device: torch.device,
        judge: SavedJudge | None = None,
    ) -> Targets:
        """Return the targets of an extraction.

        Args:
            extraction: output of the teacher.
            space: the space in which stop points are predicted.
            settings: settings of the distillation.
            device: training device.
            judge: the judge whose logits are a target; default: the text judge.
        """
        deviation = extraction.components.scale[: settings.components]
        # The components of frames are stored in standard deviations.
        frame_scale = _balanced(deviation, settings.whitening)
        clips, _, kinds, embeddings = extraction.stop_points()
        coordinates = space.coordinates_of(embeddings)
        logits, mean, spread = np.full(len(extraction.listed()[0]), np.nan), 0.0, 1.0
        if settings.told_weight:
            asked = (
                judge.logits(embeddings)
                if judge
                else fit_text_judge(
                    labelled_stop_points(extraction, clips, kinds, coordinates)
                ).logits(coordinates)
            )
            logits, mean, spread = judge_logits(extraction, asked)
        arrays = frame_scale, stop_point_scale(space, settings), coordinates, logits
        tensors = (torch.from_numpy(np.asarray(array, np.float32)).to(device) for array in arrays)
        return cls(*tensors, judge_mean=mean, judge_deviation=spread)


def judge_logits(
    extraction: Extraction, asked: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float, float]:
    """Return the logit of a judge at every listed stop point.

    Where the teacher was not asked, the logit is the mean over the asked stop points of the same
    kind, voice (recorded or synthetic) and completeness. It is NaN where the text does not show
    whether a turn is complete.

    Args:
        extraction: output of the teacher.
        asked: logits at the stop points that the teacher was asked about, (P,).
    Returns:
        the standardised logits (L,), and their mean and standard deviation before.
    """
    mean, deviation = float(asked.mean()), float(asked.std()) + 1e-9
    asked = (asked - mean) / deviation
    all_clips, _, all_kinds = extraction.listed()
    complete, known, neural = text_labels(extraction, all_clips, all_kinds)
    alike = all_kinds + 4 * complete + 8 * neural
    logits = np.full(len(alike), np.nan, np.float32)
    for group in np.unique(alike):
        own = alike == group
        if own[: len(asked)].any():
            logits[own & known] = asked[own[: len(asked)]].mean()
    logits[: len(asked)] = asked
    return logits, mean, deviation


def stop_point_scale(space: StopPointSpace, settings: DistillationSettings) -> NDArray[np.float32]:
    """Return the factor of each component of a stop point that gives its target, (E,)."""
    return _balanced(space.deviation, settings.whitening) / space.deviation


def _balanced(deviation: NDArray[np.float32], whitening: float) -> NDArray[np.float32]:
    """Return the standard deviations of the targets.

    They are the components' own, evened out by `whitening`; their mean square is 1.
    """
    scale = deviation ** (1 - 2 * whitening)
    return scale / np.sqrt(np.mean(scale**2))
