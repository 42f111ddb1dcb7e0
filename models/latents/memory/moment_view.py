"""`turnstream latents moment`: one moment's sound, and what in it moves p_shift.

turnstream latents moment SOURCE --at SECONDS --out moment.png [--dialogue ID] [--speaker 0|1]
    [--seconds N] [--of logit|p_shift] [--model RUN]

Above, the log-mel frames that the network was given of both speakers; below each, the gradient of
what it says at that moment with respect to every value of them (connectivity.py): red where more
sound would raise the chance of a shift, blue where it would lower it; last, p_shift over the time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ..collect import (
    add_model_argument,
    add_source_argument,
    name_of,
    network_to_run,
    opened_collection,
)
from ..collection import Collection
from ..options import add_out, check_files, option, shown
from ..views import LIGHT, View, number_of, picture
from .connectivity import Score, add_of, connectivity, states_before
from .readings import log_mel, sound_at

if TYPE_CHECKING:
    from ...turn_model import TurnModel

SECONDS = 3.0
SHOWN = 0.998  # share of the gradients that the colours tell apart

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MomentGradient:
    """What moves p_shift at one moment; R mel frames, K steps of the network, M mel bins.

    Attributes:
        at_s: the end of the last frame.
        speaker: whose taking the floor is asked for.
        rate_hz, step_s: mel frames a second, and the length of a step.
        mel: log-mel frames, (R, 2, M).
        gradient: of the score, (R, 2, M).
        p_next: of `speaker`, at the end of each step, (K,).
    """

    at_s: float
    speaker: int
    rate_hz: float
    step_s: float
    mel: Floats
    gradient: Floats
    p_next: Floats


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents moment`."""
    add_source_argument(parser)
    at = "the moment, in the dialogue"
    parser.add_argument("--at", type=float, required=True, metavar="SECONDS", help=at)
    add_out(parser, "moment.png")
    parser.add_argument("--dialogue", metavar="ID", help="the dialogue (default: the first)")
    whose = "whose taking the floor to ask for (default: who did not speak last)"
    parser.add_argument("--speaker", type=int, choices=(0, 1), help=whose)
    option(parser, "--seconds N", "how far back to look", SECONDS)
    add_of(parser)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    given = {name: getattr(args, name) for name in ("dialogue", "speaker", "seconds", "of")}
    with opened_collection(args.source, args.model) as collection:
        number_of(collection, args.dialogue)  # refused before the network is loaded
        model = network_to_run(collection, args.model)
        name = name_of(args.model)
        return shown(view_moment(collection, model, args.at, args.out, name=name, **given))


def view_moment(
    collection: Collection,
    model: TurnModel,
    at_s: float,
    out: Path,
    *,
    dialogue: str | None = None,
    speaker: int | None = None,
    seconds: float = SECONDS,
    of: Score = "logit",
    name: str = "",
) -> View:
    """Draw one moment beside its sound.

    Args:
        collection: whose dialogues' sound is there.
        model: any network.
        at_s: the moment, in seconds of the dialogue.
        out: .png.
        dialogue: its id; None is the first.
        speaker: whose taking the floor is asked for; None is who did not speak last.
        seconds: how far back to look.
        of: see `connectivity.score_gradients`.
        name: of the network; that of the collection's unless given.
    Raises:
        ConfigError: no such dialogue or moment, or nobody has spoken before it.
    """
    number = number_of(collection, dialogue)
    if speaker is None:
        speaker = 1 - _holder(collection, number, at_s)
    found = moment_gradient(model, collection, number, at_s, speaker, seconds, of)
    score = "the logit of p(shift)" if of == "logit" else "p(shift)"
    shown_id = collection.dialogues[number].id
    title = f"What moves {score} of {name or collection.about.model} at {at_s:g} s of {shown_id}"
    caption = describe(found, score)
    with picture(
        out, title, caption, (11.0, 8.5), nrows=5, sharex=True, height_ratios=[1, 1, 1, 1, 0.7]
    ) as panels:
        _draw(found, panels)
    return View(out, title, caption)


def moment_gradient(
    model: TurnModel,
    collection: Collection,
    number: int,
    at_s: float,
    speaker: int,
    seconds: float = SECONDS,
    of: Score = "logit",
) -> MomentGradient:
    """Return the sound before a moment, and the gradient of what is said at it.

    Args:
        model: in evaluation mode.
        collection, number: the dialogue.
        at_s: the moment; the last whole step before it is read.
        speaker: whose taking the floor is asked for.
        seconds: how far back.
        of: see `connectivity.score_gradients`.
    Raises:
        ConfigError: the dialogue has no such moment.
    """
    import torch

    config = model.config
    mel = log_mel(model, sound_at(collection, number, config.features.sample_rate_hz))
    stride, step = config.encoder.stride, int(at_s * config.frame_rate_hz + 1e-6) - 1
    gradient = connectivity(model, mel, step, speaker, seconds, of)  # refuses a wrong moment
    end = (step + 1) * stride
    first = end - len(gradient)
    before = states_before(model, mel, [first])[first]
    with torch.inference_mode():
        output, _ = model.forward_mel(mel[None, :, first:end], before)
    return MomentGradient(
        (step + 1) / config.frame_rate_hz,
        speaker,
        config.frame_rate_hz * stride,
        1 / config.frame_rate_hz,
        mel[:, first:end].transpose(0, 1).numpy(),
        gradient.numpy(),
        torch.sigmoid(output.next[0, speaker]).numpy(),
    )


def describe(found: MomentGradient, score: str) -> str:
    """Return what is seen, in words."""
    size = np.abs(found.gradient)
    by_frame = size.sum(axis=(1, 2))[::-1].astype(np.float64)
    summed = np.concatenate([[0.0], np.cumsum(by_frame)])
    half_s = float(np.interp(summed[-1] / 2, summed, np.arange(len(summed)))) / found.rate_hz
    own = float(size[:, found.speaker].sum() / size.sum()) if size.any() else float("nan")
    return (
        f"p_shift is {found.p_next[-1]:.2f} at {found.at_s:g} s: the chance that speaker "
        f"{found.speaker} is the next to hold the floor. For each speaker: the log-mel frames that "
        f"the network was given, and the gradient of {score} with respect to every value (per "
        "unit, about 17 dB); red: more sound there raises it, blue: lowers it. Half of the summed "
        f"magnitude lies in the last {half_s:.2f} s; {own:.0%} of all lies "
        f"in the channel of speaker {found.speaker}. Below, p_shift over the time."
    )


def _holder(collection: Collection, number: int, at_s: float) -> int:
    holder = collection.frames(number, ["holder"])["holder"][:, 0]
    frame = min(max(collection.frame_of(at_s) - 1, 0), len(holder) - 1)
    if holder[frame] < 0:
        raise ConfigError(
            f"expected a moment before which somebody has spoken, or --speaker, got {at_s:g} s"
        )
    return int(holder[frame])


def _draw(found: MomentGradient, panels: Any) -> None:
    frames, _, bins = found.mel.shape
    edges = found.at_s + np.arange(-frames, 1) / found.rate_hz
    top = float(np.quantile(np.abs(found.gradient), SHOWN)) or 1.0
    low, high = np.percentile(found.mel, [1, 99.5])
    last: Any = None
    for speaker in (0, 1):
        sound, moves = panels[2 * speaker : 2 * speaker + 2]
        asked = " (asked about)" if speaker == found.speaker else ""
        sound.pcolormesh(
            edges,
            np.arange(bins + 1),
            found.mel[:, speaker].T,
            cmap="Greys",
            vmin=low,
            vmax=max(high, low + 1e-3),
            rasterized=True,
        )
        last = moves.pcolormesh(
            edges,
            np.arange(bins + 1),
            found.gradient[:, speaker].T,
            cmap="RdBu_r",
            vmin=-top,
            vmax=top,
            rasterized=True,
        )
        words = ((sound, f"sound of speaker {speaker}{asked}"), (moves, "what moves p_shift in it"))
        for panel, title in words:
            panel.grid(visible=False)
            panel.set_ylabel("mel bin", fontsize=8)
            panel.set_title(title, fontsize=9, color=LIGHT.ink, loc="left")
    bar = panels[0].figure.colorbar(last, ax=list(panels[:4]), pad=0.01, extend="both")
    bar.set_label("gradient", fontsize=8.5)
    times = found.at_s + (np.arange(len(found.p_next)) + 1 - len(found.p_next)) * found.step_s
    panels[4].plot(times, found.p_next, color=LIGHT.first)
    panels[4].set(ylim=(0, 1), ylabel="p_shift", xlabel="seconds of the dialogue")
    panels[4].set_xlim(edges[0], edges[-1])
