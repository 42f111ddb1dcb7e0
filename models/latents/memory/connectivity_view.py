"""`turnstream latents connectivity`: how far back a network looks, as pictures and half-lives."""

from __future__ import annotations

import argparse
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import FeatureConfig
from ...dialogues.activity import FRAME_RATE_HZ
from .. import collect
from ..collection import Collection
from ..drawing import heading, listed
from ..options import add_out, check_files, option, shown
from ..parts import Parts, parts_beside
from ..views import COLOURS, LIGHT, View, legend_below, picture
from .connectivity import CHANNELS, INTO_S, KINDS, REACH_S, Connectivity, connect
from .drawing import in_words, mel_image, readable, seconds_axis

if TYPE_CHECKING:
    from ...turn_model import TurnModel

NAMED_HZ = (100, 250, 500, 1000, 2000, 4000)
SHORTEST_FRAME = 0.5  # where the newest frame begins on a logarithmic axis of lags
STRAIGHT = 0.95  # R squared from which a tail counts as one exponential on a plateau
LEAST_PLATEAU = 0.001  # of the newest second's magnitude, to be called one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents connectivity`."""
    collect.add_source_argument(parser)
    add_out(parser, npz="the numbers; with it, an interrupted run can be resumed")
    what = "how far back to look; half-lives hardly depend on it, a plateau needs a long one"
    option(parser, "--reach SECONDS", what, REACH_S)
    collect.add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    with collect.opened_collection(args.source, args.model) as collection:
        model = collect.network_to_run(collection, args.model)
        given = {"reach_s": args.reach, "npz": args.npz, "name": collect.name_of(args.model)}
        return shown(view_connectivity(collection, model, args.out, **given))


def view_connectivity(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    reach_s: float = REACH_S,
    npz: Path | None = None,
    name: str = "",
) -> View:
    """Draw the connectivity of shifts and holds (`connectivity.connect`).

    `npz` is written with the numbers; parts are kept beside it while the work lasts.
    """
    found = connect(model, collection, reach_s, kept=npz)
    title = f"Connectivity of {name or collection.about.model}: what p(shift) listens to"
    caption, grid = describe(found), {"nrows": 3, "ncols": 2, "height_ratios": [1, 1, 1.25]}
    with picture(out, title, caption, (10.5, 8.6), **grid) as panels:
        _draw_pictures(found, model.config.features, panels[:2])
        for moment, panel in enumerate(panels[2]):
            _draw_curves(found, moment, panel)
    if npz is not None:
        _save(found, npz)
        Parts(parts_beside(npz), "").remove()
    return View(out, title, caption)


def describe(found: Connectivity) -> str:
    """Return what is seen: a sentence, and the figures."""
    reach, frames, silences = found.picture.shape[2], found.encoder_frames, found.silences
    short = len(silences) - int(found.counts[:, 0, :, -1].sum())
    curves = np.nan_to_num(found.curves[0])  # (kinds, R, channels)
    figures = {"silences with less before them": str(short or "")}
    for moment, into_s in enumerate(INTO_S):
        for kind, name in enumerate(KINDS):
            times = (found.time_within(moment, kind, share) for share in (0.5, 0.9))
            half, most = (in_words(time, ".2f", " s") for time in times)
            figures[f"{_when(into_s)}, {name}s"] = f"50 % within {half}, 90 % within {most}"
        longer = in_words(found.longer_for_shifts(moment), "+.2f", " s")
        figures[f"{_when(into_s)}, half-life of shifts against holds"] = longer
    figures["in the channel of the speaker before"] = _shares(curves[:, :, :1], curves)
    encoder = f"in the encoder's reach ({frames / FRAME_RATE_HZ:.2f} s, marked)"
    if reach <= frames:
        figures[encoder] = "all that was looked at"
    else:
        figures[encoder] = f"{_shares(curves[:, :frames], curves)}; the rest by recurrence alone"
        figures |= {f"beyond it, {name}s": _tail(found, kind) for kind, name in enumerate(KINDS)}
    return (
        "Mean magnitude of the gradient of the logit of p(shift) with respect to each log-mel "
        f"value (per unit, about 17 dB) of the {reach / FRAME_RATE_HZ:g} s before, over "
        f"{silences.counted}; intervals are over dialogues. Half-lives leave out a plateau, and "
        "count how the fall goes on beyond the reach. "
        f"{listed(figures)} {found.quality.in_words()}"
    )


def _tail(found: Connectivity, kind: int) -> str:
    """How the magnitude falls beyond the encoder's reach, and what does not fall."""
    decay = found.decay(0, kind)
    constant_s, share = float(decay.constant_s[0]), float(decay.plateau_share()[0])
    exponential = float(decay.straight[0]) >= STRAIGHT and np.isfinite(constant_s)
    fall = f"time constant {constant_s:.2f} s" if exponential else "not one exponential"
    left = f"plateau {100 * share:.1f} % of the newest second's magnitude"
    return f"{fall}, {left if share >= LEAST_PLATEAU else 'no plateau yet'}"


def _when(into_s: float) -> str:
    return f"{into_s:g} s into the silence" if into_s else "at the silence's start"


def _shares(part: Any, whole: Any) -> str:
    totals = whole.sum(axis=(1, 2))
    shares = np.divide(part.sum(axis=(1, 2)), totals, out=np.full(2, np.nan), where=totals > 0)
    return ", ".join(f"{share:.0%} ({name}s)" for share, name in zip(shares, KINDS, strict=True))


def _draw_pictures(found: Connectivity, features: FeatureConfig, panels: Any) -> None:
    """Mel bands against lags: a row of KINDS, a column of CHANNELS; one scale for all four."""
    means = np.ma.masked_invalid(found.picture[0])
    top = float(np.percentile(means.compressed(), 99.9)) or 1
    low, high, bins = features.low_hz, features.high_hz, features.mel_bins
    ends = np.log10(1 + low / 700), np.log10(1 + high / 700)  # of HTK's scale
    centres = 700 * (10 ** np.linspace(*ends, bins + 2)[1:-1] - 1)
    named = [hz for hz in NAMED_HZ if low <= hz <= high]
    labels = [f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz" for hz in named]
    mesh: Any = None
    for kind, channel in np.ndindex(2, 2):
        panel, shown = panels[kind][channel], means[kind, :, channel]
        title = f"{KINDS[kind]}s, {CHANNELS[channel]}, {_when(INTO_S[0])}"
        mesh = mel_image(panel, _lag_edges(found), shown, title, cmap="magma_r", vmin=0, vmax=top)
        _lag_axis(found, INTO_S[0], panel)
        panel.set_yticks(np.interp(named, centres, np.arange(bins) + 0.5), labels)
    bar = panels[0][0].figure.colorbar(mesh, ax=list(np.ravel(panels)), pad=0.01, extend="max")
    bar.set_label("mean |gradient|", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)


def _draw_curves(found: Connectivity, moment: int, panel: Any) -> None:
    """Sum over bands of every frame, of each kind and channel, with the half-lives."""
    edges_s, into_s, curves = _lag_edges(found), INTO_S[moment], found.curves[moment]
    for kind, channel in np.ndindex(2, 2):
        look = {"color": COLOURS[KINDS[kind]], "linestyle": (0, (4, 1.5)) if channel else "-"}
        look |= {"label": f"{KINDS[kind]}s, {CHANNELS[channel]}", "linewidth": 1.6}
        panel.stairs(curves[kind, :, channel], edges_s, baseline=None, **look)
    _lag_axis(found, into_s, panel)
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.set_ylim(low / 5, high)  # room for the half-lives
    for kind, name in enumerate(KINDS):
        half, colour = found.time_within(moment, kind), COLOURS[name]
        if np.isfinite(half.value):
            look = {"color": colour, "transform": panel.get_xaxis_transform()}
            height = 0.12 - 0.08 * kind
            panel.plot([half.low, half.high], [height, height], marker="|", **look)
            label = f"half-life, {name}s"
            panel.plot(half.value, height, "os"[kind], markersize=6, label=label, **look)
        if (plateau := float(found.decay(moment, kind).plateau[0])) > low:
            look = {"color": colour, "linewidth": 0.9, "linestyle": ":"}
            panel.axhline(plateau, label=f"plateau, {name}s, both channels", **look)
    heading(panel, f"sum over bands, {_when(into_s)}")
    panel.set_ylabel("|gradient| of a frame", fontsize=9)
    if not moment:
        legend_below(panel, columns=2, fontsize=7.5)


def _lag_axis(found: Connectivity, into_s: float, panel: Any) -> None:
    """Seconds before the moment, with the encoder's reach and the silence's start."""
    edges_s = _lag_edges(found)
    seconds_axis(panel, "seconds before (logarithmic)", edges_s[-1], {})
    panel.set_xlim(edges_s[-1], edges_s[0])
    look = {"fontsize": 7.5, "rotation": 90, "va": "top", "ha": "right", "color": LIGHT.ink}
    look["path_effects"] = readable()
    marks = {"encoder's reach": (found.encoder_frames / FRAME_RATE_HZ, ":")}
    if into_s:
        marks["silence begins"] = (into_s, "--")
    for words, (at_s, dashes) in marks.items():
        panel.axvline(at_s, color=LIGHT.ink, linewidth=1, linestyle=dashes)
        panel.text(at_s, 0.98, words, transform=panel.get_xaxis_transform(), **look)


def _lag_edges(found: Connectivity) -> Any:
    """Seconds before the moment at which frames begin and end, the newest first, (R + 1,)."""
    return np.array([SHORTEST_FRAME, *range(1, found.picture.shape[2] + 1)]) / FRAME_RATE_HZ


def _save(found: Connectivity, path: Path) -> None:
    kinds, moments = range(len(KINDS)), range(len(INTO_S))
    decays = [[found.decay(moment, kind) for kind in kinds] for moment in moments]
    half, most = (
        [[astuple(found.time_within(at, kind, share)) for kind in kinds] for at in moments]
        for share in (0.5, 0.9)
    )
    np.savez_compressed(
        path,
        into_s=INTO_S,
        rate_hz=FRAME_RATE_HZ,
        encoder_frames=found.encoder_frames,
        picture=found.picture.astype(np.float32),
        curves=found.curves,
        counts=found.counts.sum(axis=0),
        shift=found.silences.happened,
        half_s=found.half_s,
        half_life_s=half,
        plateau_share=[[float(one.plateau_share()[0]) for one in row] for row in decays],
        within_90_percent_s=most,
    )
