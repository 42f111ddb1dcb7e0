from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from turnstream.cli import main
from turnstream.models.latents.cells.seeds import survival
from turnstream.stream.errors import ConfigError

from ..planted import noise, planted_collection

Floats = NDArray[np.float32]


def turned(layer: str, activity: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """The same latents, whose units are in another order, with other signs."""
    return -noise(layer, activity, rng)[:, :, ::-1]


def half_turned(layer: str, activity: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """The same latents while speaker 0 speaks, and noise of their own elsewhere."""
    values = noise(layer, activity, rng)
    own = np.random.default_rng(9).normal(size=values.shape)
    return np.where(activity.T[:, :, None], values, own).astype(np.float32)


def test_the_order_and_sign_of_units_do_not_matter_and_what_differs_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, c = (
        planted_collection(tmp_path / name, latents, dialogues=2, frames=1500)
        for name, latents in (("a", noise), ("b", turned), ("c", half_turned))
    )
    found = survival([a, b, c], points=400)
    assert found.pairs == [("made 000000", "made 000000")] * 3
    np.testing.assert_allclose(found.shared[0], 1)
    np.testing.assert_allclose(found.shared[1], found.shared[2])
    by_situation = found.by_situation()
    assert by_situation["speaking"][1] > 4 * found.chance
    assert by_situation["listening"][1] < 2.5 * found.chance
    out, table = tmp_path / "seeds.png", tmp_path / "seeds.csv"
    given = [str(a.folder), str(b.folder), "--out", str(out), "--csv", str(table)]
    assert main(["latents", "seeds", *given, "--points", "400"]) == 0
    assert "made 000000 and made 000000: 1.00 (by chance 0.038)" in capsys.readouterr().out
    header, row, *rest = table.read_text().splitlines()
    assert header == "dialogue,time_s,speaker,situation,made 000000 / made 000000"
    assert row.startswith("made0,")
    assert row.endswith(",1")
    assert len(rest) + 1 == found.shared.shape[1]


def test_other_dialogues_and_single_collections_are_refused(tmp_path: Path) -> None:
    a = planted_collection(tmp_path / "a", dialogues=1, frames=500)
    b = planted_collection(tmp_path / "b", dialogues=1, frames=600)
    with pytest.raises(ConfigError, match="expected two or more collections, got 1"):
        survival([a])
    with pytest.raises(ConfigError, match=r"b: expected the dialogues and the frame rate of .*a"):
        survival([a, b])
    with pytest.raises(ConfigError, match="expected at least 20 points, got 5"):
        survival([a, a], points=5)
    with pytest.raises(ConfigError, match="expected a layer other, got none"):
        survival([a, a], "other")
