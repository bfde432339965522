"""What makes the page installable: its manifest, and the worker that shows its shell while the server is down."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from flask import Flask, Response, render_template

from chatbot import __version__

_PAPER = "#faf8f4"
_MANIFEST = {
    "id": "/",
    "name": "Paddock",
    "short_name": "Paddock",
    "description": "Chat with the models on your own machine.",
    "lang": "en",
    "start_url": "/",
    "scope": "/",
    "display": "standalone",
    "background_color": _PAPER,
    "theme_color": _PAPER,
    "icons": [
        {"src": "/static/icon.svg", "sizes": "any", "type": "image/svg+xml"},
        {"src": "/static/icon-192.png", "sizes": "192x192", "type": "image/png"},
        {"src": "/static/icon-512.png", "sizes": "512x512", "type": "image/png"},
        {"src": "/static/icon-maskable-512.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
    ],
}


def add_shell(app: Flask) -> None:
    """Add the routes of the manifest and of the worker."""
    static = Path(str(app.static_folder))
    files = shell_files(static)
    pages = Path(app.root_path) / str(app.template_folder)
    build = digest([static / name for name in files] + [pages / "chat.html", pages / "worker.js"])
    shell = ["/", *(f"/static/{name}" for name in files)]

    @app.get("/manifest.webmanifest")
    def manifest() -> Response:
        return Response(json.dumps(_MANIFEST), mimetype="application/manifest+json")

    @app.get("/worker.js")
    def worker() -> Response:
        text = render_template("worker.js", build=build, shell=shell)
        return Response(text, mimetype="text/javascript", headers={"Cache-Control": "no-cache"})


def shell_files(static: Path) -> list[str]:
    """What the page needs to show itself, below the static folder: also chunks that its script cannot do without."""
    return ["early.js", "icon.svg", "build/chat.css", *_with_imports(static / "build", "chat.js", set())]


def _with_imports(build: Path, name: str, seen: set[str]) -> list[str]:
    if name in seen:
        return []
    seen.add(name)
    text = (build / name).read_text(encoding="utf-8")
    needed = re.findall(r"""(?:\bfrom|\bimport)\s*["']\./([\w.-]+\.js)["']""", text)
    return [f"build/{name}", *(found for other in needed for found in _with_imports(build, other, seen))]


def digest(files: list[Path]) -> str:
    """A name for this build: another one when any of the files or the version changes."""
    made = hashlib.sha256(__version__.encode())
    for path in files:
        made.update(path.read_bytes())
    return made.hexdigest()[:16]
