"""The film: streams, time, sight and sound together, what moves, events, what cannot be filmed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.latents.collect import collect, load_network, read_source
from turnstream.models.latents.collection import LAYERS, Collection
from turnstream.models.latents.exchange import export
from turnstream.models.latents.film import film as film_module
from turnstream.models.latents.film.film import film, film_of_event, main
from turnstream.models.latents.film.film_file import pictures, write_film
from turnstream.models.latents.film.film_planes import Planes
from turnstream.models.latents.film.film_strip import SPEAKER_COLOURS, Stretch, Strip, clock
from turnstream.models.latents.importing import import_table
from turnstream.models.latents.space.fitting import fit_projection
from turnstream.models.latents.views import SOUND_RATE_HZ, View
from turnstream.stream.errors import ConfigError
from turnstream.stream.saved_embedding import SavedEmbedding

HEIGHT, FPS = 180, 25
CLICK_S = 1.23

Projections = dict[str, SavedEmbedding]


@pytest.fixture(scope="module")
def projections(tiny_collection: Collection) -> Projections:
    return {
        layer: fit_projection(tiny_collection, "pca", layer=layer, points=600, refits=1)
        for layer in LAYERS
    }


def command(source: Path, out: Path, **options: Any) -> int:
    parser = argparse.ArgumentParser()
    film_module.add_arguments(parser)
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return main(parser.parse_args([str(source), "--out", str(out), *words]))


def heard(path: Path) -> tuple[NDArray[np.float32], float]:
    """Sound as a player hears it, (2, N), and the time of its first sample."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    sound: Any = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return sound, frames[0].time or 0.0


def seen(path: Path) -> tuple[NDArray[np.uint8], list[float]]:
    """Pictures, (T, height, width, 3), and when each is shown."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    images: Any = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return images, [float(frame.time or 0) for frame in frames]


# ---- the file ----


@pytest.fixture(scope="module")
def made(
    tiny_collection: Collection,
    projections: Projections,
    tmp_path_factory: pytest.TempPathFactory,
) -> View:
    """Speaker 0 speaks until 7.0 s, speaker 1 from 7.5 s."""
    out = tmp_path_factory.mktemp("made") / "film.mp4"
    return film(tiny_collection, 0, projections, out, 6.5, 8.5, fps=FPS, height=HEIGHT)


def test_a_film_has_sight_and_stereo_sound_of_the_length_asked_for_and_plays_while_it_loads(
    made: View,
) -> None:
    with av.open(str(made.path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        sight, sound = video.codec_context, audio.codec_context
        assert (sight.name, sight.pix_fmt) == ("h264", "yuv420p")
        assert (video.width, video.height) == (320, HEIGHT)
        assert (video.average_rate, video.frames) == (FPS, 50)
        assert (sound.name, sound.rate, sound.channels) == ("aac", SOUND_RATE_HZ, 2)
        assert container.metadata["title"].startswith("0, 0:06 to 0:08")
        assert container.metadata["comment"] == made.caption
        assert (container.duration or 0) / av.time_base == pytest.approx(2.0, abs=0.1)
    written = made.path.read_bytes()
    assert written.index(b"moov") < written.index(b"mdat")
    assert list(made.path.parent.iterdir()) == [made.path]


def test_the_sound_is_that_of_the_part_and_left_is_speaker_0(made: View) -> None:
    sound, first_s = heard(made.path)
    loud = [
        np.sqrt((sound[:, round((at - first_s) * SOUND_RATE_HZ) :][:, :3200] ** 2).mean(axis=1))
        for at in (0.1, 0.65, 1.2)
    ]
    assert loud[0][0] > 20 * loud[0][1]
    assert loud[2][1] > 20 * loud[2][0]
    assert max(loud[1]) < 0.1 * loud[0][0]


def test_the_caption_counts_what_is_in_the_part(made: View, tiny_collection: Collection) -> None:
    [shift] = [
        event
        for event in tiny_collection.events("shift", "hold")
        if event.number == 0 and event.start_s < 8.5 and event.end_s > 6.5
    ]
    right = f"{int(shift.correct or 0)} of 1 predicted right 0.25 s into the silence"
    assert f"shifts: 1, {right}\nholds: 0\n" in made.caption
    assert "first recurrent layer, principal components of the last layer" in made.caption


@pytest.fixture(scope="module")
def click(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Three seconds of silence with one click of speaker 0."""
    folder = tmp_path_factory.mktemp("click")
    sound, activity = np.zeros((2, 3 * 16000), np.int16), np.zeros((2, 150), bool)
    sound[0, round(CLICK_S * 16000) :][:320] = 20000 * (-1) ** np.arange(320)
    activity[0, 61:63] = True
    np.save(folder / "click.npy", sound)
    np.savez(folder / "click.npz", activity=activity)
    manifest = folder / "manifest.jsonl"
    manifest.write_text('{"audio": "click.npy", "activity": "click.npz", "sample_rate_hz": 16000}')
    network = load_network(tiny_checkpoint)
    return collect(network, "tiny", read_source(manifest), folder / "collection")


def apart_s(path: Path) -> float:
    """How much later the click is seen than heard.

    Its column of speaker 0's waveform brightens when the cursor has passed it.
    """
    sound, first_s = heard(path)
    loud = np.abs(sound[0])
    heard_s = first_s + float(np.argmax(loud > 0.3 * loud.max())) / SOUND_RATE_HZ
    images, times_s = seen(path)
    height, width = images.shape[1:3]
    x = round((0.075 + 0.908 * (CLICK_S + 0.01) / 3) * width)
    row = round(height * 0.67 + height * 0.33 * (1 - 0.79))
    brightness = images[:, row - 2 : row + 2, x - 1 : x + 2].astype(float).mean(axis=(1, 2, 3))
    before, after = brightness[:20].mean(), brightness[-20:].mean()
    assert after > before + 25
    return times_s[int(np.argmax(brightness > (before + after) / 2))] - heard_s


def test_a_click_is_seen_within_a_picture_of_being_heard(
    click: Collection, projections: Projections, tmp_path: Path
) -> None:
    planes = {"latent": projections["latent"]}
    view = film(click, 0, planes, tmp_path / "film.mp4", fps=FPS, height=360)
    assert abs(apart_s(view.path)) <= 1 / FPS

    # The measure is no good if it does not see sound that comes late.
    stretch = film_module._look(click, 0, planes, 0.0, 3.0)
    assert stretch.sound is not None
    images = pictures(stretch, film_module._times(stretch, 1 / FPS), 360, 1.5, "", "")
    late = np.roll(stretch.sound, 1600, axis=1)
    write_film(tmp_path / "late.mp4", images, FPS, 360, late, "", "")
    assert apart_s(tmp_path / "late.mp4") < -1.5 / FPS


def test_a_film_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def images() -> Any:
        yield np.zeros((HEIGHT, 320, 4), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(tmp_path / "film.mp4", images(), FPS, HEIGHT, None, "", "")
    assert not list(tmp_path.iterdir())


# ---- the pictures ----


@pytest.fixture(scope="module")
def stretch(tiny_collection: Collection, projections: Projections) -> Stretch:
    return film_module._look(tiny_collection, 0, projections, 3.0, 8.0)


@pytest.fixture
def planes(stretch: Stretch) -> Planes:
    return Planes(stretch, (640, 240), 0.5, "", "")


def test_a_frame_is_shown_when_it_has_been_heard_whole(stretch: Stretch) -> None:
    times_s = (3.0, 3.019, 3.02, 3.039, 3.04, 8.0)
    assert [stretch.heard(time_s) for time_s in times_s] == [0, 0, 1, 1, 2, 250]


def test_a_point_lights_up_where_its_state_lies_and_leaves_no_trace_beyond_its_trail(
    stretch: Stretch, planes: Planes
) -> None:
    times_s = (4.01, 6.01)
    images = [planes.draw(time_s).copy() for time_s in times_s]
    for image, time_s in zip(images, times_s, strict=True):
        for number, moving in enumerate(planes._moving):
            path = stretch.places[LAYERS[number // 2]][:, moving.speaker]
            place = moving.trail.axes.transData.transform(path[stretch.heard(time_s) - 1])
            x, y = np.round(place).astype(int)
            around = image[240 - y - 6 : 240 - y + 7, x - 6 : x + 7, :3].astype(int)
            colour = [int(SPEAKER_COLOURS[moving.speaker][at : at + 2], 16) for at in (1, 3, 5)]
            assert (np.abs(around - colour).max(axis=2) < 60).sum() > 8
    assert (images[0] != images[1]).any()
    np.testing.assert_array_equal(planes.draw(times_s[0]), images[0])
    anew = Planes(stretch, (640, 240), 0.5, "", "")
    np.testing.assert_array_equal(anew.draw(times_s[1]), images[1])


def test_the_picture_changes_only_around_paths_and_words(stretch: Stretch, planes: Planes) -> None:
    first, second = planes.draw(4.01).copy(), planes.draw(4.05).copy()
    changed = np.argwhere((first != second).any(axis=2)) * (-1, 1) + (240, 0)  # (y up, x)
    near = np.zeros(len(changed), bool)
    moved = slice(max(0, stretch.heard(4.01) - 30), stretch.heard(4.05))
    for moving in planes._moving:
        path = moving.trail.axes.transData.transform(moving.path[moved])
        near |= (np.abs(changed[:, None, ::-1] - path).max(axis=2) < 16).any(axis=1)
    assert len(changed) > 20
    assert (near | (changed[:, 0] > 225)).all()


def test_the_strip_shows_predictions_only_as_far_as_they_have_been_made(stretch: Stretch) -> None:
    strip = Strip(stretch, (640, 120))
    early, late = np.zeros((120, 640, 4), np.uint8), np.zeros((120, 640, 4), np.uint8)
    strip.draw(4.0, early)
    strip.draw(7.9, late)
    cursor = round(640 * (0.075 + 0.908 * 1.0 / 5))
    chances = slice(round(120 * 0.58), round(120 * 0.87))
    np.testing.assert_array_equal(early[:, : cursor - 3], late[:, : cursor - 3])
    light = [
        (image[chances, cursor + 12 : 560, :3].min(axis=2) > 190).sum() for image in (early, late)
    ]
    assert light[0] == 0
    assert light[1] > 50


def test_long_dialogues_have_pages_of_equal_length(
    tiny_collection: Collection, projections: Projections
) -> None:
    stretch = film_module._look(tiny_collection, 0, projections, 0.0, 20.0)
    strip, image = Strip(stretch, (320, 60)), np.zeros((60, 320, 4), np.uint8)
    strip.draw(9.99, image)
    assert (strip._pages, strip._page, strip._page_s) == (2, 0, 10.0)
    strip.draw(10.01, image)
    assert strip._page == 1


def test_places_are_those_of_the_projection(
    stretch: Stretch, tiny_collection: Collection, projections: Projections
) -> None:
    states = tiny_collection.frames(0, ["latent", "p_next", "holder"])
    shown = {name: values[150:400] for name, values in states.items()}
    placed = projections["latent"].project(shown["latent"])
    np.testing.assert_allclose(stretch.places["latent"], placed, atol=1e-5)
    other = shown["p_next"][np.arange(250), 1 - shown["holder"][:, 0]]
    np.testing.assert_allclose(stretch.p_shift, other)


# ---- events and words ----


def test_an_event_is_filmed_slowly_and_without_sound(
    tiny_collection: Collection, projections: Projections, tmp_path: Path
) -> None:
    event = tiny_collection.events("shift", "hold")[0]
    out, seconds = tmp_path / "event.mp4", event.end_s - event.start_s + 2.0
    view = film_of_event(tiny_collection, event, projections, out, fps=10, height=HEIGHT)
    with av.open(str(view.path)) as container:
        assert not container.streams.audio
        assert container.streams.video[0].frames == round(seconds * 4 * 10)
    assert f"{event.p_shift:.2f}, which was {'right' if event.correct else 'wrong'}" in view.caption
    assert "4 times slower" in view.caption
    assert "without sound" in view.caption


def test_imported_states_make_a_silent_film_that_says_so(
    tiny_collection: Collection, projections: Projections, tmp_path: Path
) -> None:
    export(tiny_collection, tmp_path / "states.csv")
    imported = import_table(tmp_path / "states.csv", tmp_path / "imported")
    planes, out = {"latent": projections["latent"]}, tmp_path / "film.mp4"
    view = film(imported, 0, planes, out, 3.0, 4.0, fps=10, height=HEIGHT)
    with av.open(str(view.path)) as container:
        assert not container.streams.audio
    assert "without sound" in view.caption
    assert "from left to right" not in view.caption


def test_the_command_makes_a_film_of_a_named_dialogue(
    tiny_collection: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, part = tmp_path / "film.mp4", {"dialogue": "1", "start": 4.0, "end": 4.5}
    assert command(tiny_collection.folder, out, **part, fps=10, height=HEIGHT) == 0
    assert out.is_file()
    assert "network: tiny\ndialogue: 1, 0:04 to 0:04" in capsys.readouterr().out


def test_times_are_written_as_minutes_and_seconds() -> None:
    written = [clock(0), clock(59.6), clock(61.25, 1), clock(600)]
    assert written == ["0:00", "1:00", "1:01.2", "10:00"]


# ---- what cannot be filmed ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dialogue": "9"}, r"expected one of the 3 dialogues .*, got '9'"),
        ({"start": 19.0, "end": 99.0}, r"between 0 and 20\.00 s, got 19 to 99 s"),
        ({"start": 5.0, "end": 5.0}, r"at least 0\.1 s"),
        ({"event": 99}, r"expected one of its \d+ shifts and holds, counted from 0, got 99"),
        ({"event": 0, "start": 1.0}, "got both"),
        ({"height": 181}, "expected an even height"),
        ({"fps": 0}, "expected 1 to 60 pictures a second, got 0"),
    ],
)
def test_a_wrong_wish_is_one_clear_error(
    options: dict[str, Any], message: str, tiny_collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        command(tiny_collection.folder, tmp_path / "film.mp4", **options)
    assert not list(tmp_path.iterdir())


def test_a_projection_that_is_no_plane_of_its_layer_is_refused(
    tiny_collection: Collection, projections: Projections, tmp_path: Path
) -> None:
    space = fit_projection(tiny_collection, "pca", dims=3, points=600, refits=0)
    for wrong in ({"latent": space}, {"latent_speaker": projections["latent"]}, {}):
        with pytest.raises(ConfigError, match="expected a projection of"):
            film(tiny_collection, 0, wrong, tmp_path / "film.mp4", 3.0, 4.0)
