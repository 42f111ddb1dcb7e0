"""Every block of the READMEs in `stream/` runs, with smaller numbers and a free port."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from turnstream import TurnPredictor, cli
from turnstream.stream.live import listen
from turnstream.stream.sources import bundled_sample

from .readme_blocks import ROOT, Block, run, run_all, run_python, running_server, runs, write_call
from .stream.fake_microphone import FakeMicrophone
from .stream.js.packing import NO_RUNTIME, pack
from .web.chromium import find_chromium, open_tab


@runs("stream/README.md", "again = TurnPredictor.restore")
def test_snapshot_block_moves_a_conversation(block: Block, tmp_path: Path):
    run_python(tmp_path, "-W", "error", "-c", block.code)


@runs("stream/README.md", 'predictor = TurnPredictor(policy="balanced")  # the network')
def test_pause_model_block_makes_a_predictor_with_it(block: Block):
    names: dict[str, Any] = {}
    exec(block.code, names)
    assert names["predictor"].pause_model.samples == 128000
    assert names["network_alone"].pause_model is None


@runs("stream/adapters/README.md", "turns = TurnstreamProcessor")
def test_pipecat_block_builds_a_pipeline_that_hears_turns(block: Block):
    pytest.importorskip("pipecat", reason="pipecat-ai is not installed (extra pipecat)")
    from pipecat.frames.frames import UserStartedSpeakingFrame
    from pipecat.processors.filters.identity_filter import IdentityFilter

    from .stream.adapters.pipecat_call import microphone, run_call

    transport = SimpleNamespace(input=IdentityFilter, output=IdentityFilter)
    names: dict[str, Any] = {"transport": transport}
    names |= {name: IdentityFilter() for name in ("stt", "llm", "tts")}
    exec(block.code, names)
    samples, rate_hz = sf.read(bundled_sample(), dtype="float32", always_2d=True)
    call = run_call([names["pipeline"]], microphone(samples[: 12 * rate_hz, 0]))
    assert call.times(UserStartedSpeakingFrame)


@runs("stream/adapters/README.md", "detector = TurnstreamDetector")
async def test_livekit_block_makes_a_session(block: Block):
    pytest.importorskip("livekit.agents", reason="livekit-agents is not installed (extra livekit)")
    from .stream.adapters.test_livekit import Model, Recogniser

    names: dict[str, Any] = {"stt": Recogniser([]), "llm": Model(), "tts": None}
    exec(block.code, names)
    assert names["session"].turn_detection is names["detector"]
    assert names["session"].vad.min_silence_duration >= 0.25


@runs("stream/adapters/README.md", "async def hold(websocket, answer)")
async def test_twilio_block_answers_the_caller(block: Block):
    from .stream.telephony import twilio

    names: dict[str, Any] = {}
    exec(block.code, names)
    loudspeaker = twilio.Loudspeaker()

    class Websocket:
        send = staticmethod(loudspeaker.take)

        async def __aiter__(self):
            yield twilio.start()
            for time_ms, samples in twilio.chunks(twilio.bundled_call(6, 8)[0]):
                yield twilio.media(samples, time_ms)
                for echo in loudspeaker.play(len(samples)):
                    yield echo

    await names["hold"](Websocket(), lambda: np.zeros(24000, np.float32))
    assert 0 < loudspeaker.played < 3 * 8000  # the caller cuts in


@runs("stream/adapters/README.md", "stream = Stream(ReplyOnTurn")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of FastRTC
def test_fastrtc_block_makes_a_stream(block: Block):
    pytest.importorskip("fastrtc", reason="fastrtc is not installed (stream/adapters/README.md)")
    names: dict[str, Any] = {"reply": lambda audio: iter([audio])}
    exec(block.code, names)
    assert names["stream"].event_handler.fn is names["reply"]


@runs("stream/adapters/README.md", "detector = TurnstreamTurnDetector")
@pytest.mark.filterwarnings("ignore")  # of Vision Agents
def test_vision_agents_block_makes_a_detector(block: Block):
    pytest.importorskip("vision_agents", reason="vision-agents is not installed (same README)")
    names: dict[str, Any] = {}
    exec(block.code, names)
    assert names["detector"].provider_name == "turnstream"


@runs("stream/README.md", "import { TurnstreamClient }")
@pytest.mark.skipif(
    find_chromium() is None, reason="no chromium on the path: the page's block cannot be tried"
)
async def test_javascript_block_hears_turns_end(block: Block, tmp_path: Path):
    samples, rate_hz = sf.read(bundled_sample(), dtype="int16", always_2d=True)
    sf.write(
        tmp_path / "user.wav",
        np.pad(
            samples[round(12.9 * rate_hz) : round(15.3 * rate_hz), 0], (3 * rate_hz, 2 * rate_hz)
        ),
        rate_hz,
    )
    code = re.sub(
        r'^import (\{.*\}) from ("\S+");$',
        r"const \1 = await import(\2);",
        block.code,
        flags=re.MULTILINE,
    )
    with running_server() as port:
        async with open_tab(microphone=Path(f"{tmp_path / 'user.wav'}%noloop")) as tab:
            await tab.go(f"http://127.0.0.1:{port}/")
            started = (
                "(async () => { window.said = []; "
                f"{code.replace('8765', port).replace('console.log(', 'said.push([')} "
                "return true; })()"
            )
            assert await tab.value(
                started.replace("time_s, probability));", "time_s, probability]));")
            )
            what, time_s, probability = await tab.until("said[0]")
            assert what == "speak"
            assert time_s > 3
            assert 0 <= probability <= 1
            assert tab.complaints == []


@runs("stream/js/README.md", "npm pack")
def test_npm_commands_pack_what_the_example_needs(block: Block):
    packing, installing = block.commands
    assert packing == "npm pack ./stream/js"  # as tests/stream/js/packing.py runs it
    version = json.loads((ROOT / "stream" / "js" / "package.json").read_text())["version"]
    assert installing == f"npm install ./turnstream-{version}.tgz onnxruntime-web"


@runs("stream/js/README.md", "const predictor = await")
@pytest.mark.skipif(bool(NO_RUNTIME), reason=NO_RUNTIME)
def test_node_block_prints_the_events_of_a_call(block: Block, tmp_path: Path):
    pack(tmp_path)
    samples, _ = sf.read(bundled_sample(), frames=21 * 8000, dtype="int16")
    (tmp_path / "call.raw").write_bytes(samples.tobytes())
    (tmp_path / "events.mjs").write_text(block.code)
    done = subprocess.run(
        ["node", "events.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    expected = [
        [str(event.time_s), event.type, str(event.speaker)]
        for p in TurnPredictor(
            sample_rate_hz=8000, policy="balanced", pause_model=False
        ).push_audio(samples)
        for event in p.events
    ]
    assert len(expected) > 5
    assert [line.split()[:3] for line in done.stdout.splitlines()] == expected


@runs("stream/README.md", "turnstream serve")
def test_server_and_client_commands_share_a_token(block: Block, tmp_path: Path):
    serve, client = block.commands
    (tmp_path / "tokens.txt").write_text("# of the README\n0123456789abcdef\n")
    samples, rate_hz = sf.read(bundled_sample(), frames=15 * 8000, dtype="int16")
    sf.write(tmp_path / "call.flac", samples, rate_hz)
    with running_server(serve, tmp_path) as port:
        refused = run(
            client.replace("0123456789abcdef", f"wrong --url ws://127.0.0.1:{port}"), tmp_path
        )
        heard = run(f"{client} --url ws://127.0.0.1:{port}", tmp_path)
    assert refused.returncode == 2
    assert heard.returncode == 0, heard.stderr
    assert "end_of_turn" in heard.stdout


@runs("stream/README.md", "turnstream listen")
def test_listen_commands_record_what_can_be_predicted_on_again(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    listening, predict = block.commands
    write_call(tmp_path)
    (tmp_path / "call.wav").rename(tmp_path / "prompt.wav")
    spoken = np.random.default_rng(1).normal(0, 0.1, (96000, 1)).astype(np.float32)
    monkeypatch.setattr(
        listen, "MicrophoneSource", lambda *args, **options: FakeMicrophone(np.split(spoken, 200))
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main([*shlex.split(listening)[1:], "--plain"]) == 0
    run_all([predict], tmp_path)
    assert len((tmp_path / "again.csv").read_text().splitlines()) > 100
    assert (tmp_path / "again.csv").read_bytes() == (
        tmp_path / "session1" / "predictions.csv"
    ).read_bytes()


@runs("stream/README.md", "turnstream predict call.wav")
def test_file_command_writes_what_it_promises(block: Block, tmp_path: Path):
    write_call(tmp_path)
    run_all(block.commands, tmp_path)
    assert len((tmp_path / "call.csv").read_text().splitlines()) == 101
    assert (tmp_path / "events.csv").is_file()
    assert (tmp_path / "call.png").read_bytes().startswith(b"\x89PNG")


@runs("stream/sample/README.md", "python -c")
def test_the_picture_is_made_of_the_bundled_call(block: Block, tmp_path: Path):
    shutil.copy(bundled_sample(), tmp_path)
    cut, predict, clean = block.commands[0].split("&&")
    run_python(tmp_path, *shlex.split(cut)[1:])
    run_all([predict], tmp_path)
    assert clean.split() == ["rm", "call.wav", "call.csv"]
    assert len((tmp_path / "call.csv").read_text().splitlines()) == 1 + 1125  # 22.5 s
    assert (tmp_path / "prediction.png").stat().st_size < 150_000
    assert (bundled_sample().parent / "prediction.png").stat().st_size < 150_000
