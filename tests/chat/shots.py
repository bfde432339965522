"""Draw the page in every state: python -m tests.chat.shots [--to FOLDER] [--scheme light|dark] [--stale] [NAME …]

Writes a small picture for each scene of tests/chat/scenes_*.py, in the scene's own themes unless one is named, and a
README.md that lists them with the build of the page that they show. Without names all are drawn, with --stale those
that show another build than the present one. Pictures of scenes that are no more are removed.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import shutil
import struct
import sys
import tempfile
import zlib
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.chat import scenes_answer, scenes_around, scenes_boxes, scenes_house, scenes_library, scenes_trouble
from tests.chat.stage import SCENES, Scene, Stage
from tests.conftest import CHROMIUM_FLAGS

# Importing them fills SCENES.
PLAYED = (scenes_answer, scenes_around, scenes_trouble, scenes_house, scenes_library, scenes_boxes)
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
BUILD = FOLDER.parents[1] / "chatbot" / "web" / "static" / "build" / "source.sha256"
HEAD = """# The page in its states

Drawn by `python -m tests.chat.shots` with a scripted model server. Each scene names the build of the page that it was
drawn from: the first letters of `chatbot/web/static/build/source.sha256` as it was then. Where they are others now, the
page may look different by now; `python -m tests.chat.shots --stale` draws these scenes again. A test plays all of them.
"""
_LISTED = re.compile(r"^\*\*([a-z-]+)\*\* \(([0-9a-f]{12})\): ", re.MULTILINE)
N_COLOURS = 160
# The most frequent colours stay exactly as they are; the edges of letters take the nearest of them.
_REDUCE = """async ([png, n]) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const dots = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
    const counts = new Map();
    for (const dot of dots) counts.set(dot, (counts.get(dot) ?? 0) + 1);
    const colours = [...counts].sort((a, b) => b[1] - a[1]).slice(0, n).map(([dot]) => dot);
    const parts = (dot) => [dot & 255, (dot >> 8) & 255, (dot >> 16) & 255];
    const table = colours.map(parts);
    const nearest = new Map();
    for (const dot of counts.keys()) {
        const [r, g, b] = parts(dot);
        const far = table.map(([x, y, z]) => 2 * (x - r) ** 2 + 4 * (y - g) ** 2 + (z - b) ** 2);
        nearest.set(dot, far.indexOf(Math.min(...far)));
    }
    let text = "";
    for (const dot of dots) text += String.fromCharCode(nearest.get(dot));
    return [width, height, table.flat(), btoa(text)];
}"""


def file_name(scene: Scene, scheme: str) -> str:
    """Of a scene's picture in a theme; the first of its themes goes without saying."""
    return f"{scene.name}.png" if scheme == scene.schemes[0] else f"{scene.name}-{scheme}.png"


def present_build() -> str:
    """The name of the page's build as it is now."""
    return BUILD.read_text(encoding="utf-8")[:12]


def drawn_from() -> dict[str, str]:
    """The build that each scene of the folder was drawn from, as its README.md has it."""
    return dict(_LISTED.findall((FOLDER / "README.md").read_text(encoding="utf-8")))


def in_order() -> list[Scene]:
    """All scenes as they stand in their modules, whichever of these was imported first."""
    modules = [each.__name__ for each in PLAYED]
    return sorted(SCENES.values(), key=lambda scene: modules.index(scene.play.__module__))


def listing(builds: dict[str, str]) -> str:
    """The README.md of the folder, for scenes that were drawn from these builds."""
    parts = [HEAD]
    for scene in in_order():
        pictures = "\n".join(f"![{scene.said}]({file_name(scene, scheme)})" for scheme in scene.schemes)
        parts.append(f"**{scene.name}** ({builds.get(scene.name, 'not drawn')}): {scene.said}\n\n{pictures}\n")
    return "\n".join(parts)


def wanted_files() -> set[str]:
    """All that belongs into the folder."""
    pictures = {file_name(scene, scheme) for scene in SCENES.values() for scheme in scene.schemes}
    return pictures | {"README.md"}


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def reduced(browser: Browser, png: bytes) -> bytes:
    """A picture with few colours, a byte a dot."""
    page = browser.new_page()
    width, height, table, dots = page.evaluate(_REDUCE, [base64.b64encode(png).decode(), N_COLOURS])
    page.close()
    raw = base64.b64decode(dots)
    rows = b"".join(b"\0" + raw[at : at + width] for at in range(0, width * height, width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = [(b"IHDR", head), (b"PLTE", bytes(table)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def draw(scene: Scene, scheme: str, browser: Browser, folder: Path) -> int:
    """Play a scene and write its picture; the bytes of it."""
    with tempfile.TemporaryDirectory() as data, Stage(browser, Path(data), scheme, scene.size) as stage:
        tab = scene.play(stage)
        tab.page.mouse.move(*stage.mouse)
        tab.page.wait_for_timeout(300)  # what is drawn late: colours of code, formulas
        picture = reduced(browser, tab.page.screenshot(animations="disabled"))
    (folder / file_name(scene, scheme)).write_bytes(picture)
    return len(picture)


def draw_all(names: list[str], scheme: str | None, folder: Path) -> None:
    """Draw these scenes, and say of each picture that it is there."""
    path = os.environ.get("PADDOCK_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        for scene in map(SCENES.__getitem__, names):
            for each in [scheme] if scheme else scene.schemes:
                n_bytes = draw(scene, each, browser, folder)
                sys.stdout.write(f"{file_name(scene, each)} {n_bytes:,}\n")
                sys.stdout.flush()
        browser.close()


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--to", type=Path, default=FOLDER)
    parser.add_argument("--scheme", choices=("light", "dark"))
    parser.add_argument("--stale", action="store_true")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    builds = drawn_from()
    names = asked.names or [name for name in SCENES if not asked.stale or builds.get(name) != present_build()]
    draw_all(names, asked.scheme, asked.to)
    if asked.to == FOLDER:
        builds |= dict.fromkeys(names, present_build())
        (FOLDER / "README.md").write_text(listing(builds), encoding="utf-8")
        for each in FOLDER.iterdir():
            if each.name not in wanted_files():
                each.unlink()


if __name__ == "__main__":
    main()
