"""Draw the app's icons from icon.svg with Chromium: python -m tests.chat.icons."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.conftest import CHROMIUM_FLAGS

STATIC = Path(__file__).resolve().parents[2] / "chatbot" / "web" / "static"
ROUNDED = ' rx="7"'  # the system cuts a maskable icon to its own shape: that one fills its square


def draw() -> None:
    """Write icon-192.png, icon-512.png and icon-maskable-512.png."""
    drawing = (STATIC / "icon.svg").read_text(encoding="utf-8")
    path = os.environ.get("PADDOCK_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        for name, size, svg in (
            ("icon-192", 192, drawing),
            ("icon-512", 512, drawing),
            ("icon-maskable-512", 512, drawing.replace(ROUNDED, "")),
        ):
            page = chromium.new_page(viewport={"width": size, "height": size})
            page.set_content(f"<style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg}")
            page.screenshot(path=STATIC / f"{name}.png", omit_background=True)
            page.close()
        chromium.close()


if __name__ == "__main__":
    draw()
