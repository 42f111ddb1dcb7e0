"""Convert a live stream to the model's sample rate.

The resampler is a polyphase FIR filter with a Kaiser-windowed sinc (Crochiere & Rabiner 1983,
chapter 4). A live conversation needs three properties that a soxr stream does not offer together:

- A delay of a few milliseconds. Measured with soxr 1.1 at quality LQ: 61 ms from 8 to 16 kHz, and
  20 ms from 48 kHz. MQ and HQ have twice that delay.
- A state that can be copied to another process.
- Bit-identical output for any chunking. Here every output sample is one dot product over the same
  inputs in the same order, however the inputs arrived.

The tests compare the resampler with soxr's best quality. Whole files, in models/, are resampled by
soxr itself (dialogues/loading.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import AudioFormatError, ShapeError, SnapshotError

MIN_RATE_HZ = 8000
MAX_RATE_HZ = 192_000

# The filter has 32 zero crossings on each side. With this window the pass band is flat up to 0.84
# of the lower rate's Nyquist frequency, and the attenuation is 80 dB from 0.99 of it upwards. The
# delay is 32 samples at the lower rate: 4 ms from 8 kHz, 2.2 ms from 44.1 and 48 kHz.
_ZERO_CROSSINGS = 32
_CUTOFF = 0.92
_KAISER_BETA = 0.1102 * (80 - 8.7)  # Kaiser 1974, 80 dB
# Largest number of taps in the table of phases: 1 MB. Awkward ratios (22051 Hz) have more phases
# than fit. They use the nearest phase in the table, with an error below -70 dB.
_MAX_TABLE = 1 << 18
_FEW_PHASES = 8
# Windows copied at once. This bounds the memory of one push, whatever the length of its input.
_MAX_WINDOWS = 4096


def check_rate(rate_hz: object) -> None:
    """Check a sample rate.

    Raises:
        AudioFormatError: the rate is not an integer from 8000 to 192000 Hz.
    """
    if (
        isinstance(rate_hz, bool)
        or not isinstance(rate_hz, int)
        or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ
    ):
        raise AudioFormatError(
            f"expected a sample rate that is an integer from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, "
            f"got {rate_hz!r}"
        )


class StreamingResampler:
    """Change the sample rate of a stream. It takes blocks of any size.

    Output sample j has the time of input sample j * input_rate / output_rate. The resampler waits
    for the filter's delay, so the signal is not shifted. The output is bit-identical for any
    chunking. With equal rates `push` returns its argument.

    Args:
        input_rate_hz, output_rate_hz: integers from 8000 to 192000.
        channels: channels C of every block.

    Raises:
        AudioFormatError: a rate is out of range.
        ShapeError: channels is below 1.
    """

    def __init__(self, input_rate_hz: int, output_rate_hz: int, channels: int) -> None:
        check_rate(input_rate_hz)
        check_rate(output_rate_hz)
        if channels < 1:
            raise ShapeError(f"expected at least 1 channel, got {channels}")
        self.input_rate_hz = input_rate_hz
        self.output_rate_hz = output_rate_hz
        self.channels = channels
        divisor = math.gcd(self.input_rate_hz, self.output_rate_hz)
        self._up = self.output_rate_hz // divisor
        self._down = self.input_rate_hz // divisor
        self._identity = self._up == self._down
        self._phases = _phase_table(self.input_rate_hz, self.output_rate_hz)
        self._taps = self._phases.shape[1]
        self.reset()

    @property
    def delay_s(self) -> float:
        """Delay of the output, in seconds: half the filter's length, or 0 with equal rates.

        An output sample is complete this long after its own time.
        """
        return 0.0 if self._identity else self._taps / 2 / self.input_rate_hz

    def reset(self) -> None:
        """Return to the state before the first sample. All earlier input counts as silence."""
        # The next output needs the first `taps` of these inputs. It lies `_fraction / _up` of a
        # sample after the middle one.
        self._inputs = np.zeros(
            (self.channels, 0 if self._identity else self._taps // 2 - 1), dtype=np.float32
        )
        self._fraction = 0

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add input samples and return the output samples that are now complete.

        Args:
            samples: (N, C) float32, any N.

        Returns:
            (M, C) float32; M may be 0.

        Raises:
            ShapeError: another shape or type.
        """
        if samples.ndim != 2 or samples.shape[1] != self.channels or samples.dtype != np.float32:
            raise ShapeError(
                f"expected float32 samples of shape (N, {self.channels}), "
                f"got {samples.dtype} {samples.shape}"
            )
        if self._identity:
            return samples
        inputs = np.concatenate([self._inputs, samples.T], axis=1)
        # In steps of 1 / up input samples.
        complete = (inputs.shape[1] - self._taps + 1) * self._up - self._fraction
        count = max(0, -(-complete // self._down))
        outputs = self._filter(inputs, count)
        position = self._fraction + count * self._down
        self._inputs = inputs[:, position // self._up :].copy()
        self._fraction = position % self._up
        return outputs

    def flush(self) -> NDArray[np.float32]:
        """End the stream: return the remaining output samples, (M, C) float32, and `reset`.

        The filter reads silence after the last input. In total, N input samples give
        ceil(N * output_rate / input_rate) output samples.
        """
        silence = np.zeros(
            (0 if self._identity else self._taps // 2, self.channels), dtype=np.float32
        )
        owed = self.push(silence)
        self.reset()
        return owed

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Returns the state as arrays; less than one filter length of samples.

        After `restore` the output is bit-identical to that of an unbroken stream.
        """
        return {
            "rates": np.array([self.input_rate_hz, self.output_rate_hz], dtype=np.int64),
            "fraction": np.array(self._fraction, dtype=np.int64),
            "inputs": self._inputs.copy(),
        }

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Continue from a snapshot of a resampler with the same rates and channels.

        Raises:
            SnapshotError: the snapshot belongs to other rates or channels, or is not a snapshot of
                a resampler.
        """
        try:
            rates = tuple(int(rate) for rate in snapshot["rates"])
            fraction = int(snapshot["fraction"])
            inputs = np.array(snapshot["inputs"], dtype=np.float32, order="C")
        except (KeyError, TypeError, ValueError) as error:
            raise SnapshotError(
                "expected a resampler's rates, fraction and inputs, "
                f"got {', '.join(sorted(snapshot))}: {error}"
            ) from None
        longest = 0 if self._identity else self._taps - 1
        mine = (self.input_rate_hz, self.output_rate_hz)
        if (
            rates != mine
            or inputs.ndim != 2
            or inputs.shape[0] != self.channels
            or inputs.shape[1] > longest
            or not 0 <= fraction < self._up
        ):
            expected = (
                f"a snapshot for {mine} Hz with inputs of shape ({self.channels}, up to {longest}) "
                f"and a fraction below {self._up}"
            )
            raise SnapshotError(
                f"expected {expected}, got {rates} Hz, {inputs.shape} and {fraction}"
            )
        self._inputs, self._fraction = inputs, fraction

    def _filter(self, inputs: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Returns the next `count` outputs, (count, C), from inputs (C, K).

        Each output is one dot product of a window of inputs with one phase of the filter. It uses
        einsum, not matmul: BLAS orders its sums by the shape of the whole product, so chunking
        would change the last bit.
        """
        outputs = np.zeros((count, self.channels), dtype=np.float32)
        if count == 0:
            return outputs
        # With mono input the other channels are silent, and so are their outputs.
        heard = self.channels if inputs[1:].any() else 1
        by_channel, by_sample = inputs.strides
        windows = np.ndarray(
            (inputs.shape[1] - self._taps + 1, heard, self._taps),
            np.float32,
            buffer=inputs.data,
            strides=(by_sample, by_channel, by_sample),
        )
        if self._up <= _FEW_PHASES:
            # The common rates: compute all outputs of a phase at once, without copying windows.
            for first in range(min(count, self._up)):
                row, phase = divmod(self._fraction + first * self._down, self._up)
                same_phase = windows[row :: self._down][: -(-(count - first) // self._up)]
                outputs[first :: self._up, :heard] = np.einsum(
                    "jct,t->jc", same_phase, self._phases[phase]
                )
            return outputs
        phase_count = self._phases.shape[0] - 1
        for first in range(0, count, _MAX_WINDOWS):
            rows, fractions = np.divmod(
                self._fraction
                + np.arange(first, min(count, first + _MAX_WINDOWS), dtype=np.int64) * self._down,
                self._up,
            )
            # The nearest phase; exact if every phase is in the table.
            phases = (2 * fractions * phase_count + self._up) // (2 * self._up)
            outputs[first : first + len(rows), :heard] = np.einsum(
                "jct,jt->jc", windows[rows], self._phases[phases]
            )
        return outputs


@lru_cache(maxsize=32)
def _phase_table(input_rate_hz: int, output_rate_hz: int) -> NDArray[np.float32]:
    """Returns the filter taps for each phase, (phases + 1, taps) float32.

    Row p is for an output that lies p / phases of an input sample after an input sample.
    """
    divisor = math.gcd(input_rate_hz, output_rate_hz)
    # As a fraction of the input's Nyquist frequency.
    cutoff = _CUTOFF * min(1.0, output_rate_hz / input_rate_hz)
    half = math.ceil(_ZERO_CROSSINGS * max(1.0, input_rate_hz / output_rate_hz))
    phase_count = min(output_rate_hz // divisor, _MAX_TABLE // (2 * half))
    offsets = (
        np.arange(phase_count + 1)[:, np.newaxis] / phase_count
        - np.arange(1 - half, half + 1)[np.newaxis]
    )
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1 - (offsets / half) ** 2, 0, None))) / np.i0(
        _KAISER_BETA
    )
    taps = np.sinc(cutoff * offsets) * window
    taps /= taps.sum(axis=1, keepdims=True)  # a constant stays constant in every phase
    return taps.astype(np.float32)
