"""The configuration of the whole network as one frozen dataclass, and its JSON form. No torch.

The defaults describe a network of 0.5 M parameters, which learns from scratch in a few hours on
two CPU cores. The bundled network's configuration lies beside its weights.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from ..stream.errors import ConfigError

T = TypeVar("T")
# Metadata key of a setting that is the path of the checkpoint from which a run started. A resumed
# run may give another path, because its own checkpoint already holds the weights.
MAY_MOVE = "may move"


def _check(condition: bool, expected: str, got: object) -> None:
    if not condition:
        raise ConfigError(f"expected {expected}, got {got!r}")


def _check_choices(config: object) -> None:
    """Raise ConfigError for a value that is not in the Literal of its field."""
    for name, hint in typing.get_type_hints(type(config)).items():
        if typing.get_origin(hint) is Literal:
            choices = typing.get_args(hint)
            _check(
                getattr(config, name) in choices,
                f"{name} to be one of {', '.join(map(repr, choices))}",
                getattr(config, name),
            )


@dataclass(frozen=True)
class FeatureConfig:
    """Causal log-mel spectrogram.

    The bands end at 4 kHz, so that telephone and headset recordings look alike to the network. The
    window is two hops long, so that it separates the harmonics of a low voice (100 Hz).
    """

    sample_rate_hz: int = 16000
    hop_samples: int = 320
    window_samples: int = 640
    mel_bins: int = 64
    low_hz: float = 60.0
    high_hz: float = 4000.0
    # Added to the mel power before the logarithm: about -60 dB re full scale per bin.
    log_floor: float = 1e-6

    def __post_init__(self) -> None:
        _check(self.sample_rate_hz > 0, "sample_rate_hz > 0", self.sample_rate_hz)
        _check(self.hop_samples > 0, "hop_samples > 0", self.hop_samples)
        _check(
            self.window_samples >= self.hop_samples,
            f"window_samples >= hop_samples ({self.hop_samples})",
            self.window_samples,
        )
        _check(self.window_samples % 2 == 0, "an even window_samples", self.window_samples)
        _check(self.mel_bins > 0, "mel_bins > 0", self.mel_bins)
        _check(
            0 <= self.low_hz < self.high_hz <= self.sample_rate_hz / 2,
            f"0 <= low_hz < high_hz <= {self.sample_rate_hz / 2}",
            (self.low_hz, self.high_hz),
        )
        _check(self.log_floor > 0, "log_floor > 0", self.log_floor)


@dataclass(frozen=True)
class StackConfig:
    """A stack of convolution blocks; block i has kernel_sizes[i] and dilations[i]."""

    kernel_sizes: tuple[int, ...] = (3, 3)
    dilations: tuple[int, ...] = (1, 4)

    def __post_init__(self) -> None:
        _check(
            len(self.kernel_sizes) == len(self.dilations) > 0,
            "as many kernel_sizes as dilations, at least one",
            (self.kernel_sizes, self.dilations),
        )
        _check(all(k > 0 for k in self.kernel_sizes), "kernel sizes > 0", self.kernel_sizes)
        _check(all(d > 0 for d in self.dilations), "dilations > 0", self.dilations)


@dataclass(frozen=True)
class EncoderConfig:
    """A first layer, one or several parallel stacks of blocks, and an output layer.

    Attributes:
        channels: width of the blocks.
        out_channels: width of the output.
        first_kernel, stride: of the first layer; stride 2 halves the frame rate.
        block: "plain" (one convolution), "residual" (two and a skip) or "gated" (WaveNet).
        combine: how the stacks are joined, "add" or "concat".
        combine_at: "end" (each stack runs on its own, and they are joined once) or "layer" (they
            are joined after every block, and each continues with the joined output).
        dims: 1 (convolution over time, mel bins are channels) or 2 (over time and frequency).
        freq_kernel, freq_stride: of the frequency axis when dims is 2; only the first layer has
            the stride.
    """

    channels: int = 80
    out_channels: int = 96
    first_kernel: int = 3
    stride: int = 1
    stacks: tuple[StackConfig, ...] = (StackConfig(),)
    block: Literal["plain", "residual", "gated"] = "residual"
    activation: Literal["relu", "silu", "gelu", "tanh"] = "relu"
    combine: Literal["add", "concat"] = "add"
    combine_at: Literal["end", "layer"] = "end"
    dims: Literal[1, 2] = 1
    freq_kernel: int = 3
    freq_stride: int = 2

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(
            self.channels > 0 and self.out_channels > 0,
            "channels and out_channels > 0",
            (self.channels, self.out_channels),
        )
        _check(self.first_kernel > 0, "first_kernel > 0", self.first_kernel)
        _check(self.stride > 0, "stride > 0", self.stride)
        _check(len(self.stacks) > 0, "at least one stack", self.stacks)
        _check(
            self.freq_kernel > 0 and self.freq_kernel % 2 == 1,
            "an odd freq_kernel > 0",
            self.freq_kernel,
        )
        _check(self.freq_stride > 0, "freq_stride > 0", self.freq_stride)
        if self.combine_at == "layer":
            depths = {len(stack.kernel_sizes) for stack in self.stacks}
            _check(
                len(depths) == 1, "stacks of equal depth when combine_at is 'layer'", sorted(depths)
            )


@dataclass(frozen=True)
class RecurrentConfig:
    """One or more recurrent layers; kind "none" means linear layers without memory."""

    kind: Literal["rnn", "gru", "lstm", "none"] = "gru"
    hidden: int = 128
    layers: int = 1

    def __post_init__(self) -> None:
        _check_choices(self)
        _check(self.hidden > 0, "hidden > 0", self.hidden)
        _check(self.layers > 0, "layers > 0", self.layers)


@dataclass(frozen=True)
class ModelConfig:
    """The turn-taking network: features, per-speaker encoder and RNN, cross-speaker RNN, heads.

    Attributes:
        dropout: share of activations dropped in training, before each RNN and before the heads.
        bin_edges_s: edges, in seconds, of the future bins of the voice activity projection
            (Ekstedt & Skantze 2022).
    """

    features: FeatureConfig = field(default_factory=FeatureConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    speaker_rnn: RecurrentConfig = field(default_factory=lambda: RecurrentConfig(hidden=192))
    dialogue_rnn: RecurrentConfig = field(default_factory=RecurrentConfig)
    dropout: float = 0.1
    bin_edges_s: tuple[float, ...] = (0.0, 0.2, 0.6, 1.2, 2.0)

    def __post_init__(self) -> None:
        _check(0 <= self.dropout < 1, "0 <= dropout < 1", self.dropout)
        edges = self.bin_edges_s
        _check(
            len(edges) == 5 and edges[0] == 0 and list(edges) == sorted(set(edges)),
            "five rising bin edges from 0",
            edges,
        )
        remembers = (
            self.features.window_samples > self.features.hop_samples
            or self.encoder.first_kernel > self.encoder.stride
            or any(kernel > 1 for stack in self.encoder.stacks for kernel in stack.kernel_sizes)
            or any(rnn.kind != "none" for rnn in (self.speaker_rnn, self.dialogue_rnn))
        )
        if not remembers:
            raise ConfigError(
                "expected a network with memory (window_samples > hop_samples, a kernel > 1, or "
                "a recurrent layer), got none of these"
            )

    @property
    def frame_samples(self) -> int:
        """Samples per step of the network: the hop times the encoder's stride."""
        return self.features.hop_samples * self.encoder.stride

    @property
    def frame_rate_hz(self) -> float:
        return self.features.sample_rate_hz / self.frame_samples

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Return the configuration that `to_json` wrote. Missing fields keep their defaults.

        Raises:
            ConfigError: the text is not JSON, a field is unknown, or a value has a wrong type or
                is out of range.
        """
        try:
            loaded = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"expected a model configuration in JSON, got {text[:40]!r}: {error}"
            ) from None
        return from_plain(cls, loaded)


def from_plain(kind: type[T], plain: Any, path: str = "config") -> T:
    """Build a (nested) dataclass from dicts and lists. Missing fields keep their defaults.

    Args:
        kind: the dataclass.
        plain: its fields as a dict, as json.loads returns them.
        path: name of `plain` in error messages.
    Raises:
        ConfigError: a field is unknown, or a value has a wrong type or is out of range.
    """
    return _convert(kind, plain, path)


def _convert(kind: Any, plain: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(plain, dict):
            raise ConfigError(f"{path}: expected an object, got {plain!r}")
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(plain) - set(hints))
        if unknown:
            raise ConfigError(f"{path}: unknown field {unknown[0]!r}; known are {', '.join(hints)}")
        return kind(
            **{
                name: _convert(hints[name], value, f"{path}.{name}")
                for name, value in plain.items()
            }
        )  # pyright: ignore[reportCallIssue]
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(plain, list | tuple):
            raise ConfigError(f"{path}: expected a list, got {plain!r}")
        (item, *_) = typing.get_args(kind)
        return tuple(_convert(item, value, f"{path}[{i}]") for i, value in enumerate(plain))
    if origin is Literal:
        if plain not in typing.get_args(kind):
            raise ConfigError(
                f"{path}: expected one of {', '.join(map(repr, typing.get_args(kind)))}, got "
                f"{plain!r}"
            )
        return plain
    if origin in (typing.Union, types.UnionType):
        if plain is None and type(None) in typing.get_args(kind):
            return None
        (item,) = (a for a in typing.get_args(kind) if a is not type(None))
        return _convert(item, plain, path)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if not isinstance(plain, kind) or (kind is int and isinstance(plain, bool)):
        raise ConfigError(f"{path}: expected {kind.__name__}, got {plain!r}")
    return plain
