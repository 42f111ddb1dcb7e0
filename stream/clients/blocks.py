"""The blocks of a source, as a client sends them."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import AudioFormatError
from ..pcm import Block
from ..settings import StreamSettings
from ..sources import AudioSource, paced


def blocks_of(
    source: AudioSource, settings: StreamSettings, speed: float | None
) -> Iterable[Block]:
    """Check that a source fits a stream, and return its blocks.

    Args:
        source: gives the blocks.
        settings: of the stream.
        speed: 1.0 paces the blocks in real time. None gives them as they come.
    Raises:
        AudioFormatError: the rate differs, or the source has more channels than the stream.
    """
    if source.sample_rate_hz != settings.sample_rate_hz or source.channels > settings.channels:
        expected = (
            f"a source of {settings.sample_rate_hz} Hz "
            f"and at most {settings.channels} channels, as the settings say"
        )
        raise AudioFormatError(
            f"expected {expected}; got {source.sample_rate_hz} Hz and {source.channels}"
        )
    return source if speed is None else paced(source, speed)
