"""`turnstream page`: the demo page as files for any web host; the network runs in the tab."""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Sequence
from pathlib import Path

from ..engine import Engine
from ..options import add_model_option
from ..printable import printable
from .tab_pages import INSTALL, tab_pages
from .web_pages import Page, find_page, page_paths, page_policy, page_servers_of

_HEAD = b'<meta charset="utf-8">\n'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `turnstream page`."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write the files to")
    add_model_option(parser)
    parser.add_argument(
        "--onnxruntime-web",
        type=Path,
        default=Path("node_modules", "onnxruntime-web"),
        metavar="FOLDER",
        help=f"folder of the npm package onnxruntime-web, from `{INSTALL}` (default "
        "node_modules/onnxruntime-web)",
    )
    parser.add_argument(
        "--page-server",
        action="append",
        default=[],
        metavar="URL",
        help="server that the page may use instead, such as wss://my.host, when it is opened with "
        "?server=URL; start it with --origin and the page's address; can be repeated",
    )


def main(args: argparse.Namespace) -> int:
    """Write the files and print how large they are. Returns 0."""
    written = write_page(
        args.folder, args.onnxruntime_web, Engine(args.model).path, args.page_server
    )
    print(
        f"{printable(str(args.folder))}: {len(written)} files, "
        f"{sum(written.values()) / 1e6:.1f} MB, for any web host with https"
    )
    return 0


def write_page(
    folder: Path, onnxruntime_web: Path, model: Path, servers: Sequence[str] = ()
) -> dict[Path, int]:
    """Write the page and all that it loads.

    Args:
        folder: written to; it is made if there is none.
        onnxruntime_web, model: see `tab_pages`.
        servers: servers that the page may use instead, such as "wss://my.host".
    Returns:
        The size of every written file in bytes.
    Raises:
        ConfigError: see `tab_pages` and `page_servers_of`.
        OSError: a file cannot be read or written.
    """
    allowed = page_servers_of(servers)
    tab = tab_pages(onnxruntime_web, model, has_server=False)
    written: dict[Path, int] = {}
    for path in {**dict.fromkeys(page_paths()), **tab}:
        page = find_page(path, servers=allowed, tab=tab)
        assert page is not None
        file = folder / path[1:]
        body = _plain_body(page)
        if file.suffix == ".html":
            # A web host does not send our headers. `frame-ancestors` can only be a header.
            policy = page_policy(allowed, has_tab=True).rpartition("; frame-ancestors")[0]
            rule = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            body = body.replace(_HEAD, _HEAD + rule.encode(), 1)
        file.parent.mkdir(parents=True, exist_ok=True)
        written[file] = file.write_bytes(body)
    return written


def _plain_body(page: Page) -> bytes:
    is_packed = page.headers.get("Content-Encoding") == "gzip"
    return gzip.decompress(page.body) if is_packed else page.body
