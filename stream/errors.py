"""Every error that turnstream raises on purpose. Imports nothing, so every folder may use it.

TurnstreamError
|-- ConfigError            settings that describe no possible network, run or server
|-- MissingExtraError      an optional dependency is not installed; names the extra
|-- DialogueError          a manifest, annotation or dialogue audio file that cannot be used
|-- ExportError            an exported graph does not compute what the network computes
|-- ModelError             a model file that this runtime cannot run
|-- ShapeError             an array whose shape or type does not fit the model
|-- AudioFormatError       audio that cannot be read or does not have the promised form
|-- DeviceError            no microphone, or it failed
|-- SnapshotError          a snapshot that does not belong to this model or version
|-- PolicyError            policy settings out of range
|-- ProtocolError          a websocket message that breaks PROTOCOL.md; has a `code`
`-- ServerError            no session with a server, or none any more; has a `code`

Every message says what was got and what was expected.
"""


class TurnstreamError(Exception):
    """Base class of all errors raised by turnstream."""


class ConfigError(TurnstreamError, ValueError):
    """Settings that describe no possible network, run or server."""


class MissingExtraError(TurnstreamError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; it comes with: pip install 'turnstream[{extra}]'"
        )


class DialogueError(TurnstreamError, ValueError):
    """A manifest, annotation or dialogue audio file that cannot be used."""


class ExportError(TurnstreamError):
    """An exported graph does not compute what the network computes."""


class ModelError(TurnstreamError):
    """A model file that this runtime cannot run."""


class ShapeError(TurnstreamError, ValueError):
    """An array whose shape or type does not fit the model."""


class AudioFormatError(TurnstreamError, ValueError):
    """Audio that cannot be read or does not have the promised form."""


class DeviceError(TurnstreamError):
    """No microphone, or it failed."""


class SnapshotError(TurnstreamError, ValueError):
    """A snapshot that does not belong to this model or version."""


class PolicyError(TurnstreamError, ValueError):
    """Policy settings out of range."""


class ProtocolError(TurnstreamError, ValueError):
    """A websocket message that breaks PROTOCOL.md.

    Attributes:
        code: machine-readable reason, one of the codes listed in PROTOCOL.md.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ServerError(TurnstreamError):
    """No session with a server, or none any more: it refused, ended, was lost, or could not listen in the first place.

    Attributes:
        code: the `code` of the server's error message; "http_NNN" when it refused the handshake; "unreachable", "timeout",
            "connection_lost" or "bad_message" when it did not speak as it should; "session_lost" when a lost connection could not be
            resumed; "not_connected", "not_iterable" or "session_ended" (something was asked of it after its end, or it was left by an
            error) when the client was used in the wrong way; "cannot_listen" when `turnstream serve` cannot have the port or the
            address, "worker_failed" when a worker of it cannot start or dies again and again.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
