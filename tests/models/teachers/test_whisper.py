from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.models.teachers.whisper import BASE_SETTINGS, HALVES, WhisperEncoder, join_base
from turnstream.stream.errors import ConfigError, MissingExtraError

from ...recordings import buzz

PACKAGES = ("faster_whisper", *HALVES)
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with fake packages that contain the two halves of a fake model."""
    site = tmp_path / "site"
    for number, name in enumerate(HALVES, 1):
        (site / name / "data").mkdir(parents=True)
        (site / name / "__init__.py").write_text("")
        (site / name / "data" / f"model.bin.part{number}").write_bytes(f"half {number};".encode())
    for name in BASE_SETTINGS:
        (site / HALVES[1] / "data" / name).write_text(name)
    monkeypatch.syspath_prepend(site)
    return site


def hide(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one package appear to be not installed."""
    found: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == package else found(name, *rest),
    )


def test_the_halves_are_joined_beside_their_settings(packages: Path, tmp_path: Path) -> None:
    folder = join_base(tmp_path / "cache")
    assert (folder / "model.bin").read_bytes() == b"half 1;half 2;"
    assert sorted(path.name for path in folder.iterdir()) == sorted(["model.bin", *BASE_SETTINGS])
    assert (folder / "config.json").read_text() == "config.json"


def test_what_was_joined_before_is_taken_as_it_is(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = join_base(tmp_path / "cache")
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: pytest.fail("asked for a package"))
    assert join_base(tmp_path / "cache") == folder


def test_a_join_that_was_cut_short_is_begun_anew(packages: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "whisper-base"
    folder.mkdir(parents=True)
    (folder / "unfinished-model.bin").write_bytes(b"half 1;ha")
    assert (join_base(tmp_path / "cache") / "model.bin").read_bytes() == b"half 1;half 2;"


@pytest.mark.parametrize("half", HALVES)
def test_a_missing_half_is_named_with_its_extra(
    half: str, packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(half, monkeypatch)
    expected = (
        f"^{half.replace('_', '-')} is not installed; to install it: pip install "
        r"'turnstream\[teacher\]'$"
    )
    with pytest.raises(MissingExtraError, match=expected):
        join_base(tmp_path / "cache")
    assert not (tmp_path / "cache" / "whisper-base" / "model.bin").exists()


def test_missing_faster_whisper_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide("faster_whisper", monkeypatch)
    with pytest.raises(
        MissingExtraError,
        match=(
            "^faster-whisper is not installed; to install it: pip install "
            r"'turnstream\[teacher\]'$"
        ),
    ):
        WhisperEncoder(tmp_path)


class FakeWhisper:
    """Its features are 100 numbered frames a second; its encoder takes every second frame."""

    opened: tuple[str, dict[str, Any]]

    def __init__(self, folder: str, **options: Any) -> None:
        FakeWhisper.opened = (folder, options)
        self.model = SimpleNamespace(encode=lambda mel, to_cpu: mel[:, 0, ::2, None])

    def feature_extractor(self, samples: NDArray[np.float32], padding: int) -> NDArray[np.float32]:
        assert padding == 0
        # One more, like the real one.
        return np.arange(len(samples) // 160 + 1, dtype=np.float32)[None].repeat(80, axis=0)


@pytest.fixture
def fake_whisper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WhisperEncoder:
    package, transcribe = ModuleType("faster_whisper"), ModuleType("faster_whisper.transcribe")
    package.__spec__ = ModuleSpec("faster_whisper", None)
    package.__dict__["WhisperModel"] = FakeWhisper
    transcribe.__dict__["get_ctranslate2_storage"] = lambda array: array
    monkeypatch.setitem(sys.modules, "faster_whisper", package)
    monkeypatch.setitem(sys.modules, "faster_whisper.transcribe", transcribe)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "model.bin").write_bytes(b"weights")
    return WhisperEncoder(tmp_path / "tiny", threads=3)


def test_a_folder_without_a_model_is_named(fake_whisper: WhisperEncoder, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"nowhere: expected a Whisper model in CTranslate2's format .*, got no model\.bin$",
    ):
        WhisperEncoder(tmp_path / "nowhere")


def test_a_given_folder_is_opened_with_the_threads_asked_for(
    fake_whisper: WhisperEncoder, tmp_path: Path
) -> None:
    folder, options = FakeWhisper.opened
    assert folder == str(tmp_path / "tiny")
    assert (options["cpu_threads"], options["device"]) == (3, "cpu")


@pytest.mark.parametrize(
    ("samples", "frames"), [(1, 1), (320, 1), (321, 2), (16000, 50), (30 * 16000, 1500)]
)
def test_a_clip_of_any_length_has_a_frame_for_every_20_ms_begun(
    fake_whisper: WhisperEncoder, samples: int, frames: int
) -> None:
    (encoded,) = fake_whisper.encode([np.zeros(samples, np.float32)])
    assert encoded.dtype == np.float32
    assert encoded[:, 0].tolist() == [2.0 * frame for frame in range(frames)]


@pytest.mark.parametrize(
    ("samples", "got"), [(0, "0 s"), (31 * 16000, "31 s"), (30 * 16000 + 1, "30.0001 s")]
)
def test_a_clip_that_is_empty_or_too_long_is_one_clear_error(
    fake_whisper: WhisperEncoder, samples: int, got: str
) -> None:
    with pytest.raises(ConfigError, match=rf"^expected clips of up to 30 s, got one of {got}$"):
        fake_whisper.encode([np.zeros(samples, np.float32)])


@pytest.fixture(scope="module")
def whisper_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WhisperEncoder]:
    cache = tmp_path_factory.mktemp("whisper")
    yield WhisperEncoder(cache=cache)
    shutil.rmtree(cache)  # 150 MB


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the mean over the frames, after the frames' common mean is subtracted."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return float(
        np.mean((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
    )


@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:pkg_resources is deprecated:UserWarning"
)
def test_the_real_encoder_gives_50_frames_a_second_and_padding_hardly_matters(
    whisper_base: WhisperEncoder,
) -> None:
    rng = np.random.default_rng(0)
    clip, other = buzz(140, 3.0, rng), 0.1 * rng.standard_normal(48000).astype(np.float32)
    clip[16000:24000] = 0
    frames, again, padded, different = whisper_base.encode(
        [clip, clip[:-100], np.pad(clip, (0, 8000)), other]
    )
    assert frames.shape == again.shape == different.shape == (150, 512)
    assert padded.shape == (175, 512)
    assert cosine(frames, padded[:150]) > 0.8
    assert cosine(frames, again) > 0.9  # the encoder pads the last 100 samples
    assert cosine(frames, different) < 0.4
