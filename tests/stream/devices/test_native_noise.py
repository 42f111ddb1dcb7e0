"""Messages that C libraries write to standard error."""

from __future__ import annotations

import os

import pytest

from turnstream.stream.devices.native_noise import native_noise_hidden


def test_what_is_written_by_file_number_is_hidden_while_it_lasts(
    capfd: pytest.CaptureFixture[str],
) -> None:
    os.write(2, b"before ")
    with native_noise_hidden():
        os.write(2, b"ALSA lib ")
    with pytest.raises(ValueError, match="wrong"), native_noise_hidden():
        raise ValueError("wrong")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"
