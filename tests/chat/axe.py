"""Look at a page with axe-core, as somebody would who sees it with other eyes or none."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from tests.chat.page import Tab

# What is half faded in has colours that nobody sees for longer than a moment. What moves without end is let be.
_AT_REST = """() => Promise.all(document.getAnimations()
    .filter((each) => each.effect.getComputedTiming().endTime < 2000)
    .map((each) => each.finished.catch(() => {})))"""


@cache
def _source() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def violations(tab: Tab) -> list[str]:
    """What axe-core has against the page as it is once nothing fades any more: rule, words and elements of each."""
    tab.page.evaluate(_AT_REST)
    if not tab.page.evaluate("'axe' in window"):
        tab.page.evaluate(_source())
    found: dict[str, Any] = tab.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{rule['id']}: {rule['help']} {[node['html'][:200] for node in rule['nodes']]}" for rule in found["violations"]
    ]
