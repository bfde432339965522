"""Pages, sitemaps and crawls stay on their host, within their bounds and what robots.txt leaves to them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rag.errors import SourceFailed
from rag.sources import Fetched, Readable
from rag.sources.web import Bounds, Crawl, Page, Sitemap

HOST = "https://farm.example"


def read(name: str, data: bytes, *, content_type: str = "", url: str = "") -> Readable:
    return Readable(data.decode(), "page")


class Web:
    """A site that lies in memory."""

    def __init__(self, pages: Mapping[str, str], content_type: str = "text/html; charset=utf-8") -> None:
        self._pages, self._type = pages, content_type
        self.asked: list[str] = []
        self.waits: list[float] = []

    def fetch(self, url: str) -> Fetched:
        self.asked.append(url.removeprefix(HOST))
        if self.asked[-1] not in self._pages:
            raise SourceFailed(f"{url} answered 404")
        return Fetched(url, self._type, self._pages[self.asked[-1]].encode())

    def crawl(self, start: str = "/docs/", **bounds: float) -> list[str]:
        crawl = Crawl(HOST + start, self.fetch, read, Bounds(**bounds), self.waits.append)  # type: ignore[arg-type]
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
    ("bounds", "n"), [({"depth": 0}, 1), ({"depth": 1}, 3), ({"depth": 2}, 5), ({"n_pages": 2}, 2)]
)
def test_a_crawl_keeps_its_bounds(bounds: dict[str, float], n: int) -> None:
    assert len(Web(SITE).crawl(**bounds)) == n


def test_robots_txt_is_kept_to() -> None:
    web = Web({**SITE, "/robots.txt": "User-agent: *\nDisallow: /docs/b\nDisallow: /docs/c\nCrawl-delay: 4\n"})
    assert web.crawl() == ["/docs/", "/docs/a.html", "/docs/d.html"]
    assert "/docs/b.html" not in web.asked
    assert web.waits == [4.0, 4.0]


def test_a_host_cannot_make_a_crawl_wait_for_ever() -> None:
    web = Web({**SITE, "/robots.txt": "User-agent: *\nCrawl-delay: 86400\n"})
    web.crawl(depth=1)
    assert set(web.waits) == {10.0}


def test_a_page_that_fails_leaves_the_others() -> None:
    web = Web({"/docs/": links("gone.html", "d.html"), "/docs/d.html": "end"})
    assert web.crawl() == ["/docs/", "/docs/gone.html", "/docs/d.html"]


def test_what_is_no_page_is_not_searched_for_links() -> None:
    assert Web({"/docs/": links("a.html"), "/docs/a.html": "x"}, "text/plain").crawl() == ["/docs/"]


def test_a_page_sent_elsewhere_keeps_its_links_on_the_host() -> None:
    web = Web(SITE)

    def moved(url: str) -> Fetched:
        return Fetched("https://elsewhere.example/docs/", "text/html", links("a.html").encode())

    assert [item.uri for item in Crawl(f"{HOST}/docs/", moved, read, wait=web.waits.append).items()] == [
        f"{HOST}/docs/"
    ]


def test_a_sitemap_of_sitemaps_names_its_pages_once() -> None:
    maps = "".join(f"<sitemap><loc>{HOST}/{name}.xml</loc></sitemap>" for name in ("one", "s"))
    index = f"<sitemapindex>{maps}</sitemapindex>"
    one = f"<urlset><url><loc> {HOST}/a?x=1&amp;y=2 </loc></url><url><loc>https://elsewhere.example/b</loc></url></urlset>"
    web = Web({"/s.xml": index, "/one.xml": one + one})
    items = list(Sitemap(f"{HOST}/s.xml", web.fetch, read, wait=web.waits.append).items())
    assert [item.uri for item in items] == [f"{HOST}/a?x=1&y=2"]


def test_a_sitemap_keeps_its_bounds_and_robots_txt() -> None:
    pages = "".join(f"<url><loc>{HOST}/{n}</loc></url>" for n in range(50))
    web = Web({"/s.xml": f"<urlset>{pages}</urlset>", "/robots.txt": "User-agent: Paddock\nDisallow: /3\n"})
    found = [
        item.uri for item in Sitemap(f"{HOST}/s.xml", web.fetch, read, Bounds(n_pages=5), web.waits.append).items()
    ]
    assert found == [f"{HOST}/{n}" for n in (0, 1, 2, 4)]


def test_a_page_is_read_once_and_titled() -> None:
    web = Web({"/docs/a.html": "text"})
    [item] = Page(f"{HOST}/docs/a.html#part", web.fetch, read).items()
    assert (item.sha256(), item.read().title, web.asked) == (
        item.sha256(),
        "farm.example/docs/a.html",
        ["/docs/a.html"],
    )


@pytest.mark.parametrize("address", ["", "farm", "ftp://x/y", "file:///etc/passwd", "https://", "https://a:b@c/"])
def test_what_is_no_address_of_a_page_is_said(address: str) -> None:
    with pytest.raises(SourceFailed, match="begins with https"):
        list(Page(address, Web({}).fetch, read).items())
