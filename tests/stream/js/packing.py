"""Packs the npm package as a user does, away from the repository."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

from ...readme_blocks import ROOT

RUNTIME = ROOT / "node_modules" / "onnxruntime-web"
NO_RUNTIME = (
    "not installed: node"
    if shutil.which("node") is None
    else "not installed: onnxruntime-web (npm install --prefix . --no-save onnxruntime-web)"
    if not RUNTIME.is_dir()
    else ""
)


def pack(folder: Path, command: str = "npm pack ./stream/js") -> Path:
    """Run `npm pack` on a copy of the sources; return the folder of the unpacked package.

    It lies in folder/node_modules, as if npm had installed it. ONNX Runtime lies beside it.
    """
    source = folder / "source"
    shutil.copytree(
        ROOT / "stream" / "js",
        source / "stream" / "js",
        ignore=shutil.ignore_patterns("model", "LICENSE"),
    )
    shutil.copytree(ROOT / "models" / "weights", source / "models" / "weights")
    shutil.copy(ROOT / "LICENSE", source)
    subprocess.run(
        [*command.split(), "--pack-destination", str(folder)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=120,
    )
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "onnxruntime-web").symlink_to(RUNTIME)
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    return (folder / "unpacked" / "package").rename(modules / "turnstream")
