"""The plane: fitted to made states, written and read, and the bundled one against the bundled model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.dialogues.activity import segments_to_frames
from turnstream.models.dialogues.manifest import read_manifest
from turnstream.models.errors import ConfigError, DialogueError
from turnstream.models.latents.plane import SITUATIONS, LatentReader, Plane, find_situations, fit_on_dialogues, fit_plane, load_plane, main
from turnstream.stream.engine import Engine

SPEAKING, LISTENING, PAUSING, DONE, ABOUT = (SITUATIONS.index(name) for name in ("speaking", "listening", "pausing", "done", "about to speak"))


def made_states(count: int = 4000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Axis 3 tells speaking, axis 5 varies much and tells nothing, axis 1 tells done from pausing, everything around (2, ..., 2)."""
    rng = np.random.default_rng(0)
    situations = rng.choice([SPEAKING, LISTENING, PAUSING, DONE, ABOUT], count)
    states = rng.normal(0, 0.1, (count, 8))
    states[:, 3] += np.select([situations == SPEAKING, situations == LISTENING], [-9, 9], 0)
    states[:, 5] += rng.normal(0, 3, count)
    states[:, 1] += np.select([situations == DONE, situations == ABOUT], [2, -2], 0)
    return (states + 2).astype(np.float32), situations.astype(np.int64)


@pytest.fixture(scope="module")
def plane() -> Plane:
    return fit_plane(*made_states(), "abc", 80.0)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two dialogues of noise that comes in turns, with holds and shifts."""
    segments = [[(0.5, 4.0), (4.5, 7.0)], [(7.5, 9.5), (10.2, 12.0)]]
    activity = segments_to_frames(segments, 640)
    lines = []
    for number in range(2):
        noise = np.random.default_rng(number).normal(0, 3000, (2, 640 * 320))
        np.save(tmp_path / f"{number}.npy", (noise * np.repeat(activity, 320, axis=1)).astype(np.int16))
        np.savez(tmp_path / f"{number}.npz", activity=activity)
        lines.append(json.dumps({"audio": f"{number}.npy", "activity": f"{number}.npz", "sample_rate_hz": 16000}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    return tmp_path / "manifest.jsonl"


# ---- fitting ----


def test_the_first_direction_varies_most_and_the_second_tells_done_from_pausing(plane: Plane) -> None:
    assert plane.principal == (1, 3)
    np.testing.assert_allclose(np.abs(plane.components), np.eye(8)[[3, 1]], atol=0.02)
    np.testing.assert_allclose(plane.components @ plane.components.T, np.eye(2), atol=1e-5)
    states, _ = made_states()
    shares = states.var(axis=0)[[3, 1]] / states.var(axis=0).sum()
    np.testing.assert_allclose(plane.explained, shares, atol=0.01)


def test_signs_put_speaking_to_the_right_and_about_to_speak_above(plane: Plane) -> None:
    assert plane.landmarks["speaking"][0] > 8 > -8 > plane.landmarks["listening"][0]
    assert plane.landmarks["about to speak"][1] > 1 > -1 > plane.landmarks["done"][1]
    assert "both speaking" not in plane.landmarks  # there is none in these states


def test_a_landmark_is_the_mean_position_of_its_states(plane: Plane) -> None:
    states, situations = made_states()
    np.testing.assert_allclose(plane.landmarks["done"], plane.project(states[situations == DONE]).mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(plane.project(states.mean(axis=0)), 0, atol=1e-4)
    assert plane.project(states.reshape(-1, 2, 8)).shape == (2000, 2, 2)


def test_most_states_lie_in_the_part_that_is_drawn(plane: Plane) -> None:
    places = plane.project(made_states()[0])
    inside = ((places >= plane.low) & (places <= plane.high)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.94, atol=0.01)


def test_the_order_of_the_states_does_not_matter(plane: Plane) -> None:
    states, situations = made_states()
    again = fit_plane(states[::-1], situations[::-1], "abc", 80.0)
    np.testing.assert_allclose(again.components, plane.components, atol=1e-5)


def test_without_silences_the_second_direction_is_the_second_component() -> None:
    states, _ = made_states()
    found = fit_plane(states, np.zeros(len(states), np.int64), "abc", 1.0)
    assert found.principal == (1, 2)
    assert found.landmarks == {}


@pytest.mark.parametrize(("shape", "count"), [((2, 8), 2), ((9, 8), 8), ((9, 1), 9), ((9,), 9)])
def test_states_that_give_no_plane_are_refused(shape: tuple[int, ...], count: int) -> None:
    with pytest.raises(DialogueError, match="expected at least 3 states"):
        fit_plane(np.zeros(shape, np.float32), np.zeros(count, np.int64), "abc", 1.0)


# ---- situations ----


def test_a_silence_is_a_pause_of_who_goes_on_and_the_end_for_who_does_not() -> None:
    activity = segments_to_frames([[(0.0, 4.0), (5.0, 7.0)], [(8.0, 10.0), (9.9, 12.0)]], 600)
    activity[0, 550:600] = True
    names = np.array(SITUATIONS)[find_situations(activity)]
    assert set(names[0, :200]) == {"speaking"}
    assert set(names[1, :200]) == {"listening"}
    assert (set(names[0, 200:250]), set(names[1, 200:250])) == ({"pausing"}, {"listening"})
    assert (set(names[0, 350:400]), set(names[1, 350:400])) == ({"done"}, {"about to speak"})
    assert set(names[:, 550:].reshape(-1)) == {"both speaking"}


# ---- files ----


def test_a_plane_is_read_as_it_was_written(plane: Plane, tmp_path: Path) -> None:
    path = tmp_path / "plane.json"
    path.write_text(plane.to_json())
    again = load_plane(path)
    assert again.to_json() == plane.to_json()
    np.testing.assert_allclose(again.project(made_states()[0]), plane.project(made_states()[0]), atol=1e-3)


@pytest.mark.parametrize("change", [{"mean": None}, {"components": [[1.0], [2.0]]}, {"explained": [1]}, {"landmarks": 3}])
def test_a_damaged_plane_is_refused(plane: Plane, tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "plane.json"
    path.write_text(json.dumps(json.loads(plane.to_json()) | change))
    with pytest.raises(ConfigError, match="expected"):
        load_plane(path)


def test_a_missing_plane_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plane\.json: expected the plane"):
        load_plane(tmp_path / "plane.json")


def test_the_bundled_plane_is_the_bundled_models_and_has_every_landmark() -> None:
    plane, metadata = load_plane(), Engine().metadata
    assert plane.model_sha256 == metadata.weights_sha256
    assert plane.mean.shape == (metadata.latent_size,)
    assert set(plane.landmarks) == set(SITUATIONS[1:])


# ---- dialogues ----


def test_states_of_dialogues_are_those_of_the_engine(tiny_model_path: Path) -> None:
    recordings = [np.random.default_rng(n).normal(0, 0.1, (2, 320 * frames + 100)).astype(np.float32) for n, frames in enumerate((7, 4))]
    read = LatentReader(tiny_model_path).read(recordings)
    engine = Engine(tiny_model_path)
    for recording, latents in zip(recordings, read, strict=True):
        state, expected = engine.init_state(), []
        for start in range(0, recording.shape[1] - 319, 320):
            output, state = engine.step(np.ascontiguousarray(recording[None, :, start : start + 320]), state)
            expected.append(output.latent[0])
        np.testing.assert_allclose(latents, np.stack(expected), atol=1e-5)


def test_the_command_writes_the_plane_of_a_models_dialogues(manifest: Path, tiny_model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = manifest.parent / "plane.json"
    assert main([str(manifest), "--out", str(out), "--model", str(tiny_model_path)]) == 0
    plane = load_plane(out)
    assert plane.model_sha256 == Engine(tiny_model_path).metadata.weights_sha256
    assert plane.seconds == 25.6
    assert plane.to_json() == fit_on_dialogues(LatentReader(tiny_model_path), read_manifest(manifest)).to_json()
    assert "pausing" in capsys.readouterr().out


def test_no_more_than_the_hours_asked_for_are_read(manifest: Path, tiny_model_path: Path) -> None:
    out = manifest.parent / "plane.json"
    main([str(manifest), "--out", str(out), "--model", str(tiny_model_path), "--hours", "0.001"])
    assert load_plane(out).seconds == 12.8


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="expected a model that `turnstream export` wrote"):
        LatentReader(tmp_path / "model.onnx")
