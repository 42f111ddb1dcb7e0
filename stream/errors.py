"""The errors that turnstream raises. This module imports nothing, so every folder can use it.

TurnstreamError
|-- ConfigError            the settings of a network, run or server are invalid
|-- MissingExtraError      an optional dependency is not installed; names the extra
|-- DialogueError          a manifest, annotation or dialogue audio file cannot be used
|-- ExportError            an exported graph and its network give different outputs
|-- ModelError             this runtime cannot run a model file
|-- ShapeError             an array's shape or type does not fit the model
|-- AudioFormatError       audio cannot be read, or does not have the declared format
|-- DeviceError            there is no microphone, or it failed
|-- SnapshotError          a snapshot is of another model or version
|-- PolicyError            policy settings are out of range
|-- ProtocolError          a websocket message violates PROTOCOL.md; has a `code`
`-- ServerError            a session could not start, or was lost; has a `code`

Every message gives the expected value and the value that was found.
"""


class TurnstreamError(Exception):
    """Base class of all errors that turnstream raises on purpose."""


class ConfigError(TurnstreamError, ValueError):
    """The settings of a network, a run or a server are invalid."""


class MissingExtraError(TurnstreamError, ImportError):
    """An optional dependency is not installed.

    Args:
        package: the missing package.
        extra: the extra of turnstream that installs it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; to install it: pip install 'turnstream[{extra}]'"
        )


class DialogueError(TurnstreamError, ValueError):
    """A manifest, annotation or dialogue audio file cannot be used."""


class ExportError(TurnstreamError):
    """An exported graph and its network give different outputs."""


class ModelError(TurnstreamError):
    """This runtime cannot run the model file."""


class ShapeError(TurnstreamError, ValueError):
    """The shape or type of an array does not fit the model."""


class AudioFormatError(TurnstreamError, ValueError):
    """Audio cannot be read, or does not have the declared format."""


class DeviceError(TurnstreamError):
    """There is no microphone, or it failed."""


class SnapshotError(TurnstreamError, ValueError):
    """A snapshot is of another model or version."""


class PolicyError(TurnstreamError, ValueError):
    """Policy settings are out of range."""


class ProtocolError(TurnstreamError, ValueError):
    """A websocket message violates PROTOCOL.md.

    Attributes:
        code: machine-readable reason, one of the codes in PROTOCOL.md.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ServerError(TurnstreamError):
    """A session with a server could not start, ended with an error, or was lost.

    Attributes:
        code: machine-readable reason. If the server sent an error message, this is its `code`.
            Otherwise it is one of these:

            - "http_NNN": the server refused the handshake with HTTP status NNN.
            - "unreachable", "timeout", "connection_lost": the connection failed.
            - "bad_message": the server sent a message that violates the protocol.
            - "session_lost": a lost connection could not be resumed.
            - "not_connected", "not_iterable": the client was used in the wrong way.
            - "session_ended": the client was used after the end of its session, or after an error
              left its context.
            - "cannot_listen": `turnstream serve` cannot use the port or the address.
            - "no_descriptors": too few file descriptors are free for `turnstream serve`.
            - "worker_failed": a worker of `turnstream serve` cannot start, or dies repeatedly.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
