"""The kinds of sources: what each may be told, and its items."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rag.errors import RagError, SourceFailed
from rag.listing import Known
from rag.sources import Fetch, Items, Read
from rag.sources.folder import Folder
from rag.sources.git import Repository, checked
from rag.sources.web import Bounds, Crawl, Page, Sitemap, plain

KINDS = ("folder", "page", "sitemap", "crawl", "git")
_OPTIONS = {
    "folder": ("only", "watch"),
    "page": (),
    "sitemap": ("n_pages",),
    "crawl": ("depth", "n_pages"),
    "git": ("only", "ref"),
}
_RANGES = {"depth": (0, 10), "n_pages": (1, 10_000)}
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+-]{0,199}")
_MOST_PATTERNS = 50
_LOOK_S = 0.2  # between two looks whether the run shall stop


def checked_address(kind: str, address: str) -> str:
    """The address of a source as it is kept. Raises RagError for what is none of this kind."""
    address = address.strip()
    if kind not in KINDS:
        raise RagError(f"there is no kind of source {kind[:40]}: {', '.join(KINDS)} are known")
    if kind == "folder":
        folder = Path(address).expanduser()
        if not address or not folder.is_absolute():
            raise SourceFailed(f"{address or 'nothing'} is no whole path: it begins with / or ~")
        if not folder.exists():
            raise SourceFailed(f"{folder} is not there: check its spelling")
        return str(folder)
    return checked(address) if kind == "git" else plain(address)


def checked_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a source as they are kept. Raises RagError for one that it does not have, or cannot be."""
    known = _OPTIONS[kind]
    if unknown := [name for name in options if name not in known]:
        has = f"has {', '.join(known)}" if known else "has none"
        raise RagError(f"a source of the kind {kind} has no option {str(unknown[0])[:40]}: it {has}")
    return {name: _checked(name, value) for name, value in options.items() if value not in (None, "", [])}


def _checked(name: str, value: Any) -> Any:
    if name in _RANGES:
        least, most = _RANGES[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise RagError(f"{name} is a number from {least} to {most:,}")
        return value
    if name == "watch":
        if not isinstance(value, bool):
            raise RagError("watch is true or false")
        return value
    if name == "ref":
        if not isinstance(value, str) or not _REF.fullmatch(value):
            raise RagError("ref is the name of a branch or tag, such as main")
        return value
    is_list = isinstance(value, list) and len(value) <= _MOST_PATTERNS
    if not is_list or not all(isinstance(each, str) and 0 < len(each) <= 200 for each in value):
        raise RagError(f"only is a list of at most {_MOST_PATTERNS} patterns of names, such as *.md")
    return list(value)


def needs_fetch(kind: str, address: str) -> bool:
    """Whether something of the net is asked for."""
    return kind in {"page", "sitemap", "crawl"} or (kind == "git" and "://" in address)


def covers(kind: str, address: str, uri: str) -> bool:
    """Whether a source has a document too, by where that is. Which pages of a site it has is not known before it is
    read: none, so that nothing stays that a person took away. The files of a repository are no other source's."""
    if kind in {"sitemap", "crawl", "git"}:
        return False
    return uri == uri_of(kind, address) or (kind != "page" and uri.startswith(f"{uri_of(kind, address)}/"))


def uri_of(kind: str, address: str) -> str:
    """The uri that a source's own address has as a document."""
    return address if kind == "page" or "://" in address else Path(address).expanduser().absolute().as_uri()


def items_of(
    kind: str,
    address: str,
    options: Mapping[str, Any],
    *,
    read: Read,
    fetch: Fetch | None,
    place: Path,
    known: Callable[[str], Known],
    is_cancelled: Callable[[], bool],
) -> Items:
    """The items of a source. place: where a repository's copy lies. Raises SourceFailed."""
    only = tuple(options.get("only", ()))
    if kind == "folder":
        return Folder(Path(address), read, only).items()
    if kind == "git":
        return Repository(address, place, read, options.get("ref", ""), only, fetch, is_cancelled).items()
    if fetch is None:
        raise off()
    if kind == "page":
        return Page(address, fetch, read, known).items()
    bounds = Bounds(
        **{name: options[name] for name in ("depth", "n_pages") if name in options}  # what is not said stays as it is
    )
    wait = partial(_wait, is_cancelled)
    if kind == "sitemap":
        return Sitemap(address, fetch, read, bounds, wait, known, is_cancelled).items()
    return Crawl(address, fetch, read, bounds, wait, known).items()


def _wait(is_cancelled: Callable[[], bool], seconds: float) -> None:
    """Wait, but not on when the run shall stop."""
    end = time.monotonic() + seconds
    while not is_cancelled() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK_S))


def off() -> SourceFailed:
    """Nothing may be asked of the net."""
    return SourceFailed("fetching is turned off here: start with --network true")
