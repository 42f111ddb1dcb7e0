"""A judge of turn completeness: a small head on a frozen speech encoder, fitted on the silences of real calls.

Every silence of a speaker in a call is a hold (the same speaker resumes first) or a shift (the other takes the floor). The encoder hears the
speaker's channel alone, up to some moments of the silence; the head is a logistic regression on the first principal components of its
last frames, with a strong prior: a few hundred silences say little about so many components. The components are those of speech that
nobody has labelled (place_space.py), so that a network that predicts them predicts the judge, too.

Recorded utterances whose text is known help it: where a whole sentence or turn ends is told from the places inside. They outnumber the
calls' silences, so each group of them weighs GROUP_WEIGHT times what the calls weigh, and is moved so that its middle between complete and
incomplete lies where the calls' does: what a group sounds like says nothing of turns.

A judge's score of a call means something only if it was fitted on other calls: `held_out` gives each call such a judge.
"""

from __future__ import annotations

from collections.abc import Sequence
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

MOMENTS_S = (0.1, 0.2, 0.3)  # into a silence, at which it is heard
GROUP_WEIGHT = 3.0
STRENGTH = 0.003  # of the evidence against the prior of the weights: C of a logistic regression

NO_PRIOR = 1e6

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CallSilences:
    """Silences of some calls, heard by the encoder.

    Attributes:
        embeddings: (N, D), one row a moment.
        shift: (N,) bool, the other took the floor.
        call: (N,) index of the call.
        silence: (N,) which silence; several rows share one.
    """

    embeddings: NDArray[np.float16]
    shift: NDArray[np.bool_]
    call: NDArray[np.int64]
    silence: NDArray[np.int64]


@dataclass(frozen=True)
class ToldPlaces:
    """Places of utterances of which the text tells whether a turn is complete there: coordinates (P, E), complete (P,)."""

    coordinates: Floats
    complete: NDArray[np.bool_]


@dataclass(frozen=True)
class Judge:
    """Logit of a shift = coordinates @ weights + bias, where the coordinates are those of a PlaceSpace, (E,)."""

    weights: Floats
    bias: float

    def logits(self, coordinates: Floats) -> Floats:
        """(..., E) to (...)."""
        return coordinates @ self.weights + np.float32(self.bias)

    def scores(self, coordinates: Floats) -> Floats:
        """Probability that the turn is complete, (..., E) to (...)."""
        return np.reciprocal(1 + np.exp(-self.logits(coordinates)), dtype=np.float32)


def hear_silences(encoder: WhisperEncoder, dialogues: Sequence[Dialogue]) -> CallSilences:
    """Have the encoder hear every shift and hold, and every other pause, of these calls, at each of MOMENTS_S that it lasts."""
    rows: list[tuple[NDArray[np.float16], bool, int, int]] = []
    silence = 0
    for number, dialogue in enumerate(dialogues):
        audio, activity, backchannel = load_annotated(dialogue, SAMPLE_RATE_HZ)
        for speaker, start, end, shift in silences_of(activity, backchannel):
            for moment_s in MOMENTS_S:
                last = start + round(moment_s * FRAME_RATE_HZ)
                if last <= end and last * FRAME_SAMPLES <= audio.shape[1]:
                    rows.append(
                        (embed_end(encoder, heard_of(audio[speaker], last)), shift, number, silence)
                    )
            silence += 1
    if len({shift for _, shift, _, _ in rows}) < 2:
        raise DialogueError(
            f"expected calls with shifts and holds to fit a judge on, got {len(rows)} silences of one kind"
        )
    embeddings, shifts, calls, silences = zip(*rows, strict=True)
    return CallSilences(np.stack(embeddings), np.array(shifts), np.array(calls), np.array(silences))


def silences_of(activity: BoolFrames, backchannel: BoolFrames) -> list[tuple[int, int, int, bool]]:
    """(speaker, start frame, end frame, shift?) of every shift, hold and pause, each silence once."""
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


def heard_of(channel: Samples, last_frame: int) -> Samples:
    """What a channel holds up to the end of a frame, CONTEXT_S at most."""
    end = last_frame * FRAME_SAMPLES
    return channel[max(0, end - round(CONTEXT_S * SAMPLE_RATE_HZ)) : end]


def fit_judge(
    coordinates: Floats,
    silences: CallSilences,
    told: Sequence[ToldPlaces] = (),
    strength: float = STRENGTH,
) -> Judge:
    """Fit on silences, and on groups of places of utterances; shifts and holds, or complete and incomplete ones, weigh the same.

    The prior shrinks the logits as well as turning them; how far apart they belong is found on calls that were left out one at a time
    (Platt 1999).

    Args:
        coordinates: of a PlaceSpace, (N, E).
        silences: whose they are, of at least two calls.
        told: groups of places.
        strength: see STRENGTH.
    """
    left_out = np.zeros(len(coordinates), np.float32)
    for call in np.unique(silences.call):
        own = silences.call == call
        left_out[own] = _fit(coordinates[~own], silences.shift[~own], told, strength).logits(
            coordinates[own]
        )
    judge = _fit(coordinates, silences.shift, told, strength)
    slope, _ = _logistic(
        left_out[:, None].astype(np.float64), silences.shift, _balanced(silences.shift), NO_PRIOR
    )
    return Judge(judge.weights * np.float32(slope), judge.bias * float(slope))


def _fit(
    coordinates: Floats, shift: NDArray[np.bool_], told: Sequence[ToldPlaces], strength: float
) -> Judge:
    mean, scale = (
        coordinates.mean(axis=0),
        coordinates.std(),
    )  # one scale, so that components of much variance weigh more
    middle = _middle(coordinates, shift)
    rows, kinds, weights = [coordinates], [shift], [_balanced(shift)]
    for group in told:
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
    told: Sequence[ToldPlaces] = (),
    strength: float = STRENGTH,
) -> list[Judge]:
    """For each call, the judge that was fitted on all others, and on the same groups of places."""
    judges: list[Judge] = []
    for call in range(int(silences.call.max()) + 1):
        others = silences.call != call
        part = CallSilences(
            silences.embeddings[others],
            silences.shift[others],
            silences.call[others],
            silences.silence[others],
        )
        judges.append(fit_judge(coordinates[others], part, told, strength))
    return judges


def told_places(
    extraction: Extraction, clips: NDArray[np.int32], kinds: NDArray[np.int8], coordinates: Floats
) -> list[ToldPlaces]:
    """The places of which the text tells whether a turn is complete there, those of the neural voice apart: it speaks whole turns."""
    complete, known, neural = tell(extraction, clips, kinds)
    groups: list[ToldPlaces] = []
    for group in (known & neural, known & ~neural):
        if (complete & group).any() and (~complete & group).any():
            groups.append(ToldPlaces(coordinates[group], complete[group]))
    return groups


def tell(
    extraction: Extraction, clips: NDArray[np.int32], kinds: NDArray[np.int8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each place, (P,) each: is a turn complete there, does the text tell so, and is it the neural voice?

    A clip that ends a sentence is complete at its end; no clip is complete inside. Read clips that end inside a sentence are cut anywhere.
    """
    finished = np.array([utterance.finished for utterance in extraction.pool.utterances])[clips]
    neural = np.array(
        [utterance.set_name == SYNTHETIC_SET for utterance in extraction.pool.utterances]
    )[clips]
    complete = (kinds == END) & (finished == FINISHED)
    known = (kinds != END) | complete | (neural & (finished != UNKNOWN))
    return complete, known, neural


def fit_told(told: Sequence[ToldPlaces], strength: float = STRENGTH) -> Judge:
    """A judge that no call taught: fitted on groups of places alone, which weigh the same.

    Raises:
        DialogueError: no groups.
    """
    if not told:
        raise DialogueError(
            "expected utterances whose text tells where they are complete, got none"
        )
    return _fit(told[0].coordinates, told[0].complete, told[1:], strength)


def save_silences(silences: CallSilences, path: Path) -> None:
    """Write what `load_silences` reads."""
    np.savez(
        path,
        embeddings=silences.embeddings,
        shift=silences.shift,
        call=silences.call,
        silence=silences.silence,
    )


def load_silences(path: Path) -> CallSilences:
    """Read what `save_silences` wrote."""
    with np.load(path) as stored:
        return CallSilences(
            **{name: stored[name] for name in ("embeddings", "shift", "call", "silence")}
        )


def _middle(coordinates: Floats, kind: NDArray[np.bool_]) -> Floats:
    """Half-way between the means of the two kinds, (E,)."""
    return (coordinates[kind].mean(axis=0) + coordinates[~kind].mean(axis=0)) / 2


def _balanced(shift: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights with which shifts and holds count the same."""
    return np.where(shift, 0.5 / max(1, shift.sum()), 0.5 / max(1, (~shift).sum())) * len(shift)


def _logistic(
    x: NDArray[np.float64], shift: NDArray[np.bool_], weight: NDArray[np.float64], strength: float
) -> NDArray[np.float64]:
    """Weights and bias of a logistic regression with a Gaussian prior on the weights."""
    sign = np.where(shift, 1.0, -1.0)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = sign * (x @ w[:-1] + w[-1])
        slope = -sign * weight / (1 + np.exp(margin))
        gradient = np.append(strength * slope @ x + w[:-1], strength * slope.sum())
        return float(
            strength * (weight * np.logaddexp(0, -margin)).sum() + w[:-1] @ w[:-1] / 2
        ), gradient

    return minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
