"""Any network: states by a hook or a function, what views make of them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from turnstream.cli import main
from turnstream.models.latents.any_network import collect_states
from turnstream.models.latents.cells.activations import activations_picture
from turnstream.models.latents.cells.units import units_view
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.events.averages import average_pictures
from turnstream.models.latents.events.probes import probe
from turnstream.models.latents.exchange import export
from turnstream.stream.errors import ConfigError

SIZE = 12


class Listener(nn.Module):
    """An LSTM over the loudness of frames of 40 ms: not one of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(1, SIZE, batch_first=True)
        self.head = nn.Linear(SIZE, 1)

    def forward(self, audio: Tensor) -> Tensor:
        return self.head(self.rnn(loudness(audio))[0])


def loudness(audio: Tensor) -> Tensor:
    return audio.unfold(-1, 640, 640).square().mean(dim=-1).sqrt()[..., None]


@pytest.fixture(scope="module")
def listener() -> Listener:
    torch.manual_seed(3)
    return Listener().eval()


@pytest.fixture(scope="module")
def foreign(
    listener: Listener, tiny_manifest: Path, tmp_path_factory: pytest.TempPathFactory
) -> Collection:
    out = tmp_path_factory.mktemp("foreign") / "states"
    return collect_states(listener, tiny_manifest, out, hook="rnn", frame_rate_hz=25)


def test_states_are_those_of_the_hooked_module(listener: Listener, foreign: Collection) -> None:
    assert foreign.about.sizes == {"latent": SIZE}
    assert (foreign.about.model, foreign.about.runnable) == ("Listener rnn", False)
    audio = torch.from_numpy(np.load(foreign.dialogues[1].audio[0]) / np.float32(32768))
    states, _ = listener.rnn(loudness(audio))
    found = foreign.frames(1, ["latent"])["latent"]
    np.testing.assert_allclose(found, states.detach().transpose(0, 1).numpy(), atol=1e-5)


def test_labels_and_events_are_those_of_any_collection(
    foreign: Collection, tiny_collection: Collection
) -> None:
    ours = tiny_collection.frames(0, ["speaking"])["speaking"]
    np.testing.assert_array_equal(foreign.frames(0, ["speaking"])["speaking"], ours[1::2])
    found, known = ([(e.kind, e.start_s) for e in c.events()] for c in (foreign, tiny_collection))
    assert found == known
    assert {event.ending for event in foreign.events()} >= {"question", "statement"}
    assert np.isnan(foreign.frames(0, ["p_next"])["p_next"]).all()


def test_a_function_gives_the_same_states_as_a_hook(
    listener: Listener, foreign: Collection, tiny_manifest: Path, tmp_path: Path
) -> None:
    def states(samples: np.ndarray) -> np.ndarray:
        assert samples.shape == (2, 320_000)
        return listener.rnn(loudness(torch.from_numpy(samples)))[0].detach().numpy()

    found = collect_states(states, tiny_manifest, tmp_path, frame_rate_hz=25, per_speaker=False)
    assert found.about.model == "states"
    ours, theirs = (one.frames(2, ["latent"])["latent"] for one in (found, foreign))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_views_without_weights_take_any_network(foreign: Collection, tmp_path: Path) -> None:
    results = probe(foreign, questions=("speaking",), times_s=(0.0,), most=300)
    curves = {curve.line: curve for curve in results.probed[0].curves}
    assert curves["latent own"].auc[0] > 0.9  # it hears loudness, so it knows who speaks
    assert np.isnan(curves["said"].auc[0])
    for view in (
        activations_picture(foreign, tmp_path / "activations.png"),
        units_view(foreign, tmp_path / "units.png", shifts=1),
        average_pictures(foreign, tmp_path / "averages.png", "speaker-listener", orders=9),
        export(foreign, tmp_path / "states.npz"),
    ):
        assert view.path.stat().st_size > 1000


@pytest.mark.parametrize(
    "view", ["past", "oracles", "connectivity", "moment --at 8", "intervene", "gates"]
)
def test_views_that_run_the_network_refuse_it_in_one_line(
    view: str, foreign: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "view.png")]
    view, *more = view.split()
    assert main(["latents", view, str(foreign.folder), *out, *more]) == 2
    said = capsys.readouterr().err
    assert "which this view runs again, got states of Listener rnn, whose weights are not" in said
    assert said.strip().count("\n") == 0


def test_what_is_collected_is_not_run_again(
    listener: Listener, foreign: Collection, tiny_manifest: Path
) -> None:
    def written() -> list[int]:
        return [path.stat().st_mtime_ns for path in sorted(foreign.folder.rglob("*.parquet"))]

    before = written()
    collect_states(listener, tiny_manifest, foreign.folder, hook="rnn", frame_rate_hz=25)
    assert before == written()
    with pytest.raises(ConfigError, match="expected an empty folder or the same collection"):
        collect_states(Listener(), tiny_manifest, foreign.folder, hook="rnn", frame_rate_hz=25)


def test_wrong_hooks_and_states_are_refused(
    listener: Listener, tiny_manifest: Path, tmp_path: Path
) -> None:
    def refused(message: str, network: object = listener, **settings: object) -> None:
        collect: Any = collect_states  # also called with what its types refuse
        with pytest.raises(ConfigError, match=message):
            collect(network, tiny_manifest, tmp_path, **{"frame_rate_hz": 25, **settings})

    refused(r"expected the name of a submodule \(rnn, head, ...\), got 'cnn'", hook="cnn")
    refused("expected about 1000 states in 20.0 s at 50 Hz, got 500", hook="rnn", frame_rate_hz=50)
    refused(r"expected states of shape \(T, H\), got \(7,\)", lambda _: np.zeros(7))
    refused("expected finite states", lambda _: np.full((500, 3), np.nan))
    refused("expected a torch module to hook, got a function", lambda _: None, hook="rnn")
    refused("expected a frame rate above 0 Hz, got 0", frame_rate_hz=0)
