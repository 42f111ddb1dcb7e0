"""`turnstream latents moment`: one moment's sound, and what in it moves p_shift."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from .. import collect
from ..collection import Collection
from ..drawing import listed
from ..options import add_out, check_files, option, shown
from ..views import LIGHT, View, number_of, picture, red_to_blue
from .connectivity import connectivity, states_before
from .drawing import mel_image
from .readings import log_mel, sound_at

if TYPE_CHECKING:
    from ...turn_model import TurnModel

SECONDS = 3.0
SHOWN = 0.998  # share of the gradients that the colours tell apart

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MomentGradient:
    """What moves p_shift at one moment; R mel frames, K steps of the network, M mel bins."""

    edges_s: NDArray[np.float64]  # of the mel frames, the last at the moment, (R + 1,)
    speaker: int  # whose taking the floor is asked for
    mel: Floats  # log-mel frames, (R, 2, M)
    gradient: Floats  # of the logit of p_next of the speaker at the moment, (R, 2, M)
    p_next: Floats  # of the speaker, at the end of each step, (K,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents moment`."""
    collect.add_source_argument(parser)
    option(parser, "--at SECONDS", "the moment, in the dialogue", kind=float, required=True)
    add_out(parser, "moment.png")
    option(parser, "--dialogue ID", "the dialogue (default: the first)")
    whose = "whose taking the floor to ask for (default: who did not speak last)"
    option(parser, "--speaker", whose, kind=int, choices=(0, 1))
    option(parser, "--seconds N", "how far back to look", SECONDS)
    collect.add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    given = {name: getattr(args, name) for name in ("dialogue", "speaker", "seconds")}
    with collect.opened_collection(args.source, args.model) as collection:
        number_of(collection, args.dialogue)  # refused before the network is loaded
        model, name = collect.network_to_run(collection, args.model), collect.name_of(args.model)
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
    name: str = "",
) -> View:
    """Draw one moment beside its sound.

    Args:
        at_s: the moment, in seconds of the dialogue.
        dialogue: its id; None is the first.
        speaker: whose taking the floor is asked for; None is who did not speak last.
        seconds: how far back to look.
    Raises:
        ConfigError: no such dialogue or moment, or nobody has spoken before it.
    """
    number = number_of(collection, dialogue)
    if speaker is None:
        holder = collection.frames(number, ["holder"])["holder"][:, 0]
        last = int(holder[min(max(collection.frame_of(at_s) - 1, 0), len(holder) - 1)])
        if last < 0:
            raise ConfigError(
                f"expected a moment before which somebody has spoken, or --speaker, got {at_s:g} s"
            )
        speaker = 1 - last
    found = moment_gradient(model, collection, number, at_s, speaker, seconds)
    where = f"at {at_s:g} s of {collection.dialogues[number].id}"
    title = f"What moves p(shift) of {name or collection.about.model} {where}"
    caption, look = describe(found), {"sharex": True, "height_ratios": [1, 1, 1, 1, 0.7]}
    with picture(out, title, caption, (11.0, 8.5), nrows=5, **look) as panels:
        _draw(found, panels)
    return View(out, title, caption)


def moment_gradient(
    model: TurnModel, collection: Collection, number: int, at_s: float, speaker: int, seconds: float
) -> MomentGradient:
    """Return the sound before a moment, and the gradient of what is said at it.

    The arguments are those of `view_moment`; the last whole step before `at_s` is read.
    """
    import torch

    config = model.config
    mel = log_mel(model, sound_at(collection, number, config.features.sample_rate_hz))
    stride, step = config.encoder.stride, int(at_s * config.frame_rate_hz + 1e-6) - 1
    gradient = connectivity(model, mel, step, speaker, seconds)  # refuses a wrong moment
    end = (step + 1) * stride
    first = end - len(gradient)
    before = states_before(model, mel, [first])[first]
    with torch.inference_mode():
        output, _ = model.forward_mel(mel[None, :, first:end], before)
    return MomentGradient(
        np.arange(first, end + 1) / (config.frame_rate_hz * stride),
        speaker,
        mel[:, first:end].transpose(0, 1).numpy(),
        gradient.numpy(),
        torch.sigmoid(output.next[0, speaker]).numpy(),
    )


def describe(found: MomentGradient) -> str:
    """Return what is seen: fixed sentences, and the figures."""
    size, at_s = np.abs(found.gradient), found.edges_s[-1]
    summed = np.concatenate([[0.0], np.cumsum(size.sum(axis=(1, 2))[::-1], dtype=np.float64)])
    half_s = float(np.interp(summed[-1] / 2, summed, at_s - found.edges_s[::-1]))
    own = float(size[:, found.speaker].sum() / size.sum()) if size.any() else float("nan")
    figures = {
        f"Chance at {at_s:g} s that speaker {found.speaker} is next": f"{found.p_next[-1]:.2f}",
        "half of the summed magnitude lies in the last": f"{half_s:.2f} s",
        f"share in the channel of speaker {found.speaker}": f"{own:.0%}",
    }
    return (
        "For each speaker: the log-mel frames that the network was given, and the gradient of the "
        "logit of p(shift) with respect to every value (per unit, about 17 dB); blue: more sound "
        f"there raises it, red: lowers it. Below, p_shift over the time. {listed(figures)}"
    )


def _draw(found: MomentGradient, panels: Any) -> None:
    edges, top = found.edges_s, float(np.quantile(np.abs(found.gradient), SHOWN)) or 1.0
    low, high = np.percentile(found.mel, [1, 99.5])
    look = {"cmap": "Greys", "vmin": low, "vmax": max(high, low + 1e-3)}
    moving, image = {"cmap": red_to_blue(), "vmin": -top, "vmax": top}, None
    for speaker in (0, 1):
        sound, moves = panels[2 * speaker : 2 * speaker + 2]
        title = f"sound of speaker {speaker}{' (asked about)' * (speaker == found.speaker)}"
        mel_image(sound, edges, found.mel[:, speaker], title, **look)
        shown = found.gradient[:, speaker]
        image = mel_image(moves, edges, shown, "what moves p_shift in it", **moving)
    for panel in panels[:4]:
        panel.set_ylabel("mel bin", fontsize=8)
    bar = panels[0].figure.colorbar(image, ax=list(panels[:4]), pad=0.01, extend="both")
    bar.set_label("gradient", fontsize=8.5)
    stride = len(found.mel) // len(found.p_next)
    panels[4].plot(edges[stride::stride], found.p_next, color=LIGHT.first)
    panels[4].set(ylim=(0, 1), ylabel="p_shift", xlabel="seconds of the dialogue")
    panels[4].set_xlim(edges[0], edges[-1])
