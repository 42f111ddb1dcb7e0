from __future__ import annotations

import numpy as np
import pytest

from turnstream.models.dialogues.activity import Samples
from turnstream.models.dialogues.level import gain_control, gate, overdrive, wander

SPEECH_DB = -26.0


def bursts_in_noise() -> Samples:
    """Return ten seconds of faint noise with a second of sound every two seconds.

    The sound is at -26 dB; the last three bursts are 12 dB louder.
    """
    rng = np.random.default_rng(0)
    sound = rng.standard_normal(160_000).astype(np.float32)
    loud = (np.arange(160_000) // 16000) % 2 == 1
    late = np.arange(160_000) >= 64_000
    return sound * np.where(loud, 0.05 * np.where(late, 4, 1), 1e-4).astype(np.float32)


def rms_db(sound: Samples) -> float:
    return float(10 * np.log10(np.mean(sound.astype(np.float64) ** 2) + 1e-12))


@pytest.mark.parametrize("seed", range(8))
def test_a_gate_turns_down_pauses_only_and_after_a_hang_over(seed: int) -> None:
    side = bursts_in_noise()
    gated = gate(side, SPEECH_DB, np.random.default_rng(seed))
    assert gated.dtype == np.float32
    for second in (1, 3, 5, 7):
        inside = slice(second * 16000 + 400, (second + 1) * 16000 - 400)
        np.testing.assert_allclose(gated[inside], side[inside], atol=2e-3)
        hang_over = slice((second + 1) * 16000, (second + 1) * 16000 + 640)
        np.testing.assert_allclose(gated[hang_over], side[hang_over], atol=1e-7)


def test_gates_close_softly_or_fully_and_some_are_filled_with_comfort_noise() -> None:
    pauses = [
        rms_db(gate(bursts_in_noise(), SPEECH_DB, np.random.default_rng(seed))[45_000:47_000])
        for seed in range(40)
    ]
    assert min(pauses) < -115
    assert max(pauses) > -90


def test_gain_control_brings_loud_and_quiet_speech_together() -> None:
    side = bursts_in_noise()
    controlled = gain_control(side, SPEECH_DB, np.random.default_rng(0))
    before = rms_db(side[152_000:160_000]) - rms_db(side[24_000:32_000])
    after = rms_db(controlled[152_000:160_000]) - rms_db(controlled[24_000:32_000])
    assert after < before - 3


def test_gain_control_takes_nothing_from_the_future() -> None:
    side = bursts_in_noise()
    whole = gain_control(side, SPEECH_DB, np.random.default_rng(0))
    part = gain_control(side[:80_000], SPEECH_DB, np.random.default_rng(0))
    np.testing.assert_allclose(part[:79_000], whole[:79_000], atol=1e-6)


def test_wander_stays_within_reason() -> None:
    for seed in range(10):
        side = np.full(480_000, 0.01, np.float32)
        gain_db = 20 * np.log10(wander(side, np.random.default_rng(seed)) / side)
        assert np.ptp(gain_db) > 0.1
        assert np.abs(gain_db).max() < 30


def test_overdrive_clips() -> None:
    driven = overdrive(bursts_in_noise(), np.random.default_rng(0))
    assert np.count_nonzero(np.abs(driven) == 1) > 10
