"""JSON schemas of the messages and settings, made from the structs and their docstrings.

The structs have Python's shape; the schemas have that of the wire: `frames` is "all", "none" or a
number, the policy's values stand beside the other settings, and the model of `begin` is an object.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, cast

import msgspec

from .policy_settings import POLICY_VALUES, PolicySettings, value_range
from .prediction import EVENT_TYPES, FrameMessage, TurnEvent
from .protocol import (
    CLOSE_CODES,
    BeginMessage,
    Close,
    ConfiguredMessage,
    EndTurn,
    ErrorMessage,
    Flush,
    KeepAlive,
    Reset,
    ResumedMessage,
    SavedMessage,
    TerminationMessage,
    WarningMessage,
)
from .settings import MAX_FRAMES_STEP, Configure, Resume, StreamSettings
from .wire import PROTOCOL_VERSION

Schema = dict[str, Any]

SETTINGS = "Settings"  # name of the schema that others refer to

_CONTROLS: dict[str, type[msgspec.Struct]] = {
    "configure": Configure,
    "end_turn": EndTurn,
    "flush": Flush,
    "reset": Reset,
    "keep_alive": KeepAlive,
    "close": Close,
}
_MESSAGES: tuple[type[msgspec.Struct], ...] = (
    BeginMessage,
    ConfiguredMessage,
    ResumedMessage,
    SavedMessage,
    FrameMessage,
    WarningMessage,
    ErrorMessage,
    TerminationMessage,
)


def settings_schema() -> Schema:
    """Returns the schema of a stream's settings."""
    return _as_on_the_wire(_schema(StreamSettings))


def query_schema() -> Schema:
    """Returns the schema of what may stand in the address of a stream."""
    resume = _schema(Resume)["properties"]
    return {
        "type": "object",
        "description": "The settings of a new stream. Or `resume` and `received`, and no other "
        "setting, to resume one.",
        "properties": {
            **settings_schema()["properties"],
            "resume": resume["token"],
            "received": resume["received"],
            "token": {"description": "The access token.", "type": "string"},
        },
    }


def client_schemas() -> dict[str, Schema]:
    """Returns the schemas of the text messages of a client, by their `type`."""
    schemas = {name: _typed(_schema(struct), name) for name, struct in _CONTROLS.items()}
    schemas["configure"] = _as_on_the_wire(schemas["configure"])
    return schemas


def server_schemas() -> dict[str, Schema]:
    """Returns the schemas of the text messages of a server, by their `type`."""
    tagged = {str(struct.__struct_config__.tag): struct for struct in _MESSAGES}
    schemas = {name: _typed(_schema(struct), name) for name, struct in tagged.items()}
    schemas["begin"] = _with_model(schemas["begin"])
    schemas["error"]["properties"]["code"]["examples"] = [*CLOSE_CODES]
    return schemas | {kind: _event(kind) for kind in EVENT_TYPES}


def _event(kind: str) -> Schema:
    """Returns the schema of one type of event; a `trigger` belongs to the end of a turn alone."""
    event = _schema(TurnEvent)
    trigger = event["properties"].pop("trigger")
    if kind == "end_of_turn":
        event["properties"]["trigger"] = _not_null(trigger)
    return _typed({**event, "required": [*event["properties"]]}, kind)


def _with_model(flat: Schema) -> Schema:
    """Returns the schema of `begin`, whose model is an object, and which names the protocol."""
    fields = flat["properties"]
    model = {name: word for name, word in fields.items() if name.startswith("model_")}
    inner = {name.removeprefix("model_"): word for name, word in model.items()}
    rest = {
        "type": fields["type"],
        "protocol": {"description": "Version of the protocol.", "const": PROTOCOL_VERSION},
        "model": {"type": "object", "properties": inner, "required": [*inner]},
        **{name: word for name, word in fields.items() if name not in model},
    }
    return {**flat, "properties": rest, "required": [*rest]}


def _typed(schema: Schema, kind: str) -> Schema:
    """Returns the schema of an object with this `type`."""
    rest = {name: word for name, word in schema["properties"].items() if name != "type"}
    required = [name for name in schema["required"] if name != "type"]
    return {
        **schema,
        "properties": {"type": {"type": "string", "const": kind}, **rest},
        "required": ["type", *required],
    }


def _as_on_the_wire(schema: Schema) -> Schema:
    """Returns a schema with `frames` as it is sent, and the policy's values among the fields."""
    fields = {name: _not_null(word) for name, word in schema["properties"].items()}
    del fields["policy_values"]
    fields["frames"] = {
        "description": "Which frame messages are sent: all, none, or every Nth (0, N, 2N ...).",
        "oneOf": [
            {"type": "string", "enum": ["all", "none"]},
            {"type": "integer", "minimum": 1, "maximum": MAX_FRAMES_STEP},
        ],
    }
    texts = _texts(PolicySettings)
    for name in POLICY_VALUES:
        low, high = value_range(name)
        limits = {"minimum": low, "maximum": high}
        fields[name] = {"description": texts[name], "type": "number", **limits}
    return {**schema, "properties": fields}


def _not_null(field: Schema) -> Schema:
    """Returns the schema of a field that is left out on the wire where Python has None."""
    field = dict(field)
    if {"type": "null"} in (choices := field.pop("anyOf", [])):
        (choice,) = (one for one in choices if one != {"type": "null"})
        field |= {**choice, "description": re.sub(r"[.;] null [^.;]*", "", field["description"])}
        del field["default"]
    return field


# ---- from a struct ----


def _schema(struct: type[msgspec.Struct]) -> Schema:
    """Returns the schema of a struct, with the texts of its docstring."""
    components = msgspec.json.schema_components([struct])[1]
    found = components[struct.__name__]
    texts = {**(_texts(StreamSettings) if struct is Configure else {}), **_texts(struct)}
    names = {field.encode_name: field.name for field in msgspec.structs.fields(struct)}
    fields: Schema = {}
    for name, word in found["properties"].items():
        text = texts.get(names.get(name, ""))
        fields[name] = {**({"description": text} if text else {}), **_plain(word)}
    return {
        "type": "object",
        "description": re.split(r"\.\s|\n", inspect.getdoc(struct) or "")[0].rstrip(".") + ".",
        "properties": fields,
        "required": found.get("required", []),
    }


def _plain(schema: Any) -> Any:
    """Returns a field's schema in the words of JSON Schema draft 7, which AsyncAPI uses.

    What belongs to error messages goes: the words of each type, and limits that only keep infinity
    out.
    """
    if isinstance(schema, list):
        return [_plain(one) for one in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    words = cast(Schema, schema)
    if "$ref" in words:  # the settings are the only struct within another
        return {"allOf": [{"$ref": f"#/components/schemas/{SETTINGS}"}]}
    plain = {
        name: _plain(word)
        for name, word in words.items()
        if name not in ("description", "prefixItems") and word not in (-1e300, 1e300)
    }
    if "prefixItems" in words:
        plain["items"] = _plain(words["prefixItems"][0])  # all members are alike
    return plain


def _texts(struct: type) -> dict[str, str]:
    """Returns the texts of the "Attributes" of a docstring, by the names of the attributes."""
    section = re.search(
        r"^Attributes:\n((?:^ .*\n?|^\n)*)", inspect.getdoc(struct) or "", re.MULTILINE
    )
    texts: dict[str, str] = {}
    for names, text in re.findall(
        r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE
    ):
        line = re.sub(r"\bNone\b", "null", " ".join(text.split()))
        line = re.sub(r' \("\w+" on the wire\)', "", line)
        texts |= dict.fromkeys(names.split(", "), line[0].upper() + line[1:])
    return texts
