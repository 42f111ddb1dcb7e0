"""`turnstream latents connectivity`: how far back a network looks when a mutual silence begins, as
a picture and as half-lives.

turnstream latents connectivity MANIFEST --out connectivity.png [--model RUN]
    [--npz FILE.npz] [--reach SECONDS]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....stream.errors import ConfigError
from ...config import FeatureConfig
from ...evaluation.measures import Estimate
from ..collect import (
    add_model_argument,
    add_source_argument,
    name_of,
    network_to_run,
    opened_collection,
)
from ..collection import Collection
from ..drawing import listed, many
from ..options import add_out, check_files, option, shown
from ..parts import Parts, parts_beside
from ..views import COLOURS, LIGHT, View, legend_below, picture
from .connectivity import (
    CHANNELS,
    KINDS,
    REACH_S,
    STRAIGHT,
    Connectivity,
    Score,
    add_of,
    connect,
)

if TYPE_CHECKING:
    from ...turn_model import TurnModel

NAMED_HZ = (100, 250, 500, 1000, 2000, 4000)
SHORTEST_FRAME = 0.5  # where the newest frame begins on a logarithmic axis of lags
SHARES = (0.5, 0.9)
SCORE_WORDS = {"logit": "the logit of p(shift)", "p_shift": "p(shift)"}
LEAST_PLATEAU = 0.001  # of the newest second's magnitude, to be called one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream latents connectivity`."""
    add_source_argument(parser)
    add_out(parser, npz="the numbers; with it, an interrupted run can be resumed")
    what = "how far back to look; half-lives hardly depend on it, a plateau needs a long one"
    option(parser, "--reach SECONDS", what, REACH_S)
    add_of(parser)
    add_model_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Draw it, and print what is seen."""
    check_files(args, ".png")
    with opened_collection(args.source, args.model) as collection:
        model = network_to_run(collection, args.model)
        given = {"reach_s": args.reach, "of": args.of, "npz": args.npz}
        name = name_of(args.model)
        return shown(view_connectivity(collection, model, args.out, name=name, **given))


def view_connectivity(
    collection: Collection,
    model: TurnModel,
    out: Path,
    *,
    reach_s: float = REACH_S,
    of: Score = "logit",
    npz: Path | None = None,
    name: str = "",
) -> View:
    """Connectivity of the shifts and holds of a collection.

    Args:
        collection: whose dialogues' sound is there.
        model: any network.
        out: .png.
        reach_s, of: see `connectivity.connect`.
        npz: numbers to write; parts are kept beside it while the work lasts.
        name: of the network; that of the collection's unless given.
    Raises:
        ConfigError: no shifts or no holds, or a network without memory beyond its features.
    """
    found = connect(model, collection, reach_s, of=of, kept=npz)
    network = name or collection.about.model
    title = f"Connectivity of {network}: what {SCORE_WORDS[of]} listens to"
    caption = describe(found, of)
    with picture(
        out, title, caption, (10.5, 8.6), nrows=3, ncols=2, height_ratios=[1, 1, 1.25]
    ) as panels:
        _draw_pictures(found, model.config.features, panels[:2])
        for moment, panel in enumerate(panels[2]):
            _draw_curves(found, moment, panel, labelled=moment == 0)
    if npz is not None:
        _save(found, npz)
        Parts(parts_beside(npz), "").remove()
    return View(out, title, caption)


def describe(found: Connectivity, of: Score = "logit") -> str:
    """Return what is seen: a sentence, and the figures."""
    shifts, holds = int(found.shift.sum()), int((~found.shift).sum())
    reach_s = found.picture.shape[2] / found.rate_hz
    short = shifts + holds - int(found.counts[:, 0, :, -1].sum())
    curves = np.nan_to_num(found.curves[0])  # (kinds, R, channels)
    frames = found.encoder_frames
    figures = {"silences with less before them": str(short) if short else ""}
    for moment, into_s in enumerate(found.into_s):
        when = f"{into_s:g} s into the silence" if into_s else "at its start"
        for kind, name in enumerate(KINDS):
            times = [_seconds(found.time_within(moment, kind, share)) for share in SHARES]
            figures[f"{when}, {name}s"] = ", ".join(
                f"{100 * share:.0f} % within {time}"
                for share, time in zip(SHARES, times, strict=True)
            )
        figures[f"{when}, half-life of shifts against holds"] = _seconds(
            found.longer_for_shifts(moment), "+"
        )
    figures["in the channel of the speaker before"] = _shares(curves[:, :, :1], curves)
    encoder = f"in the encoder's reach ({frames / found.rate_hz:.2f} s, marked)"
    if reach_s * found.rate_hz <= frames:
        figures[encoder] = "all that was looked at"
    else:
        figures[encoder] = f"{_shares(curves[:, :frames], curves)}; the rest by recurrence alone"
        figures |= {f"beyond it, {name}s": _tail(found, kind) for kind, name in enumerate(KINDS)}
    return (
        f"Mean magnitude of the gradient of {SCORE_WORDS[of]} with respect to each log-mel value "
        f"(per unit, about 17 dB) of the {reach_s:g} s before, over {shifts} shifts and {holds} "
        f"holds of {many(len(found.sums), 'dialogue')}; intervals are over dialogues. Half-lives "
        "leave out a plateau, and count how the fall goes on beyond the reach. "
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


def _seconds(time: Estimate, sign: str = "") -> str:
    interval = "" if np.isnan(time.low) else f" ({time.low:{sign}.2f} to {time.high:{sign}.2f})"
    return f"{time.value:{sign}.2f} s{interval}"


def _shares(part: Any, whole: Any) -> str:
    shares = [_share(part[kind], whole[kind]) for kind in (0, 1)]
    return ", ".join(f"{share:.0f} % ({name}s)" for share, name in zip(shares, KINDS, strict=True))


def _share(part: Any, whole: Any) -> float:
    return 100 * float(part.sum() / whole.sum()) if whole.sum() > 0 else float("nan")


def _draw_pictures(found: Connectivity, features: FeatureConfig, panels: Any) -> None:
    """Mel bands against lags: a row of KINDS, a column of CHANNELS; one scale for all four."""
    edges_s = _lag_edges(found)
    shown = np.ma.masked_invalid(found.picture[0])
    top = float(np.nanpercentile(found.picture[0], 99.9))
    mesh: Any = None
    for kind, channel in np.ndindex(2, 2):
        panel = panels[kind][channel]
        panel.grid(visible=False)
        mesh = panel.pcolormesh(
            edges_s,
            np.arange(features.mel_bins + 1),
            shown[kind, :, channel].T,
            cmap="magma_r",
            vmin=0,
            vmax=top or 1,
            rasterized=True,
        )
        _mark(found, found.into_s[0], panel, LIGHT.ink)
        rows = np.interp(NAMED_HZ, _band_centres(features), np.arange(features.mel_bins) + 0.5)
        inside = [features.low_hz <= hz <= features.high_hz for hz in NAMED_HZ]
        panel.set_yticks(
            rows[inside],
            [
                f"{hz / 1000:g} kHz" if hz >= 1000 else f"{hz} Hz"
                for hz, there in zip(NAMED_HZ, inside, strict=True)
                if there
            ],
        )
        panel.set_title(
            f"{KINDS[kind]}s, {CHANNELS[channel]}, {found.into_s[0]:g} s into the silence",
            fontsize=9.5,
            color=LIGHT.ink,
        )
    bar = panels[0][0].figure.colorbar(mesh, ax=list(np.ravel(panels)), pad=0.01, extend="max")
    bar.set_label("mean |gradient|", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)


def _draw_curves(found: Connectivity, moment: int, panel: Any, *, labelled: bool) -> None:
    """Sum over bands of every frame, of each kind and channel, with the half-lives."""
    lags_s = _lag_edges(found)
    curves = found.curves[moment]
    for kind, channel in np.ndindex(2, 2):
        line = "-" if channel == 0 else (0, (4, 1.5))
        panel.stairs(
            curves[kind, :, channel],
            lags_s,
            baseline=None,
            color=COLOURS[KINDS[kind]],
            linestyle=line,
            linewidth=1.6,
            label=f"{KINDS[kind]}s, {CHANNELS[channel]}",
        )
    _mark(found, found.into_s[moment], panel, LIGHT.ink)
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    panel.set_ylim(low / 5, high)  # room for the half-lives
    for kind in (0, 1):
        half = found.time_within(moment, kind)
        if np.isfinite(half.value):
            at = 0.04 + 0.08 * (1 - kind)
            reach = (
                [[half.value - half.low], [half.high - half.value]]
                if np.isfinite(half.low)
                else None
            )
            shape = "o" if kind == 0 else "s"
            panel.errorbar(
                half.value,
                at,
                xerr=reach,
                fmt=shape,
                color=COLOURS[KINDS[kind]],
                markersize=6,
                capsize=3,
                transform=panel.get_xaxis_transform(),
                label=f"half-life, {KINDS[kind]}s",
            )
        if (plateau := float(found.decay(moment, kind).plateau[0])) > low:
            panel.axhline(
                plateau,
                color=COLOURS[KINDS[kind]],
                linewidth=0.9,
                linestyle=":",
                label=f"plateau, {KINDS[kind]}s, both channels",
            )
    when = (
        f"{found.into_s[moment]:g} s into the silence"
        if found.into_s[moment]
        else "at the silence's start"
    )
    panel.set_title(f"sum over bands, {when}", fontsize=9.5, color=LIGHT.ink)
    panel.set_ylabel("|gradient| of a frame", fontsize=9)
    panel.set_xlabel("seconds before (logarithmic)", fontsize=9)
    if labelled:
        legend_below(panel, columns=2, fontsize=7.5)


def _mark(found: Connectivity, into_s: float, panel: Any, ink: str) -> None:
    """The encoder's reach and the silence's start, on a logarithmic axis of seconds before."""
    from matplotlib.patheffects import Normal, Stroke

    edges_s = _lag_edges(found)
    panel.set_xscale("log")
    panel.set_xlim(edges_s[-1], edges_s[0])
    panel.set_xticks(
        [tick for tick in (50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02) if tick <= edges_s[-1]],
        minor=False,
    )
    panel.xaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    stroke = [Stroke(linewidth=2.5, foreground=LIGHT.paper), Normal()]
    words = {
        "fontsize": 7.5,
        "rotation": 90,
        "va": "top",
        "ha": "right",
        "transform": panel.get_xaxis_transform(),
        "color": ink,
        "path_effects": stroke,
    }
    panel.axvline(found.encoder_frames / found.rate_hz, color=ink, linewidth=1, linestyle=":")
    panel.text(found.encoder_frames / found.rate_hz, 0.98, "encoder's reach", **words)
    if into_s:
        panel.axvline(into_s, color=ink, linewidth=1, linestyle="--")
        panel.text(into_s, 0.98, "silence begins", **words)


def _lag_edges(found: Connectivity) -> Any:
    """Seconds before the moment at which frames begin and end, the newest first, (R + 1,)."""
    edges = np.arange(found.picture.shape[2] + 1, dtype=float)
    edges[0] = SHORTEST_FRAME
    return edges / found.rate_hz


def _band_centres(features: FeatureConfig) -> Any:
    """Centres of the mel bands in Hz (HTK scale), (M,)."""
    low, high = 2595 * np.log10(1 + np.array([features.low_hz, features.high_hz]) / 700)
    return 700 * (10 ** (np.linspace(low, high, features.mel_bins + 2)[1:-1] / 2595) - 1)


def _save(found: Connectivity, path: Path) -> None:
    try:
        np.savez_compressed(
            path,
            into_s=found.into_s,
            rate_hz=found.rate_hz,
            encoder_frames=found.encoder_frames,
            picture=found.picture.astype(np.float32),
            curves=found.curves,
            counts=found.counts.sum(axis=0),
            shift=found.shift,
            half_s=found.half_s,
            half_life_s=[
                [_values(found.time_within(moment, kind)) for kind in (0, 1)]
                for moment in range(len(found.into_s))
            ],
            plateau_share=[
                [float(found.decay(moment, kind).plateau_share()[0]) for kind in (0, 1)]
                for moment in range(len(found.into_s))
            ],
            within_90_percent_s=[
                [_values(found.time_within(moment, kind, 0.9)) for kind in (0, 1)]
                for moment in range(len(found.into_s))
            ],
        )
    except OSError as error:
        raise ConfigError(
            f"expected a file that can be written, got {str(path)!r}: {error.strerror}"
        ) from None


def _values(time: Estimate) -> tuple[float, float, float]:
    return time.value, time.low, time.high
