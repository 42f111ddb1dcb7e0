"""A small dialogue system: it answers each turn of the user with the user's own words.

Start `turnstream serve`, then run `python echo_bot.py` with a microphone and headphones, or
`python echo_bot.py RECORDING`. When the user interrupts, the bot stops speaking.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from turnstream import Client, FileSource, MicrophoneSource, StreamSettings, TurnEvent

LEAD_S = 0.4  # a turn began this long before it was recognised


class UserAudio:
    """Passes on the user's channel of a source and keeps it."""

    def __init__(self, source: FileSource | MicrophoneSource) -> None:
        self.source, self.sample_rate_hz, self.channels = source, source.sample_rate_hz, 1
        self.blocks: list[np.ndarray] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.source:
            self.blocks.append(block[:, 0])
            yield block[:, :1]

    def close(self) -> None:
        self.source.close()

    def between(self, start_s: float, end_s: float) -> np.ndarray:
        """Return the samples of a stretch of time, (N,)."""
        rate_hz = self.sample_rate_hz
        return np.concatenate(self.blocks)[max(0, int(start_s * rate_hz)) : int(end_s * rate_hz)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Repeat what the user said.")
    parser.add_argument("recording", nargs="?", help="speak from this file (default: microphone)")
    parser.add_argument("--url", default="ws://127.0.0.1:8765", help="server (default %(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, help="of a recording (default 1)")
    args = parser.parse_args()
    user = UserAudio(FileSource(args.recording) if args.recording else MicrophoneSource())
    began_s = 0.0
    with Client(args.url, StreamSettings(user.sample_rate_hz)) as client:

        def begin(turn: TurnEvent) -> None:
            nonlocal began_s
            began_s = turn.time_s - LEAD_S
            client.agent.stop()

        def answer(turn: TurnEvent) -> None:
            words = user.between(began_s, turn.time_s)
            print(f"{turn.time_s:.2f} s: I repeat {len(words) / user.sample_rate_hz:.1f} s")
            client.agent.say(words, user.sample_rate_hz)

        client.on("start_of_turn", begin, speaker=0)
        client.on("end_of_turn", answer, speaker=0)
        client.stream(user, speed=args.speed if args.recording else None)


if __name__ == "__main__":
    main()
