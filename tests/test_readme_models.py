"""Every block of the READMEs in `models/` and `export/` runs, with smaller numbers."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shlex
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from turnstream import cli
from turnstream.models.checkpoint import bundled_checkpoint, load_encoder
from turnstream.models.dialogues.manifest import read_manifest, write_manifest
from turnstream.models.teachers import extraction
from turnstream.stream.live import listen
from turnstream.stream.recogniser import Recogniser
from turnstream.stream.sources import bundled_sample

from .export.tiny_moonshine import moonshine
from .models.dialogues.corpora.making import write_switchboard
from .models.teaching import CHANNELS, FakeEncoder
from .readme_blocks import (
    NO_TEACHER,
    ROOT,
    Block,
    after_install,
    block_of,
    run_all,
    run_python,
    runs,
    write_call,
)
from .stream.fake_microphone import FakeMicrophone


@runs("export/README.md", "turnstream export run")
def test_export_commands_make_a_file_that_can_be_stepped(block: Block, tmp_path: Path):
    write_call(tmp_path, 16000)
    shutil.copytree(bundled_checkpoint(), tmp_path / "run")
    *commands, step = block.commands
    run_all(commands, tmp_path)
    assert (tmp_path / "golden.npz").is_file()
    python, example, *arguments = step.split()
    assert python == "python"
    assert len(run_python(tmp_path, str(ROOT / example), *arguments).splitlines()) == 1 + 100


@runs("export/README.md", "pip download")
def test_the_recogniser_is_made_from_a_package(block: Block, tmp_path: Path):
    download, unzip, export = block.commands
    assert download == "pip download --no-deps moonshine-voice==0.0.73"  # a test fetches nothing
    assert unzip == "unzip -d moonshine moonshine_voice-0.0.73-*.whl"
    moonshine(tmp_path / "moonshine" / "moonshine_voice" / "assets" / "tiny-en")
    run_all([export], tmp_path)
    assert (
        Recogniser(tmp_path / "recogniser_encoder.onnx").transcribe(np.ones(8, np.float32)).tokens
    )


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
    # Parts of the call, with shifts and holds in each
    parts = {"reason": (8.5, 20.0), "number": (31.5, 46.0), "goodbye": (45.0, 58.0)}
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
    run_python(tmp_path, "-c", block.code)
    assert json.loads((calls / "stereo.json").read_text())
    assert isinstance(json.loads((calls / "mono.json").read_text()), list)
    assert (calls / "done.json").read_text() == "before"


SIMULATE = "turnstream simulate --data data --out dialogues"


@runs("models/README.md", SIMULATE)
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
    simulate, train, *_ = block_of("models/README.md", SIMULATE).commands
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
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("default")
        exec(block_of(LATENTS, "class Loudness").code, {})
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
    run_python(heard_by_any_network, "-c", block.code)
    described = json.loads((heard_by_any_network / "whisper" / "collection.json").read_text())
    assert (described["model"], described["sizes"]) == ("whisper_base", {"latent": 512})
