"""The last second before each shift and hold as a network hears it, to run it again with edits.

Every window ends with the step at which p_shift is read. It begins with the network's real state,
which has heard the dialogue from its beginning. What the encoder makes of a window, and the states
of the layers as they are, are kept, so that an edit costs only what comes after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....stream.errors import ConfigError
from ...evaluation.shift_hold import SCORE_S
from ..bars import bar
from ..collection import RNNS, Collection
from ..memory.connectivity import states_before
from ..memory.readings import Readings, log_mel, silence_readings, sound_at

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ...turn_model import TurnModel, TurnOutput
    from ..intervene import Edit

BEFORE_S = 1.0
MOST = 300
AT_ONCE = 256  # windows of a forward pass

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SilenceWindows:
    """E shifts and holds, in order of dialogue and time; T steps each."""

    readings: Readings  # `happened` is a shift, `speaker` who did not speak before it
    start_s: Floats  # when each silence begins, (E,)
    before_s: float  # from the windows' beginning to the silence's
    silence_step: int  # at whose beginning the silence begins
    mel: Tensor  # log-mel frames, (E, 2, T * stride, M)
    state: Tensor  # before them, (E, S)
    encoded: Tensor  # output of the encoder, (2 E, T, C)
    layers: dict[str, Tensor]  # states as they are, (2 E, T, H), by name
    p_shift: Floats  # what the network says at the last step, (E,)

    def __len__(self) -> int:
        return len(self.readings)

    @property
    def before(self) -> NDArray[np.int64]:
        """Who spoke before each silence, (E,)."""
        return 1 - self.readings.speaker

    def rows_of(self, whose: str) -> Tensor | None:
        """Rows of "speaker" (who spoke before), of "listener", or of "both" (None), (2 E,)."""
        import torch

        if whose == "both":
            return None
        asked = self.before if whose == "speaker" else self.readings.speaker
        return torch.from_numpy((asked[:, None] == [0, 1]).reshape(-1))

    def donors(self, seed: int = 0) -> NDArray[np.int64]:
        """For each silence one of the other kind: of the speaker, the dialogue, or any, (E,)."""
        rng = np.random.default_rng(seed)
        kind, number, before = self.readings.happened, self.readings.number, self.before
        found: list[int] = []
        for event in range(len(self)):
            other = kind != kind[event]
            dialogue = other & (number == number[event])
            speaker = dialogue & (before == before[event])
            closest = next(some for some in (speaker, dialogue, other) if some.any())
            found.append(rng.choice(np.flatnonzero(closest)))
        return np.array(found)


def silence_windows(
    model: TurnModel,
    collection: Collection,
    *,
    before_s: float = BEFORE_S,
    most: int = MOST,
    seed: int = 0,
) -> SilenceWindows:
    """Cut the windows out of a collection's dialogues, and run the network on them as it is.

    Args:
        model, collection: in evaluation mode; dialogues whose sound is there.
        before_s: how much before the silence.
        most, seed: silences, drawn at random where there are more.
    Raises:
        ConfigError: there are no shifts or no holds with so much before them, or nothing before.
    """
    import torch

    rate_hz, stride = model.config.frame_rate_hz, model.config.encoder.stride
    steps = round((before_s + SCORE_S) * rate_hz)
    if not before_s > 0 or steps < 2 or most < 2:
        raise ConfigError(
            f"expected some time before at least 2 silences, got {before_s:g} s and {most}"
        )
    readings, events = silence_readings(collection)
    first = readings.steps(rate_hz) + 1 - steps
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(first >= 0))
    chosen = np.sort(drawn[:most])
    readings, first = readings.only(chosen), first[chosen]
    if readings.happened.all() or not readings.happened.any():
        raise ConfigError(
            f"expected shifts and holds with {before_s:g} s before them, got {readings.counted}"
        )
    mels: list[Tensor] = []
    states: list[Tensor] = []
    for number in bar(np.unique(readings.number), "windows", "dialogue"):
        audio = sound_at(collection, int(number), model.config.features.sample_rate_hz)
        mel = log_mel(model, audio)
        begins = first[readings.of(int(number))].clip(0, mel.shape[1] // stride - steps) * stride
        before = states_before(model, mel, begins.tolist())
        mels += [mel[:, begin : begin + steps * stride] for begin in begins]
        states += [before[int(begin)] for begin in begins]
    mel, state = torch.stack(mels), torch.cat(states)
    encoded: list[Tensor] = []
    hook = model.encoder.register_forward_hook(lambda *call: encoded.append(call[2][0]))
    try:
        passes = list(_passes(model, readings, mel, state))
    finally:
        hook.remove()
    step = steps - round(SCORE_S * rate_hz)
    return SilenceWindows(
        readings,
        np.array([events[event].start_s for event in chosen]),
        step / rate_hz,
        step,
        mel,
        state,
        torch.cat(encoded),
        {name: torch.cat([getattr(o, name).flatten(0, 1) for o, _ in passes]) for name in RNNS},
        np.concatenate([said for _, said in passes]),
    )


def p_shift_with(
    model: TurnModel, windows: SilenceWindows, edit: Edit | None = None, mel: Tensor | None = None
) -> Floats:
    """Return p_shift of every silence, (E,), with an edit or with another sound.

    Args:
        model, windows: the network of the windows, which must not run elsewhere meanwhile.
        edit: of 2 E rows, from the first step of the windows on.
        mel: log-mel frames instead of the windows' own, (E, 2, T * stride, M).
    """
    from ..intervene import Given, edited_layer

    def modules(rows: slice) -> dict[str, torch.nn.Module]:
        if edit is None:
            return {}
        given: dict[str, torch.nn.Module] = {"encoder": Given(model.encoder, windows.encoded[rows])}
        if edit.layer == "latent":
            own = windows.layers["latent_speaker"][rows]
            given["speaker_rnn"] = Given(model.speaker_rnn, own)
        return given | edited_layer(model, edit.only(rows))

    heard = windows.mel if mel is None else mel
    passes = _passes(model, windows.readings, heard, windows.state, modules)
    return np.concatenate([said for _, said in passes])


def _passes(
    model: TurnModel,
    readings: Readings,
    mel: Tensor,
    state: Tensor,
    modules: Callable[[slice], dict[str, torch.nn.Module]] = lambda _: {},
) -> Iterator[tuple[TurnOutput, Floats]]:
    """Yield the outputs and p_shift of at most AT_ONCE windows; `modules` is given their rows."""
    import torch

    from ..intervene import replaced

    for start in range(0, len(mel), AT_ONCE):
        some = slice(start, min(start + AT_ONCE, len(mel)))
        with torch.inference_mode(), replaced(model, **modules(slice(2 * start, 2 * some.stop))):
            output, _ = model.forward_mel(mel[some], state[some])
            p_next = torch.sigmoid(output.next[:, :, -1]).cpu().numpy()
        said = p_next[np.arange(len(p_next)), readings.speaker[some]]
        yield output, said.astype(np.float64)
