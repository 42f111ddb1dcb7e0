"""Websocket frames: those of a message of the client put together, and those of ours written."""

from __future__ import annotations

from websockets.frames import Frame, Opcode


class UnfinishedMessage:
    """The fragments of a message whose last frame has not come yet."""

    def __init__(self) -> None:
        self._fragments = bytearray()
        self._opcode: Opcode | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no message has begun."""
        return self._opcode is None

    def add(self, frame: Frame) -> str | bytes | None:
        """Return the message that ends with this frame of data, or None if it goes on.

        Raises:
            UnicodeDecodeError: a text is not UTF-8.
        """
        opcode, payload = frame.opcode, bytes(frame.data)
        if self._opcode is not None or not frame.fin:
            self._opcode = self._opcode or opcode
            self._fragments += payload
            if not frame.fin:
                return None
            opcode, payload = self._opcode, bytes(self._fragments)
            self._opcode, self._fragments = None, bytearray()
        return payload if opcode is Opcode.BINARY else payload.decode()


def close_reason(reason: str) -> str:
    """Return as much of a reason as a close frame has room for."""
    return reason.encode()[:123].decode(errors="ignore")


def framed(wire: str | bytes) -> bytes:
    """Return a message with its frame header (RFC 6455, section 5.2).

    The header is built by hand, because a general frame object costs more than the rest of a send.
    """
    opcode, payload = (b"\x81", wire.encode()) if isinstance(wire, str) else (b"\x82", wire)
    size = len(payload)
    if size < 126:
        return opcode + bytes((size,)) + payload
    if size < 1 << 16:
        return opcode + b"\x7e" + size.to_bytes(2, "big") + payload
    return opcode + b"\x7f" + size.to_bytes(8, "big") + payload
