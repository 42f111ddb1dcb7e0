"""Probes find a planted signal when it comes, and nothing in noise; files and picture agree."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.evaluation.measures import auc
from turnstream.models.evaluation.shift_hold import count_earlier
from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.events import probes
from turnstream.models.latents.events.label_contrasts import find_cases
from turnstream.models.latents.events.probe_fits import (
    States,
    auc_of,
    folds_of,
    held_out_scores,
    reach_of,
    read_states,
)
from turnstream.models.latents.events.probe_results import (
    Curve,
    ProbeResults,
    at,
    caption_of,
    chance_of,
    draw_probes,
    table,
)
from turnstream.models.latents.events.probes import network_of, probe

from ..planted_silences import planted_silences
from .test_averages import made_voices

TIMES_S = (-0.8, -0.5, -0.4, -0.2, 0.0, 0.4, 0.6)
SHIFTS = ("shift-hold",)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return planted_silences(tmp_path_factory.mktemp("planted"), dialogues=8, silences=12)


@pytest.fixture(scope="module")
def results(planted: Collection) -> ProbeResults:
    return probe(planted, questions=("shift-hold", "question-statement"), times_s=TIMES_S)


def curve_of(results: ProbeResults, line: str, question: str = "shift-hold") -> Curve:
    curves = [curve for one in results.probed if one.question == question for curve in one.curves]
    return next(curve for curve in curves if curve.line == line)


def test_a_probe_finds_when_a_signal_comes_and_in_which_layer(results: ProbeResults) -> None:
    for line in ("latent own", "latent both"):
        curve = curve_of(results, line)
        assert curve.readable(results.times_s) == (-0.4, 0.6)
        assert curve.auc[2:].min() > 0.85
        assert np.abs(curve.auc[:2] - 0.5).max() < 0.2
        assert curve.chance > 0.5
    assert abs(results.permuted().mean() - 0.5) < 0.08
    first_layer = curve_of(results, "latent_speaker both")
    assert first_layer.readable(results.times_s) is None
    assert np.abs(first_layer.auc - 0.5).max() < 0.2


def test_a_voice_that_yields_more_often_is_not_read_as_a_shift_that_comes(tmp_path: Path) -> None:
    collection = made_voices(tmp_path / "voices")
    results = probe(collection, questions=SHIFTS, times_s=(-0.3, 0.0, 0.3))
    cases = find_cases(collection, SHIFTS)["shift-hold"]
    assert auc(cases.speaker.astype(float), cases.first) > 0.75  # the voice alone, pooled
    assert auc(count_earlier(cases.first, cases.number, cases.speaker), cases.first) > 0.65
    for curve in results.probed[0].curves:
        assert curve.readable(results.times_s) is None
        assert curve.auc.max() < 0.62
    assert curve_of(results, "counted").auc.max() < 0.5
    assert abs(results.permuted().mean() - 0.5) < 0.08
    assert "counting earlier ones 0." in caption_of(results)


def test_noise_gives_about_one_half_and_never(tmp_path: Path) -> None:
    noise = planted_silences(tmp_path / "noise", dialogues=12, silences=10, onset_s=None, seed=3)
    results = probe(noise, questions=SHIFTS, times_s=TIMES_S)
    for curve in results.probed[0].curves:
        assert curve.readable(results.times_s) is None
        assert abs(np.nanmean(curve.auc) - 0.5) < 0.08 or curve.line == "counted"
    assert "more than chance never" in caption_of(results)
    assert abs(results.permuted().mean() - 0.5) < 0.06


def test_the_signal_of_the_speaker_before_is_the_other_ones_to_the_other(
    planted: Collection, results: ProbeResults
) -> None:
    """Exchanging the speakers takes the signal from the own states, not from those of both."""
    cases = find_cases(planted, SHIFTS)["shift-hold"]
    assert cases.counts() == (48, 48)
    states = read_states(planted, cases.number, reach_of(cases, (0.0,), planted).steps)
    folds, units = folds_of(cases)
    rows, found = np.arange(len(cases)), []
    for both in (False, True):
        values = states.of("latent", rows, 0, 1 - cases.speaker, both=both)
        scores = held_out_scores(values, cases, folds)
        found.append(auc_of(scores, cases, units).value)
    assert abs(found[0] - 0.5) < 0.2
    expected = at(curve_of(results, "latent both").auc, results.times_s, 0.0)
    assert found[1] == pytest.approx(expected, abs=0.01)


def test_a_silence_that_has_ended_is_not_read(planted: Collection) -> None:
    times_s = (0.0, 0.6, 0.7)  # silences last 0.6 s
    results = probe(planted, questions=SHIFTS, times_s=times_s)
    assert results.probed[0].counts.tolist() == [[48, 48], [48, 48], [0, 0]]
    assert np.isnan(curve_of(results, "latent own").auc[2])
    assert curve_of(results, "latent own").readable(results.times_s) == (0.0, 0.6)


def test_a_single_dialogue_is_told_block_by_block_and_the_caption_says_so(tmp_path: Path) -> None:
    one = planted_silences(tmp_path / "one", dialogues=1, silences=60)
    results = probe(one, questions=SHIFTS, times_s=(-0.8, 0.0))
    curve = curve_of(results, "latent own")
    assert curve.auc[1] > 0.85
    assert curve.low[1] > 0.5
    assert "in one dialogue, over blocks of time: shift or hold" in caption_of(results)


def test_what_the_network_says_of_its_own_being_correct_is_what_it_gives_to_what_comes() -> None:
    states, zero = States({"p_next": np.array([[[0.3, 0.7]]], np.float32)}), np.array([0])
    questions = ("shift-correct", "hold-correct")
    given = [probes.said(question, states, zero, 0, zero)[0] for question in questions]
    assert given == pytest.approx([0.7, 0.3])


def test_what_was_done_is_not_done_again_and_is_thrown_away_in_the_end(
    planted: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    whole, given = probes._curve, {"questions": SHIFTS, "times_s": (0.0,)}

    def broken(work: Any, states: States, line: str, *rest: Any) -> Any:
        seen.append(line)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return whole(work, states, line, *rest)

    monkeypatch.setattr(probes, "_curve", broken)
    with pytest.raises(KeyboardInterrupt):
        probe(planted, parts=tmp_path / "parts", **given)
    assert len(list((tmp_path / "parts").iterdir())) == 2
    again = probe(planted, parts=tmp_path / "parts", **given)
    left = [line for line in ("latent both", "said", "counted") if line not in seen[:3]]
    assert seen[3:] == [seen[2], *left]
    assert not (tmp_path / "parts").exists()
    fresh = probe(planted, **given)
    for one, other in zip(again.probed[0].curves, fresh.probed[0].curves, strict=True):
        np.testing.assert_array_equal(one.auc, other.auc)


def test_at_most_so_many_silences_are_read_and_the_same_for_every_question(
    planted: Collection,
) -> None:
    found = find_cases(planted, ("shift-hold", "gap-pause", "speaker-listener"), most=30)
    assert [len(cases) for cases in found.values()] == [30, 30, 60]
    assert found["shift-hold"].start_s.tolist() == found["gap-pause"].start_s.tolist()


@pytest.mark.parametrize("count", [1, 2])  # the legend has a row of its own, or has not
def test_too_few_moments_are_said_and_not_drawn(
    results: ProbeResults, tmp_path: Path, count: int
) -> None:
    view = draw_probes(replace(results, probed=results.probed[-count:]), tmp_path / "probes.png")
    assert results.probed[1] == replace(results.probed[1], moments=(0, 0), curves=())
    assert view.path.stat().st_size > 10_000
    assert "fewer than 10 of a class: question or statement (0 and 0)" in view.caption
    assert "question or statement (0 and 0) of 0 dialogues, too few" in table(results)


def test_captions_depend_on_what_was_measured(results: ProbeResults) -> None:
    caption, curve, k = caption_of(results), curve_of(results, "latent both"), TIMES_S.index(0.0)
    figures = f"{curve.auc[k]:.2f} ({curve.low[k]:.2f} to {curve.high[k]:.2f})"
    assert f"Shift or hold, at time 0: the last RNN's states of both speakers {figures}" in caption
    assert "more than chance from -0.40 s to +0.60 s" in caption
    assert "rough intervals: 8 dialogues" in caption
    assert "moments for the probe" not in caption  # what the planted network says is noise
    better = replace(curve_of(results, "said"), auc=np.ones(len(TIMES_S)))
    lower = replace(curve, high=np.full(len(TIMES_S), 0.9))
    made = replace(results, probed=(replace(results.probed[0], curves=(better, lower)),))
    assert "too few moments for the probe to find what the network says" in caption_of(made)


def test_the_command_writes_picture_table_and_json(
    planted: Collection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = {name: tmp_path / f"probes.{name}" for name in ("png", "csv", "json")}
    files = [word for name, path in outputs.items() for word in (f"--{name}", str(path))]
    files[0] = "--out"
    monkeypatch.setattr(probes, "TIMES_S", (-0.2, 0.0))
    assert main(["latents", "probes", str(planted.folder), *files, "--most", "60"]) == 0
    printed = capsys.readouterr().out
    assert "shift or hold" in printed
    assert str(outputs["png"]) in printed
    with outputs["csv"].open() as file:
        rows = list(csv.DictReader(file))
    written = json.loads(outputs["json"].read_text())
    question = written["questions"][0]
    assert question["question"] == "shift-hold"
    series = [row for row in rows if (row["question"], row["line"]) == ("shift-hold", "latent own")]
    auc = question["lines"]["latent own"]["auc"]
    assert [float(row["auc"]) for row in series] == pytest.approx(auc, abs=1e-4)
    assert [float(row["time_s"]) for row in series] == written["times_s"]
    assert "sound both" not in question["lines"]  # there is no audio
    assert "NaN" not in outputs["json"].read_text()


def test_bad_input_is_one_clear_error(
    planted: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(planted.folder), "--out", str(tmp_path / "a.png")]
    for more, message in (("--label laughing", "got 'laughing'"), ("--most 0", "--most 0")):
        assert main(["latents", "probes", *given, *more.split()]) == 2
        assert message in capsys.readouterr().err


def test_more_than_chance_needs_the_interval_and_the_value(results: ProbeResults) -> None:
    values, low = np.array([0.7, 0.58, 0.7]), np.array([0.6, 0.52, 0.6])
    made = replace(curve_of(results, "latent own"), auc=values, low=low, chance=0.6)
    times_s = np.array([-0.2, 0.0, 0.2])
    assert made.readable(times_s) == (0.2, 0.2)
    assert replace(made, chance=0.55).readable(times_s) == (-0.2, 0.2)
    assert replace(made, low=np.array([0.6, 0.52, 0.48])).readable(times_s) is None
    last = replace(made, low=np.array([0.6, np.nan, np.nan]))  # the last time that has a figure
    assert last.readable(times_s) == (-0.2, -0.2)


def test_chance_is_what_one_random_order_in_forty_reaches() -> None:
    drawn = np.random.default_rng(0).normal(0.5, 0.06, 4000)
    assert (drawn > chance_of(drawn)).mean() == pytest.approx(0.025, abs=0.006)
    assert chance_of(np.array([np.nan])) == 0.5


def test_only_the_collections_own_network_is_asked_what_it_hears(
    tiny_collection: Collection, planted: Collection, tiny_checkpoint: Path
) -> None:
    found = network_of(tiny_collection, tiny_checkpoint)
    assert found is not None
    assert found.config == load_network(tiny_checkpoint).config
    assert network_of(tiny_collection, None) is None  # the bundled network is another
    assert network_of(planted, None) is None  # no audio


def test_the_sound_and_what_the_network_says_tell_who_speaks(
    tiny_collection: Collection, tiny_checkpoint: Path
) -> None:
    model, times_s = load_network(tiny_checkpoint), (-0.1, 0.1)
    given = {"questions": ("speaking",), "times_s": times_s, "most": 200}
    results = probe(tiny_collection, model=model, **given)
    sound = curve_of(results, "sound both", "speaking")
    assert at(sound.auc, results.times_s, 0.1) > 0.9  # noise against silence
    assert sum(results.probed[0].moments) == 60
