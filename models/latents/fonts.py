"""Fonts for the text of dialogues and names of files, in any script.

matplotlib falls back from its own font, which lacks many, to others that are named.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CJK = ("CJK SC", "CJK JP", "CJK KR", "SC", "JP", "KR")
OTHERS = ("Devanagari", "Bengali", "Tamil", "Telugu", "Thai", "Ethiopic")
FALLBACKS = (  # families that have what DejaVu Sans lacks, as Linux, macOS and Windows name them
    *(f"Noto Sans {script}" for script in CJK),
    *("Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback"),
    *("IPAexGothic", "NanumGothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "SimHei"),
    *(f"Noto Sans {script}" for script in OTHERS),
    *("Arial Unicode MS", "Nirmala UI", "Unifont"),
)
_MISSING = re.compile(r"Glyph (\d+) \(.*\) missing from font")

_log = logging.getLogger(__name__)


@contextmanager
def fonts_for(path: Path) -> Iterator[None]:
    """Draw and save a picture with fallback fonts; say which characters none of them has."""
    from matplotlib import font_manager, rc_context, rcParams

    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = [*rcParams["font.family"], *(name for name in FALLBACKS if name in installed)]
    with rc_context({"font.family": families}), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    lacking: dict[str, None] = {}  # in order
    for one in caught:
        if match := _MISSING.match(str(one.message)):
            lacking[chr(int(match[1]))] = None
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if lacking:
        _log.warning(
            "%s: drawn as boxes, since no installed font has them: %s. Install one that does, such "
            "as Noto Sans CJK (Debian: fonts-noto-cjk).",
            path,
            "".join(lacking),
        )
