"""Pages of the web: one, those of a sitemap, those that links lead to within one host. Bounded, and polite.

What fetches an address checks it; here nothing but http and https is asked for, and a crawl stays on its host.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import quote, urldefrag, urljoin, urlsplit, urlunsplit

from rag.documents import Document
from rag.errors import DocumentRefused, PartUnread, RagError, SourceFailed, SourceStopped
from rag.extract import listed
from rag.ingest import Item
from rag.listing import Known
from rag.sources import Fetch, Fetched, Items, Read, Readable
from rag.sources.robots import Robots

_MOST_SITEMAPS = 50
_MOST_LINKS = 2_000  # that are kept of a page
_MOST_SEEN = 100_000  # addresses that a crawl knows
_CHANGED = "changed "
_DAY = len("2026-01-31")
_UNSPELLED = re.compile(r"[\x00-\x20\x7f\\]")
_NO_PAGE = re.compile(
    r"\.(?:png|jpe?g|gif|webp|svg|ico|css|js|mjs|json|xml|rss|zip|gz|bz2|xz|tar|exe|dmg|deb|rpm|mp3|mp4|webm|woff2?)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Bounds:
    """How far a crawl goes: links from its beginning, pages, seconds between two of them."""

    depth: int = 3
    n_pages: int = 500
    wait_s: float = 0.5


def _unknown(_: str) -> Known:
    return Known()


@dataclass
class PageItem:
    """One page. It is fetched when it is first asked for, and sent only if it is another one than what is kept.

    changed: when its sitemap says that it was last changed, or empty. is_only: of its source, by a person's word, so it
    may lie on another host by now, and stays when it is gone.
    """

    uri: str
    fetch: Fetch
    read_file: Read
    known: Callable[[str], Known] = _unknown
    changed: str = ""
    is_only: bool = False
    _came: Fetched | RagError | None = field(default=None, repr=False)
    _found: Readable | DocumentRefused | None = field(default=None, repr=False)

    @property
    def stamp(self) -> str:
        """The time in the sitemap, else what the server gave with the page, once it was fetched."""
        if self.changed:
            # A day alone may be that of an earlier version of the same day, a month of an earlier one of that month.
            is_over = len(self.changed) > _DAY or self.changed < _today()[: len(self.changed)]
            return f"{_CHANGED}{self.changed}" if is_over else ""
        return self._came.stamp if isinstance(self._came, Fetched) else ""

    def sha256(self) -> str:
        """Of its bytes. Raises SourceFailed."""
        came = self.came()
        return self.known(self.uri).sha256 if came.is_same else hashlib.sha256(came.body).hexdigest()

    def links(self) -> list[str]:
        """Where the page leads on its host; of one that is the same, or did not come, as it is kept."""
        known = self.known(self.uri)
        try:
            came = self.came()
            if came.is_same or self.sha256() == known.sha256:
                return list(known.links)
        except (SourceFailed, DocumentRefused) as why:
            return [] if is_gone(why) else list(known.links)
        try:
            return _on_host(self._readable(came).links, came.url)
        except DocumentRefused as why:
            return _on_host(why.links, came.url)

    def read(self) -> Document:
        """The page as text. Raises DocumentRefused, SourceFailed."""
        came = self.came()
        parts = urlsplit(came.url)
        if not self.is_only and not _same_host(came.url, self.uri):
            raise DocumentRefused(f"is no longer there, but on {parts.hostname}: give that address to read it")
        found = self._readable(came)
        digest = hashlib.sha256(came.body).hexdigest()
        title = found.title or f"{parts.hostname or ''}{parts.path}".rstrip("/")
        meta = {
            "link": came.url,
            "stamp": self.stamp,
            "links": "\n".join(_on_host(found.links, came.url)[:_MOST_LINKS]),
        }
        return Document(self.uri, title, found.text, found.kind, digest, found.pages, meta)

    def _readable(self, came: Fetched) -> Readable:
        """Its text, for which it is read once. Raises DocumentRefused."""
        if self._found is None:
            parts = urlsplit(came.url)
            name = parts.path.rstrip("/").rpartition("/")[2] or (parts.hostname or "page")
            try:
                self._found = self.read_file(name, came.body, content_type=came.content_type, url=came.url)
            except DocumentRefused as why:
                self._found = why
        if isinstance(self._found, DocumentRefused):
            raise self._found
        return self._found

    @property
    def is_asked(self) -> bool:
        """Whether its server was asked for it."""
        return self._came is not None

    def came(self) -> Fetched:
        """What its address answered, which is asked once. Raises SourceFailed."""
        if self._came is None:
            stamp = self.known(self.uri).stamp
            try:
                self._came = self.fetch(self.uri, "" if stamp.startswith(_CHANGED) else stamp)
            except SourceFailed as why:
                self._came = DocumentRefused(why.message) if self.is_only else why
        if isinstance(self._came, RagError):
            raise self._came
        return self._came


@dataclass(frozen=True)
class Page:
    """One page."""

    address: str
    fetch: Fetch
    read: Read
    known: Callable[[str], Known] = _unknown

    def items(self) -> Items:
        """The page. Raises SourceFailed for what is no address."""
        return Items(iter([PageItem(plain(self.address), self.fetch, self.read, self.known, is_only=True)]), 1)


@dataclass(frozen=True)
class Sitemap:
    """The pages of its own host that a sitemap names (sitemaps.org), and those of the sitemaps that it names."""

    address: str
    fetch: Fetch
    read: Read
    bounds: Bounds = Bounds()
    wait: Callable[[float], None] = time.sleep
    known: Callable[[str], Known] = _unknown
    is_cancelled: Callable[[], bool] = lambda: False

    def items(self) -> Items:
        """The pages that robots.txt leaves to us. Raises SourceFailed, SourceStopped."""
        first = plain(self.address)
        robots = Robots(first, self.fetch)
        pages: dict[str, str] = {}
        unread: list[Item] = []
        for address, changed in self._pages(first, unread, robots):
            if robots.allows(address):
                pages.setdefault(address, changed)
            if len(pages) == self.bounds.n_pages:
                break
        if not pages and not unread:
            raise SourceFailed(f"{first} names no page of its own host: give the address of a sitemap.xml")
        return Items(self._paced(pages, unread, robots), len(pages) + len(unread))

    def _paced(self, pages: Mapping[str, str], unread: Sequence[Item], robots: Robots) -> Iterator[Item]:
        """One after the other; we wait only after a page that was asked for."""
        yield from unread
        for address, changed in pages.items():
            item = PageItem(address, self.fetch, self.read, self.known, changed)
            yield item
            if item.is_asked:
                self.wait(robots.wait_s(self.bounds.wait_s))

    def _pause(self, robots: Robots) -> None:
        """Wait before the next list. Raises SourceStopped."""
        self.wait(robots.wait_s(self.bounds.wait_s))
        if self.is_cancelled():
            raise SourceStopped("stopped")

    def _pages(self, first: str, unread: list[Item], robots: Robots) -> Iterator[tuple[str, str]]:
        """(address, when it was changed) of each page. unread: gets the sitemaps that cannot be read."""
        waiting, seen = deque([first]), {first}
        while waiting:
            at = waiting.popleft()
            if at != first:
                self._pause(robots)
            try:
                came = self.fetch(at)
                found = listed(came.body)
            except (SourceFailed, DocumentRefused) as why:
                if at == first:
                    raise why if isinstance(why, SourceFailed) else SourceFailed(f"{at} {why.message}") from why
                unread.append(UnreadMap(at, why.message))
                continue
            if not found.is_whole:
                unread.append(UnreadMap(at, "it is cut off"))
            for entry in found.entries:
                address = _followed(came.url, entry.address)
                if address is None or not _same_host(address, first):
                    continue
                if not entry.is_list:
                    yield address, entry.changed
                elif address not in seen and len(seen) < _MOST_SITEMAPS:
                    seen.add(address)
                    waiting.append(address)


@dataclass(frozen=True)
class UnreadMap:
    """A sitemap that a sitemap names and that cannot be read: nobody knows which pages are still there."""

    uri: str
    reason: str
    stamp: str = ""

    def sha256(self) -> str:
        """Raises PartUnread."""
        raise PartUnread(f"this list of pages cannot be read: {self.reason}", "")

    def read(self) -> Document:
        """Raises PartUnread."""
        raise PartUnread(f"this list of pages cannot be read: {self.reason}", "")


@dataclass(frozen=True)
class Crawl:
    """The pages that links lead to from one, on its host and below its folder."""

    address: str
    fetch: Fetch
    read: Read
    bounds: Bounds = Bounds()
    wait: Callable[[float], None] = time.sleep
    known: Callable[[str], Known] = _unknown

    def items(self) -> Items:
        """The pages that robots.txt leaves to us, the nearest first. A page that fails is one that says so.

        Raises SourceFailed when the first one cannot be fetched.
        """
        beginning, robots = self._beginning(plain(self.address))
        if not _same_host(beginning.came().url, beginning.uri):  # as from example.org to www.example.org
            beginning, robots = self._beginning(plain(beginning.came().url))
        return Items(self._each(beginning, robots))

    def _beginning(self, address: str) -> tuple[PageItem, Robots]:
        robots = Robots(address, self.fetch)
        if not robots.allows(address):
            said = f"{address} asks programs not to read it (robots.txt): save the pages, and give the folder"
            raise SourceFailed(said)
        return PageItem(address, self.fetch, self.read, self.known), robots

    def _each(self, beginning: PageItem, robots: Robots) -> Iterator[Item]:
        first = beginning.uri
        waiting, seen = deque([(first, 0)]), {first}
        n_pages = 0
        while waiting and n_pages < self.bounds.n_pages:
            address, depth = waiting.popleft()
            item = PageItem(address, self.fetch, self.read, self.known) if n_pages else beginning
            if n_pages:
                self.wait(robots.wait_s(self.bounds.wait_s))
            n_pages += 1
            yield item
            if depth < self.bounds.depth:
                for link in _below(item.links(), first):
                    if link not in seen and len(seen) < _MOST_SEEN and robots.allows(link):
                        seen.add(link)
                        waiting.append((link, depth + 1))


def plain(address: str) -> str:
    """An address without its fragment. Raises SourceFailed for what is none of http or https."""
    found = _followed("", address.strip())
    if found is None:
        raise SourceFailed(f"{address} is no address of a page: write one such as https://example.com/page")
    return found


def _followed(base: str, link: str) -> str | None:
    """Where a link leads, or None where that is no page. What no address may hold is encoded, as browsers do."""
    try:
        address = urldefrag(urljoin(base, link.strip()))[0]
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        return None
    if _UNSPELLED.search(parts.netloc):
        return None
    path, query = (_UNSPELLED.sub(lambda found: quote(found[0]), part) for part in (parts.path or "/", parts.query))
    return urlunsplit((parts.scheme, parts.netloc.lower(), path, query, ""))


def _same_host(one: str, other: str) -> bool:
    return urlsplit(one).netloc.lower() == urlsplit(other).netloc.lower()


def is_gone(why: Exception) -> bool:
    """Whether a server said that there is no such page, or no longer."""
    return isinstance(why, SourceFailed) and why.status in {404, 410}


def _today() -> str:
    return datetime.now(timezone.utc).date().isoformat()


def _on_host(links: Sequence[str], address: str) -> list[str]:
    """The links that lead to pages of an address's host, each once."""
    found = [link for each in links if (link := _followed(address, each)) and _same_host(link, address)]
    return [link for link in dict.fromkeys(found) if not _NO_PAGE.search(link)]


def _below(links: Sequence[str], first: str) -> list[str]:
    """Those on the host of the first page and below its folder."""
    below = urlsplit(first).path.rpartition("/")[0] + "/"
    return [link for link in links if _same_host(link, first) and urlsplit(link).path.startswith(below)]
