"""Every state of docs/screenshots still comes, and shuts nobody out: axe-core finds nothing, and nothing is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.chat import scenes_house
from tests.chat.axe import violations
from tests.chat.shots import SCENES
from tests.chat.stage import DARK, LIGHT, Beat, Scene, Stage

pytestmark = pytest.mark.browser

# The narrowest window that WCAG asks for, and what 200 % zoom leaves of a screen of 1280 x 800.
NARROW, ZOOMED = (320, 640), (640, 400)
WITHOUT_SCRIPTS = "no-javascript"  # where axe-core does not run either


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_a_scene_plays_and_shuts_nobody_out(
    scene: Scene, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Beat, "pause_s", 0)
    monkeypatch.setattr(scenes_house, "ROUND_S", 0)
    with Stage(browser, tmp_path, LIGHT, scene.size) as stage:
        tab = scene.play(stage)
        for (width, height), scheme in ((scene.size, LIGHT), (NARROW, DARK), (ZOOMED, LIGHT)):
            tab.page.set_viewport_size({"width": width, "height": height})
            tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            assert scene.name == WITHOUT_SCRIPTS or violations(tab) == [], f"{scheme}, {width} x {height}"
            assert tab.sideways_px() <= 0, f"{scheme}, {width} x {height}"
