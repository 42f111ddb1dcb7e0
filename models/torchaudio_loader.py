"""Import torchaudio, even where its compiled extension does not fit the installed torch.

PyPI's torchaudio is linked against CUDA. Beside a CPU build of torch, its import raises OSError,
because it loads a shared library that this project does not use. This module then replaces the
extension package by a stub, and logs that. The parts used here (filter banks, MelSpectrogram) are
pure Python.
"""

from __future__ import annotations

import logging
import sys
import types
from typing import Any

from ..stream.errors import MissingExtraError

_log = logging.getLogger(__name__)


def load_torchaudio() -> Any:
    """Return the torchaudio module.

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
