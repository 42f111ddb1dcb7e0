"""Every command and code block of the READMEs runs, with smaller numbers and a free port."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from turnstream import TurnPredictor, cli
from turnstream.models.checkpoint import bundled_checkpoint, load_encoder
from turnstream.models.dialogues.manifest import read_manifest, write_manifest
from turnstream.models.latents.command import VIEWS
from turnstream.models.teachers import extraction
from turnstream.stream.live import listen
from turnstream.stream.sources import bundled_sample

from .models.dialogues.corpora.making import write_switchboard
from .models.teaching import CHANNELS, FakeEncoder
from .readme_blocks import (
    BLOCKS,
    NO_TEACHER,
    PAGES,
    READMES,
    ROOT,
    TESTED,
    Block,
    after_install,
    run,
    run_all,
    running_server,
    runs,
    write_call,
)
from .stream.fake_microphone import FakeMicrophone
from .stream.js.packing import NO_RUNTIME, pack
from .web.chromium import find_chromium, open_tab


def test_every_block_is_run_by_one_test():
    assert sorted(TESTED, key=BLOCKS.index) == BLOCKS


def test_the_readme_is_short():
    assert len(READMES["README.md"].splitlines()) <= 120
    for readme, text in READMES.items():
        assert [
            line
            for line in text.splitlines()
            if len(line) > 100 and not line.startswith(("|", "!["))
        ] == [], readme


@pytest.mark.parametrize("readme", READMES)
def test_every_link_leads_to_a_file(readme: str):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", READMES[readme])
    assert [
        target for target in targets if not (ROOT / readme).parent.joinpath(target).exists()
    ] == []


@pytest.mark.parametrize("readme", READMES)
def test_every_command_in_the_text_has_these_options(readme: str):
    for command in re.findall(r"`(turnstream [^`]+|python [^`]+)`", READMES[readme]):
        program, name, *rest = command.split()
        options = {word for word in rest if word.startswith("--")} - {"--help"}
        if program == "python":
            if name == "-m":
                name = rest[0].removeprefix("turnstream.").replace(".", "/") + ".py"
            source = (ROOT / name).read_text()
            assert {option for option in options if f'"{option}"' not in source} == set(), command
        elif name.startswith("--"):
            assert f'"{name}"' in Path(cli.__file__).read_text(), command
        else:
            assert options <= options_of(name, rest), command


def options_of(name: str, rest: list[str]) -> set[str]:
    """Return the options of a command or of its subcommand."""
    parser = argparse.ArgumentParser()
    home = cli.COMMANDS[name][0]
    if name == "latents" and rest[:1] and rest[0] in VIEWS:  # read only when the view is called
        home = f"turnstream.models.latents.{VIEWS[rest[0]][0]}"
    module: Any = importlib.import_module(home)
    module.add_arguments(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and rest and rest[0] in action.choices:
            parser = action.choices[rest[0]]
    return {option for action in parser._actions for option in action.option_strings}


def test_no_figure_is_left_out():
    for page, text in PAGES.items():
        assert not re.search(r"@[A-Z]+@|MEASURED_|TODO|XXX", text), page


def test_model_card_and_settings_speak_of_the_bundled_weights():
    from turnstream import Engine
    from turnstream.models.config import ModelConfig, from_plain
    from turnstream.models.training.settings import TrainingSettings

    assert Engine().metadata.weights_sha256[:12] in PAGES["models/weights/MODEL_CARD.md"]
    used = json.loads((ROOT / "models" / "weights" / "training.json").read_text())
    bundled = ModelConfig.from_json((ROOT / "models" / "weights" / "config.json").read_text())
    assert from_plain(TrainingSettings, used).model == bundled


@runs("README.md", "pip install -c constraints.txt -e")
def test_the_command_to_develop_is_what_ci_runs(block: Block):
    (develop,) = block.commands
    assert develop in (ROOT / ".ci" / "run").read_text()


@runs("README.md", "python3 -m venv")
def test_the_command_to_try_it_is_what_ci_runs(block: Block):
    (demo,) = block.commands
    assert demo.endswith("pip install . && turnstream demo")
    assert "turnstream demo" in (ROOT / ".ci" / "run").read_text()


@runs("README.md", "predictor = TurnPredictor")
def test_python_block_predicts(block: Block, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) >= 48  # 50 frames less what the resampler still holds


@runs("stream/README.md", "again = TurnPredictor.restore")
def test_snapshot_block_moves_a_conversation(block: Block, tmp_path: Path):
    subprocess.run([sys.executable, "-W", "error", "-c", block.code], cwd=tmp_path, check=True)


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


A_RECORDING_AS_MICROPHONE = """
import contextlib, turnstream
from turnstream.stream.sources import bundled_sample
class User:  # the caller of the bundled call
    def __init__(self):
        self.file = turnstream.FileSource(bundled_sample())
        self.sample_rate_hz, self.channels = self.file.sample_rate_hz, 1
    def __iter__(self):
        return (block[:, :1] for block in self.file)
    def close(self):
        self.file.close()
turnstream.MicrophoneSource = lambda: contextlib.closing(User())
"""


@runs("README.md", "from turnstream import Client")
def test_websocket_block_hears_turns_end_and_is_interrupted(block: Block, tmp_path: Path):
    with running_server() as port:
        code = A_RECORDING_AS_MICROPHONE + block.code.replace("8765", port).replace(
            "turn: client.agent.say", "turn: print(turn) or client.agent.say"
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert "TurnEvent(type='end_of_turn', speaker=0" in done.stdout
    assert "Cut(played_s=" in done.stdout


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
    _, option, code = shlex.split(cut)
    subprocess.run([sys.executable, option, code], cwd=tmp_path, check=True)
    run_all([predict], tmp_path)
    assert clean.split() == ["rm", "call.wav", "call.csv"]
    assert len((tmp_path / "call.csv").read_text().splitlines()) == 1 + 1125  # 22.5 s
    assert (tmp_path / "prediction.png").stat().st_size < 150_000
    assert (bundled_sample().parent / "prediction.png").stat().st_size < 150_000


@runs("export/README.md", "turnstream export")
def test_export_commands_make_a_file_that_can_be_stepped(block: Block, tmp_path: Path):
    write_call(tmp_path, 16000)
    shutil.copytree(bundled_checkpoint(), tmp_path / "run")
    *commands, step = block.commands
    run_all(commands, tmp_path)
    assert (tmp_path / "golden.npz").is_file()
    python, example, *arguments = step.split()
    assert python == "python"
    done = subprocess.run(
        [sys.executable, str(ROOT / example), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1 + 100


@runs("models/README.md", "turnstream manifest")
@pytest.mark.filterwarnings("default")
def test_two_commands_train_on_a_corpus(block: Block, tmp_path: Path):
    write_switchboard(tmp_path / "LDC97S62")
    run_all(after_install(block), tmp_path)
    assert (tmp_path / "swb" / "model.safetensors").is_file()


def copy_some_utterances(data: Path, to: Path) -> None:
    """Copy the data with one or two utterances of each speaker, and every kind of them."""
    shutil.copytree(data, to)
    listing = to / "speech" / "tones" / "manifest.csv"
    header, *clips = listing.read_text().splitlines()
    listing.write_text("\n".join([header, *clips[::5]]))


@runs("models/README.md", "turnstream pretrain teacher --data data --out")
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(bool(NO_TEACHER), reason=f"not installed: {', '.join(NO_TEACHER)}")
def test_teacher_commands_lead_from_utterances_and_calls_to_a_report(
    block: Block, tmp_path: Path, data_folder: Path
):
    copy_some_utterances(data_folder, tmp_path / "data")
    shutil.copy(bundled_sample(), tmp_path)
    parts = {
        "reason": (8.5, 20.0),
        "number": (31.5, 46.0),
        "goodbye": (45.0, 58.0),
    }  # of the call, with shifts and holds in each
    calls = [
        {"id": name, "audio": "call.flac", "start_s": start_s, "end_s": end_s}
        for name, (start_s, end_s) in parts.items()
    ]
    (tmp_path / "calls.jsonl").write_text("".join(f"{json.dumps(call)}\n" for call in calls))
    stack = {"kernel_sizes": [2], "dilations": [1]}
    network = {
        "encoder": {"channels": 8, "out_channels": 8, "stacks": [stack]},
        "speaker_rnn": {"hidden": 8},
    }
    distillation = {
        "steps": 2,
        "batch_rows": 2,
        "chunk_s": 1.0,
        "components": 8,
        "place_components": 8,
        "warmup_steps": 0,
    }
    (tmp_path / "distillation.json").write_text(json.dumps(distillation | network))
    (tmp_path / "training.json").write_text(
        json.dumps(
            {"steps": 2, "batch_rows": 2, "speech_rows": 2, "warmup_steps": 0, "calls_share": 0.5}
        )
    )
    run_all(after_install(block), tmp_path)
    shutil.rmtree(tmp_path / ".cache")  # Whisper-base, 150 MB
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["systems"]
    assert {path.parent.name for path in (tmp_path / "crossed").glob("*/model.onnx")} == {
        f"without_{name}" for name in parts
    }
    assert (
        load_encoder(tmp_path / "distilled").config
        == load_encoder(tmp_path / "crossed" / "all" / "run").config
    )


@runs("models/README.md", "turnstream pretrain teacher --data data --cache")
def test_teacher_command_of_a_cluster_runs_on_this_machine_with_a_fake_teacher(
    block: Block, tmp_path: Path, data_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    copy_some_utterances(data_folder, tmp_path / "data")
    (command,) = after_install(block)
    assert command.endswith(" --cluster ray")
    monkeypatch.setattr(extraction, "WhisperEncoder", FakeEncoder)
    words = [*shlex.split(command.removesuffix("--cluster ray")), "--stop-points", "20"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(words[1:]) == 0
    assert (tmp_path / "teacher" / "frames.int8").stat().st_size
    assert (tmp_path / "teacher" / "places.float16").stat().st_size == 20 * 2 * 3 * CHANNELS


@runs("models/README.md", "def write_ends")
def test_recordings_block_writes_what_is_missing(block: Block, tmp_path: Path):
    calls = tmp_path / "calls"
    calls.mkdir()
    audio, rate_hz = sf.read(bundled_sample())
    sf.write(calls / "stereo.wav", audio[: 15 * rate_hz], rate_hz)
    sf.write(calls / "mono.wav", audio[: 5 * rate_hz, 0], rate_hz)
    (calls / "done.wav").touch()
    (calls / "done.json").write_text("before")
    subprocess.run([sys.executable, "-c", block.code], cwd=tmp_path, check=True)
    assert json.loads((calls / "stereo.json").read_text())
    assert isinstance(json.loads((calls / "mono.json").read_text()), list)
    assert (calls / "done.json").read_text() == "before"


@runs("models/README.md", "turnstream simulate --data data --out dialogues")
@pytest.mark.filterwarnings("default")
def test_simulation_commands_lead_from_utterances_to_a_report(block: Block, small_run: Path):
    _, _, export, evaluate = block.commands
    run_all([export, evaluate], small_run)
    assert "shift" in (small_run / "report" / "index.html").read_text()
    assert json.loads((small_run / "report" / "report.json").read_text())["systems"]


@runs("models/README.md", "turnstream pretrain cpc")
@pytest.mark.filterwarnings("default")
def test_pretraining_commands_lead_from_dialogues_to_a_network(block: Block, small_run: Path):
    run_all(after_install(block), small_run)
    given, trained = (load_encoder(small_run / name) for name in ("cpc", "from_cpc"))
    assert given.config == trained.config


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Path:
    """A folder with simulated dialogues and a network trained on them.

    Two of the dialogues are copied as calls.
    """
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(data_folder, folder / "data")
    (block,) = (
        block
        for block in BLOCKS
        if block.readme == "models/README.md" and block.code.startswith("turnstream simulate")
    )
    simulate, train, *_ = block.commands
    run_all(
        [simulate if importlib.util.find_spec("hibari") else f"{simulate} --no-synthetic", train],
        folder,
    )
    write_manifest(
        folder / "calls.jsonl", read_manifest(folder / "dialogues" / "manifest.jsonl")[:2]
    )
    return folder


@runs("models/README.md", "turnstream latents gallery")
@pytest.mark.filterwarnings("default")
def test_gallery_command_makes_a_page(block: Block, tmp_path: Path):
    run_all(after_install(block), tmp_path)
    assert (tmp_path / "gallery" / "index.html").read_text().count("<img") == 2


@runs("models/README.md", "turnstream latents collect")
@pytest.mark.filterwarnings("default")
def test_latents_commands_lead_from_calls_to_views(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copy(bundled_sample(), tmp_path)
    (tmp_path / "calls.jsonl").write_text('{"audio": "call.flac"}')
    *steps, listening = block.commands
    run_all(steps, tmp_path)
    for made in ("space.png", "explore.html", "film.mp4"):
        assert (tmp_path / made).stat().st_size > 10_000
    spoken = np.random.default_rng(1).normal(0, 0.1, (16000, 1)).astype(np.float32)
    monkeypatch.setattr(
        listen, "SteadyMicrophone", lambda *args, **options: FakeMicrophone(np.split(spoken, 50))
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(shlex.split(listening)[1:]) == 0


LATENTS = "models/latents/README.md"


@pytest.fixture(scope="module")
def heard_by_any_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which the README's network that is not ours has heard the sample."""
    folder = tmp_path_factory.mktemp("any_network")
    shutil.copy(bundled_sample(), folder)
    (folder / "calls.jsonl").write_text('{"audio": "call.flac"}')
    (block,) = (block for block in BLOCKS if block.readme == LATENTS and "LSTM" in block.code)
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("default")
        exec(block.code, {})
    return folder


@runs(LATENTS, "class Loudness")
def test_states_of_any_module_become_a_collection(block: Block, heard_by_any_network: Path):
    described = json.loads((heard_by_any_network / "loudness" / "collection.json").read_text())
    assert described["sizes"] == {"latent": 16}
    assert described["model"] == "Loudness rnn"


@runs(LATENTS, "turnstream latents probes")
@pytest.mark.filterwarnings("default")
def test_views_take_any_network(block: Block, heard_by_any_network: Path):
    run_all(block.commands, heard_by_any_network)
    for made in ("probes.png", "units.csv", "activations.png"):
        assert (heard_by_any_network / made).stat().st_size > 1000


@runs(LATENTS, "turnstream latents export")
def test_states_go_out_and_come_back(block: Block, heard_by_any_network: Path):
    run_all(block.commands, heard_by_any_network)
    assert (heard_by_any_network / "again" / "collection.json").is_file()


@runs(LATENTS, "whisper = WhisperEncoder()")
@pytest.mark.skipif(bool(NO_TEACHER), reason=f"needs {', '.join(NO_TEACHER)}")
@pytest.mark.filterwarnings("default")
def test_whispers_encoder_becomes_a_collection(block: Block, heard_by_any_network: Path):
    """In a process of its own: Whisper's threads can wait for ever beside those of a training."""
    done = subprocess.run(
        [sys.executable, "-c", block.code],
        cwd=heard_by_any_network,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    described = json.loads((heard_by_any_network / "whisper" / "collection.json").read_text())
    assert (described["model"], described["sizes"]) == ("whisper_base", {"latent": 512})
