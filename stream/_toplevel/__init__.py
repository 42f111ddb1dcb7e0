"""turnstream: streaming, real-time turn-taking prediction.

    from turnstream import TurnPredictor
    predictor = TurnPredictor(policy="balanced")
    for prediction in predictor.push_audio(samples):
        for event in prediction.events:
            ...

`help(turnstream.TurnPredictor)` describes a name. The README and stream/README.md show how the
names work together.

A public name is imported at its first use, so `turnstream --help` does not load ONNX Runtime.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turnstream.stream.channel_check import AudioWarning
    from turnstream.stream.clients.asynchronous import AsyncClient
    from turnstream.stream.clients.blocking import Client
    from turnstream.stream.devices.agent_voice import AgentVoice, Cut
    from turnstream.stream.devices.microphone import MicrophoneSource
    from turnstream.stream.engine import Engine, ModelMetadata
    from turnstream.stream.errors import (
        AudioFormatError,
        ConfigError,
        DeviceError,
        DialogueError,
        ExportError,
        MissingExtraError,
        ModelError,
        PolicyError,
        ProtocolError,
        ServerError,
        ShapeError,
        SnapshotError,
        TurnstreamError,
    )
    from turnstream.stream.latent_message import LatentMessage
    from turnstream.stream.pause_model import PauseModel
    from turnstream.stream.policy import PRESETS, PolicySettings, TurnPolicy
    from turnstream.stream.prediction import (
        EVENT_TYPES,
        EventType,
        FrameMessage,
        Prediction,
        TurnEvent,
    )
    from turnstream.stream.predictor import TurnPredictor
    from turnstream.stream.protocol import (
        BeginMessage,
        ResumedMessage,
        TerminationMessage,
        WarningMessage,
    )
    from turnstream.stream.service.limits import Limits
    from turnstream.stream.service.server import Server
    from turnstream.stream.settings import StreamSettings
    from turnstream.stream.sources import FileSource

__version__ = "0.1.0"

__all__ = [
    "EVENT_TYPES",
    "PRESETS",
    "AgentVoice",
    "AsyncClient",
    "AudioFormatError",
    "AudioWarning",
    "BeginMessage",
    "Client",
    "ConfigError",
    "Cut",
    "DeviceError",
    "DialogueError",
    "Engine",
    "EventType",
    "ExportError",
    "FileSource",
    "FrameMessage",
    "LatentMessage",
    "Limits",
    "MicrophoneSource",
    "MissingExtraError",
    "ModelError",
    "ModelMetadata",
    "PauseModel",
    "PolicyError",
    "PolicySettings",
    "Prediction",
    "ProtocolError",
    "ResumedMessage",
    "Server",
    "ServerError",
    "ShapeError",
    "SnapshotError",
    "StreamSettings",
    "TerminationMessage",
    "TurnEvent",
    "TurnPolicy",
    "TurnPredictor",
    "TurnstreamError",
    "WarningMessage",
    "__version__",
]

_NAMES = {  # module: its public names
    "stream.devices.agent_voice": "AgentVoice Cut",
    "stream.channel_check": "AudioWarning",
    "stream.clients.blocking": "Client",
    "stream.clients.asynchronous": "AsyncClient",
    "stream.engine": "Engine ModelMetadata",
    "stream.errors": (
        "AudioFormatError ConfigError DeviceError DialogueError ExportError MissingExtraError "
        "ModelError PolicyError ProtocolError ServerError ShapeError SnapshotError TurnstreamError"
    ),
    "stream.latent_message": "LatentMessage",
    "stream.service.limits": "Limits",
    "stream.devices.microphone": "MicrophoneSource",
    "stream.pause_model": "PauseModel",
    "stream.policy": "PRESETS PolicySettings TurnPolicy",
    "stream.prediction": "EVENT_TYPES EventType FrameMessage Prediction TurnEvent",
    "stream.predictor": "TurnPredictor",
    "stream.protocol": "BeginMessage ResumedMessage TerminationMessage WarningMessage",
    "stream.service.server": "Server",
    "stream.settings": "StreamSettings",
    "stream.sources": "FileSource",
}
_HOMES = {
    name: f"turnstream.{module}" for module, names in _NAMES.items() for name in names.split()
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'turnstream' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
