"""The typed results: immutable, complete, and with the protocol's event names."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from msgspec.structs import replace

from turnstream.stream.contract import PROBABILITIES
from turnstream.stream.live import terminal_words
from turnstream.stream.prediction import (
    EVENT_TYPES,
    EventType,
    FrameMessage,
    Prediction,
    TurnEvent,
)
from turnstream.stream.service import server

PREDICTION = Prediction(
    frame=0,
    time_s=0.02,
    holder=None,
    p_shift=None,
    p_hold=None,
    vad=(0.1, 0.2),
    p_now=(0.5, 0.5),
    p_future=(0.5, 0.5),
    p_next=(0.5, 0.5),
    p_backchannel=(0.0, 0.0),
    latent=np.zeros((2, 4), np.float32),
    latent_speaker=np.zeros((2, 3), np.float32),
    active=(False, False),
)


def test_event_names_are_those_of_the_type() -> None:
    assert get_args(EventType) == EVENT_TYPES
    assert len(set(EVENT_TYPES)) == 6


@pytest.mark.parametrize("result", [PREDICTION, TurnEvent("start_of_turn", 0, 1.0, 0.9)])
def test_results_cannot_be_changed(result: Prediction | TurnEvent) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        result.time_s = 3.0  # type: ignore[misc]


def test_results_have_no_room_for_misspelt_attributes() -> None:
    assert not hasattr(PREDICTION, "__dict__")


def test_a_frame_has_the_probabilities_of_the_contract_in_their_order() -> None:
    assert FrameMessage.__struct_fields__[-len(PROBABILITIES) :] == PROBABILITIES


def test_events_compare_by_value() -> None:
    assert TurnEvent("end_of_turn", 1, 2.0, 0.5) == TurnEvent("end_of_turn", 1, 2.0, 0.5)
    assert TurnEvent("end_of_turn", 1, 2.0, 0.5) != TurnEvent("end_of_turn", 0, 2.0, 0.5)


def test_page_terminal_and_javascript_client_know_every_event() -> None:
    web = Path(server.__file__).parent / "web"
    client = web.parents[1] / "js" / "turnstream.js"
    (listed,) = re.findall(r"EVENTS = \[(.*?)\]", client.read_text(), re.DOTALL)
    assert tuple(re.findall(r'"(\w+)"', listed)) == EVENT_TYPES
    (shown,) = re.findall(r"MARKS = \{(.*?)\};", (web / "words.js").read_text(), re.DOTALL)
    assert set(re.findall(r"^ *(\w+): \[", shown, re.MULTILINE)) == set(EVENT_TYPES)
    assert set(terminal_words.MARKS) == set(EVENT_TYPES)


def test_a_printed_prediction_is_one_short_line() -> None:
    assert str(PREDICTION) == "0.02 s: nobody has had the floor, vad 0.10 0.20"
    events = (TurnEvent("interruption", 1, 1.5, 0.9), TurnEvent("start_of_turn", 1, 1.5, 0.9))
    later = replace(PREDICTION, time_s=1.5, holder=1, p_shift=0.256, p_hold=0.744, events=events)
    assert str(later) == (
        "1.50 s: other has the floor, p_shift 0.26, vad 0.10 0.20, "
        "interruption of other, start_of_turn of other"
    )
    assert repr(later) == f"<Prediction of frame 0, {later}>"


@pytest.mark.parametrize("kind", [TurnEvent, FrameMessage, Prediction])
def test_help_names_the_fields_and_their_types_in_few_words(
    kind: type[TurnEvent | FrameMessage],
) -> None:
    signature = inspect.signature(kind)
    assert tuple(signature.parameters) == kind.__struct_fields__
    assert "Meta(" not in str(signature)
    assert signature.parameters["time_s"].annotation == "Number"
    assert len(str(signature)) < 400
