import subprocess
import sys
from pathlib import Path

import turnstream.models

WITH_TORCH = {
    "torchaudio_loader",
    "layers",
    "features",
    "encoder",
    "recurrent",
    "turn_model",
    "muon",
    "checkpoint",
    "evaluation.torch_runner",
    "teachers.whisper_network",
}
WITH_TORCH |= {
    f"pretraining.{name}" for name in ("objectives", "cpc", "network", "loop", "reconstruct")
}
WITH_TORCH |= {f"comparison.{name}" for name in ("runs", "report", "summary")}
WITH_TORCH |= {f"runs.{name}" for name in ("launch", "run_folder")}
WITH_TORCH |= {f"distillation.{name}" for name in ("loop", "network", "targets")}
WITH_TORCH |= {
    f"training.{name}"
    for name in ("evaluation", "losses", "loop", "shares", "stream", "teaching", "validation")
}
OF_LATENTS = {"latents.command", "latents.collection"}


def test_torch_is_needed_where_the_docstring_says_so() -> None:
    folder = Path(turnstream.models.__file__).parent
    modules = {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if path.stem != "__init__"
    }
    assert modules > WITH_TORCH | OF_LATENTS
    without = {
        name for name in modules - WITH_TORCH if not name.startswith("latents.")
    } | OF_LATENTS
    names = [f"turnstream.models.{name}" for name in sorted(without)]
    code = (
        f"import sys, importlib; [importlib.import_module(name) for name in {names!r}]; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
