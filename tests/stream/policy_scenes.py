"""Hand-made predictions, stretch by stretch, for tests of the policy."""

from __future__ import annotations

import numpy as np

from turnstream.stream.floor import FloorTracker
from turnstream.stream.policy import PolicySettings, TurnPolicy
from turnstream.stream.prediction import Prediction, TurnEvent

FRAME_S = 0.02
LATENT = np.zeros((2, 1), np.float32)
SETTINGS = PolicySettings(
    end_threshold=0.6,
    end_silence_secs=0.3,
    timeout_secs=1.0,
    eager_threshold=0.5,
    eager_silence_secs=0.2,
    start_secs=0.1,
    overlap_secs=0.3,
    backchannel_threshold=0.5,
    backchannel_max_secs=0.8,
)
Found = list[tuple[str, int, float]]


Pair = tuple[float, float]


def frame(
    floor: FloorTracker,
    index: int,
    vad: Pair,
    p_user_next: float,
    p_backchannel: Pair,
    level_dbfs: Pair | None = None,
) -> Prediction:
    """Return the next prediction of a conversation, whose activity the floor tracks."""
    floor.update(vad, FRAME_S)
    return Prediction(
        frame=index,
        time_s=(index + 1) * 320 / 16000,
        holder=None,
        p_shift=None,
        p_hold=None,
        vad=vad,
        p_now=(0.5, 0.5),
        p_future=(0.5, 0.5),
        p_next=(p_user_next, 1 - p_user_next),
        p_backchannel=p_backchannel,
        latent=LATENT,
        latent_speaker=LATENT,
        active=floor.active,
        level_dbfs=level_dbfs,
    )


class Scene:
    """Plays stretches of activity to a policy and collects its events as (type, speaker, time)."""

    def __init__(self, policy: str | PolicySettings = SETTINGS, start_frame: int = 0) -> None:
        self.policy = TurnPolicy(policy)
        self.frames = start_frame
        self._floor = FloorTracker()
        self.events: list[TurnEvent] = []

    def play(
        self,
        who: str,
        seconds: float,
        *,
        user_next: float = 0.5,
        backchannel: Pair = (0.1, 0.1),
        level_dbfs: Pair | None = None,
    ) -> Scene:
        """Play a stretch.

        `who` speaks: "u" user, "o" other, "uo" both, "" nobody.
        """
        vad = (0.9 if "u" in who else 0.05, 0.9 if "o" in who else 0.05)
        for _ in range(round(seconds / FRAME_S)):
            self.events += self.policy.update(
                frame(self._floor, self.frames, vad, user_next, backchannel, level_dbfs)
            )
            self.frames += 1
        return self

    def take(self) -> Found:
        """Return the events since the last call."""
        found, self.events = (
            [(event.type, event.speaker, round(event.time_s, 6)) for event in self.events],
            [],
        )
        return found

    @property
    def now(self) -> float:
        return round(self.frames * FRAME_S, 6)


def speaking(who: str, level_dbfs: Pair | None = None) -> Scene:
    """Return a scene in which one speaker has been in a turn for one second."""
    scene = Scene().play(who, 1.0, level_dbfs=level_dbfs)
    scene.events = []
    return scene
