"""Tables, pictures, clips and the page.

They show what was measured, and need nothing outside the folder.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream.models.evaluation import plots, tables
from turnstream.models.evaluation.groups import measure_groups
from turnstream.models.evaluation.measures import Estimate
from turnstream.models.evaluation.mistakes import describe, find_mistakes, in_words, write_mistake
from turnstream.models.evaluation.page import page, write_evaluation
from turnstream.models.evaluation.plots import check_matplotlib
from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.report import (
    SETTINGS,
    ConditionFigures,
    Cost,
    Evaluation,
    GroupFigures,
    Mistake,
    PolicyTrial,
    as_json,
    measure_system,
    measure_timer,
)
from turnstream.models.evaluation.shift_hold import counting, find_silences
from turnstream.models.evaluation.table import shown
from turnstream.models.evaluation.tables import all_tables
from turnstream.models.evaluation.voice_activity import VoiceActivity
from turnstream.stream.errors import MissingExtraError

from .conftest import MakeDialogue

NAN = float("nan")
CORPORA = ["one", "", "one", "one", "", "", "", ""]
WITHIN = "Shift or hold within one speaker"


pytestmark = pytest.mark.usefixtures("few_draws")


@pytest.fixture(scope="module")
def evaluation(random_dialogues: list[EvaluatedDialogue]) -> Evaluation:
    # One run for all tests: they test what is shown, not what is measured.
    stereo = measure_system(random_dialogues, "stereo")
    baseline = replace(
        stereo,
        shift_prediction=None,
        short_long=None,
        backchannel_prediction=None,
        calibration=None,
    )
    changed = ConditionFigures(stereo.shift_hold, stereo.frontier, Estimate(0.0, -0.01, 0.02))
    trial = PolicyTrial(10, 8, Estimate(0.3, 0.2, 0.4), Estimate(0.7, NAN, NAN), 0.6, 1)
    return Evaluation(
        about={
            "manifest": "<calls>.jsonl",
            "model": {"name": "net", "version": "1", "weights_sha256": "0123456789abcdef"},
            "dialogues": [
                {"id": dialogue.id, "seconds": 60.0, "activity": "words", "corpus": corpus}
                for dialogue, corpus in zip(random_dialogues, CORPORA, strict=True)
            ],
        },
        systems={"stereo": stereo, "mono": stereo, "smart-turn": baseline},
        timer=measure_timer(random_dialogues),
        counting=counting(random_dialogues),
        voice_activity={
            "mono": VoiceActivity(
                Estimate(0.91, 0.8, 0.95),
                Estimate(0.03, NAN, NAN),
                40,
                Estimate(0.97, NAN, NAN),
                0.08,
            )
        },
        by_corpus=measure_groups(
            {"stereo": random_dialogues, "mono": random_dialogues, "smart-turn": random_dialogues},
            CORPORA,
        ),
        by_call=measure_groups(
            dict.fromkeys(("stereo", "mono", "smart-turn"), random_dialogues),
            [dialogue.id for dialogue in random_dialogues],
        ),
        presets={setting: {"fast": trial} for setting in SETTINGS},
        auc_above={"smart-turn": dict.fromkeys(SETTINGS, Estimate(0.1, 0.05, 0.2))},
        conditions={"telephone band": dict.fromkeys(SETTINGS, changed)},
        costs={"turnstream": Cost(7.5, 0.15, "all"), "smart-turn": Cost(40.0, 36.5, "pauses")},
        mistakes=[Mistake("01_hold", "<3>", "hold", 12.5, 0.8, 0, 0, 0.9)],
    )


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures with few dots, for speed."""
    monkeypatch.setattr(plots, "DPI", 30)


@pytest.mark.parametrize(
    ("value", "scale", "digits", "expected"),
    [
        (Estimate(0.714, 0.6, 0.8), 1, 2, "0.71 [0.60, 0.80]"),
        (Estimate(0.714, 0.6, 0.8), 100, 0, "71 [60, 80]"),
        (Estimate(0.5, NAN, NAN), 1, 2, "0.50"),
        (Estimate(NAN, NAN, NAN), 1, 2, "-"),
    ],
)
def test_a_value_is_shown_with_its_interval(
    value: Estimate, scale: float, digits: int, expected: str
) -> None:
    assert shown(value, scale, digits) == expected


def test_every_row_is_as_long_as_its_header(evaluation: Evaluation) -> None:
    tables = all_tables(evaluation)
    assert [table.title for table in tables] == [
        "Scores",
        WITHIN,
        "Settings on the frontier",
        "Presets",
        "Corpora and calls",
        "Voice activity",
        "Robustness",
        "Cost",
    ]
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.header)}
    assert [
        table.title
        for table in all_tables(
            replace(evaluation, by_corpus={}, voice_activity={}, conditions={}, costs={})
        )
    ] == [
        "Scores",
        WITHIN,
        "Settings on the frontier",
        "Presets",
    ]


def test_the_table_holds_the_figures(evaluation: Evaluation) -> None:
    scores, within, settings, presets, groups, voice_activity, robustness, cost = all_tables(
        evaluation
    )
    rows = {row[0].partition(":")[0]: row[1:] for row in scores.rows}
    stereo = evaluation.systems["stereo"]
    assert scores.header == ("", "stereo", "mono", "smart-turn", "silence timer")
    assert rows["shift or hold, 250 ms"][0] == shown(stereo.shift_hold.at[250].auc)
    assert rows["AUC, 250 ms, minus that of smart-turn"] == (
        "0.10 [0.05, 0.20]",
        "0.10 [0.05, 0.20]",
        "-",
        "-",
    )
    assert rows["backchannel prediction"][2:] == ("-", "-")
    assert rows["mean latency at <= 5 % of holds cut off, s"][3] == shown(
        evaluation.timer.latency_at[0.05].estimate
    )
    point = stereo.frontier.cut_off_at[0.6].point
    assert point is not None
    assert (
        settings.rows[1][1]
        == f"{point.threshold:.2f}, {point.delay_s:.1f} s, {point.timeout_s:.1f} s"
    )
    assert settings.rows[1][4] == "wait 0.6 s"
    assert presets.rows[0] == ("fast, stereo", "30 [20, 40]", "0.70", "0.60", "1 of 8")
    assert robustness.rows[1][:3] == (
        "telephone band, stereo",
        shown(stereo.shift_hold.at[250].auc),
        "0.00 [-0.01, 0.02]",
    )
    pooled, inside = within.rows[2], within.rows[3]
    assert within.header == (
        "",
        "50 ms",
        "200 ms",
        "250 ms",
        "500 ms",
        "averaged",
        "last 0.5 s of speech",
    )
    assert (pooled[0], pooled[3]) == ("mono, pooled", shown(stereo.shift_hold.at[250].auc))
    assert stereo.shift_hold.at[250].auc_within is not None
    assert (inside[0], inside[3]) == (
        "  within speaker",
        shown(stereo.shift_hold.at[250].auc_within),
    )
    assert inside[3] != pooled[3]
    assert within.rows[5][6] == "-"  # smart-turn gives nothing before a silence
    assert evaluation.counting is not None
    assert within.rows[6][:2] == (
        "counting this speaker, pooled",
        shown(evaluation.counting.at[50].auc),
    )
    assert [row[0] for row in groups.rows] == [
        "one (3)",
        "  0",
        "  2",
        "  3",
        "no corpus given (5)",
        "  1",
        "  4",
        "  5",
        "  6",
        "  7",
    ]
    one = evaluation.by_corpus["one"]
    assert groups.rows[0][1:4] == (str(one.shifts), str(one.holds), shown(one.auc["stereo"]))
    assert groups.rows[2][4] == shown(evaluation.by_call["2"].auc["mono"])
    assert "[" in groups.rows[0][3]
    assert "[" not in groups.rows[2][3]
    assert voice_activity.rows == (("mono", "91.0 [80.0, 95.0]", "3.0", "97.0 of 40", "0.08"),)
    assert "Silero" not in voice_activity.note
    assert cost.rows[1] == ("smart-turn", "40.00", "36.500", "pauses")


def test_of_many_calls_only_the_corpora_are_listed(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST_CALLS", 7)
    (table,) = [table for table in all_tables(evaluation) if table.title == "Corpora and calls"]
    assert [row[0] for row in table.rows] == ["one (3)", "no corpus given (5)"]
    assert table.note.endswith("There are 8 calls: each is in report.json.")


def test_a_call_with_one_kind_has_a_dash(evaluation: Evaluation) -> None:
    nothing = GroupFigures(1, 3, 0, dict.fromkeys(evaluation.systems, Estimate(NAN, NAN, NAN)))
    (table,) = [
        table
        for table in all_tables(replace(evaluation, by_call={**evaluation.by_call, "0": nothing}))
        if table.title == "Corpora and calls"
    ]
    assert table.rows[1] == ("  0", "3", "0", "-", "-", "-")


def test_a_judge_is_called_an_upper_bound_with_how_much_it_was_asked(
    evaluation: Evaluation,
) -> None:
    judge = {"file": "judge.npz", "file_sha256": "0", "pauses": (9, 10), "silences": (7, 8)}
    note = all_tables(replace(evaluation, about={**evaluation.about, "judge": judge}))[0].note
    assert "an upper bound: its scores (judge.npz)" in note
    assert "asked in 9 of 10 pauses and 7 of 8 shifts and holds" in note
    assert "upper bound" not in all_tables(evaluation)[0].note


def test_labels_that_a_baseline_made_are_pointed_out(evaluation: Evaluation) -> None:
    labelled, *others = evaluation.about["dialogues"]
    detected = replace(
        evaluation,
        about={**evaluation.about, "dialogues": [labelled | {"activity": "detector"}, *others]},
    )
    words = f"Who spoke when comes from Silero VAD itself in 1 of {1 + len(others)} dialogues"
    assert "Silero" not in all_tables(evaluation)[0].note
    assert all_tables(detected)[0].note.endswith(f"{words}.")
    (heard,) = [table for table in all_tables(detected) if table.title == "Voice activity"]
    assert heard.note.endswith(
        "In 1 of 8 dialogues the reference itself comes from Silero VAD, with its edges trimmed "
        "by energy."
    )
    both = replace(
        detected,
        voice_activity=dict.fromkeys(("mono", "Silero VAD"), detected.voice_activity["mono"]),
    )
    (heard,) = [table for table in all_tables(both) if table.title == "Voice activity"]
    assert heard.note.endswith("trimmed by energy: there its own row is a comparison with itself.")
    judged = replace(
        detected,
        by_corpus={},
        systems={**detected.systems, "Silero VAD": detected.systems["smart-turn"]},
    )
    assert all_tables(judged)[0].note.endswith(
        f"{words}: there its own column is judged on labels that it made."
    )


def test_the_folder_holds_all_that_the_page_shows(
    evaluation: Evaluation, random_dialogues: list[EvaluatedDialogue], coarse: None, tmp_path: Path
) -> None:
    write_evaluation(tmp_path, evaluation, dict.fromkeys(evaluation.systems, random_dialogues))
    text = (tmp_path / "index.html").read_text()
    linked = set(re.findall(r"(?:src|srcset|href)=['\"]([^'\"]+)", text))
    there = {
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("*")
        if path.name != "index.html"
    }
    assert there == {name for name in linked if not name.startswith("mistakes/")}
    assert {
        f"{name}.{theme}.png"
        for name in ("roc", "frontier", "reliability", "robustness")
        for theme in ("light", "dark")
    } < there
    assert json.loads((tmp_path / "report.json").read_text()) == as_json(evaluation)
    assert "://" not in text
    assert "<script" not in text


def test_the_page_says_in_words_what_is_seen_and_trusts_no_name(evaluation: Evaluation) -> None:
    text = page(evaluation)
    assert "&lt;calls&gt;.jsonl" in text
    assert (
        "&lt;3&gt;. Speaker 0 stopped at 12.50 s and after 0.80 s went on, a hold; 250 ms into "
        "the silence the model gave a shift a probability of 0.90."
    ) in text
    assert "8 dialogues, 8.0 minutes" in text
    assert text.count("<figure>") == text.count("<figcaption>") == 5
    assert "robustness" not in page(replace(evaluation, conditions={}, mistakes=[]))


def test_mistakes_are_the_silences_on_whose_wrong_side_the_model_was_most(
    random_dialogues: list[EvaluatedDialogue],
) -> None:
    found = find_mistakes(random_dialogues, 6)
    wrong = [p < 0.5 if silence.transition.kind == "shift" else p >= 0.5 for silence, p in found]
    assert wrong == [True] * 6
    assert [silence.transition.kind for silence, _ in found].count("shift") == 3
    errors = [abs(p - (silence.transition.kind == "shift")) for silence, p in found]
    assert errors == sorted(errors, reverse=True)
    assert find_mistakes(random_dialogues, 0) == []
    assert len(find_mistakes(random_dialogues, 10_000)) < len(find_silences(random_dialogues))


def test_where_one_kind_is_rare_the_other_fills_the_list(dialogue: MakeDialogue) -> None:
    call = dialogue([(1.0, 4.0), (4.5, 7.0)], [(8.0, 9.0)])
    call.stereo.p_next[1] = 0.8  # right for the shift, wrong for the hold
    found = find_mistakes([call], 2)
    assert [silence.transition.kind for silence, _ in found] == ["hold"]
    (mistake,) = describe([call], found)
    assert mistake == Mistake("01_hold", "a", "hold", 4.0, 0.5, 0, 0, pytest.approx(0.8))
    assert "speaker 1 took over, a shift" in in_words(
        replace(mistake, kind="shift", next_speaker=1)
    )


def test_a_clip_ends_a_second_after_the_silence_and_is_in_stereo(
    dialogue: MakeDialogue, coarse: None, tmp_path: Path
) -> None:
    call = dialogue([(1.0, 6.0), (6.5, 9.0)], [])
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 160000)).astype(np.float32)
    write_mistake(tmp_path, Mistake("01_hold", "a", "hold", 6.0, 0.5, 0, 0, 0.9), call, audio)
    clip, rate_hz = sf.read(tmp_path / "01_hold.wav", dtype="float32")
    assert rate_hz == 16000
    np.testing.assert_allclose(clip.T, audio[:, 16000:120000], atol=1e-4)
    assert {path.name for path in tmp_path.iterdir()} == {
        "01_hold.wav",
        "01_hold.light.png",
        "01_hold.dark.png",
    }


def test_a_clip_at_the_edges_of_a_silent_dialogue_is_shorter(
    dialogue: MakeDialogue, coarse: None, tmp_path: Path
) -> None:
    call = dialogue([(1.0, 2.0), (2.5, 2.8)], [], seconds=3.0)
    write_mistake(
        tmp_path,
        Mistake("01_hold", "a", "hold", 2.0, 0.5, 0, 0, 0.9),
        call,
        np.zeros((2, 48000), np.float32),
    )
    assert sf.info(tmp_path / "01_hold.wav").frames == 48000


def test_a_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        MissingExtraError,
        match=r"matplotlib is not installed; to install it: pip install 'turnstream\[plot\]'",
    ):
        check_matplotlib()
