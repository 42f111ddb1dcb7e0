"""Raw audio: every encoding against an independent one, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from turnstream.stream.errors import AudioFormatError
from turnstream.stream.pcm import (
    ENCODINGS,
    SAMPLE_BYTES,
    Encoding,
    decode_pcm,
    decode_stereo,
    encode_pcm,
    to_float32,
)

# Rows of ITU-T G.711, tables 1a and 2a, for positive values: the smallest value of a step, the
# value it is decoded to, and its code. A-law codes are given before the even bits are inverted.
ALAW_SCALE, MULAW_SCALE = 8, 4  # of a 16-bit sample, for the values of the tables
ALAW = [
    (0, 1, 0b1000_0000),
    (2, 3, 0b1000_0001),
    (64, 66, 0b1010_0000),
    (128, 132, 0b1011_0000),
    (256, 264, 0b1100_0000),
    (512, 528, 0b1101_0000),
    (1024, 1056, 0b1110_0000),
    (2048, 2112, 0b1111_0000),
    (3968, 4032, 0b1111_1111),
]
MULAW = [
    (0, 0, 0b1111_1111),
    (1, 2, 0b1111_1110),
    (31, 33, 0b1110_1111),
    (95, 99, 0b1101_1111),
    (223, 231, 0b1100_1111),
    (479, 495, 0b1011_1111),
    (991, 1023, 0b1010_1111),
    (2015, 2079, 0b1001_1111),
    (4063, 4191, 0b1000_1111),
    (7903, 8031, 0b1000_0000),
]
G711 = [
    *(("alaw", ALAW_SCALE * low, ALAW_SCALE * value, code ^ 0x55) for low, value, code in ALAW),
    *(("mulaw", MULAW_SCALE * low, MULAW_SCALE * value, code) for low, value, code in MULAW),
]


# ---- bytes ----


@pytest.mark.parametrize(("law", "low", "value", "code"), G711)
def test_g711_steps_begin_and_are_decoded_as_in_the_recommendation(
    law: Encoding, low: int, value: int, code: int
) -> None:
    def encoded(sample: int) -> int:
        return encode_pcm(np.array([[sample / 32768]]), law)[0]

    negative = code ^ 0x80
    assert encoded(low) == code
    assert encoded(~low) == negative
    assert low == 0 or encoded(low - 1) != code != encoded(~(low - 1)) ^ 0x80
    np.testing.assert_array_equal(
        decode_pcm(bytes([code, negative]), law, 1)[:, 0] * 32768, [value, -value]
    )


@pytest.mark.parametrize(("law", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_all_256_codes_agree_with_libsndfile(law: Encoding, subtype: str) -> None:
    codes = bytes(range(256))
    theirs, _ = soundfile.read(
        io.BytesIO(codes),
        dtype="float32",
        format="RAW",
        subtype=subtype,
        samplerate=8000,
        channels=1,
    )
    np.testing.assert_array_equal(decode_pcm(codes, law, 1)[:, 0], theirs)


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
def test_every_code_is_encoded_back_to_itself(law: Encoding) -> None:
    back = encode_pcm(decode_pcm(bytes(range(256)), law, 1), law)
    zeros = {0x7F: 0xFF} if law == "mulaw" else {}  # mu-law has a negative zero, too
    assert list(back) == [zeros.get(code, code) for code in range(256)]


@pytest.mark.parametrize(("law", "smallest"), [("mulaw", 5), ("alaw", 8)])
def test_g711_survives_the_wire_within_its_steps(law: Encoding, smallest: int) -> None:
    every = (np.arange(-32768, 32768) / 32768).astype(np.float32).reshape(-1, 1)
    decoded = decode_pcm(encode_pcm(every, law), law, 1)
    inside = np.abs(every) < 0.98
    assert np.all(np.abs(decoded - every)[inside] <= np.abs(every)[inside] / 32 + smallest / 32768)
    assert np.all(np.diff(decoded[:, 0]) >= 0)


@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_int16_survives_the_wire_exactly(samples: list[int]) -> None:
    block = (np.array(samples, np.float32) / 32768).reshape(-1, 1)
    for encoding in ("pcm_s16le", "pcm_f32le"):
        np.testing.assert_array_equal(decode_pcm(encode_pcm(block, encoding), encoding, 1), block)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_channels_are_interleaved_and_samples_have_their_size(encoding: Encoding) -> None:
    block = np.float32([[0.5, -0.5], [0.25, 0], [0, -0.25]])
    encoded = encode_pcm(block, encoding)
    assert len(encoded) == 6 * SAMPLE_BYTES[encoding]
    np.testing.assert_allclose(decode_pcm(encoded, encoding, 2), block, atol=0.02)


def test_full_scale_is_clipped_not_wrapped() -> None:
    assert encode_pcm(np.array([[1.0], [-1.0]], np.float32), "pcm_s16le") == bytes.fromhex(
        "ff7f0080"
    )


def test_extreme_int16_stay_inside_full_scale() -> None:
    np.testing.assert_array_equal(
        decode_pcm(b"\x00\x80\xff\x7f", "pcm_s16le", 2), np.float32([[-1, 32767 / 32768]])
    )


def test_bytes_that_are_no_whole_samples_are_refused_with_both_numbers() -> None:
    with pytest.raises(
        AudioFormatError, match=r"samples of 4 bytes \(pcm_s16le, 2 channels\), got 6 bytes"
    ):
        decode_pcm(b"\0" * 6, "pcm_s16le", 2)
    with pytest.raises(AudioFormatError, match="pcm_s16le, pcm_f32le, mulaw, alaw, got 'gsm'"):
        decode_pcm(b"", "gsm", 1)  # type: ignore[arg-type]


# ---- arrays ----


@pytest.mark.parametrize("dtype", [np.int16, ">i2", np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (5,), (5, 1), (0, 2), (5, 2)])
def test_every_accepted_form_becomes_two_float32_channels(
    dtype: object, shape: tuple[int, ...]
) -> None:
    halves = np.full(shape, 0.5)
    given = (halves * 32768).astype(dtype) if np.dtype(dtype).kind == "i" else halves.astype(dtype)
    converted = to_float32(given)
    assert (converted.dtype, converted.shape) == (np.float32, (shape[0], 2))
    np.testing.assert_array_equal(converted[:, 0], np.full(shape[0], 0.5))
    np.testing.assert_array_equal(
        converted[:, 1], np.full(shape[0], 0.5 if shape[1:] == (2,) else 0.0)
    )


def test_int16_is_divided_by_32768() -> None:
    np.testing.assert_array_equal(
        to_float32(np.array([-32768, -1, 0, 32767], np.int16), 1)[:, 0],
        np.float32([-1, -1 / 32768, 0, 32767 / 32768]),
    )


def test_floats_slightly_over_full_scale_are_clipped() -> None:
    np.testing.assert_array_equal(
        to_float32(np.float32([1.5, -1.5, 0.25]), 1)[:, 0], np.float32([1, -1, 0.25])
    )


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(4, np.int32),
        np.zeros(4, np.uint8),
        np.zeros(4, complex),
        np.zeros(4, np.float16),
        np.zeros((4, 3)),
        np.zeros((2, 2, 2)),
        "text",
    ],
)
def test_other_types_and_shapes_are_refused_in_one_line(samples: object) -> None:
    with pytest.raises(
        AudioFormatError,
        match=(
            r"^expected int16, float32 or float64 samples of shape \(N,\), \(N, 1\), \(N, 2\), "
            r"got \S+ \(.*\)$"
        ),
    ):
        to_float32(samples)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 12000.0])
def test_nan_infinity_and_integers_given_as_floats_are_refused(value: float) -> None:
    samples = np.zeros((100, 2), np.float32)
    samples[50, 1] = value
    with pytest.raises(
        AudioFormatError,
        match=r"expected float samples in \[-1, 1\], got a peak of (nan|inf|12000)",
    ):
        to_float32(samples)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decoding_to_stereo_equals_decoding_and_converting(
    encoding: Encoding, channels: int
) -> None:
    noise = np.random.default_rng(1).uniform(-1, 1, (321, channels)).astype(np.float32)
    noise[:2] = [[-1.0] * channels, [1.0] * channels]
    wire = encode_pcm(noise, encoding)
    stereo = decode_stereo(wire, encoding, channels)
    assert (stereo.dtype, stereo.shape) == (np.float32, (321, 2))
    np.testing.assert_array_equal(stereo, to_float32(decode_pcm(wire, encoding, channels)))


def test_half_a_sample_is_refused_in_stereo_as_in_every_form() -> None:
    with pytest.raises(AudioFormatError, match=r"whole samples of 4 bytes .*, got 6 bytes"):
        decode_stereo(bytes(6), "pcm_s16le", 2)
