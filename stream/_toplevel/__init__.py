"""turnstream: streaming, real-time turn-taking prediction.

    from turnstream import TurnPredictor, TurnPolicy
    predictor, policy = TurnPredictor(), TurnPolicy("balanced")
    for prediction in predictor.push_audio(samples):
        for event in policy.update(prediction):
            ...

Public names are loaded when they are first used, so that `turnstream --help` need not wait for ONNX Runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turnstream.models.errors import ConfigError, DialogueError, ExportError, MissingExtraError, TurnstreamError
    from turnstream.stream.audio_check import AudioWarning
    from turnstream.stream.client import AsyncClient, Client, connect
    from turnstream.stream.engine import Engine, ModelMetadata
    from turnstream.stream.errors import AudioFormatError, DeviceError, ModelError, PolicyError, ProtocolError, ServerError, ShapeError, SnapshotError
    from turnstream.stream.policy import PRESETS, PolicySettings, TurnPolicy
    from turnstream.stream.prediction import EVENT_TYPES, EventType, Prediction, TurnEvent
    from turnstream.stream.predictor import TurnPredictor
    from turnstream.stream.server import Server

__version__ = "0.1.0"

_HOMES = {
    "turnstream.models.errors": ("ConfigError", "DialogueError", "ExportError", "MissingExtraError", "TurnstreamError"),
    "turnstream.stream.audio_check": ("AudioWarning",),
    "turnstream.stream.client": ("AsyncClient", "Client", "connect"),
    "turnstream.stream.engine": ("Engine", "ModelMetadata"),
    "turnstream.stream.errors": (
        "AudioFormatError",
        "DeviceError",
        "ModelError",
        "PolicyError",
        "ProtocolError",
        "ServerError",
        "ShapeError",
        "SnapshotError",
    ),
    "turnstream.stream.policy": ("PRESETS", "PolicySettings", "TurnPolicy"),
    "turnstream.stream.prediction": ("EVENT_TYPES", "EventType", "Prediction", "TurnEvent"),
    "turnstream.stream.predictor": ("TurnPredictor",),
    "turnstream.stream.server": ("Server",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604, RUF022  the names are those of _HOMES
    "__version__",
    *_HOME_OF,
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'turnstream' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
