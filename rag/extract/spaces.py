"""Tell pypdf how wide a space is in fonts of numbered glyphs, which TeX and others write, or it joins all words.

pypdf 7.1 takes glyph 32 of such a font for its space, which is any letter, and often three times as wide.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

_USUAL = 250  # thousandths of the size: a space of most fonts


def mend() -> None:
    """Correct the widths that pypdf reads, in this process."""
    with suppress(ImportError, AttributeError):  # another version of pypdf, whose insides are others
        from pypdf.generic import _font

        read = _font.Font.from_font_resource
        if getattr(read, "is_mended", False):
            return

        def mended(resource: Any, *rest: Any, **named: Any) -> Any:
            font = read(resource, *rest, **named)
            if resource.get("/Subtype") == "/Type0":
                font.space_width = _width(font)
            return font

        mended.is_mended = True  # type: ignore[attr-defined]
        _font.Font.from_font_resource = staticmethod(mended)  # type: ignore[assignment]


def _width(font: Any) -> float:
    """The width of the glyph that stands for a space, else what is usual."""
    for code, letter in font.character_map.items():
        if letter == " " and (width := font.character_widths.get(code, 0)):
            return float(width)
    return float(min(font.space_width, _USUAL))
