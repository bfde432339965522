"""Pages, sitemaps and crawls stay on their host, within their bounds and what robots.txt leaves to them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest

from rag.errors import DocumentRefused, SourceFailed
from rag.extract import read
from rag.ingest import Ingest, Report
from rag.library import Library
from rag.sources import Fetched
from rag.sources.web import Bounds, Crawl, Page, Sitemap
from tests.documents.shelf import WordEmbedder

HOST = "https://farm.example"


class Web:
    """A site that lies in memory."""

    def __init__(self, pages: Mapping[str, str | bytes], content_type: str = "text/html; charset=utf-8") -> None:
        self.pages, self._type = dict(pages), content_type
        self.asked: list[str] = []
        self.spared: list[str] = []
        self.down: set[str] = set()
        self.has_stamps = False
        self.waits: list[float] = []

    def __call__(self, url: str, stamp: str = "") -> Fetched:
        path = url.removeprefix(HOST)
        self.asked.append(path)
        if path in self.down:
            raise SourceFailed(f"{url} answered 500", 500)
        if path not in self.pages:
            raise SourceFailed(f"{url} answered 404", 404)
        page = self.pages[path]
        body = page if isinstance(page, bytes) else page.encode()
        etag = hashlib.sha256(body).hexdigest() if self.has_stamps else ""
        if etag and etag == stamp:
            self.spared.append(path)
            return Fetched(url, "", b"", etag, is_same=True)
        return Fetched(url, self._type, body, etag)

    def tunnel(self, url: str, n_bytes: int) -> AbstractContextManager[str]:
        raise SourceFailed("no repository is asked for here")

    def crawl(self, start: str = "/docs/", **bounds: float) -> list[str]:
        crawl = Crawl(HOST + start, self, read, Bounds(**bounds), self.waits.append)  # type: ignore[arg-type]
        return [item.uri.removeprefix(HOST) for item in crawl.items()]


def links(*to: str) -> str:
    return "".join(f'<a href="{link}">x</a>' for link in to)


SITE = {
    "/docs/": links(
        "a.html", "b.html#part", "/other", "https://elsewhere.example/", "mailto:x@y", "pic.png", "javascript:1"
    ),
    "/docs/a.html": links("c.html", "../docs/", "//farm.example/docs/d.html"),
    "/docs/b.html": links("a.html", "http://[broken"),
    "/docs/c.html": links("e.html"),
    "/docs/d.html": "end",
    "/docs/e.html": "end",
}


def test_a_crawl_meets_each_page_below_its_folder_once() -> None:
    assert Web(SITE).crawl() == [f"/docs/{name}" for name in ("", "a.html", "b.html", "c.html", "d.html", "e.html")]


@pytest.mark.parametrize(
    ("base", "met"),
    [
        ("/docs/v2/", ["/docs/", "/docs/v2/a.html"]),
        ("v2/index.html", ["/docs/", "/docs/v2/a.html"]),
        ("https://elsewhere.example/docs/", ["/docs/"]),
        ("http://[broken", ["/docs/", "/docs/a.html"]),
    ],
)
def test_links_of_a_page_are_relative_to_the_base_that_it_names(base: str, met: list[str]) -> None:
    beginning = f'<head><base target="_top"><base href="{base}"><base href="/not/"></head>' + links("a.html")
    assert Web({"/docs/": beginning, "/docs/a.html": "end", "/docs/v2/a.html": "end"}).crawl() == met


@pytest.mark.parametrize(
    ("bounds", "n"), [({"depth": 0}, 1), ({"depth": 1}, 3), ({"depth": 2}, 5), ({"n_pages": 2}, 2)]
)
def test_a_crawl_keeps_its_bounds(bounds: dict[str, float], n: int) -> None:
    assert len(Web(SITE).crawl(**bounds)) == n


def test_robots_txt_is_kept_to() -> None:
    web = Web({**SITE, "/robots.txt": "User-agent: *\nDisallow: /docs/b\nDisallow: /docs/c\nCrawl-delay: 4\n"})
    assert web.crawl() == ["/docs/", "/docs/a.html", "/docs/d.html"]
    assert "/docs/b.html" not in web.asked
    assert web.waits == [4.0, 4.0]


def test_the_longest_rule_of_robots_txt_decides_and_a_star_is_any_text() -> None:
    pages = {
        f"/docs/{name}": "end" for name in ("a.html", "a.html?print=1", "private/secret.html", "private/open.html")
    }
    rules = "Allow: /\nDisallow: /docs/private/\nAllow: /docs/private/open\nDisallow: /*?print="
    web = Web(
        {
            "/docs/": links(*(name.removeprefix("/docs/") for name in pages)),
            **pages,
            "/robots.txt": f"User-agent: *\n{rules}",
        }
    )
    assert web.crawl() == ["/docs/", "/docs/a.html", "/docs/private/open.html"]
    assert web.asked == ["/robots.txt", "/docs/", "/docs/a.html", "/docs/private/open.html"]


def test_a_host_cannot_make_a_crawl_wait_for_ever() -> None:
    web = Web({**SITE, "/robots.txt": "User-agent: *\nCrawl-delay: 86400\n"})
    web.crawl(depth=1)
    assert set(web.waits) == {10.0}


def test_a_page_that_fails_leaves_the_others() -> None:
    web = Web({"/docs/": links("gone.html", "d.html"), "/docs/d.html": "end"})
    assert web.crawl() == ["/docs/", "/docs/gone.html", "/docs/d.html"]


def test_what_is_no_page_is_not_searched_for_links() -> None:
    assert Web({"/docs/": links("a.html"), "/docs/a.html": "x"}, "text/plain").crawl() == ["/docs/"]


class Moving(Web):
    """A site that sends some addresses elsewhere."""

    def __init__(self, pages: Mapping[str, str], moved: Mapping[str, str]) -> None:
        super().__init__(pages)
        self.moved = moved

    def __call__(self, url: str, stamp: str = "") -> Fetched:
        return super().__call__(self.moved.get(url, url), stamp)


def test_a_page_sent_to_another_host_is_not_taken_for_one_of_this() -> None:
    elsewhere = "https://elsewhere.example/"
    web = Moving({**SITE, elsewhere: "advertisement" + links("/docs/x.html")}, {f"{HOST}/docs/a.html": elsewhere})
    crawl = Crawl(f"{HOST}/docs/", web, read, wait=web.waits.append)
    items = {item.uri.removeprefix(HOST): item for item in crawl.items()}
    assert list(items) == ["/docs/", "/docs/a.html", "/docs/b.html"]
    with pytest.raises(DocumentRefused, match=r"but on elsewhere\.example"):
        items["/docs/a.html"].read()
    [page] = Page(f"{HOST}/docs/a.html", web, read).items()  # a person asked for this one
    assert page.read().meta["link"] == elsewhere


def test_a_crawl_whose_beginning_moved_goes_on_there() -> None:
    www = "https://www.farm.example"
    pages = {f"{www}{path}": text for path, text in SITE.items()}
    web = Moving(pages, {f"{HOST}/docs/": f"{www}/docs/"})
    crawl = Crawl(f"{HOST}/docs/", web, read, Bounds(depth=1), web.waits.append)
    assert [item.uri for item in crawl.items()] == [f"{www}/docs/", f"{www}/docs/a.html", f"{www}/docs/b.html"]
    assert f"{www}/robots.txt" in web.asked


def test_a_sitemap_of_sitemaps_names_its_pages_once() -> None:
    maps = "".join(f"<sitemap><loc>{HOST}/{name}.xml</loc></sitemap>" for name in ("one", "s"))
    index = f"<sitemapindex>{maps}</sitemapindex>"
    one = f"<urlset><url><loc> {HOST}/a?x=1&amp;y=2 </loc></url><url><loc>https://elsewhere.example/b</loc></url></urlset>"
    web = Web({"/s.xml": index, "/one.xml": one + one})
    items = list(Sitemap(f"{HOST}/s.xml", web, read, wait=web.waits.append).items())
    assert [item.uri for item in items] == [f"{HOST}/a?x=1&y=2"]


def test_a_packed_sitemap_is_read_and_a_damaged_one_said() -> None:
    class Packed(Web):
        def __call__(self, url: str, stamp: str = "") -> Fetched:
            came = super().__call__(url)
            return Fetched(url, "application/gzip", gzip.compress(came.body)[: self.n_bytes])

        n_bytes = 10_000

    web = Packed({"/s.xml.gz": f"<urlset><url><loc>{HOST}/a</loc></url></urlset>"})
    assert [item.uri for item in Sitemap(f"{HOST}/s.xml.gz", web, read).items()] == [f"{HOST}/a"]
    web.n_bytes = 4
    with pytest.raises(SourceFailed, match="is damaged"):
        Sitemap(f"{HOST}/s.xml.gz", web, read).items()


def test_a_sitemap_keeps_its_bounds_and_robots_txt() -> None:
    pages = "".join(f"<url><loc>{HOST}/{n}</loc></url>" for n in range(50))
    web = Web({"/s.xml": f"<urlset>{pages}</urlset>", "/robots.txt": "User-agent: Paddock\nDisallow: /3\n"})
    found = [item.uri for item in Sitemap(f"{HOST}/s.xml", web, read, Bounds(n_pages=5), web.waits.append).items()]
    assert found == [f"{HOST}/{n}" for n in (0, 1, 2, 4, 5)]


def test_a_page_is_read_once_and_titled() -> None:
    web = Web({"/docs/a.html": "text"})
    [item] = Page(f"{HOST}/docs/a.html#part", web, read).items()
    assert (item.sha256(), item.read().title, web.asked) == (
        item.sha256(),
        "farm.example/docs/a.html",
        ["/docs/a.html"],
    )


def test_a_space_in_an_address_is_encoded_as_browsers_do(library: Library) -> None:
    source = library.add_source("anna", 1, "page", f" {HOST}/odd name.html?two words ")
    assert source.address == f"{HOST}/odd%20name.html?two%20words"
    pages = {"/docs/": links("odd name.html", " odd%20name.html\n"), "/docs/odd%20name.html": "end"}
    assert Web(pages).crawl() == ["/docs/", "/docs/odd%20name.html"]


@pytest.mark.parametrize(
    "address", ["", "farm", "https://odd host/x", "ftp://x/y", "file:///etc/passwd", "https://", "https://a:b@c/"]
)
def test_what_is_no_address_of_a_page_is_said(address: str) -> None:
    with pytest.raises(SourceFailed, match="write one such as https://example"):
        list(Page(address, Web({}), read).items())


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path / "library.db", WordEmbedder(), read=read, fetch=Web(SITE))
    made.index.add_shelf("anna", "farm")
    yield made
    made.close()


def crawled(library: Library, web: Web) -> Report:
    """What a refresh of the site's crawl does."""
    web.asked.clear()
    web.spared.clear()
    known = partial(library.index.known_of, 1)
    crawl = Crawl(f"{HOST}/docs/", web, read, wait=web.waits.append, known=known)
    return Ingest(library.index, WordEmbedder()).take(1, crawl.items(), source_id=1)


@pytest.fixture
def crawl(library: Library) -> Web:
    """A site that gives stamps, crawled once."""
    web = Web(SITE)
    web.has_stamps = True
    library.add_source("anna", 1, "crawl", f"{HOST}/docs/")
    assert crawled(library, web).n_new == 6
    return web


def test_pages_that_did_not_change_are_not_sent_again_and_their_links_are_known(library: Library, crawl: Web) -> None:
    report = crawled(library, crawl)
    assert (report.n_same, report.n_removed) == (6, 0)
    assert len(crawl.spared) == 6
    crawl.pages["/docs/c.html"] = "The llama moved." + links("e.html")
    report = crawled(library, crawl)
    assert (report.n_same, report.n_changed, len(crawl.spared)) == (5, 1, 5)


def test_a_page_that_is_gone_goes_and_one_that_is_down_stays_with_all_it_leads_to(library: Library, crawl: Web) -> None:
    del crawl.pages["/docs/e.html"]
    crawl.down.add("/docs/a.html")
    report = crawled(library, crawl)
    assert report.n_removed == 1
    assert sorted(each.uri.removeprefix(f"{HOST}/docs/") for each in report.failures) == ["a.html", "e.html"]
    assert len(library.documents(1)) == 5


def test_a_page_that_does_not_come_is_asked_for_once_and_with_the_pause_of_all_others(
    library: Library, crawl: Web
) -> None:
    del crawl.pages["/docs/e.html"]
    crawl.down.add("/docs/a.html")
    crawl.waits.clear()
    crawled(library, crawl)
    assert sorted(crawl.asked) == ["/docs/", *(f"/docs/{name}.html" for name in "abcde"), "/robots.txt"]
    assert len(crawl.waits) == 5


def test_a_crawl_whose_first_page_is_down_loses_nothing(library: Library, crawl: Web) -> None:
    crawl.down.add("/docs/")
    with pytest.raises(SourceFailed, match="500"):
        crawled(library, crawl)
    assert len(library.documents(1)) == 6


def test_a_single_page_that_is_gone_stays_as_it_was_read(library: Library) -> None:
    web = Web({"/a": "text"})
    source = library.add_source("anna", 1, "page", f"{HOST}/a")
    ingest = Ingest(library.index, WordEmbedder())
    ingest.take(1, Page(source.address, web, read).items(), source_id=source.id)
    del web.pages["/a"]
    report = ingest.take(1, Page(source.address, web, read).items(), source_id=source.id)
    assert ("404" in report.failures[0].reason, report.n_removed) == (True, 0)


def test_who_cannot_be_asked_for_robots_txt_is_not_crawled(library: Library, crawl: Web) -> None:
    crawl.down.add("/robots.txt")
    with pytest.raises(SourceFailed, match=r"robots\.txt"):
        crawled(library, crawl)
    assert crawl.asked == ["/robots.txt"]


def sitemap(*entries: tuple[str, str]) -> str:
    told = "".join(f"<url><loc>{HOST}{path}</loc><lastmod>{at}</lastmod></url>" for path, at in entries)
    return f"<urlset>{told}</urlset>"


def test_a_sitemap_says_what_changed_and_only_that_is_asked_for(library: Library) -> None:
    today = datetime.now(timezone.utc).date().isoformat()
    old = "2024-05-01T10:00:00+00:00"
    web = Web({"/s.xml": sitemap(("/a", old), ("/b", "2024-05-01"), ("/c", today)), "/a": "a", "/b": "b", "/c": "c"})
    source = library.add_source("anna", 1, "sitemap", f"{HOST}/s.xml")

    def refreshed() -> list[str]:
        web.asked.clear()
        items = Sitemap(source.address, web, read, wait=web.waits.append, known=partial(library.index.known_of, 1))
        Ingest(library.index, WordEmbedder()).take(1, items.items(), source_id=source.id)
        return web.asked[2:]

    assert refreshed() == ["/a", "/b", "/c"]
    web.waits.clear()
    assert refreshed() == ["/c"]  # a day alone may be that of an earlier version of the same day
    assert web.waits == [0.5]
    web.pages["/s.xml"] = sitemap(("/a", "2024-06-01T10:00:00+00:00"), ("/b", "2024-05-01"))
    web.pages["/a"] = "a new"
    assert refreshed() == ["/a"]
    assert [each.uri for each in library.documents(1)] == [f"{HOST}/a", f"{HOST}/b"]


def test_a_list_of_pages_that_is_down_is_told_and_takes_no_page_away(library: Library) -> None:
    index = (
        "<sitemapindex>" + "".join(f"<sitemap><loc>{HOST}/{n}.xml</loc></sitemap>" for n in (1, 2)) + "</sitemapindex>"
    )
    day = "2024-05-01"
    web = Web({"/s.xml": index, "/1.xml": sitemap(("/a", day)), "/2.xml": sitemap(("/b", day)), "/a": "a", "/b": "b"})
    source = library.add_source("anna", 1, "sitemap", f"{HOST}/s.xml")

    def refreshed() -> Report:
        items = Sitemap(source.address, web, read, wait=web.waits.append).items()
        return Ingest(library.index, WordEmbedder()).take(1, items, source_id=source.id)

    refreshed()
    web.down.add("/2.xml")
    report = refreshed()
    assert ([each.uri for each in report.failures], report.n_removed) == ([f"{HOST}/2.xml"], 0)
    assert len(library.documents(1)) == 2


def test_a_library_crawls_with_what_it_was_told(library: Library) -> None:
    source = library.add_source("anna", 1, "crawl", f"{HOST}/docs/", {"depth": 1, "n_pages": 1})
    library.refresh(source.id)
    [only] = library.documents(1)
    assert (only.uri, library.link(only)) == (f"{HOST}/docs/", f"{HOST}/docs/")
    assert library.link(library.document("anna", only.id)[1], 0) == f"{HOST}/docs/"
