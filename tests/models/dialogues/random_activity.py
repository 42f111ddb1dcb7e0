"""Random conversations for hypothesis, made so that silences, pauses, overlaps and short stretches of every telling length occur."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

LENGTHS = [
    1,
    5,
    9,
    10,
    11,
    12,
    13,
    14,
    24,
    25,
    26,
    49,
    50,
    51,
    80,
    120,
    180,
    260,
]  # frames around every limit of a definition


@st.composite
def conversations(draw: st.DrawFn) -> NDArray[np.bool_]:
    """(2, T) of 50 Hz: states of the floor in a row, each of a length at or near some limit; up to a minute."""
    lead = draw(
        st.sampled_from([0, 124, 149, 150, 175])
    )  # around the limits that count from the dialogue's start
    states = draw(
        st.lists(st.tuples(st.sampled_from("--AAABBBX"), st.sampled_from(LENGTHS)), max_size=12)
    )
    floor = draw(st.sampled_from("-AB")) * lead + "".join(
        state * length for state, length in states
    )
    return np.array([[frame in "AX" for frame in floor], [frame in "BX" for frame in floor]], bool)
