"""Everything that a client should not send: bad messages for the parsers, and bad connections."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Callable

from hypothesis import strategies as st

from turnstream.stream.errors import ProtocolError
from turnstream.stream.latent_message import parse_latents
from turnstream.stream.protocol import parse_control, parse_message
from turnstream.stream.settings import parse_query

PATIENCE_S = 10.0
ANSWER_S = 0.05  # the server may still wait for more data

TEXTS = [
    '{"type":"configure","policy":"patient","frames":5,"latents":"final"}',
    '{"type":"configure","frames":"none","end_threshold":0.8}',
    '{"type":"end_turn","speaker":1}',
    *(f'{{"type":"{name}"}}' for name in ("flush", "reset", "keep_alive", "close")),
    '{"type":"begin","protocol":1,"session":"a","model":{"name":"t","version":"1","sha256":"0"},'
    '"frame_rate_hz":50.0,"latent_sizes":{"latent":128,"latent_speaker":192},'
    '"settings":{"sample_rate":16000,"channels":2,"encoding":"pcm_s16le","frames":"all",'
    '"latents":"none","policy":"balanced"},"resume_token":null,"resume_s":0}',
    '{"type":"configured","settings":{"policy":"balanced","end_threshold":0.4}}',
    '{"type":"resumed","session":"a","received":3}',
    '{"type":"frame","frame":161,"time_s":3.24,"holder":0,"p_shift":0.8312,"p_hold":0.1688,'
    '"vad":[0.031,0.012],"p_now":[0.3012,0.6988],"p_future":[0.2511,0.7489],'
    '"p_next":[0.1688,0.8312],"p_backchannel":[0.02,0.1101]}',
    '{"type":"end_of_turn","speaker":0,"time_s":5.24,"probability":0.8312,"turn_index":3,'
    '"trigger":"model"}',
    '{"type":"warning","code":"clipping","severity":"warning","message":"channel 0"}',
    '{"type":"error","code":"bad_audio","message":"expected whole samples"}',
    '{"type":"termination","frames":1500,"seconds":30.0,"reason":"close"}',
]
QUERIES = [
    "sample_rate=16000&channels=2&encoding=pcm_s16le&frames=all&latents=none&policy=balanced&end_threshold=0.8",
    "sample_rate=8000&channels=1&encoding=mulaw&frames=5&latents=final&policy=fast&token=abc",
    "resume=0123456789abcdef&received=17",
    "",
]
LATENTS = struct.pack("<4sBBBBQHH", b"TSLT", 1, 1, 1, 0, 161, 2, 1) + struct.pack("<2f", 0.5, -2)
VALUES: list[object] = [
    None,
    True,
    0,
    -1,
    10**400,
    1e308,
    "",
    "all",
    "\x00",
    "\ud800",
    [],
    {},
    [[]],
    [0, "a"],
    {"type": "flush"},
    "x" * 5000,
    0.5,
]
NASTY = [
    "NaN",
    "Infinity",
    "-0",
    "1e999",
    "\ud800",
    "\x00",
    "[" * 100_000,
    '{"a":' * 5000,
    "9" * 5000,
    "\u202e",
    '"',
    "\\u0000",
    "&&",
    "=",
    "%zz",
    "%00",
    "+",
]


def mutate_text(rng: random.Random, text: str) -> str:
    """Return the text with a few letters, or a stretch of it, changed."""
    for _ in range(rng.randint(1, 4)):
        at, until = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[at + 1 :]
            case 1:
                text = text[:at] + rng.choice(NASTY) + text[at:]
            case 2:
                text = (
                    text[:at]
                    + chr(rng.choice([rng.randrange(128), rng.randrange(0x10FFFF)]))
                    + text[at + 1 :]
                )
            case 3:
                text = text[:until] + text[at:]
            case _:
                text = text[:at]
    return text


def mutate_fields(rng: random.Random, text: str) -> str:
    """Return the JSON object with one field removed, of another type, or added."""
    words = json.loads(text)
    name = rng.choice([*words, "surplus"])
    words[name] = rng.choice(VALUES)
    if rng.random() < 0.3:
        del words[name]
    return json.dumps(words)


def malformed_text(rng: random.Random) -> str:
    """Return a random text message, mostly close to a valid one."""
    how = rng.choice(
        [
            mutate_text,
            mutate_fields,
            lambda rng, _: json.dumps(rng.choice(VALUES)),
            lambda rng, _: rng.choice(NASTY),
        ]
    )
    return how(rng, rng.choice(TEXTS))


def malformed_query(rng: random.Random) -> str:
    """Return a random query string, mostly close to a valid one."""
    return mutate_text(rng, rng.choice(QUERIES))


def malformed_bytes(rng: random.Random, good: bytes = LATENTS) -> bytes:
    """Return random bytes, mostly close to a valid message."""
    changed = bytearray(good)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(3):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del changed[at : at + rng.randint(1, 8)]
            case _:
                changed[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(changed)


_RANDOMS = st.randoms(use_true_random=False)
MESSAGES: st.SearchStrategy[str | bytes] = st.one_of(
    st.text(max_size=100),
    st.binary(max_size=100),
    *(_RANDOMS.map(malformed) for malformed in (malformed_text, malformed_query, malformed_bytes)),
)


def parse_everything(wire: str | bytes) -> None:
    """Parse the input as a control, a server message, latents and a query string.

    Raises:
        ValueError: a parser's error text is too long for a log line, or it cannot be sent.
    """
    for parse in (
        (parse_control, parse_message, parse_query)
        if isinstance(wire, str)
        else (parse_latents, parse_message)
    ):
        try:
            parse(wire)  # pyright: ignore[reportArgumentType]
        except ProtocolError as error:
            complaint = str(error).encode()
            if not 0 < len(complaint) < 1000:
                raise ValueError(
                    f"expected a refusal of 1 to 999 bytes, got {len(complaint)}"
                ) from error


# ---- whole connections ----

REQUEST = (
    "GET /v1/stream?{} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: {}\r\nSec-WebSocket-Version: {}\r\n\r\n"
)
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


def wire(
    payload: bytes, first: int = 0x82, *, masked: bool = True, length: int | None = None
) -> bytes:
    """Return one websocket frame with any first byte, mask bit and announced length."""
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    head = (
        struct.pack(">BBH", first, mask | 126, size)
        if size < 1 << 16
        else struct.pack(">BBQ", first, mask | 127, size)
    )
    return head + (bytes(4) if masked else b"") + payload


def _texts(rng: random.Random) -> bytes:
    return wire(malformed_text(rng).encode(errors="surrogatepass"), 0x81)


def _fragments(rng: random.Random) -> bytes:
    """Return a fragmented message with a ping between; sometimes a new message comes too early."""
    audio = bytes(4 * rng.randint(1, 400))
    return (
        wire(audio, 0x02)
        + wire(b"ping", 0x89)
        + wire(audio, rng.choice([0x00, 0x80, 0x81, 0x02]))
        + wire(audio, rng.choice([0x80, 0x82]))
    )


BREACHES: dict[str, Callable[[random.Random], bytes]] = {  # what is sent on an open websocket
    "malformed control": _texts,
    "not whole samples": lambda rng: wire(bytes(4 * rng.randint(0, 300) + rng.randint(1, 3))),
    "oversize message": lambda rng: wire(bytes(rng.choice([(1 << 20) + 4, 1 << 22]))),
    "announced too long": lambda rng: wire(
        b"", length=rng.choice([5 << 20, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
    ),
    "unmasked": lambda rng: wire(bytes(1280), masked=False),
    "bad UTF-8": lambda rng: wire(b'{"type":"' + rng.randbytes(20) + b"\xff", 0x81),
    "fragments": _fragments,
    "reserved bits": lambda rng: wire(bytes(1280), rng.choice([0x92, 0xA2, 0xC2, 0xF2])),
    "unknown opcode": lambda rng: wire(bytes(1280), rng.choice([0x83, 0x87, 0x8B, 0x8F])),
    "long ping": lambda rng: wire(bytes(rng.randint(126, 5000)), 0x89),
    "bad close": lambda rng: wire(
        rng.choice(
            [
                b"\x00",
                struct.pack(">H", rng.choice([0, 999, 1005, 1006, 1015, 5000])),
                b"\x03\xe8\xff\xfe",
            ]
        ),
        0x88,
    ),
    "stray continuation": lambda rng: wire(bytes(1280), 0x80),
    "random bytes": lambda rng: rng.randbytes(rng.randint(1, 3000)),
    "mutated frame": lambda rng: malformed_bytes(rng, wire(bytes(640))),
    "early close": lambda rng: wire(bytes(1280))[: rng.randint(1, 1000)],
}
HANDSHAKES: dict[str, Callable[[random.Random], bytes]] = {  # what is sent instead of the request
    "bad query": lambda rng: REQUEST.format(malformed_query(rng), KEY, 13).encode(
        errors="surrogatepass"
    ),
    "bad key": lambda rng: REQUEST.format("", rng.choice(["", "short", "A" * 4000]), 13).encode(),
    "bad version": lambda rng: REQUEST.format("", KEY, rng.choice([0, 12, 14, "x"])).encode(),
    "other method": lambda rng: (
        REQUEST.format("", KEY, 13).replace("GET", rng.choice(["POST", "BREW", "get", ""])).encode()
    ),
    "half a request": lambda rng: REQUEST.format("", KEY, 13)[: rng.randint(1, 150)].encode(),
    "headers for ever": lambda rng: (
        b"GET /v1/stream HTTP/1.1\r\n" + b"X: y\r\n" * rng.randint(200, 2000)
    ),
    "a long line": lambda rng: b"GET /" + b"a" * rng.randint(8000, 100_000) + b" HTTP/1.1\r\n\r\n",
    "no HTTP at all": lambda rng: rng.randbytes(rng.randint(1, 3000)) + b"\r\n\r\n",
    "mutated request": lambda rng: malformed_bytes(rng, REQUEST.format("", KEY, 13).encode()),
}
KINDS = [*BREACHES, *HANDSHAKES]


def misbehave(port: int, kind: str, rng: random.Random, patience_s: float = PATIENCE_S) -> str:
    """Open a connection, send what should not be sent, and return how the server ended it.

    The function then ends its own side of the connection.

    Returns:
        "close CODE" (such as "close 1007"), "http STATUS" (such as "http 400"), "closed" for an end
        without a close frame, or "reset".
    Raises:
        TimeoutError: the server kept the connection open although nothing more could come.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as sock:
        answer = b""
        try:
            if kind in BREACHES:
                sock.sendall(REQUEST.format("", KEY, 13).encode() + wire(bytes(1280)))
                while b'"begin"' not in answer:
                    piece = sock.recv(1 << 16)
                    answer += piece
                    if not piece:
                        return _ending(answer)
            sock.sendall((BREACHES | HANDSHAKES)[kind](rng))
            sock.settimeout(ANSWER_S)
            while not _ending(answer).startswith("close ") and (
                piece := _piece_or_hang_up(sock, patience_s)
            ):
                answer += piece
        except (ConnectionResetError, BrokenPipeError):
            return _ending(answer) if answer else "reset"
        return _ending(answer)


def _piece_or_hang_up(sock: socket.socket, patience_s: float) -> bytes:
    """Return the next bytes; when none come, end the sending side and wait for the end."""
    try:
        return sock.recv(1 << 16)
    except TimeoutError:
        if sock.gettimeout() == patience_s:
            raise
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(patience_s)
    return sock.recv(1 << 16)


def _ending(answer: bytes) -> str:
    """Return the status of an HTTP answer, or the code of a websocket's close frame."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    if not answer:
        return "closed"
    if b" 101 " not in head[:16]:
        return f"http {head[9:12].decode(errors='replace')}"
    at = 0
    while len(rest) - at >= 2:
        length, start = rest[at + 1], at + 2
        if length == 126:
            length, start = int.from_bytes(rest[at + 2 : at + 4]), at + 4
        if rest[at] == 0x88:
            return f"close {int.from_bytes(rest[start : start + 2])}"
        at = start + length
    return "closed"
