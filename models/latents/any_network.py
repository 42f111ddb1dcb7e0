"""Collections of any network: its states from audio, by a hook on a torch module or a function.

Who spoke when comes from the manifest or from Silero VAD, as in `turnstream latents collect`. What
the network itself says is not known, so there is no p_shift; every view that needs no weights of
turnstream's takes the collection, and the others refuse it in one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...stream.errors import ConfigError, DialogueError
from ..checkpoint import weights_sha256
from ..dialogues.activity import Samples
from ..dialogues.loading import load_texts
from ..dialogues.manifest import Dialogue
from .bars import bar
from .collect import activity_of, described, load_sound, read_source
from .collection import About, Collection, is_written, write_about
from .writing import write_dialogue

MOST_APART = 0.02  # share by which the number of states may differ from what the rate says

States = NDArray[np.float32]
Network = torch.nn.Module | Callable[[Samples], Any]


def collect_states(
    network: Network,
    source: Path | str | Sequence[Dialogue],
    out: Path | str,
    *,
    frame_rate_hz: float,
    hook: str | None = None,
    per_speaker: bool = True,
    prepare: Callable[[torch.Tensor], Any] | None = None,
    sample_rate_hz: int = 16000,
    name: str | None = None,
) -> Collection:
    """Run any network on dialogues, and write a collection of its states.

    Dialogues in the folder are not run again, but for the first, which tells the states' width.

    Args:
        network: a torch module in evaluation mode, or a function from samples to states.
        source: manifest (.jsonl), audio file, or dialogues.
        out: folder to write; made if it does not exist.
        frame_rate_hz: states per second.
        hook: name of the submodule whose output is taken, as in `named_modules`; None takes the
            output of the network. Of a tuple, the first tensor is taken.
        per_speaker: the network hears (1, N) samples of one speaker, and gives (1, T, H) or
            (T, H); else it hears (1, 2, N), and gives (1, 2, T, H) or (2, T, H). A function is
            given the samples without the leading 1, as a numpy array.
        prepare: turns the samples into what the module takes, such as log-mel frames.
        sample_rate_hz: of the samples, which are in [-1, 1].
        name: of the network; None takes that of its class or function, with the hook.
    Raises:
        ConfigError: no such submodule, states of a wrong shape or rate, or another collection in
            the folder.
        DialogueError: a dialogue cannot be read, or nobody knows who spoke when.
    """
    dialogues = read_source(Path(source)) if isinstance(source, Path | str) else source
    out = Path(out)
    if not frame_rate_hz > 0:
        raise ConfigError(f"expected a frame rate above 0 Hz, got {frame_rate_hz:g}")
    if not dialogues:
        raise DialogueError("expected at least one dialogue, got none")
    called: str = getattr(network, "__name__", type(network).__name__)
    called = name or f"{called} {hook or ''}".rstrip()
    module: Any = network
    weights = weights_sha256(module) if isinstance(network, torch.nn.Module) else ""
    key = f"{called} {hook} {weights} {sample_rate_hz} {per_speaker}"
    sha256, heard = hashlib.sha256(key.encode()).hexdigest(), tuple(map(described, dialogues))
    about: About | None = None
    with _hooked(network, hook, prepare) as hear:
        for number, dialogue in enumerate(bar(dialogues, "states", "dialogue")):
            if about is not None and is_written(out, number):
                continue
            audio = load_sound(dialogue, sample_rate_hz)
            if per_speaker:
                states = np.stack([_states(hear(channel), 2) for channel in audio])
            else:
                states = _states(hear(audio), 3)
            expected = audio.shape[1] / sample_rate_hz * frame_rate_hz
            if abs(states.shape[1] - expected) > max(2.0, MOST_APART * expected):
                raise ConfigError(
                    f"expected about {expected:.0f} states in {expected / frame_rate_hz:.1f} s at "
                    f"{frame_rate_hz:g} Hz, got {states.shape[1]}"
                )
            if about is None:
                sizes = {"latent": states.shape[2]}
                about = About(called, sha256, frame_rate_hz, sizes, heard, runnable=False)
                write_about(out, about)
            if not is_written(out, number):
                spoken = activity_of(dialogue, states.shape[1] / frame_rate_hz)
                columns = {"latent": states.swapaxes(0, 1)}
                write_dialogue(out, number, about, columns, spoken, texts=load_texts(dialogue))
    return Collection(out)


@contextmanager
def _hooked(
    network: Network, hook: str | None, prepare: Callable[[torch.Tensor], Any] | None
) -> Iterator[Callable[[Samples], Any]]:
    """Yield a function from samples to what the network, or one of its submodules, puts out."""
    if not isinstance(network, torch.nn.Module):
        if hook is not None or prepare is not None:
            raise ConfigError("expected a torch module to hook, got a function")
        yield network
        return
    modules = dict(network.named_modules())
    if (hook or "") not in modules:
        some = ", ".join(name for name in list(modules)[1:9])
        raise ConfigError(f"expected the name of a submodule ({some}, ...), got {hook!r}")
    caught: list[Any] = []

    def hear(samples: Samples) -> Any:
        caught.clear()
        given = torch.from_numpy(np.ascontiguousarray(samples))[None]
        with torch.inference_mode():
            network(given if prepare is None else prepare(given))
        if len(caught) != 1:
            asked = f"{hook or 'the network'} to run once on a dialogue"
            raise ConfigError(f"expected {asked}, got {len(caught)} times")
        return caught[0]

    handle = modules[hook or ""].register_forward_hook(lambda *call: caught.append(call[2]))
    try:
        yield hear
    finally:
        handle.remove()


def _states(given: Any, dims: int) -> States:
    """The states in what a module gave: (T, H) or, of both speakers, (2, T, H)."""
    while isinstance(given, tuple | list) and given:
        given = given[0]
    values = given.detach().cpu().float().numpy() if isinstance(given, torch.Tensor) else given
    values = np.asarray(values, np.float32)
    if values.ndim == dims + 1 and len(values) == 1:
        values = values[0]
    if values.ndim != dims or (dims == 3 and len(values) != 2):
        shape = "(T, H)" if dims == 2 else "(2, T, H)"
        raise ConfigError(f"expected states of shape {shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ConfigError("expected finite states, got NaN or infinity")
    return values
