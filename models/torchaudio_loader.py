"""`import torchaudio`, also where its compiled extension does not fit the installed torch.

PyPI's torchaudio is linked against CUDA; beside a CPU build of torch, importing it raises OSError while it loads a
shared object that nothing here uses. The extension package is then replaced by a stub, and a log line says so. What
we use (filter banks, MelSpectrogram) is pure Python.
"""

from __future__ import annotations

import logging
import sys
import types
from typing import Any

from ..stream.errors import MissingExtraError

_log = logging.getLogger(__name__)


def load_torchaudio() -> Any:
    """Import torchaudio.

    Raises:
        MissingExtraError: torchaudio is not installed.
    """
    try:
        import torchaudio
    except ModuleNotFoundError:
        raise MissingExtraError("torchaudio", "train") from None
    except OSError as error:
        _log.info(
            "torchaudio's compiled extension cannot be loaded (%s); using its pure Python parts",
            error,
        )
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        stub: Any = types.ModuleType("torchaudio._extension")
        stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
        stub._IS_ALIGN_AVAILABLE = False
        stub.fail_if_no_align = lambda function: function
        sys.modules["torchaudio._extension"] = stub
        import torchaudio
    return torchaudio
