"""The expected messages of a session: the same audio through the engine, without a server."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from turnstream.stream.engine import Engine
from turnstream.stream.latent_message import LatentMessage, latents_to_bytes
from turnstream.stream.pcm import decode_pcm, to_float32
from turnstream.stream.protocol import frame_to_json, message_to_json
from turnstream.stream.session import Session

UNCOUNTED = (
    b'{"type":"begin"',
    b'{"type":"resumed"',
    b'{"type":"saved"',
    b'{"type":"warning"',
    b'{"type":"termination"',
)


def expected(engine: Engine, audios: Sequence[bytes], *, latents: bool = True) -> list[list[bytes]]:
    """Return frame messages, final latents and events of every conversation.

    Args:
        engine: the model.
        audios: stereo pcm_s16le at 16 kHz, one for each conversation.
        latents: whether the client asked for `latents=final`. They make the comparison more exact
            than the 4 decimals of a frame message.
    """
    sessions: list[Session] = []
    for audio in audios:
        samples = to_float32(decode_pcm(audio, "pcm_s16le", 2))
        session = Session(engine.metadata, buffer_s=len(samples) / 16000 + 1)
        session.push_audio(samples)
        session.flush()
        sessions.append(session)
    said: list[list[bytes]] = [[] for _ in sessions]
    while running := [n for n, session in enumerate(sessions) if session.frames_waiting]:
        output, states = engine.step(
            np.stack([sessions[n].take_frame() for n in running]),
            np.stack([sessions[n].state for n in running]),
        )
        for row, n in enumerate(running):
            sessions[n].state = states[row]
            result = sessions[n].accept(output, row)
            said[n].append(frame_to_json(result).encode())
            if latents:
                said[n].append(
                    latents_to_bytes(LatentMessage(result.frame, "latent", result.latent))
                )
            said[n] += [message_to_json(event).encode() for event in result.events]
    return said


def predictions(messages: Sequence[bytes]) -> list[bytes]:
    """Return a session's messages without those about the session or the audio's quality."""
    return [message for message in messages if not message.startswith(UNCOUNTED)]
