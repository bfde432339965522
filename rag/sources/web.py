"""Pages of the web: one, those of a sitemap, those that links lead to within one host. Bounded, and polite.

What fetches an address checks it; here nothing but http and https is asked for, and a crawl stays on its host.
"""

from __future__ import annotations

import hashlib
import re
import time
import urllib.robotparser
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

from bs4 import BeautifulSoup, Tag

from rag.documents import Document
from rag.errors import DocumentRefused, SourceFailed
from rag.sources import Fetch, Fetched, Read

_AGENT = "Paddock"
_MOST_SITEMAPS = 50
_LONGEST_WAIT_S = 10.0
_LOC = re.compile(r"<loc>\s*(?:<!\[CDATA\[)?\s*([^<\]\s]+)", re.IGNORECASE)
_PAGES = ("text/html", "application/xhtml+xml")
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


@dataclass
class PageItem:
    """One page. It is fetched when it is first asked for."""

    uri: str
    fetch: Fetch
    read_file: Read
    stamp: str = ""
    _came: Fetched | None = field(default=None, repr=False)

    def sha256(self) -> str:
        """Of its bytes. Raises SourceFailed."""
        return hashlib.sha256(self.came().body).hexdigest()

    def read(self) -> Document:
        """The page as text. Raises DocumentRefused, SourceFailed."""
        came = self.came()
        parts = urlsplit(came.url)
        name = parts.path.rstrip("/").rpartition("/")[2] or (parts.hostname or "page")
        found = self.read_file(name, came.body, content_type=came.content_type, url=came.url)
        digest = hashlib.sha256(came.body).hexdigest()
        title = found.title or f"{parts.hostname or ''}{parts.path}".rstrip("/")
        return Document(self.uri, title, found.text, found.kind, digest, found.pages, {"link": came.url})

    def came(self) -> Fetched:
        """What its address answered. Raises SourceFailed."""
        if self._came is None:
            self._came = self.fetch(self.uri)
        return self._came


@dataclass(frozen=True)
class Page:
    """One page."""

    address: str
    fetch: Fetch
    read: Read

    def items(self) -> Iterator[PageItem]:
        """The page. Raises SourceFailed for what is no address."""
        yield PageItem(plain(self.address), self.fetch, self.read)


@dataclass(frozen=True)
class Sitemap:
    """The pages of its own host that a sitemap names (sitemaps.org), and those of the sitemaps that it names."""

    address: str
    fetch: Fetch
    read: Read
    bounds: Bounds = Bounds()
    wait: Callable[[float], None] = time.sleep

    def items(self) -> Iterator[PageItem]:
        """The pages that robots.txt leaves to us. Raises SourceFailed."""
        robots = Robots(plain(self.address), self.fetch)
        pages = list(dict.fromkeys(self._pages(plain(self.address))))
        for number, address in enumerate(pages[: self.bounds.n_pages]):
            if robots.allows(address):
                if number:
                    self.wait(robots.wait_s(self.bounds.wait_s))
                yield PageItem(address, self.fetch, self.read)

    def _pages(self, first: str) -> Iterator[str]:
        waiting, seen = deque([first]), {first}
        while waiting and len(seen) <= _MOST_SITEMAPS:
            came = self.fetch(waiting.popleft())
            text = came.body.decode("utf-8", "replace")
            is_index = "<sitemapindex" in text[:2_000].lower()
            for found in _LOC.findall(text):
                address = _followed(came.url, found.replace("&amp;", "&"))
                if address is None or not _same_host(address, first):
                    continue
                if not is_index:
                    yield address
                elif address not in seen:
                    seen.add(address)
                    waiting.append(address)


@dataclass(frozen=True)
class Crawl:
    """The pages that links lead to from one, on its host and below its folder."""

    address: str
    fetch: Fetch
    read: Read
    bounds: Bounds = Bounds()
    wait: Callable[[float], None] = time.sleep

    def items(self) -> Iterator[PageItem]:
        """The pages that robots.txt leaves to us, the nearest first. A page that fails is one that says so."""
        first = plain(self.address)
        robots = Robots(first, self.fetch)
        waiting, seen = deque([(first, 0)]), {first}
        n_pages = 0
        while waiting and n_pages < self.bounds.n_pages:
            address, depth = waiting.popleft()
            if not robots.allows(address):
                continue
            if n_pages:
                self.wait(robots.wait_s(self.bounds.wait_s))
            n_pages += 1
            item = PageItem(address, self.fetch, self.read)
            yield item
            if depth < self.bounds.depth:
                for link in _links(item, first):
                    if link not in seen:
                        seen.add(link)
                        waiting.append((link, depth + 1))


class Robots:
    """What a host asks of programs that read it (RFC 9309). One that has no robots.txt asks nothing."""

    def __init__(self, address: str, fetch: Fetch) -> None:
        parts = urlsplit(address)
        self._rules = urllib.robotparser.RobotFileParser()
        try:
            came = fetch(urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", "")))
            self._rules.parse(came.body[:500_000].decode("utf-8", "replace").splitlines())
        except SourceFailed:
            self._rules.parse([])

    def allows(self, address: str) -> bool:
        """Whether we may ask for it."""
        return self._rules.can_fetch(_AGENT, address)

    def wait_s(self, least: float) -> float:
        """Seconds between two pages: what the host asks for, within reason."""
        asked = self._rules.crawl_delay(_AGENT)
        return max(least, min(float(asked), _LONGEST_WAIT_S)) if asked else least


def plain(address: str) -> str:
    """An address without its fragment. Raises SourceFailed for what is none of http or https."""
    found = _followed("", address.strip())
    if found is None:
        raise SourceFailed(f"{address} is no address of a page: it begins with https://")
    return found


def _followed(base: str, link: str) -> str | None:
    """Where a link leads, or None where that is no page."""
    try:
        address = urldefrag(urljoin(base, link))[0]
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        return None
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path or "/", parts.query, ""))


def _same_host(one: str, other: str) -> bool:
    return urlsplit(one).netloc.lower() == urlsplit(other).netloc.lower()


def _links(item: PageItem, first: str) -> list[str]:
    """Where the links of a page lead, on the host of the first page and below its folder."""
    try:
        came = item.came()
    except (SourceFailed, DocumentRefused):
        return []
    if came.content_type.partition(";")[0].strip().lower() not in _PAGES:
        return []
    below = urlsplit(first).path.rpartition("/")[0] + "/"
    found: list[str] = []
    for tag in BeautifulSoup(came.body, "html.parser").find_all("a", href=True):
        if not isinstance(tag, Tag) or "nofollow" in str(tag.get("rel") or ""):
            continue
        link = _followed(came.url, str(tag["href"]))
        if link and _same_host(link, first) and urlsplit(link).path.startswith(below) and not _NO_PAGE.search(link):
            found.append(link)
    return list(dict.fromkeys(found))
