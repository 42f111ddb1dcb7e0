"""The pause model: what it hears, what it answers, and files that are no pause model."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread, current_thread
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from turnstream.stream import onnx_session
from turnstream.stream.engine import Engine, Float32
from turnstream.stream.errors import ModelError, ShapeError
from turnstream.stream.pause_model import PauseHead, PauseMix, PauseModel, choose_pause_model
from turnstream.stream.recogniser import Recogniser
from turnstream.stream.resample import StreamingResampler
from turnstream.stream.sources import bundled_sample

from .pauses import HEAD, SAMPLES, tiny_pause_model
from .recognisers import COMMA, END, WORD, tiny_recogniser


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PauseModel:
    return PauseModel(tiny_pause_model(tmp_path_factory.mktemp("pause")))


def noise(samples: int) -> Float32:
    return np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)


# ---- the choice ----


def test_the_bundled_pause_model_belongs_to_the_bundled_model(tiny_model_path: Path) -> None:
    chosen = choose_pause_model(None, Engine())
    assert chosen is not None
    assert choose_pause_model(None, Engine()) is chosen  # loaded once
    assert choose_pause_model(True, Engine(tiny_model_path)) is chosen
    assert choose_pause_model(None, Engine(tiny_model_path)) is None
    assert choose_pause_model(False, Engine()) is None


def test_a_loaded_pause_model_is_used_beside_any_model(
    model: PauseModel, tiny_model_path: Path
) -> None:
    assert choose_pause_model(model, Engine(tiny_model_path)) is model


# ---- the answer ----


def test_the_logit_is_the_weighted_sum_of_the_embedding(model: PauseModel) -> None:
    audio = noise(SAMPLES)
    assert model.samples == SAMPLES
    assert model.logit(audio) == pytest.approx(
        20 * np.abs(audio).mean() + 5 * abs(audio[-1]) - 4, abs=1e-5
    )


@pytest.mark.parametrize("samples", [1, 777, SAMPLES - 1])
def test_a_shorter_audio_is_padded_with_silence_in_front(model: PauseModel, samples: int) -> None:
    audio = noise(samples)
    silence = np.zeros(SAMPLES - samples, np.float32)
    assert model.logit(audio) == model.logit(np.concatenate([silence, audio]))
    assert abs(model.logit(audio) - model.logit(np.concatenate([audio, silence]))) > 1e-2


def test_of_a_longer_audio_only_the_end_counts(model: PauseModel) -> None:
    audio = noise(3 * SAMPLES)
    assert model.logit(audio) == model.logit(audio[-SAMPLES:])
    assert abs(model.logit(audio) - model.logit(audio[:SAMPLES])) > 1e-2


def test_the_audio_is_not_changed(model: PauseModel) -> None:
    audio = noise(777)
    model.logit(audio)
    np.testing.assert_array_equal(audio, noise(777))


def test_another_head_changes_the_logit_and_leaves_the_first_model_as_it_was(
    model: PauseModel,
) -> None:
    audio = noise(SAMPLES)
    before = model.logit(audio)
    head = PauseHead("other", (0.0, 0.0), 1.5, PauseMix(1.0, 1.0))
    other = model.with_head(head)
    assert (other.logit(audio), other.head) == (1.5, head)
    assert (model.logit(audio), model.head) == (before, HEAD)
    assert before != 1.5


@pytest.fixture
def recogniser(tmp_path: Path) -> Recogniser:
    """Writes a word and a comma; it is surer of them the louder the audio is."""
    logits = np.zeros((3, 6), np.float32)
    logits[range(3), [WORD, COMMA, END]] = 10.0
    return Recogniser(tiny_recogniser(tmp_path, logits))


def test_the_recognisers_logit_is_added_with_its_weight(
    model: PauseModel, recogniser: Recogniser
) -> None:
    audio = noise(2 * SAMPLES)
    audio[0] = 1.0
    heard = audio[-SAMPLES:]
    found = [
        PauseModel(
            model.path, head=msgspec.structs.replace(HEAD, words=words), recogniser=recogniser
        ).logit(audio)
        for words in (0.0, 1.0, -2.0)
    ]
    words = recogniser.completeness(heard)
    assert found == pytest.approx([found[0], found[0] + words, found[0] - 2 * words])
    assert words != recogniser.completeness(audio) != 0  # no more than the window was written down


def test_a_short_audio_is_written_down_as_it_is(model: PauseModel, recogniser: Recogniser) -> None:
    audio = noise(777)
    head = msgspec.structs.replace(HEAD, words=1.0)
    both = PauseModel(model.path, head=head, recogniser=recogniser)
    assert both.logit(audio) == pytest.approx(model.logit(audio) + recogniser.completeness(audio))


def test_both_parts_are_asked_at_the_same_time(
    model: PauseModel, recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = msgspec.structs.replace(HEAD, words=1.0)
    both = PauseModel(model.path, head=head, recogniser=recogniser)
    expected = both.logit(noise(10))
    heard, written = Event(), Event()
    encoder, completeness = both._encoder_logit, recogniser.completeness

    def hear(audio: Float32) -> float:
        heard.set()
        assert written.wait(20)
        return encoder(audio)

    def write(audio: Float32) -> float:
        assert heard.wait(20)
        written.set()
        return completeness(audio)

    monkeypatch.setattr(both, "_encoder_logit", hear)
    monkeypatch.setattr(recogniser, "completeness", write)
    assert both.logit(noise(10)) == expected


@pytest.mark.parametrize("bias", [float("nan"), float("inf")])
def test_a_logit_that_is_not_finite_is_an_error(model: PauseModel, bias: float) -> None:
    broken = model.with_head(PauseHead("broken", (0.0, 0.0), bias, PauseMix(1.0, 1.0)))
    with pytest.raises(ModelError, match=f"expected a finite logit, got {bias}"):
        broken.logit(noise(10))


def test_a_head_can_be_given_instead_of_the_file(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.with_suffix(".json").unlink()
    head = PauseHead("given", (0.0, 0.0), 0.25, PauseMix(1.0, 1.0))
    assert PauseModel(path, head=head).logit(noise(10)) == 0.25


# Moments of the bundled call: the sample at 16 kHz, the speaker, and the logit without the
# recogniser. The encoder is quantized to int8, whose products differ a little between processors.
GOLDEN = [(315 * 320, 1, 2.286), (622 * 320, 0, 0.135), (922 * 320, 1, -0.985)]
TOLERANCE = 0.35


def test_the_bundled_model_gives_the_golden_logits() -> None:
    samples, rate_hz = soundfile.read(bundled_sample(), dtype="float32", always_2d=True)
    resampler = StreamingResampler(rate_hz, 16000, channels=2)
    start = np.asarray(samples[: 20 * rate_hz], np.float32)
    audio = np.concatenate([resampler.push(start), resampler.flush()])
    bundled = PauseModel()
    assert bundled.head.words > 0
    bundled = bundled.with_head(msgspec.structs.replace(bundled.head, words=0.0))
    for end, speaker, golden in GOLDEN:
        logit = bundled.logit(audio[:end, speaker])
        assert logit == pytest.approx(golden, abs=TOLERANCE)
        # The tolerance tells the moments apart
        others = [other for *_, other in GOLDEN if other != golden]
        assert all(abs(logit - other) > TOLERANCE for other in others)


# ---- when it is loaded ----


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that have been loaded, in their order."""
    paths: list[Path] = []
    real = onnx_session.open_model

    def note(path: Path, what: str, **settings: Any) -> Any:
        paths.append(path)
        return real(path, what, **settings)

    monkeypatch.setattr(onnx_session, "open_model", note)
    return paths


def test_the_encoder_is_loaded_once_and_only_when_it_is_needed(
    tmp_path: Path, loaded: list[Path]
) -> None:
    model = PauseModel(tiny_pause_model(tmp_path))
    other = model.with_head(PauseHead("other", (0.0, 0.0), 1.5, PauseMix(1.0, 1.0)))
    assert model.samples == SAMPLES
    assert not loaded
    answers = [other.logit(noise(10)), model.logit(noise(10)), model.logit(noise(10))]
    assert answers[0] != answers[1] == answers[2]
    assert loaded == [model.path]


@pytest.mark.parametrize("how", ["load", "load_soon", "logit"])
def test_the_recogniser_is_loaded_with_the_encoder_if_it_is_used(
    how: str, tmp_path: Path, recogniser: Recogniser, loaded: list[Path]
) -> None:
    path = tiny_pause_model(tmp_path)
    without = PauseModel(path, recogniser=recogniser)
    with_words = without.with_head(msgspec.structs.replace(HEAD, words=1.0))
    for model, names in (
        (without, ["tiny_pause.onnx"]),
        (with_words, ["tiny_decoder.onnx", "tiny_encoder.onnx", "tiny_pause.onnx"]),
    ):
        getattr(model, how)(*([noise(10)] if how == "logit" else []))
        model.load()  # waits for the threads of load_soon
        assert sorted(path.name for path in loaded) == names


def test_a_pause_waits_for_an_encoder_that_is_being_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, begun, go_on = PauseModel(tiny_pause_model(tmp_path)), Event(), Event()
    real = onnx_session.open_model
    threads: list[Thread] = []

    def slow(path: Path, what: str, **settings: Any) -> Any:
        threads.append(current_thread())
        begun.set()
        assert go_on.wait(30)
        return real(path, what, **settings)

    monkeypatch.setattr(onnx_session, "open_model", slow)
    model.load_soon()
    model.load_soon()
    assert begun.wait(30)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(model.logit, noise(10))
        assert not answer.done()
        go_on.set()
        assert answer.result(30) == model.logit(noise(10))
    assert [thread.name for thread in threads] == ["load-model"]


def test_a_graph_that_is_damaged_inside_is_told_when_it_is_needed(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"MadMul"))
    model = PauseModel(path)
    model.load_soon()  # in its thread the error disturbs nobody
    for needs_it in (model.load, lambda: model.logit(noise(10))):
        with pytest.raises(ModelError, match=r"tiny_pause\.onnx: .* ONNX Runtime cannot load it"):
            needs_it()


def test_without_a_free_thread_the_first_pause_loads_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    model = PauseModel(tiny_pause_model(tmp_path))
    model.load_soon()
    assert np.isfinite(model.logit(noise(10)))


def test_without_a_free_thread_the_words_are_written_down_in_this_one(
    tmp_path: Path, recogniser: Recogniser, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = msgspec.structs.replace(HEAD, words=1.0)
    model = PauseModel(tiny_pause_model(tmp_path), head=head, recogniser=recogniser)
    expected = model.logit(noise(10))

    def refuse(thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    assert model.logit(noise(10)) == expected


# ---- errors ----


def test_an_error_of_the_recogniser_is_that_of_the_question(tmp_path: Path) -> None:
    logits = np.zeros((3, 6), np.float32)
    logits[range(3), [WORD, COMMA, END]] = 10.0, np.nan, 10.0
    recogniser = Recogniser(tiny_recogniser(tmp_path, logits))
    head = msgspec.structs.replace(HEAD, words=1.0)
    model = PauseModel(tiny_pause_model(tmp_path), head=head, recogniser=recogniser)
    for _ in range(2):
        with pytest.raises(ModelError, match="expected finite logits, got nan"):
            model.logit(noise(10))


@pytest.mark.parametrize(
    ("audio", "got"),
    [
        (np.zeros(0, np.float32), r"float32 \(0,\)"),
        (np.zeros(10, np.float64), r"float64 \(10,\)"),
        (np.zeros(10, np.int16), r"int16 \(10,\)"),
        (np.zeros((10, 2), np.float32), r"float32 \(10, 2\)"),
        (np.zeros((), np.float32), r"float32 \(\)"),
    ],
)
def test_audio_of_another_form_is_refused(model: PauseModel, audio: Any, got: str) -> None:
    with pytest.raises(ShapeError, match=rf"expected float32 audio \(N >= 1,\), got {got}"):
        model.logit(audio)


def test_a_missing_encoder_is_refused(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.unlink()
    with pytest.raises(ModelError, match=r"got '.*tiny_pause\.onnx', which is not a file"):
        PauseModel(path)


def test_a_missing_head_is_refused(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match=r"tiny_pause\.json: expected the head .*No such file"):
        PauseModel(path)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("weights", "malformed"),
        ("{}", "missing required field `name`"),
        (
            json.dumps({"name": "x", "weights": ["a"], "bias": 0, "mix": {}}),
            r"Expected `float`, got `str` - at `\$.weights\[0\]`",
        ),
        (
            json.dumps({"name": "x", "weights": [1], "bias": 0, "mix": {"network": 1}}),
            r"missing required field `pause` - at `\$.mix`",
        ),
    ],
)
def test_a_malformed_head_is_refused(tmp_path: Path, text: str, got: str) -> None:
    path = tiny_pause_model(tmp_path)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match=rf"tiny_pause\.json: expected the head .*got: .*{got}"):
        PauseModel(path)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tiny_pause_model(tmp_path)
    path.write_bytes(b"once upon a time")
    with pytest.raises(
        ModelError,
        match=r"tiny_pause\.onnx: expected an ONNX pause model, got a file that is not a whole one",
    ) as caught:
        PauseModel(path)
    assert len(str(caught.value).splitlines()) == 1


def test_the_streaming_model_is_refused_as_a_pause_model(tiny_model_path: Path) -> None:
    with pytest.raises(ModelError, match=r"got audio \(B, 2, 320\), state"):
        PauseModel(tiny_model_path, head=HEAD)


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    head = PauseHead("three", (1.0, 2.0, 3.0), 0.0, PauseMix(1.0, 1.0))
    with pytest.raises(ModelError, match="its embeddings have 2 dimensions, its head has 3"):
        PauseModel(tiny_pause_model(tmp_path, head))
