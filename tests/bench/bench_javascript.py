"""What the JavaScript package costs: time of a frame in Node and Chromium, and bytes to load.

    python tests/bench/bench_javascript.py [--seconds 20] [--onnxruntime-node FOLDER]

It needs `npm install --prefix . --no-save --ignore-scripts onnxruntime-web`, Node and Chromium. The
sound is stereo at 48 kHz, from the bundled call, in blocks of 20 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.stream.js.vectors import part_of_the_call  # noqa: E402
from tests.web.chromium import find_chromium, open_tab  # noqa: E402
from tests.web.static_host import static_host  # noqa: E402
from turnstream.stream.engine import bundled_model  # noqa: E402
from turnstream.stream.service.static_page import write_page  # noqa: E402

RATE_HZ = 48_000
RUNTIME = ROOT / "node_modules" / "onnxruntime-web"
IN_NODE = """
const [ort, { times }, lib, { readFileSync }] = await Promise.all(
  [RUNTIME, TIMES, LIB, "node:fs"].map((name) => import(name)),
);
const samples = new Int16Array(new Uint8Array(readFileSync(SOUND)).buffer);
const found = await times({ ort, lib, model: MODEL, samples, sampleRate: RATE });
console.log(JSON.stringify(found));
"""
IN_CHROMIUM = """(async () => {
  const [ort, { times }, lib] = await Promise.all(
    ["/tab/onnxruntime.js", "/javascript_times.js", "/index.js"].map((name) => import(name)),
  );
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: "/tab/onnxruntime.wasm" };
  const samples = new Int16Array(await (await fetch("/sound.raw")).arrayBuffer());
  return times({ ort, lib, model: "/tab/model.onnx", samples, sampleRate: RATE });
})()"""


def in_node(runtime: Path, model: Path, sound: Path) -> dict[str, Any]:
    entry = json.loads((runtime / "package.json").read_text())
    main = entry["exports"]["."]["node"]["import"] if "exports" in entry else entry["main"]
    values = {
        "RUNTIME": str(runtime / main),
        "TIMES": str(Path(__file__).with_name("javascript_times.mjs")),
        "LIB": str(ROOT / "stream" / "js" / "index.js"),
        "MODEL": str(model),
        "SOUND": str(sound),
    }
    code = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    code += f"const RATE = {RATE_HZ};\n{IN_NODE}"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


async def in_chromium(model: Path, sound: Path, folder: Path) -> dict[str, Any]:
    write_page(folder, RUNTIME, model)
    shutil.copy(Path(__file__).with_name("javascript_times.mjs"), folder / "javascript_times.js")
    shutil.copy(sound, folder / "sound.raw")
    with static_host(folder) as host:
        async with open_tab() as tab:
            await tab.go(host.url)
            return await tab.value(IN_CHROMIUM.replace("RATE", str(RATE_HZ)))


def show(where: str, model: Path, found: dict[str, Any]) -> None:
    columns = [f"{where:34}", f"{'int8' if 'int8' in model.stem else 'float32':9}"]
    for name in ("step_ms", "push_ms"):
        p99 = float(np.percentile(found[name], 99))
        columns.append(f"{statistics.median(found[name]):6.2f} / {p99:5.2f}")
    print("  ".join(columns), f" {found['load_ms']:7.0f}")


def show_sizes() -> None:
    files = [
        RUNTIME / "dist" / "ort.wasm.bundle.min.mjs",
        RUNTIME / "dist" / "ort-wasm-simd-threaded.wasm",
        bundled_model(),
        bundled_model("int8"),
    ]
    package = sorted((ROOT / "stream" / "js").glob("*.js"))
    print("\nto load                              MB   gzipped")
    for name, parts in [("the package's modules", package), *((f.name, [f]) for f in files)]:
        content = [path.read_bytes() for path in parts]
        packed = sum(len(gzip.compress(one, 6)) for one in content)
        print(f"{name:34} {sum(map(len, content)) / 1e6:5.2f}  {packed / 1e6:5.2f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of sound (default 20)")
    parser.add_argument(
        "--onnxruntime-node", type=Path, metavar="FOLDER", help="of that npm package, to compare"
    )
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread")
    print(f"{'':45}  step p50/p99   push p50/p99   load: ms")
    with tempfile.TemporaryDirectory() as name:
        sound = Path(name) / "sound.raw"
        sound.write_bytes(part_of_the_call(RATE_HZ, 12.0, 12.0 + args.seconds).tobytes())
        for model in (bundled_model(), bundled_model("int8")):
            show("Node, onnxruntime-web", model, in_node(RUNTIME, model, sound))
            if args.onnxruntime_node is not None:
                found = in_node(args.onnxruntime_node, model, sound)
                show("Node, onnxruntime-node", model, found)
            if find_chromium() is not None:
                found = await in_chromium(model, sound, Path(name) / "page")
                show("Chromium, headless", model, found)
    show_sizes()


if __name__ == "__main__":
    asyncio.run(main())
