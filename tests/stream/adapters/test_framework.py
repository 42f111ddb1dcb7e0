"""A framework that is not installed is one line that names the extra."""

from __future__ import annotations

import importlib
import sys

import pytest

from turnstream import MissingExtraError
from turnstream.stream.adapters.framework import framework


@pytest.mark.parametrize(
    ("module", "extra", "package"),
    [
        ("livekit", "livekit", "livekit-agents"),
        ("pipecat", "pipecat", "pipecat-ai"),
        ("pipecat_analyzer", "pipecat", "pipecat-ai"),
        ("pipecat_strategies", "pipecat", "pipecat-ai"),
    ],
)
def test_a_missing_framework_is_one_line_that_names_the_extra(
    module: str, extra: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = f"turnstream.stream.adapters.{module}"
    for name in [name for name in sys.modules if name.split(".")[0] == extra or name == ours]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, extra, None)
    with pytest.raises(MissingExtraError, match=rf"^{package} is not installed.*\[{extra}\]'$"):
        importlib.import_module(ours)


def test_what_the_framework_itself_misses_is_told_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), framework("livekit", "x"):
        importlib.import_module("no_such_module")
