"""The recogniser: which logits it reads, how its cache is used, and files that are none."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from turnstream.stream.engine import Float32
from turnstream.stream.errors import ModelError
from turnstream.stream.recogniser import (
    LARGEST_LOGIT,
    LEAST_CONFIDENCE,
    MIDDLE_LOGIT,
    MOST_TOKENS,
    WINDOW_S,
    Recogniser,
)
from turnstream.stream.resample import StreamingResampler
from turnstream.stream.sources import bundled_sample

from .recognisers import COMMA, END, OTHER, STOP, TOKENS, WORD, tiny_recogniser

LOUD = np.array([0.1, -1.0, 0.3], np.float32)  # the tiny one hears 1.0
SURE = 4.0  # logit of the token that is written; those of the others are 0


def writes(tokens: list[int], **second: float) -> Float32:
    """Return the logits of a text, token by token.

    Args:
        tokens: the text.
        second: by `at_POSITION`, the logit of STOP there.
    """
    logits = np.zeros((len(tokens), 6), np.float32)
    logits[np.arange(len(tokens)), tokens] = SURE
    for name, logit in second.items():
        logits[int(name.removeprefix("at_")), STOP] = logit
    return logits


def completeness(row: Float32) -> float:
    """Return the logit that STOP or END is drawn from these logits."""
    p = np.exp(row) / np.exp(row).sum()
    return float(np.log(p[[STOP, END]].sum() / (1 - p[[STOP, END]].sum())))


@pytest.mark.parametrize(
    ("tokens", "position"),
    [
        ([WORD, WORD, STOP, END], 2),
        ([WORD, WORD, END], 2),
        ([WORD, COMMA, END], 1),  # the comma itself, not what follows it
        ([WORD, STOP, STOP, END], 1),
        ([WORD, STOP, WORD, COMMA, END], 3),  # after the last word
        ([STOP, END], 0),  # no word at all
        ([END], 0),
    ],
)
def test_it_reads_the_logits_after_the_last_word(
    tokens: list[int], position: int, tmp_path: Path
) -> None:
    numbers = np.arange(6, dtype=np.float32)
    logits = writes(tokens)
    logits += 0.1 * numbers  # no two rows and no two tokens are alike
    logits += 0.01 * np.arange(len(tokens), dtype=np.float32)[:, None] * numbers
    text = Recogniser(tiny_recogniser(tmp_path, logits)).transcribe(LOUD)
    assert text.tokens == tuple(tokens)
    assert text.logit == pytest.approx(completeness(logits[position]), abs=1e-5)


def test_what_it_hears_changes_the_logits_at_every_position(tmp_path: Path) -> None:
    """The tiny decoder takes what is heard from its cache, from the second token on."""
    logits = writes([WORD, WORD, COMMA, END], at_2=3.0)
    model = Recogniser(tiny_recogniser(tmp_path, logits))
    quiet = model.transcribe(0.5 * LOUD)
    assert quiet.tokens == model.transcribe(LOUD).tokens == (WORD, WORD, COMMA, END)
    assert quiet.logit == pytest.approx(completeness(0.5 * logits[2]), abs=1e-5)


def test_confidence_is_the_mean_logarithm_of_the_probabilities(tmp_path: Path) -> None:
    model = Recogniser(tiny_recogniser(tmp_path, writes([WORD, WORD, END])))
    expected = SURE - np.log(np.exp(SURE) + 5)
    assert model.transcribe(LOUD).confidence == pytest.approx(expected, abs=1e-5)


def test_a_text_that_it_is_not_sure_of_says_nothing(tmp_path: Path) -> None:
    model = Recogniser(tiny_recogniser(tmp_path, writes([WORD, COMMA, END])))
    assert model.transcribe(LOUD).confidence > LEAST_CONFIDENCE
    assert model.completeness(LOUD) == model.transcribe(LOUD).logit - MIDDLE_LOGIT < 0
    assert model.transcribe(0.1 * LOUD).confidence < LEAST_CONFIDENCE
    assert model.completeness(0.1 * LOUD) == 0


def test_of_a_longer_audio_only_the_end_counts(tmp_path: Path) -> None:
    model = Recogniser(tiny_recogniser(tmp_path, writes([WORD, COMMA, END])))
    end = np.full(round(WINDOW_S * 16000), 0.5, np.float32)
    assert model.transcribe(np.concatenate([LOUD, end])) == model.transcribe(end)
    assert model.transcribe(np.concatenate([LOUD, end[2:]])) != model.transcribe(end)


def test_one_that_repeats_itself_is_stopped(tmp_path: Path) -> None:
    logits = writes([WORD, OTHER] * MOST_TOKENS)
    model = Recogniser(tiny_recogniser(tmp_path, logits))
    text = model.transcribe(LOUD)
    assert text.tokens == (WORD, OTHER) * (MOST_TOKENS // 2)
    assert text.confidence > LEAST_CONFIDENCE
    assert model.completeness(LOUD) == 0  # it does not know how the text ends


@pytest.mark.parametrize(("token", "sign"), [(STOP, 1), (COMMA, -1)])
def test_the_logit_is_bounded(token: int, sign: int, tmp_path: Path) -> None:
    logits = 10 * writes([WORD, token, END])
    model = Recogniser(tiny_recogniser(tmp_path, logits))
    assert model.transcribe(LOUD).logit == sign * LARGEST_LOGIT


@pytest.mark.parametrize("row", [0, 1, 2])
def test_logits_that_are_not_finite_are_an_error(row: int, tmp_path: Path) -> None:
    tokens = [WORD, STOP, END]
    logits = writes(tokens)
    logits[row, tokens[row]] = np.nan  # NaN is the largest, so the text stays the same
    with pytest.raises(ModelError, match=r"tiny_encoder\.onnx: expected finite logits, got"):
        Recogniser(tiny_recogniser(tmp_path, logits)).completeness(LOUD)


# Moments of the bundled call, as frames of 20 ms, and the speaker. What was said there, and how:
# a question, a sentence, a question; the parts of a telephone number.
COMPLETE = [(314, 1), (1284, 0), (1519, 1)]
INCOMPLETE = [(1694, 0), (1808, 0), (1921, 0)]


def test_the_bundled_one_tells_complete_sentences_from_others() -> None:
    samples, rate_hz = soundfile.read(bundled_sample(), dtype="float32", always_2d=True)
    resampler = StreamingResampler(rate_hz, 16000, channels=2)
    start = np.asarray(samples[: 40 * rate_hz], np.float32)
    audio = np.concatenate([resampler.push(start), resampler.flush()])
    model = Recogniser()

    def logit(frame: int, speaker: int) -> float:
        end = 320 * frame
        return model.transcribe(
            np.ascontiguousarray(audio[max(0, end - 96000) : end, speaker])
        ).logit

    complete, incomplete = ([logit(*at) for at in moments] for moments in (COMPLETE, INCOMPLETE))
    # 4.4 and 2.6 here; the products in int8 differ a little between processors.
    assert min(complete) > 1 + max(incomplete)


# ---- errors ----


@pytest.mark.parametrize("name", ["tiny_encoder.onnx", "tiny_decoder.onnx"])
def test_a_missing_graph_is_refused(name: str, tmp_path: Path) -> None:
    path = tiny_recogniser(tmp_path, writes([END]))
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=rf"of a recogniser, got '.*{name}', which is not a file"):
        Recogniser(path)


def test_missing_tokens_are_refused(tmp_path: Path) -> None:
    path = tiny_recogniser(tmp_path, writes([END]))
    (tmp_path / "tiny.json").unlink()
    with pytest.raises(ModelError, match=r"tiny\.json: expected the tokens .*No such file"):
        Recogniser(path)


def test_other_graphs_are_refused(tmp_path: Path) -> None:
    path = tiny_recogniser(tmp_path, writes([END]))
    path.write_bytes((tmp_path / "tiny_decoder.onnx").read_bytes())
    with pytest.raises(ModelError, match=r"expected a recogniser, .* got input_ids, encoder_hidd"):
        Recogniser(path)


def test_a_decoder_without_a_cache_to_keep_is_refused(tmp_path: Path) -> None:
    path = tiny_recogniser(tmp_path, writes([END]))
    decoder = tmp_path / "tiny_decoder.onnx"
    decoder.write_bytes(decoder.read_bytes().replace(b"present.0.dec", b"pressed.0.dec"))
    with pytest.raises(ModelError, match=r"gives logits and the cache, got .*pressed\.0\.decoder"):
        Recogniser(path)


def test_tokens_that_the_decoder_does_not_have_are_an_error(tmp_path: Path) -> None:
    tokens = msgspec.structs.replace(TOKENS, complete=(STOP, 99))
    model = Recogniser(tiny_recogniser(tmp_path, writes([END]), tokens))
    with pytest.raises(ModelError, match="expected a decoder of the tokens up to 99, got one of 6"):
        model.completeness(LOUD)


def test_a_graph_that_is_damaged_inside_is_told_when_it_is_needed(tmp_path: Path) -> None:
    path = tiny_recogniser(tmp_path, writes([END]))
    decoder = tmp_path / "tiny_decoder.onnx"
    decoder.write_bytes(decoder.read_bytes().replace(b"Gather", b"Gadder"))
    model = Recogniser(path)
    model.load_soon()  # in its thread the error disturbs nobody
    for needs_it in (model.load, lambda: model.completeness(LOUD)):
        with pytest.raises(ModelError, match=r"tiny_decoder\.onnx: .* ONNX Runtime cannot load it"):
            needs_it()


def test_tokens_of_another_form_are_refused(tmp_path: Path) -> None:
    path = tiny_recogniser(tmp_path, writes([END]))
    plain = {**msgspec.to_builtins(TOKENS), "complete": "."}
    (tmp_path / "tiny.json").write_bytes(msgspec.json.encode(plain))
    with pytest.raises(ModelError, match=r"Expected `array`, got `str` - at `\$.complete`"):
        Recogniser(path)
