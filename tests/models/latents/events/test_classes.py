from pathlib import Path

import numpy as np
import pytest

from turnstream.cli import main
from turnstream.models.latents.collect import load_network
from turnstream.models.latents.collection import Collection
from turnstream.models.latents.events.classes import compare_classes, find_classes, view_classes
from turnstream.models.latents.labels import join_labels
from turnstream.models.latents.memory.readings import Readings
from turnstream.stream.errors import ConfigError

from ..planted import planted_collection


def test_a_class_in_which_the_network_is_better_is_found() -> None:
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(8), 20)
    ones = np.ones(len(number))
    readings = Readings(number, ones, ones.astype(int), ones.astype(bool))
    better = rng.random(len(number)) < 0.3
    network = rng.uniform(0.5, 0.7, len(number))
    baseline = rng.permutation(network) + 0.4 * better
    odds = [-np.log(np.expm1(losses)) for losses in (network, baseline)]
    planted, rest = compare_classes({"planted": better, "rest": ~better}, *odds, readings)
    assert planted.count == better.sum()
    difference = (baseline[better] - network[better]).mean()
    assert planted.better.value == pytest.approx(difference, abs=1e-9)
    assert planted.better.low > 0.3
    assert rest.better.low < 0 < rest.better.high


def test_classes_follow_from_events_and_labels(tmp_path: Path) -> None:
    collection = planted_collection(tmp_path / "made", dialogues=3)
    acts = [f"made{number},0,60,0,ask\nmade{number},0,60,1,tell\n" for number in range(3)]
    (tmp_path / "acts.csv").write_text("dialogue,begin_s,end_s,speaker,act\n" + "".join(acts))
    join_labels(collection, tmp_path / "acts.csv")
    collection = Collection(collection.folder)
    events, reactions = collection.events("shift", "hold"), collection.events("backchannel")
    found = find_classes(collection, events)
    assert found["all"].all()
    assert found["shift"].sum() + found["hold"].sum() == len(events)
    speakers = np.array([event.speaker for event in events])
    np.testing.assert_array_equal(found["act: ask"], speakers == 0)
    np.testing.assert_array_equal(found["act: tell"], speakers == 1)
    ends = [(reaction.number, reaction.end_s) for reaction in reactions]
    after = sum(
        any(number == event.number and 0 <= event.start_s - end_s <= 2 for number, end_s in ends)
        for event in events
    )
    assert found.get("after a backchannel", np.zeros(0)).sum() == (after if after >= 5 else 0)


def test_command_draws_and_writes(
    tiny_collection: Collection,
    tiny_checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, table = tmp_path / "classes.png", tmp_path / "classes.csv"
    given = ["--out", str(out), "--csv", str(table), "--model", str(tiny_checkpoint)]
    assert main(["latents", "classes", str(tiny_collection.folder), *given]) == 0
    assert "Nats by which the network is better:\nall: " in capsys.readouterr().out
    assert out.stat().st_size > 10_000
    header, everything, *_ = table.read_text().splitlines()
    assert header == "class,moments,network,baseline,better,better_low,better_high"
    assert everything.startswith(f"all,{len(tiny_collection.events('shift', 'hold'))},")


def test_one_dialogue_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    collection = planted_collection(tmp_path / "one", dialogues=1)
    with pytest.raises(ConfigError, match=r"expected two or more dialogues .*, got 1"):
        view_classes(collection, load_network(tiny_checkpoint), tmp_path / "classes.png")
