"""The files with which the page runs the network in the browser tab, without this server.

They are the model, its metadata, and ONNX Runtime for the web. The last is the npm package
onnxruntime-web, whose WebAssembly must come from the page's own origin. It is not part of this
package, so the caller says where it is.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

from ..errors import ConfigError
from .web_pages import HEADERS, JSON_TYPE, PAGE_FACTS, SCRIPT_TYPE, Page

INSTALL = "npm install onnxruntime-web"
_SCRIPT, _WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
_FOLDER = "/tab/"


def tab_pages(onnxruntime_web: Path, model: Path, *, has_server: bool = True) -> dict[str, Page]:
    """Return the files as responses, by their paths, and what the page is told about them.

    The addresses that the page is told hold a hash of the content. So a browser keeps the files,
    and takes new ones when they change.

    Args:
        onnxruntime_web: folder of the npm package.
        model: an .onnx file of `turnstream export`, with its metadata as JSON beside it.
        has_server: whether the page can also use the server that it comes from.
    Raises:
        ConfigError: the folder is not that package, or there is no metadata beside the model.
        OSError: a file cannot be read.
    """
    scripts = onnxruntime_web / "dist"
    if not (scripts / _SCRIPT).is_file() or not (scripts / _WASM).is_file():
        raise ConfigError(
            f"expected the folder of the npm package onnxruntime-web ({INSTALL}), with "
            f"dist/{_SCRIPT} and dist/{_WASM}, got {str(onnxruntime_web)!r}"
        )
    metadata = model.with_suffix(".json")
    if not metadata.is_file():
        raise ConfigError(
            "expected the model's metadata beside it, which `turnstream export` writes, "
            f"got no {str(metadata)!r}"
        )
    kept = {
        "runtime": ("onnxruntime.js", scripts / _SCRIPT, SCRIPT_TYPE),
        "wasm": ("onnxruntime.wasm", scripts / _WASM, "application/wasm"),
        "model": ("model.onnx", model, "application/octet-stream"),
        "metadata": ("model.json", metadata, JSON_TYPE),
    }
    pages: dict[str, Page] = {}
    addresses: dict[str, str] = {}
    for name, (file, source, content_type) in kept.items():
        body, headers = (
            source.read_bytes(),
            {"Cache-Control": "public, max-age=31536000", **HEADERS},
        )
        digest = hashlib.sha256(body).hexdigest()[:16]
        if name == "wasm":  # a quarter of the size; every browser that runs it takes gzip
            body, headers["Content-Encoding"] = gzip.compress(body, 6), "gzip"
        pages[_FOLDER + file] = Page(content_type, body, headers)
        addresses[name] = f"{_FOLDER[1:]}{file}?{digest}"
    facts = json.dumps({"server": has_server, "tab": addresses}).encode()
    pages[PAGE_FACTS] = Page(JSON_TYPE, facts, {"Cache-Control": "no-cache", **HEADERS})
    return pages
