"""A headless Chromium, driven over its DevTools protocol, as far as the page's tests need it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, Any

from websockets.asyncio.client import ClientConnection, connect

PATIENCE_S = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--no-first-run",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # so that pages can draw in three dimensions
    "--disable-dev-shm-usage",
    "--autoplay-policy=user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)


def find_chromium() -> str | None:
    """Return the path of the browser, or None without one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page of the browser.

    Attributes:
        complaints: errors written to the console, and uncaught exceptions.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.complaints: list[str] = []
        self._connection = connection
        self._session: dict[str, str] = {}  # before `attach`, commands are for the browser
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()

    async def listen(self) -> None:
        """Receive answers and events until cancelled."""
        async for wire in self._connection:
            message = json.loads(wire)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
            elif message["method"] == "Runtime.consoleAPICalled" and message["params"]["type"] in (
                "error",
                "warning",
                "assert",
            ):
                self.complaints.append(json.dumps(message["params"]["args"]))
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] in (
                "error",
                "warning",
            ):
                self.complaints.append(message["params"]["entry"]["text"])

    async def attach(self) -> None:
        """Open an empty page, with cookies and storage of its own, until the connection ends."""
        context = await self.call("Target.createBrowserContext", disposeOnDetach=True)
        target = await self.call("Target.createTarget", url="about:blank", **context)
        self._session = await self.call("Target.attachToTarget", flatten=True, **target)
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol; return its answer."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(
            json.dumps({"id": number, "method": method, "params": params, **self._session})
        )
        async with asyncio.timeout(PATIENCE_S + 10):
            answer = await self._answers[number]
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    async def go(self, address: str) -> None:
        self._loaded.clear()
        await self.call("Page.navigate", url=address)
        async with asyncio.timeout(PATIENCE_S):
            await self._loaded.wait()

    async def value(self, expression: str) -> Any:
        """Return the value of an expression; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def until(self, expression: str, patience_s: float = PATIENCE_S) -> Any:
        """Evaluate an expression every 20 ms; return its first true value."""
        watched = f"""new Promise((resolve, reject) => {{
          const look = () => {{
            const value = {expression};
            if (value) {{ clearTimeout(timer); clearInterval(looking); resolve(value); }}
          }};
          const timer = setTimeout(() => {{
            clearInterval(looking);
            reject(new Error('still not: ' + {json.dumps(expression)}
              + '; the page says: ' + document.body.innerText.slice(0, 900)));
          }}, {1000 * patience_s});
          const looking = setInterval(look, 20); look();
        }})"""
        return await self.value(watched)

    async def text(self, selector: str) -> str:
        text: str = await self.value(f"document.querySelector({json.dumps(selector)}).innerText")
        return text

    async def click(self, selector: str) -> None:
        """Click on an element with the mouse, as a user does."""
        middle = (
            "new Promise((done) => requestAnimationFrame(() => {"
            f" const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'});"
            " const r = e.getBoundingClientRect();"
            " done([r.x + r.width / 2, r.y + r.height / 2]); }))"
        )
        before, box = None, await self.value(middle)
        while before != box:  # the page may still be laid out
            before, box = box, await self.value(middle)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    async def press(self, key: str) -> None:
        """Press one key: Tab, Enter, Space, Escape, Home, End or an arrow."""
        code, text = {
            "Tab": (9, ""),
            "Enter": (13, "\r"),
            "Space": (32, " "),
            "Escape": (27, ""),
            "End": (35, ""),
            "Home": (36, ""),
            "ArrowLeft": (37, ""),
            "ArrowRight": (39, ""),
        }[key]
        name = " " if key == "Space" else key
        await self.call(
            "Input.dispatchKeyEvent",
            type="keyDown",
            key=name,
            code=key,
            windowsVirtualKeyCode=code,
            text=text,
        )
        await self.call(
            "Input.dispatchKeyEvent", type="keyUp", key=name, code=key, windowsVirtualKeyCode=code
        )

    async def drop(self, file: Path) -> None:
        """Drag a file onto the middle of the page."""
        dragged = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            await self.call("Input.dispatchDragEvent", type=kind, x=200, y=200, data=dragged)

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    async def prefer(self, **features: str) -> None:
        """Set media features, such as color_scheme="dark"."""
        named = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        await self.call("Emulation.setEmulatedMedia", features=named)

    async def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Return the page as PNG."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def running_browser(
    *options: str, microphone: Path | None = None, allow: bool = True
) -> Iterator[str]:
    """Start a browser, and yield the address of its DevTools.

    Args:
        options: more command-line options of Chromium.
        microphone: a wav file that the microphone plays again and again.
        allow: whether the user lets pages use the microphone.
    """
    browser = find_chromium()
    assert browser is not None
    given = [
        *OPTIONS,
        *options,
        "--use-fake-ui-for-media-stream" if allow else "--deny-permission-prompts",
    ]
    if microphone is not None:
        given.append(f"--use-file-for-fake-audio-capture={microphone}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser, *given, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        addresses: Queue[str] = Queue()
        reader = Thread(target=_read_addresses, args=(process.stderr, addresses))
        reader.start()
        try:
            yield addresses.get(timeout=PATIENCE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # the browser's own processes, too
            process.wait()
            reader.join()


def _read_addresses(stderr: IO[bytes], addresses: Queue[str]) -> None:
    """Read what the browser says to its end, so that the pipe is never full."""
    with stderr:
        for line in stderr:
            if found := re.search(rb"ws://\S+", line):
                addresses.put(found.group().decode())


@contextlib.asynccontextmanager
async def open_tab_of(address: str) -> AsyncIterator[Tab]:
    """Open an empty page in a running browser."""
    async with connect(address, max_size=None, proxy=None, compression=None) as connection:
        tab = Tab(connection)
        listening = asyncio.create_task(tab.listen())
        try:
            await tab.attach()
            yield tab
        finally:
            listening.cancel()
            await asyncio.wait([listening])


@contextlib.asynccontextmanager
async def open_tab(
    *options: str, microphone: Path | None = None, allow: bool = True
) -> AsyncIterator[Tab]:
    """Start a browser with one empty page; the arguments are those of `running_browser`."""
    with running_browser(*options, microphone=microphone, allow=allow) as address:
        async with open_tab_of(address) as tab:
            yield tab
