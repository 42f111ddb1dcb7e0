"""The AsyncAPI document: it is up to date, and says what PROTOCOL.md, parser and server say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

import turnstream.stream.asyncapi as module
from turnstream.stream.asyncapi import document, main
from turnstream.stream.errors import ProtocolError
from turnstream.stream.latent_message import LatentMessage
from turnstream.stream.protocol import _CONTROL_FIELDS, _TYPES, parse_control
from turnstream.stream.service.server import Server
from turnstream.stream.settings import parse_query

from ..readme_blocks import ROOT
from .serving import dialogue, raw_client, talk

FOLDER = Path(module.__file__).parent
SPECIFICATION = (FOLDER / "PROTOCOL.md").read_text()
DOCUMENT = document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
QUERY = DOCUMENT["channels"]["stream"]["bindings"]["ws"]["query"]
PARSER = ROOT / "node_modules" / "@asyncapi" / "parser"
BY_THE_OFFICIAL_PARSER = """
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const errors = diagnostics.filter(({ severity }) => severity < 2); // errors and warnings
for (const { path, message } of errors) console.error(path.join("."), message);
console.log(document?.messages().length);
process.exit(errors.length ? 1 : 0);
"""


def validate(message: dict[str, Any]) -> None:
    """Check a message against the schema of its type; a field too many is an error, too."""
    schemas = {name: {**one, "additionalProperties": False} for name, one in SCHEMAS.items()}
    found = {**schemas[message["type"]], "components": {"schemas": schemas}}
    Draft7Validator(found).validate(message)


def test_the_file_is_what_the_module_makes(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    assert (FOLDER / "asyncapi.json").read_text() == capsys.readouterr().out, (
        "python -m turnstream.stream.asyncapi > stream/asyncapi.json"
    )


def test_every_message_of_the_parser_is_described_and_no_other() -> None:
    assert set(SCHEMAS) == {"Settings", *_CONTROL_FIELDS, *_TYPES}
    described = {*DOCUMENT["components"]["messages"]}
    assert described == {*_CONTROL_FIELDS, *_TYPES, "audio", "latents"}
    told = [one["messages"] for one in DOCUMENT["operations"].values()]
    used = [reference["$ref"].rpartition("/")[2] for messages in told for reference in messages]
    assert sorted(used) == sorted(described)


@pytest.mark.parametrize("name", [*_CONTROL_FIELDS])
def test_a_control_has_the_fields_that_the_parser_knows(name: str) -> None:
    assert {*SCHEMAS[name]["properties"]} == {"type", *_CONTROL_FIELDS[name]}


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "Settings"])
def test_every_field_is_explained_and_in_the_specification(name: str) -> None:
    assert any(example["type"] == name for example in map(json.loads, examples()))
    for field, schema in SCHEMAS[name]["properties"].items():
        assert f"`{field}`" in SPECIFICATION or f'"{field}"' in SPECIFICATION, field
        assert field in {"type", "model"} or len(schema["description"]) > 10, field


def examples() -> list[str]:
    return re.findall(r"```json\n(.*?)```", SPECIFICATION, re.DOTALL)


@pytest.mark.parametrize("text", examples())
def test_every_example_of_the_specification_fits_its_schema(text: str) -> None:
    validate(json.loads(text))


def test_the_address_has_the_settings_of_the_specification() -> None:
    rows = re.findall(r"^\| (`\w+`.*?) \|", SPECIFICATION.partition("## Client to server")[0], re.M)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    assert named | {"resume", "received"} == {*QUERY["properties"]}
    values = {"sample_rate": "8000", "encoding": "alaw", "latents": "all", "policy": "fast"}
    values["min_level_dbfs"] = "-1"
    for name in {*QUERY["properties"]} - {"resume", "received", "token"}:
        parse_query(f"{name}={values.get(name, '1')}")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"type": "configure", "frames": 0}', False),
        ('{"type": "configure", "frames": 3001}', False),
        ('{"type": "configure", "frames": 3000}', True),
        ('{"type": "configure", "frames": "none"}', True),
        ('{"type": "configure", "frames": "some"}', False),
        ('{"type": "configure", "policy": null}', False),
        ('{"type": "configure", "policy": "own"}', True),
        ('{"type": "configure", "latents": "most"}', False),
        ('{"type": "configure", "end_threshold": 1.01}', False),
        ('{"type": "configure", "timeout_secs": 60, "min_level_dbfs": -120}', True),
        ('{"type": "configure", "min_level_dbfs": 1}', False),
        ('{"type": "end_turn", "speaker": 2}', False),
        ('{"type": "end_turn"}', True),
    ],
)
def test_the_schema_admits_what_the_parser_admits(text: str, fits: bool) -> None:
    if fits:
        validate(json.loads(text))
        assert parse_control(text)[0] is not None
        return
    with pytest.raises(ValidationError):
        validate(json.loads(text))
    with pytest.raises(ProtocolError):
        parse_control(text)


async def test_what_a_server_sends_fits_the_schemas(server: Server) -> None:
    async with raw_client(server, "latents=all") as client:
        await client.send({"type": "configure", "frames": 2})
        await client.send({"type": "no such control"})
        messages = await talk(client, dialogue(4, seed=1), 640)
    texts = [message for message in messages if not isinstance(message, LatentMessage)]
    for message in texts:
        validate(message)
    kinds = {message["type"] for message in texts}
    assert {"configured", "frame", "start_of_turn", "end_of_turn", "warning"} <= kinds
    assert texts[-1]["type"] == "termination"


@pytest.mark.skipif(
    shutil.which("node") is None or not PARSER.is_dir(),
    reason="not installed: node, or @asyncapi/parser (npm install --prefix . @asyncapi/parser)",
)
def test_the_official_parser_finds_no_fault() -> None:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", BY_THE_OFFICIAL_PARSER],
        input=(FOLDER / "asyncapi.json").read_text(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(DOCUMENT["components"]["messages"])
