"""A judge of turn completeness: a small head on a frozen speech encoder, fitted on real calls.

Every silence of a speaker in a call is a hold (the same speaker resumes first) or a shift (the
other speaker takes the floor). The encoder receives the speaker's channel alone, up to some times
in the silence. The head is a logistic regression on the first principal components of the
encoder's last frames. It has a strong prior, because a few hundred silences say little about so
many components. The components are fitted on unlabelled speech (stop_point_space.py), so a network
that predicts them also predicts the judge.

Recorded utterances with known text are additional data: the end of a whole sentence or turn is
complete, a stop point inside is incomplete. They outnumber the silences of the calls, so each
group of them weighs GROUP_WEIGHT times as much as the calls. Groups sound different for reasons
that have nothing to do with turns. So each group is shifted: its midpoint between complete and
incomplete moves to that of the calls.

A judge's scores of a call mean something only if it was fitted on other calls. `held_out` fits
such a judge for each call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ...stream.errors import DialogueError
from ..dialogues.activity import FRAME_RATE_HZ, BoolFrames, Samples
from ..dialogues.annotation import load_annotated
from ..dialogues.events import find_pauses, find_transitions
from ..dialogues.manifest import Dialogue
from ..dialogues.synthesis import SYNTHETIC_SET
from ..dialogues.utterances import FINISHED, UNKNOWN
from .extraction import CONTEXT_S, END, Extraction, embed_end
from .whisper import FRAME_SAMPLES, SAMPLE_RATE_HZ, WhisperEncoder

MOMENTS_S = (0.1, 0.2, 0.3)  # times into a silence at which it is embedded
GROUP_WEIGHT = 3.0
STRENGTH = 0.003  # weight of the evidence against the prior: C of a logistic regression

NO_PRIOR = 1e6

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CallSilences:
    """Silences of some calls, embedded by the encoder.

    Attributes:
        embeddings: one row per moment, (N, D).
        shift: whether the other speaker took the floor, (N,) bool.
        call: index of the call, (N,).
        silence: index of the silence, (N,); rows of one silence share it.
    """

    embeddings: NDArray[np.float16]
    shift: NDArray[np.bool_]
    call: NDArray[np.int64]
    silence: NDArray[np.int64]


@dataclass(frozen=True)
class LabelledStopPoints:
    """Stop points of utterances that the text labels as complete or incomplete.

    Attributes:
        coordinates: in the StopPointSpace, (P, E).
        complete: whether a turn is complete there, (P,).
    """

    coordinates: Floats
    complete: NDArray[np.bool_]


@dataclass(frozen=True)
class Judge:
    """A linear head: logit of a shift = coordinates @ weights + bias.

    Attributes:
        weights: one weight for each dimension of the StopPointSpace, (E,).
        bias: the bias.
    """

    weights: Floats
    bias: float

    def logits(self, coordinates: Floats) -> Floats:
        """Return the logit of a shift, (..., E) -> (...)."""
        return coordinates @ self.weights + np.float32(self.bias)

    def scores(self, coordinates: Floats) -> Floats:
        """Return the probability that the turn is complete, (..., E) -> (...)."""
        return np.reciprocal(1 + np.exp(-self.logits(coordinates)), dtype=np.float32)


def embed_silences(
    encoder: WhisperEncoder, dialogue: Dialogue
) -> list[tuple[bool, list[NDArray[np.float16]]]]:
    """Embed every shift, hold and other pause of a call, at each of MOMENTS_S that it lasts.

    Returns:
        For each silence, whether it is a shift, and its embeddings, (D,) each.
    """
    audio, activity, backchannel = load_annotated(dialogue, SAMPLE_RATE_HZ)
    found: list[tuple[bool, list[NDArray[np.float16]]]] = []
    for speaker, start, end, shift in silences_of(activity, backchannel):
        moments = (start + round(moment_s * FRAME_RATE_HZ) for moment_s in MOMENTS_S)
        embeddings = [
            embed_end(encoder, channel_until(audio[speaker], last))
            for last in moments
            if last <= end and last * FRAME_SAMPLES <= audio.shape[1]
        ]
        found.append((shift, embeddings))
    return found


def join_silences(
    calls: Iterable[Sequence[tuple[bool, Sequence[NDArray[np.float16]]]]],
) -> CallSilences:
    """Join the embedded silences of calls; each call is as `embed_silences` returns it.

    Raises:
        DialogueError: the calls have no shift, or no hold.
    """
    rows: list[tuple[NDArray[np.float16], bool, int, int]] = []
    silence = 0
    for number, call in enumerate(calls):
        for shift, embeddings in call:
            rows += [(embedding, shift, number, silence) for embedding in embeddings]
            silence += 1
    if len({shift for _, shift, _, _ in rows}) < 2:
        raise DialogueError(
            f"expected calls with shifts and holds to fit a judge on, got {len(rows)} silences of "
            "one kind"
        )
    embeddings, shifts, calls_of, silences = zip(*rows, strict=True)
    return CallSilences(
        np.stack(embeddings), np.array(shifts), np.array(calls_of), np.array(silences)
    )


def silences_of(activity: BoolFrames, backchannel: BoolFrames) -> list[tuple[int, int, int, bool]]:
    """Return every shift, hold and pause once: (speaker, start frame, end frame, is a shift)."""
    found = {
        (event.previous, event.silence_start_frame): (
            event.silence_end_frame,
            event.kind == "shift",
        )
        for event in find_transitions(activity)
    }
    for pause in find_pauses(activity & ~backchannel):
        found.setdefault(
            (pause.speaker, pause.start_frame), (pause.end_frame, pause.kind != "hold")
        )
    return sorted((speaker, start, end, shift) for (speaker, start), (end, shift) in found.items())


def channel_until(channel: Samples, last_frame: int) -> Samples:
    """Return the samples of a channel up to the end of a frame, at most CONTEXT_S."""
    end = last_frame * FRAME_SAMPLES
    return channel[max(0, end - round(CONTEXT_S * SAMPLE_RATE_HZ)) : end]


def fit_judge(
    coordinates: Floats,
    silences: CallSilences,
    groups: Sequence[LabelledStopPoints] = (),
    strength: float = STRENGTH,
) -> Judge:
    """Fit a judge on silences of calls, and on groups of stop points of utterances.

    Shifts and holds have the same total weight; so have complete and incomplete stop points. The
    prior shrinks the logits, so they are rescaled. The scale is fitted on logits of calls that
    were left out, one at a time (Platt 1999).

    Args:
        coordinates: embeddings of the silences in a StopPointSpace, (N, E).
        silences: the silences, of at least two calls.
        groups: groups of stop points that texts label.
        strength: weight of the evidence against the prior; see STRENGTH.
    """
    left_out = np.zeros(len(coordinates), np.float32)
    for call in np.unique(silences.call):
        own = silences.call == call
        left_out[own] = _fit(coordinates[~own], silences.shift[~own], groups, strength).logits(
            coordinates[own]
        )
    judge = _fit(coordinates, silences.shift, groups, strength)
    slope, _ = _logistic(
        left_out[:, None].astype(np.float64), silences.shift, _balanced(silences.shift), NO_PRIOR
    )
    return Judge(judge.weights * np.float32(slope), judge.bias * float(slope))


def _fit(
    coordinates: Floats,
    shift: NDArray[np.bool_],
    groups: Sequence[LabelledStopPoints],
    strength: float,
) -> Judge:
    # One scale for all components, so that those with more variance weigh more.
    mean, scale = coordinates.mean(axis=0), coordinates.std()
    middle = _middle(coordinates, shift)
    rows, kinds, weights = [coordinates], [shift], [_balanced(shift)]
    for group in groups:
        rows.append(group.coordinates - _middle(group.coordinates, group.complete) + middle)
        kinds.append(group.complete)
        weights.append(_balanced(group.complete) * GROUP_WEIGHT * len(shift) / len(group.complete))
    standard = ((np.concatenate(rows) - mean) / scale).astype(np.float64)
    found = _logistic(standard, np.concatenate(kinds), np.concatenate(weights), strength)
    scaled = found[:-1] / scale
    return Judge(scaled.astype(np.float32), float(found[-1] - mean @ scaled))


def held_out(
    coordinates: Floats,
    silences: CallSilences,
    groups: Sequence[LabelledStopPoints] = (),
    strength: float = STRENGTH,
) -> list[Judge]:
    """Return, for each call, a judge fitted on all other calls and on the groups of stop points."""
    judges: list[Judge] = []
    for call in range(int(silences.call.max()) + 1):
        others = silences.call != call
        part = CallSilences(
            silences.embeddings[others],
            silences.shift[others],
            silences.call[others],
            silences.silence[others],
        )
        judges.append(fit_judge(coordinates[others], part, groups, strength))
    return judges


def labelled_stop_points(
    extraction: Extraction, clips: NDArray[np.int32], kinds: NDArray[np.int8], coordinates: Floats
) -> list[LabelledStopPoints]:
    """Return the stop points that the text labels, in up to two groups.

    The neural voice is a group of its own, because it speaks whole turns.
    """
    complete, known, neural = text_labels(extraction, clips, kinds)
    groups: list[LabelledStopPoints] = []
    for group in (known & neural, known & ~neural):
        if (complete & group).any() and (~complete & group).any():
            groups.append(LabelledStopPoints(coordinates[group], complete[group]))
    return groups


def text_labels(
    extraction: Extraction, clips: NDArray[np.int32], kinds: NDArray[np.int8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return three labels of each stop point, (P,) each.

    The labels are: a turn is complete there; the text shows whether it is; the voice is neural. A
    clip that ends a sentence is complete at its end. No clip is complete inside. The end of a
    read clip that stops inside a sentence has no label, because such clips are cut anywhere.
    """
    finished = np.array([utterance.finished for utterance in extraction.pool.utterances])[clips]
    neural = np.array(
        [utterance.set_name == SYNTHETIC_SET for utterance in extraction.pool.utterances]
    )[clips]
    complete = (kinds == END) & (finished == FINISHED)
    known = (kinds != END) | complete | (neural & (finished != UNKNOWN))
    return complete, known, neural


def fit_text_judge(groups: Sequence[LabelledStopPoints], strength: float = STRENGTH) -> Judge:
    """Fit a judge on groups of stop points alone, without calls; the groups weigh the same.

    Raises:
        DialogueError: there are no groups.
    """
    if not groups:
        raise DialogueError(
            "expected utterances whose text tells where they are complete, got none"
        )
    return _fit(groups[0].coordinates, groups[0].complete, groups[1:], strength)


def save_silences(silences: CallSilences, path: Path) -> None:
    """Write silences for `load_silences`."""
    np.savez(
        path,
        embeddings=silences.embeddings,
        shift=silences.shift,
        call=silences.call,
        silence=silences.silence,
    )


def load_silences(path: Path) -> CallSilences:
    """Read silences from `save_silences`."""
    with np.load(path) as stored:
        return CallSilences(
            **{name: stored[name] for name in ("embeddings", "shift", "call", "silence")}
        )


def _middle(coordinates: Floats, kind: NDArray[np.bool_]) -> Floats:
    """Return the midpoint of the means of the two kinds, (E,)."""
    return (coordinates[kind].mean(axis=0) + coordinates[~kind].mean(axis=0)) / 2


def _balanced(shift: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights that give shifts and holds the same total."""
    return np.where(shift, 0.5 / max(1, shift.sum()), 0.5 / max(1, (~shift).sum())) * len(shift)


def _logistic(
    x: NDArray[np.float64], shift: NDArray[np.bool_], weight: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Fit a logistic regression with a Gaussian prior on the weights; return weights and bias."""
    sign = np.where(shift, 1.0, -1.0)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (x @ w[:-1] + w[-1])
        slope = -sign * weight / (1 + np.exp(margin))
        gradient = np.append(strength * slope @ x + w[:-1], strength * slope.sum())
        return float(
            strength * (weight * np.logaddexp(0, -margin)).sum() + w[:-1] @ w[:-1] / 2
        ), gradient

    return minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
