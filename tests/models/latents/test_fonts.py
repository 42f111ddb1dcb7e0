"""Text of any script is drawn by what is installed; what nothing has is named."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.image import imread

from turnstream.models.latents import fonts
from turnstream.models.latents.views import picture


def draw(path: Path, text: str) -> None:
    with picture(path, text, "A caption.", (4.0, 2.0)) as panel:
        panel.set_xlabel(text)


def test_what_no_font_has_is_named_once_and_an_installed_fallback_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "FALLBACKS", ())
    draw(tmp_path / "boxes.png", "你好 hello")
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{tmp_path / 'boxes.png'}: drawn as boxes, since no installed font")
    assert [said.count(text) for text in ("你", "好", "fonts-noto-cjk")] == [1, 1, 1]
    # A font that is named as one of FALLBACKS has these characters (drawn as an H).
    made = TTFont(font_manager.findfont("DejaVu Sans"))
    for table in made["cmap"].tables:
        if table.isUnicode() and table.format in (4, 12):
            table.cmap |= {ord("你"): "H", ord("好"): "H"}
    for record in made["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = "Noto Sans CJK SC"  # pyright: ignore[reportAttributeAccessIssue]
    made.save(tmp_path / "han.ttf")
    monkeypatch.undo()
    caplog.clear()
    manager = font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", list(manager.ttflist))
    manager.addfont(tmp_path / "han.ttf")
    draw(tmp_path / "drawn.png", "你好 hello")
    assert not caplog.records
    drawn, boxes = (imread(tmp_path / f"{name}.png") for name in ("drawn", "boxes"))
    assert drawn.shape != boxes.shape or (drawn != boxes).any()


def test_other_warnings_come_through(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="something else"), fonts.fonts_for(tmp_path):
        warnings.warn("something else", UserWarning, stacklevel=1)
