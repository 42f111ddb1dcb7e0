from __future__ import annotations

import numpy as np
import pytest

from turnstream.models.dialogues import telephone
from turnstream.models.dialogues.codecs import GSM, MU_LAW
from turnstream.models.dialogues.telephone import (
    PACKET_SAMPLES,
    Line,
    bursts,
    conceal,
    draw_lines,
    over_line,
)

NARROW = [Line(True, None), Line(True, MU_LAW), Line(True, GSM)]


def noise(seconds: float = 2.0) -> np.ndarray:
    return (0.05 * np.random.default_rng(1).standard_normal(round(16000 * seconds))).astype(
        np.float32
    )


@pytest.fixture(autouse=True)
def nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telephone, "PACKET_LOSS_SHARE", 0.0)


@pytest.mark.parametrize("line", NARROW)
def test_a_narrow_line_has_nothing_above_four_kilohertz_and_delays_less_than_a_millisecond(
    line: Line,
) -> None:
    sent = noise()
    arrived = over_line(sent, line, np.random.default_rng(0))
    assert arrived.shape == sent.shape
    spectrum = np.abs(np.fft.rfft(arrived)) ** 2
    assert spectrum[len(spectrum) * 43 // 80 :].sum() < 0.01 * spectrum.sum()
    match = np.fft.irfft(
        np.fft.rfft(arrived, 2 * len(sent)) * np.conj(np.fft.rfft(sent, 2 * len(sent)))
    )
    assert min(match.argmax(), 2 * len(sent) - match.argmax()) <= 16


@pytest.mark.parametrize("samples", [1, 319, 16001])
def test_a_line_keeps_the_length(samples: int) -> None:
    for line in (Line(False, None), *NARROW):
        assert over_line(noise(2)[:samples], line, np.random.default_rng(0)).shape == (samples,)


def test_most_dialogues_have_alike_lines_and_some_have_not() -> None:
    rng = np.random.default_rng(0)
    lines = [draw_lines(rng) for _ in range(1000)]
    assert 0.5 < np.mean([a == b for a, b in lines]) < 0.95
    assert 0.55 < np.mean([a.narrow for a, _ in lines]) < 0.8
    assert all(
        line.codec is None or (line.codec.sample_rate_hz == 8000) == line.narrow
        for pair in lines
        for line in pair
    )


@pytest.mark.parametrize(("loss", "mean_burst"), [(0.01, 1.0), (0.05, 4.0), (0.2, 2.5)])
def test_packets_are_lost_at_the_rate_and_in_the_bursts_asked_for(
    loss: float, mean_burst: float
) -> None:
    lost = bursts(200_000, loss, mean_burst, np.random.default_rng(2))
    assert lost.shape == (200_000,)
    starts = np.count_nonzero(np.diff(lost.astype(int)) == 1)
    assert lost.mean() == pytest.approx(loss, rel=0.15)
    assert lost.sum() / starts == pytest.approx(mean_burst, rel=0.15)


def test_a_lost_packet_is_silent_or_repeats_ever_more_weakly_what_came_before() -> None:
    sound = noise(0.2)
    lost = np.array([False, True, True, False, False])
    packets = conceal(sound, lost, repeat=True)[: 5 * PACKET_SAMPLES].reshape(5, -1)
    np.testing.assert_allclose(packets[1], 0.5 * packets[0])
    np.testing.assert_allclose(packets[2], 0.25 * packets[0])
    silent = conceal(sound, lost, repeat=False)[: 5 * PACKET_SAMPLES].reshape(5, -1)
    np.testing.assert_array_equal(np.flatnonzero(np.abs(silent).sum(axis=1) == 0), [1, 2])
    np.testing.assert_array_equal(silent[3:], packets[3:])
