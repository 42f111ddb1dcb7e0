"""The demo page tells what is wrong, and what to do about it."""

from __future__ import annotations

import socket
from pathlib import Path

from turnstream.stream.engine import Engine
from turnstream.stream.service.limits import Limits
from turnstream.stream.service.server import Server

from .chromium import Tab, open_tab
from .conftest import MakeRecording
from .demo_page import choose, open_page, page, problem_is, status_is


async def test_a_server_that_wants_a_token_gets_one(tab: Tab, engine: Engine) -> None:
    async with Server(engine, port=0, tokens=["let-me-in"]) as guarded:
        await open_page(tab, page(guarded))
        await tab.click("#example")
        await tab.until("document.activeElement.id === 'token'")
        assert "wants an access token" in await tab.text("#problem")
        await tab.call("Input.insertText", text="let-me-out")
        await tab.press("Enter")
        await problem_is(tab, "This token is not valid. Check it, and enter it again.")
        await tab.call("Input.insertText", text="let-me-in")
        await tab.press("Enter")
        await status_is(tab, "Listening to the example")
        assert await tab.value("document.querySelector('#problem').hidden")


async def test_no_server_and_a_full_one_are_told_apart(tab: Tab, engine: Engine) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        nobody = f"ws://127.0.0.1:{unused.getsockname()[1]}"
        async with Server(
            engine, port=0, limits=Limits(max_sessions=1), page_servers=[nobody]
        ) as small:
            await open_page(tab, page(small, "my-server"))
            await tab.click("#example")
            await problem_is(tab, "“my-server” is no address of a server")
            await open_page(tab, page(small, nobody))
            await tab.click("#example")
            await problem_is(tab, "No server answers at 127.0.0.1")
            await open_page(tab, page(small))
            await tab.click("#example")
            await status_is(tab, "Listening")
            await tab.value(
                f"import('/turnstream.js').then(({{TurnstreamClient}}) => "
                f"{{ window.two = new TurnstreamClient('ws://127.0.0.1:{small.port}'); }})"
            )
            assert await tab.value("two.connect().catch(({code}) => code)") == "http_503"


async def test_a_page_that_browsers_do_not_trust_says_so_at_once(server: Server) -> None:
    async with open_tab("--host-resolver-rules=MAP page.test 127.0.0.1") as tab:
        await tab.go(page(server).replace("127.0.0.1", "page.test"))
        told = (
            "document.querySelector('#problem').innerText"
            ".includes('works only over https, or when the server runs on this computer')"
        )
        await tab.until(told)
        assert "--tls-cert and --tls-key" in await tab.text("#problem")
        await tab.value("document.querySelector('#problem').hidden = true")
        await tab.click("#example")
        await tab.until(f"document.querySelector('#problem').checkVisibility() && {told}")


async def test_a_server_that_is_gone_is_told_in_words(
    tab: Tab, engine: Engine, recording: MakeRecording
) -> None:
    async with Server(engine, port=0) as gone:
        await open_page(tab, page(gone))
        told = (
            "document.querySelector('#problem-title').textContent === "
            f"'No server answers at 127.0.0.1:{gone.port}.'"
        )
    await tab.click("#example")
    await tab.until(told)
    await tab.value("document.querySelector('#problem-title').textContent = ''")
    await tab.drop(recording(13.0, 15.3, (0,)))
    await tab.until(told)


async def test_a_server_that_stops_is_told_in_words(tab: Tab, engine: Engine) -> None:
    async with Server(engine, port=0) as stopping:
        await open_page(tab, page(stopping))
        await tab.click("#example")
        await status_is(tab, "Listening")
    await problem_is(tab, "The server is being stopped")


async def test_a_forbidden_microphone_and_a_broken_file_are_told_in_words(
    server: Server, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound at all")
    async with open_tab(allow=False) as tab:
        await open_page(tab, page(server))
        await tab.click("#microphone")
        await problem_is(tab, "The microphone was not allowed")
        await choose(tab, broken)
        await problem_is(tab, "could not be read as sound")
