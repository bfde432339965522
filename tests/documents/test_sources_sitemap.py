"""Sitemaps as they are met: left open, damaged, hostile, of other spellings. A process of their own reads them."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import pytest

from rag.errors import SourceFailed, SourceStopped
from rag.extract import bounded, read
from rag.extract.limits import Bounds
from rag.ingest import Ingest, Report
from rag.library import Library
from rag.sources.web import Sitemap
from tests.documents.shelf import WordEmbedder
from tests.documents.test_sources_web import HOST, Web

A, B = f"<loc>{HOST}/a</loc>", f"<loc>{HOST}/b</loc>"
PICTURE = f"<image:image><image:loc>{HOST}/p.png</image:loc></image:image>"
SPELLED = {
    "entries left open": f"<urlset><url>{A}<url>{B}</urlset>",
    "attributes and spaces": f"<urlset\nx='y'><url id='1'><loc >\n {HOST}/a \n</loc></url><url\n>{B}</url></urlset >",
    "a prefix": f"<m:urlset><m:url><m:loc>{HOST}/a</m:loc></m:url><m:url><m:loc>{HOST}/b</m:loc></m:url></m:urlset>",
    "in CDATA": f"<urlset><url><loc><![CDATA[{HOST}/a]]></loc></url><url><loc><![CDATA[ {HOST}/b ]]></loc></urlset>",
    "with pictures": f"<urlset><url>{PICTURE}{A}</url><url>{B}{PICTURE}</url></urlset>",
    "an entry without a page": f"<urlset><url>{A}</url><url></url><url>{B}</url></urlset>",
    "no more than addresses": f"\n{HOST}/a\r\n{HOST}/b\n# and a note\n",
}


def pages(text: str | bytes) -> list[str]:
    items = Sitemap(f"{HOST}/s.xml", Web({"/s.xml": text}), read, wait=lambda _: None).items()
    return [item.uri.removeprefix(HOST) for item in items]


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path / "library.db", WordEmbedder(), read=read, fetch=Web({}))
    made.index.add_shelf("anna", "farm")
    made.add_source("anna", 1, "sitemap", f"{HOST}/s.xml")
    yield made
    made.close()


def refreshed(library: Library, web: Web) -> Report:
    """What a refresh of the site does."""
    known = partial(library.index.known_of, 1)
    items = Sitemap(f"{HOST}/s.xml", web, read, wait=lambda _: None, known=known).items()
    return Ingest(library.index, WordEmbedder()).take(1, items, source_id=1)


@pytest.mark.parametrize("text", SPELLED.values(), ids=SPELLED)
def test_a_sitemap_is_read_however_it_is_written(text: str) -> None:
    assert pages(text) == ["/a", "/b"]


def test_a_sitemap_of_two_bytes_a_letter_is_read() -> None:
    assert pages(f"<urlset><url>{A}</url><url>{B}</url></urlset>".encode("utf-16")) == ["/a", "/b"]


@pytest.mark.parametrize("piece", ["<url>", "<url", "<url ", "<loc>" + " " * 200, "<a:", "<url><loc><![CDATA["])
def test_a_megabyte_of_what_never_ends_is_read_at_once(piece: str) -> None:
    hostile = piece * (1_000_000 // len(piece))
    assert pages(f"<urlset><url>{A}</url>{hostile}</url><url>{B}</url></urlset>")[0] == "/a"
    with pytest.raises(SourceFailed, match="names no page of its own host"):
        pages(f"<urlset>{hostile}</urlset>")


def test_a_sitemap_that_takes_too_long_is_told_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.extract.PAGE", Bounds(time_s=0))
    monkeypatch.setattr(bounded, "_CODE", "import time\nprint('ready', flush=True)\ntime.sleep(600)")
    monkeypatch.setattr(bounded, "READERS", bounded.Readers())
    with pytest.raises(SourceFailed, match=r"farm\.example/s\.xml takes longer to read than 0 s"):
        pages("<urlset></urlset>")


def test_lists_of_pages_are_asked_for_with_a_pause_and_no_more_once_the_run_shall_stop() -> None:
    maps = "".join(f"<sitemap><loc>{HOST}/{n}.xml</loc></sitemap>" for n in range(3))
    pages = {f"/{n}.xml": f"<urlset><url><loc>{HOST}/page{n}</loc></url></urlset>" for n in range(3)}
    rules = {"/robots.txt": "User-agent: *\nCrawl-delay: 4"}
    web = Web({"/s.xml": f"<sitemapindex>{maps}</sitemapindex>", **pages, **rules})
    assert Sitemap(f"{HOST}/s.xml", web, read, wait=web.waits.append).items().n == 3
    assert web.waits == [4.0, 4.0, 4.0]
    web.waits.clear()
    web.asked.clear()
    stopped = Sitemap(f"{HOST}/s.xml", web, read, wait=web.waits.append, is_cancelled=lambda: len(web.waits) == 2)
    with pytest.raises(SourceStopped):
        stopped.items()
    assert [each for each in web.asked if each.endswith(".xml")] == ["/s.xml", "/0.xml"]


def test_a_sitemap_may_name_more_than_a_text_holds() -> None:
    long = "x" * 2_000
    listed = "".join(f"<url><loc>{HOST}/{n}/{long}</loc></url>" for n in range(3_000))
    found = pages(f"<urlset>{listed}</urlset>")
    assert found[0] == f"/0/{long}"
    assert len(found) == 500


BOTH = f"<urlset><url>{A}</url><url>{B}</url></urlset>"
PACKED = gzip.compress(BOTH.encode(), mtime=0)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (BOTH[:40], "it is cut off"),
        (PACKED[:-8], "it is cut off"),
        (PACKED[:4], "is damaged"),
        ("<html>We will be back soon.</html>", "is no list of pages"),
        ("", "is no list of pages"),
    ],
)
def test_a_list_that_does_not_come_as_one_takes_no_page_away(library: Library, now: str | bytes, said: str) -> None:
    index = f"<sitemapindex><sitemap><loc>{HOST}/1.xml</loc></sitemap></sitemapindex>"
    web = Web({"/s.xml": index, "/1.xml": BOTH, "/a": "a", "/b": "b"})
    assert refreshed(library, web).n_new == 2
    web.pages["/1.xml"] = now
    report = refreshed(library, web)
    assert [each.uri for each in report.failures] == [f"{HOST}/1.xml"]
    assert said in report.failures[0].reason
    assert (report.n_removed, len(library.documents(1))) == (0, 2)


def test_the_sitemap_of_a_site_that_is_cut_off_takes_no_page_away(library: Library) -> None:
    web = Web({"/s.xml": BOTH, "/a": "a", "/b": "b"})
    refreshed(library, web)
    web.pages["/s.xml"] = BOTH[:40]
    assert (refreshed(library, web).n_removed, len(library.documents(1))) == (0, 2)


@pytest.mark.parametrize("period", ["%Y", "%Y-%m", "%Y-%m-%d"])
def test_a_date_that_is_not_over_does_not_hold_back_a_page(library: Library, period: str) -> None:
    today = datetime.now(timezone.utc)
    web = Web({"/s.xml": BOTH.replace(A, f"{A}<lastmod>{today.strftime(period)}</lastmod>"), "/a": "old", "/b": "b"})
    refreshed(library, web)
    web.pages["/a"] = "new"
    assert refreshed(library, web).n_changed == 1


def test_a_page_of_a_month_that_is_over_is_not_asked_for_again(library: Library) -> None:
    web = Web({"/s.xml": BOTH.replace(A, f"{A}<lastmod>2024-05</lastmod>"), "/a": "a", "/b": "b"})
    refreshed(library, web)
    web.asked.clear()
    refreshed(library, web)
    assert web.asked == ["/robots.txt", "/s.xml", "/b"]
