"""How tests open and use the demo page, and what they read from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from turnstream.stream.engine import Engine
from turnstream.stream.prediction import TurnEvent
from turnstream.stream.service.server import Server

from ..stream.serving import offline
from .chromium import Tab
from .relay import Relay

SHOWN = (
    "[...document.querySelectorAll('#events li[data-type]')].reverse().map((e) => "
    "[e.dataset.type, Number(e.dataset.speaker), Number(e.dataset.time)])"
)


def page(server: Server, to: str = "") -> str:
    """Return the address of the page, which connects to its own server or to another one."""
    return f"http://127.0.0.1:{server.port}/" + (f"?server={quote(to)}" if to else "")


async def open_page(tab: Tab, address: str) -> None:
    await tab.go(address)
    await tab.until("document.querySelector('#preset-words').textContent")


async def status_is(tab: Tab, beginning: str) -> None:
    await tab.until(f"document.querySelector('#status').textContent.startsWith({beginning!r})")


async def events_shown(tab: Tab, least: int = 1) -> None:
    """Wait until the page shows so many events."""
    await tab.until(f"document.querySelectorAll('#events li[data-type]').length >= {least}")


async def problem_is(tab: Tab, words: str) -> None:
    """Wait until the page tells of a problem in these words."""
    await tab.until(f"document.querySelector('#problem').innerText.includes({words!r})")


async def choose(tab: Tab, file: Path) -> None:
    document = await tab.call("DOM.getDocument")
    field = await tab.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#file")
    await tab.call("DOM.setFileInputFiles", files=[str(file)], nodeId=field["nodeId"])


def as_shown(events: list[TurnEvent]) -> list[list[Any]]:
    return [[event.type, event.speaker, event.time_s] for event in events]


def said_offline(engine: Engine, relay: Relay) -> list[list[Any]]:
    """Return the events of the engine alone for the audio that the page has sent."""
    return as_shown(
        offline(engine, relay.samples, rate_hz=relay.begin["settings"]["sample_rate"])[1]
    )
