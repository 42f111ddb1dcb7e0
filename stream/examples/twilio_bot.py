"""A telephone bot: it answers each turn of the caller with the caller's own words.

When the caller cuts in, the bot stops speaking. Run `python twilio_bot.py`, make port 8080 public
(`wss://...`), and let the number's TwiML be

    <Response><Connect><Stream url="wss://YOUR.HOST/"/></Connect></Response>
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from functools import partial

import numpy as np
from websockets.asyncio.server import ServerConnection, serve

from turnstream import Engine, TurnPredictor
from turnstream.stream.adapters.twilio import CALLER, TwilioCall

RATE_HZ = 8000
LONGEST_S = 30  # of what the bot can repeat
LEAD_S = 0.4  # a turn began this long before it was recognised


async def talk(
    messages: AsyncIterable[str | bytes], send: Callable[[str], Awaitable[None]], engine: Engine
) -> None:
    """Hold one call: read Twilio's messages, and send it those of the bot."""
    call = TwilioCall()
    predictor = TurnPredictor(engine, sample_rate_hz=RATE_HZ, policy="balanced")
    heard = np.zeros(0, np.float32)  # the newest audio of the caller
    began_s = 0.0
    async for message in messages:
        audio = call.receive(message)
        heard = np.concatenate([heard, audio[:, CALLER]])[-LONGEST_S * RATE_HZ :]
        # In a thread, because the pause model takes 0.1 s; other calls go on meanwhile.
        for prediction in await asyncio.to_thread(predictor.push_audio, audio):
            for event in prediction.events:
                if clear := call.barge_in(event):
                    print(f"{event.time_s:.2f} s: the caller cuts in, I stop")
                    await send(clear)
                if event.speaker == CALLER and event.type == "start_of_turn":
                    began_s = event.time_s - LEAD_S
                if event.speaker == CALLER and event.type == "end_of_turn":
                    words = heard[-int((event.time_s - began_s) * RATE_HZ) :]
                    print(f"{event.time_s:.2f} s: I repeat {len(words) / RATE_HZ:.1f} s")
                    for reply in [*call.say(words, RATE_HZ), *call.mark("repeated")]:
                        await send(reply)
        if call.stopped:
            break
    print(f"the caller heard {call.heard_s:.1f} s of me, {call.dropped_s:.1f} s were dropped")


async def answer(engine: Engine, connection: ServerConnection) -> None:
    await talk(connection, connection.send, engine)


async def run(port: int) -> None:
    async with serve(partial(answer, Engine()), "127.0.0.1", port) as server:
        print(f"waiting for Twilio on port {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Repeat what the caller said.")
    parser.add_argument("--port", type=int, default=8080, help="to listen on (default 8080)")
    asyncio.run(run(parser.parse_args().port))
