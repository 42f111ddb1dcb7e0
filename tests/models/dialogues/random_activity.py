"""Random conversations for hypothesis.

They contain silences, pauses, overlaps and short stretches, at and near every limit of the
definitions.
"""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

# Lengths in frames, around every limit of a definition
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
]


@st.composite
def conversations(draw: st.DrawFn) -> NDArray[np.bool_]:
    """Draw activity of up to a minute, (2, T) at 50 Hz.

    It is a series of floor states. Each has a length at or near one of the limits.
    """
    # At the limits that count from the start of the dialogue
    lead = draw(st.sampled_from([0, 124, 149, 150, 175]))
    states = draw(
        st.lists(st.tuples(st.sampled_from("--AAABBBX"), st.sampled_from(LENGTHS)), max_size=12)
    )
    floor = draw(st.sampled_from("-AB")) * lead + "".join(
        state * length for state, length in states
    )
    return np.array([[frame in "AX" for frame in floor], [frame in "BX" for frame in floor]], bool)
