"""The audio of a live command, and how it is presented."""

from __future__ import annotations

from dataclasses import dataclass

from ..devices.playback import Playback
from ..sources import AudioSource
from .terminal_verdict import Names
from .terminal_words import SPEAK


@dataclass(frozen=True)
class LiveAudio:
    """The audio of a live command.

    Attributes:
        source: gives the audio. A file is paced at `speed`.
        title: title of the live view.
        names: names of the user and the other speaker.
        explanation: one or two lines for a new user.
        remark: why the audio is not what the user asked for; empty if it is.
        playback: plays the audio; None for no sound.
        speed: speed of a recording relative to real time.
    """

    source: AudioSource
    title: str
    names: Names = ("You", "Other")
    explanation: str = SPEAK
    remark: str = ""
    playback: Playback | None = None
    speed: float = 1.0
