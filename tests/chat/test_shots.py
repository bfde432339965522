"""The pictures of the page's states: each scene has its pictures, and each picture its scene and its build."""

from __future__ import annotations

import struct

from tests.chat.shots import FOLDER, drawn_from, file_name, listing, wanted_files
from tests.chat.stage import SCENES

MOST_BYTES = 3_000_000


def test_folder_holds_a_picture_for_each_scene_and_nothing_else() -> None:
    assert {path.name for path in FOLDER.iterdir()} == wanted_files()
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == listing(drawn_from())
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MOST_BYTES


def test_each_picture_has_the_size_of_its_scene() -> None:
    for scene in SCENES.values():
        for scheme in scene.schemes:
            head = (FOLDER / file_name(scene, scheme)).read_bytes()[:24]
            assert head[:8] == b"\x89PNG\r\n\x1a\n"
            assert struct.unpack(">II", head[16:]) == scene.size
