"""The root of every error that turnstream raises on purpose. Imports nothing, so every folder may use it.

    TurnstreamError
    |-- ConfigError            a configuration that describes no possible network or run
    |-- MissingExtraError      an optional dependency is not installed; names the extra
    |-- DialogueError          a manifest, annotation or dialogue audio file that cannot be used
    |-- ExportError            an exported graph does not compute what the network computes
    `-- stream/errors.py: what can go wrong at run time

Every message says what was got and what was expected.
"""


class TurnstreamError(Exception):
    """Base class of all errors raised by turnstream."""


class ConfigError(TurnstreamError, ValueError):
    """A configuration that describes no possible network or run."""


class MissingExtraError(TurnstreamError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; it comes with: pip install 'turnstream[{extra}]'")


class DialogueError(TurnstreamError, ValueError):
    """A manifest, annotation or dialogue audio file that cannot be used."""


class ExportError(TurnstreamError):
    """An exported graph does not compute what the network computes."""
