"""`turnstream evaluate` from the command line to its output folder.

It runs on small dialogues made here, with a random network.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream import Engine
from turnstream.cli import main
from turnstream.models.dialogues.activity import Samples
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.evaluation import command, conditions, plots, systems
from turnstream.models.evaluation.conditions import standard_conditions
from turnstream.models.evaluation.onnx_runner import evaluate_dialogues
from turnstream.models.evaluation.policy_trial import try_policy
from turnstream.models.evaluation.predictions import EvaluatedDialogue
from turnstream.models.evaluation.recording import load_recording
from turnstream.models.evaluation.report import SETTINGS, as_json, measure_system, measure_timer
from turnstream.models.evaluation.shift_hold import counting
from turnstream.models.evaluation.voice_activity import measure_voice_activity
from turnstream.stream import pause_model

from ...stream.pauses import HEAD, tiny_pause_model
from .loudness_model import loudness_model

pytestmark = pytest.mark.usefixtures("few_draws")


class FakeSmartTurn:
    """Scores a turn as more complete, the louder the last 8 s were."""

    def scores(self, clips: Sequence[Samples]) -> NDArray[np.float32]:
        return np.array(
            [min(1.0, 5 * float(np.abs(clip[-128000:]).mean())) for clip in clips], np.float32
        )


@pytest.fixture(scope="module")
def whole_run(
    manifest: Path, tiny_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """Run everything once, with one of the conditions, and coarse pictures for speed."""
    out = tmp_path_factory.mktemp("evaluation") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for module in (command, systems):
            patch.setattr(module, "SmartTurn", FakeSmartTurn)
        patch.setattr(
            conditions, "standard_conditions", lambda *given: standard_conditions(*given)[:1]
        )
        patch.setattr(plots, "DPI", 30)
        scores = {
            d.id: np.random.default_rng(0).random((2, 700)).astype(np.float32)
            for d in read_manifest(manifest)
        }
        np.savez(out.parent / "held_out.npz", **scores)  # pyright: ignore[reportArgumentType]
        words = ["--model", str(tiny_model_path), "--judge", str(out.parent), "--out", str(out)]
        words += ["--baselines", "--robustness", "--mistakes", "1"]
        assert main(["evaluate", str(manifest), *words]) == 0
    return out, json.loads((out / "report.json").read_text())


def close(found: Any, expected: Any) -> bool:
    """Return whether two JSON values are equal, up to the rounding that a batch's size changes."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(
            close(found[key], value) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return found == (pytest.approx(expected, abs=1e-4) if isinstance(expected, float) else expected)


def test_the_report_is_what_the_measures_say(
    whole_run: tuple[Path, dict[str, Any]], evaluated: list[EvaluatedDialogue]
) -> None:
    _, report = whole_run
    auc = {
        name: figures["shift_hold"]["at"]["250"]["auc"]["value"]
        for name, figures in report["systems"].items()
    }
    assert list(report["systems"]) == ["stereo", "mono", "judge", "smart-turn", "Silero VAD"]
    for setting in SETTINGS:
        assert close(
            report["systems"][setting]["shift_hold"],
            as_json(measure_system(evaluated, setting).shift_hold),
        )
        assert close(
            report["presets"][setting]["fast"], as_json(try_policy("fast", evaluated, setting))
        )
    assert close(report["timer"], as_json(measure_timer(evaluated)))
    assert report["systems"]["judge"]["calibration"] is None
    assert report["auc_above"]["judge"]["mono"]["value"] == pytest.approx(
        auc["mono"] - auc["judge"]
    )
    assert close(report["counting"], as_json(counting(evaluated)))
    assert report["systems"]["smart-turn"]["calibration"] is None
    assert list(report["voice_activity"]) == ["stereo", "mono", "Silero VAD"]
    assert close(
        report["voice_activity"]["mono"], as_json(measure_voice_activity(evaluated, "mono"))
    )
    assert (
        report["voice_activity"]["Silero VAD"]["onsets"]
        == report["voice_activity"]["mono"]["onsets"]
        > 0
    )
    assert report["voice_activity"]["Silero VAD"]["false"]["value"] is not None
    assert list(report["by_corpus"]) == ["bursts"]
    assert (
        report["by_corpus"]["bursts"]["auc"]["mono"]
        == report["systems"]["mono"]["shift_hold"]["at"]["250"]["auc"]
    )
    assert list(report["by_call"]) == ["call 0", "call 1", "call 2"]
    assert (
        sum(call["shifts"] for call in report["by_call"].values())
        == report["systems"]["mono"]["shift_hold"]["at"]["50"]["positives"]
    )
    assert report["auc_above"]["Silero VAD"]["stereo"]["value"] == pytest.approx(
        auc["stereo"] - auc["Silero VAD"]
    )
    assert (
        report["systems"]["smart-turn"]["shift_hold"]["at"]["250"]["positives"]
        == report["systems"]["mono"]["shift_hold"]["at"]["250"]["positives"]
        > 0
    )


def test_the_report_says_what_was_measured_on_what(
    whole_run: tuple[Path, dict[str, Any]], manifest: Path, tiny_model_path: Path
) -> None:
    _, report = whole_run
    about, metadata = report["about"], Engine(tiny_model_path).metadata
    assert about["model"]["weights_sha256"] == metadata.weights_sha256
    assert about["model"]["file_sha256"] == sha256(tiny_model_path.read_bytes()).hexdigest()
    assert about["folds"] is None
    assert (about["manifest"], about["manifest_sha256"]) == (
        str(manifest),
        sha256(manifest.read_bytes()).hexdigest(),
    )
    assert [dialogue["id"] for dialogue in about["dialogues"]] == ["call 0", "call 1", "call 2"]
    assert [dialogue["seconds"] for dialogue in about["dialogues"]] == [14.0] * 3
    assert [dialogue["activity"] for dialogue in about["dialogues"]] == ["activity file"] * 3
    judge, silences = about["judge"], report["systems"]["judge"]["shift_hold"]["at"]["250"]
    assert judge["file_sha256"] == sha256(Path(judge["file"]).read_bytes()).hexdigest()
    assert judge["pauses"] == [report["timer"]["holds"] + report["timer"]["ends"]] * 2
    assert judge["silences"] == [silences["positives"] + silences["negatives"]] * 2
    assert list(report["conditions"]) == ["gain +20 dB"]
    assert set(report["costs"]) == {"turnstream", "smart-turn", "Silero VAD"}
    assert report["costs"]["turnstream"]["ms_per_second_of_audio"] == pytest.approx(
        50 * report["costs"]["turnstream"]["ms_per_decision"]
    )


def test_the_folder_can_be_looked_at_and_listened_to(
    whole_run: tuple[Path, dict[str, Any]],
) -> None:
    out, report = whole_run
    assert {"index.html", "report.json", "mistakes", "roc.light.png", "robustness.dark.png"} <= {
        path.name for path in out.iterdir()
    }
    assert len(report["mistakes"]) == 1
    for mistake in report["mistakes"]:
        assert (out / "mistakes" / f"{mistake['name']}.wav").is_file()
        assert f"mistakes/{mistake['name']}.light.png" in (out / "index.html").read_text()


def test_tables_are_printed_and_nothing_is_written_without_a_folder(
    manifest: Path, tiny_model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(manifest.parent.iterdir())
    assert main(["evaluate", str(manifest), "--model", str(tiny_model_path), "--split", "val"]) == 0
    shown = capsys.readouterr().out
    assert "2 dialogues (2 val), 0.5 minutes" in shown
    for words in (
        "shift or hold, 250 ms: AUC",
        "holds cut off at mean latency <= 0.3 s, %",
        "Presets",
        "silence timer",
    ):
        assert words in shown
    assert "Robustness" not in shown
    assert max(map(len, shown.splitlines())) <= command.PLAIN_WIDTH
    assert sorted(manifest.parent.iterdir()) == before


def test_a_report_with_the_pause_model_says_so_and_predicts_something_else(
    whole_run: tuple[Path, dict[str, Any]],
    manifest: Path,
    tiny_model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    encoder = tiny_pause_model(tmp_path)
    tiny = pause_model.PauseModel(encoder)
    monkeypatch.setattr(pause_model, "shared_pause_model", lambda: tiny)
    loudness = loudness_model(tiny_model_path, tmp_path / "loudness.onnx")
    kept: list[Any] = []
    monkeypatch.setattr(command, "write_evaluation", lambda *given: kept.extend(given))
    words = ["--model", str(loudness), "--out", str(tmp_path), "--split", "test", "--mistakes", "0"]
    assert main(["evaluate", str(manifest), *words, "--pause-model"]) == 0
    _, evaluation, by_system = kept
    assert evaluation.about["pause_model"] == {
        "file": "tiny_pause.onnx",
        "file_sha256": sha256(encoder.read_bytes()).hexdigest(),
        "heads": [HEAD.name],
    }
    assert f"with the pause model ({HEAD.name}), 1 dialogues" in capsys.readouterr().out
    assert whole_run[1]["about"]["pause_model"] is None
    assert "with the pause model" not in (whole_run[0] / "index.html").read_text()
    (without,) = evaluate_dialogues(Engine(loudness), [load_recording(read_manifest(manifest)[0])])
    (found,) = by_system["stereo"]
    for setting in SETTINGS:
        mixed, plain = (one.predictions_for(setting, 0).p_next for one in (found, without))
        assert np.abs(mixed - plain).max() > 0.01


def test_a_cross_validated_report_says_so_and_names_every_model(
    folds: Path,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(plots, "DPI", 30)
    words = ["--folds", str(folds), "--out", str(tmp_path), "--mistakes", "0"]
    assert main(["evaluate", str(manifest), *words]) == 0
    shown = capsys.readouterr().out
    assert "tiny 0, cross-validated by 2 models, 3 dialogues" in shown
    about = json.loads((tmp_path / "report.json").read_text())["about"]
    assert about["model"] is None
    assert about["folds"]["file_sha256"] == sha256((folds / "folds.json").read_bytes()).hexdigest()
    assert [(model["file"], model["dialogues"]) for model in about["folds"]["models"]] == [
        ("early.onnx", ["call 0", "call 2"]),
        ("late/model.onnx", ["call 1"]),
    ]
    for model in about["folds"]["models"]:
        assert model["file_sha256"] == sha256((folds / model["file"]).read_bytes()).hexdigest()
    text = (tmp_path / "index.html").read_text()
    assert "tiny 0, cross-validated by 2 models on 3 dialogues" in text
    assert "cross-validated by 2 models: each dialogue was scored by the one that" in text


def test_copies_of_one_model_are_one_model(
    manifest: Path, tiny_model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.onnx").write_bytes(tiny_model_path.read_bytes())
    (tmp_path / "folds.json").write_text(
        json.dumps({f"call {number}": f"{name}.onnx" for number, name in enumerate("abc")})
    )
    assert main(["evaluate", str(manifest), "--folds", str(tmp_path)]) == 0
    assert "cross-validated by 1 model, 3 dialogues" in capsys.readouterr().out
