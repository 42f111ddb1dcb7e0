import shutil
from pathlib import Path

import pytest
import torch

from turnstream.models.distillation.network import load_distilled, over_line
from turnstream.stream.errors import ConfigError

from ...networks import TINY, in_chunks, random_audio


def test_what_a_network_says_does_not_depend_on_the_chunks_it_hears(distilled: Path) -> None:
    network, _ = load_distilled(distilled)
    audio = random_audio(TINY, 2, 40)[:, 0]
    line, warp = 0.5 * torch.randn(2, TINY.features.mel_bins), torch.tensor([0.95, 1.05])

    def run(frames: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        said, places, *_, state = network(frames, line[: len(frames)], warp[: len(frames)], state)
        return torch.cat([said, places], dim=2), state

    pieces = [[40 * 320], [320] * 40, [7 * 320, 20 * 320, 13 * 320]]
    alone = in_chunks(run, audio[:1], network.init_state(1), pieces[0])
    whole, single, uneven = (
        in_chunks(run, audio, network.init_state(2), sizes) for sizes in pieces
    )
    forgetful = in_chunks(run, audio, network.init_state(2), pieces[2], forget=torch.zeros_like)
    for other in (single, uneven):
        assert (whole - other).abs().max() < 1e-5
    assert (whole[:1] - alone).abs().max() < 1e-5  # nor on the number of speakers in the batch
    assert (whole - forgetful).abs().max() > 1e-2


def test_a_plain_line_changes_nothing_and_others_shift_and_stretch(distilled: Path) -> None:
    network, _ = load_distilled(distilled)
    mel = torch.linspace(0, 1, 16).repeat(1, 3, 1)
    nothing, same = torch.zeros(1, 16), torch.ones(1)
    assert torch.allclose(over_line(mel, nothing, same, TINY.features), mel, atol=1e-6)
    # In nats, because of LOG_SCALE
    assert torch.allclose(over_line(mel, nothing + 2, same, TINY.features), mel + 0.5, atol=1e-6)
    assert torch.allclose(over_line(mel, nothing, same * 0.5, TINY.features), mel / 2, atol=1e-6)
    floor = network.features(torch.zeros(1, 320), torch.zeros(1, *network.features.state_shapes()))[
        0
    ]
    assert torch.allclose(over_line(floor, nothing - 9, same, TINY.features), floor, atol=1e-5)


def test_the_weights_keep_the_names_that_saved_runs_have(distilled: Path) -> None:
    network, _ = load_distilled(distilled)
    parts = {name.partition(".")[0] for name in network.state_dict()}
    assert parts == {"encoder", "speaker_rnn", "frame_head", "place_head", "told_head"}


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "places.npz"])
@pytest.mark.parametrize("content", [None, b"", b"rubbish", b"PK\x03\x04"])
def test_a_folder_that_holds_no_whole_distillation_is_refused(
    name: str, content: bytes | None, distilled: Path, tmp_path: Path
) -> None:
    shutil.copytree(distilled, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    if content is not None:
        (tmp_path / "run" / name).write_bytes(content)
    with pytest.raises(
        ConfigError,
        match=r"run: expected the folder of a distillation \(`turnstream pretrain distill`\): ",
    ) as caught:
        load_distilled(tmp_path / "run")
    assert "\n" not in str(caught.value)
