"""Which kind of source a person means by a path, an address or a repository. Looks at the disk alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chatbot.errors import BadRequest

KINDS = ("page", "sitemap", "crawl", "git", "folder")
_FORGES = ("github.com", "gitlab.com", "codeberg.org", "git.sr.ht")
_TOLD = {
    "page": "one page; --kind crawl follows its links",
    "sitemap": "the pages of a sitemap",
    "crawl": "a page and what it links to on its host",
    "git": "a git repository, as it was committed last",
    "folder": "a folder with all that is below it",
    "file": "a file",
}


@dataclass(frozen=True)
class Named:
    """A source as a person named it. told: what it was taken for."""

    kind: str
    address: str
    options: Mapping[str, Any]
    told: str


def named(name: str, kind: str | None, options: Mapping[str, Any]) -> Named:
    """A source by its name; the kind is guessed where none is given. Raises BadRequest for a path that is not there,
    RagError for what this kind cannot be."""
    from rag.sources import kinds

    found = kind or guessed(name, is_bounded="depth" in options or "n_pages" in options)
    path = Path(name).expanduser().absolute()
    if _is_path(name) and not path.exists():
        raise BadRequest(f"there is no file or folder {name}; an address begins with https:// or http://")
    address = kinds.checked_address(found, str(path) if _is_path(name) else name)
    told = "file" if found == "folder" and path.is_file() else found
    return Named(found, address, kinds.checked_options(found, options), f"{name}: {_TOLD[told]}")


def guessed(name: str, *, is_bounded: bool = False) -> str:
    """The kind that a name most likely means; is_bounded: links are to be followed."""
    if _is_path(name):
        return "git" if _is_repository(Path(name).expanduser()) else "folder"
    parts = urlsplit(name)
    path = parts.path.rstrip("/").lower()
    if path.endswith(".git") or parts.scheme not in {"http", "https"}:
        return "git"
    if (parts.hostname or "") in _FORGES and path.count("/") == 2 and not is_bounded:
        return "git"
    if path.endswith((".xml", ".xml.gz")):
        return "sitemap"
    return "crawl" if is_bounded else "page"


def _is_path(name: str) -> bool:
    return "://" not in name and not name.startswith("git@")


def _is_repository(path: Path) -> bool:
    """Whether it is a folder under git, or the bare folder of a repository."""
    return path.is_dir() and ((path / ".git").exists() or ((path / "HEAD").is_file() and (path / "objects").is_dir()))
