"""Describes the websocket of PROTOCOL.md as an AsyncAPI document, for catalogues and generators.

    python -m turnstream.stream.asyncapi > stream/asyncapi.json

The schemas come from the message structs, the examples from PROTOCOL.md. A test compares the file
with what this module makes.

Source: AsyncAPI 3.0.0, https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from importlib.resources import files

from .message_schemas import (
    SETTINGS,
    Schema,
    client_schemas,
    query_schema,
    server_schemas,
    settings_schema,
)
from .protocol import DEFAULT_PORT, STREAM_PATH
from .wire import PROTOCOL_VERSION

_ABOUT = (
    "One websocket is one conversation. Audio goes in; predictions, turn events and, if asked for, "
    "latent states come out. PROTOCOL.md says what the messages mean, in which order they come, "
    "how a lost connection is resumed, and how a connection is refused or ends."
)
_BINARY = {
    "audio": "Samples in the `encoding` of the settings, interleaved (user, other, user, other "
    "...): any number of whole samples of all channels, at most 1 MiB.",
    "latents": "Latent states after one frame: a header of 20 bytes, then float32 values, "
    "little-endian; PROTOCOL.md, section Latents, has the layout.",
}


def document() -> Schema:
    """Returns the AsyncAPI document as JSON values."""
    client, server = client_schemas(), server_schemas()
    messages = {name: _binary(name, text) for name, text in _BINARY.items()}
    for name, schema in {**client, **server}.items():
        messages[name] = {
            "name": name,
            "summary": schema["description"],
            "payload": {"$ref": f"#/components/schemas/{name}"},
            "examples": [{"payload": one} for one in _examples() if one["type"] == name],
        }
    query = {"method": "GET", "query": query_schema(), "bindingVersion": "0.1.0"}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "turnstream",
            "version": f"{PROTOCOL_VERSION}.0.0",
            "description": _ABOUT,
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": f"127.0.0.1:{DEFAULT_PORT}",
                "protocol": "ws",
                "description": "The address of `turnstream serve`; with --tls-cert, wss. A server "
                "with tokens wants one, in either place.",
                "security": [
                    {"$ref": "#/components/securitySchemes/header"},
                    {"$ref": "#/components/securitySchemes/query"},
                ],
            }
        },
        "channels": {
            "stream": {
                "address": STREAM_PATH,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": query},
            }
        },
        "operations": {
            "hear": _operation("receive", ("audio", *client), "What a client sends."),
            "answer": _operation("send", (*server, "latents"), "What the server sends."),
        },
        "components": {
            "messages": messages,
            "schemas": {SETTINGS: settings_schema(), **client, **server},
            "securitySchemes": {
                "header": {"type": "http", "scheme": "bearer"},
                "query": {"type": "httpApiKey", "in": "query", "name": "token"},
            },
        },
    }


def _operation(action: str, names: Iterable[str], summary: str) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/stream"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/stream/messages/{name}"} for name in names],
    }


def _binary(name: str, text: str) -> Schema:
    return {
        "name": name,
        "summary": text,
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "format": "binary"},
    }


def _examples() -> list[Schema]:
    """Returns the example messages of PROTOCOL.md."""
    specification = files("turnstream.stream").joinpath("PROTOCOL.md").read_text("utf-8")
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", specification, re.DOTALL)]


def main() -> None:
    """Print the document."""
    print(json.dumps(document(), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
