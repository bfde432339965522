"""Sitemaps as they are met: left open, damaged, hostile, of other spellings. A process of their own reads them."""

from __future__ import annotations

import pytest

from rag.errors import SourceFailed
from rag.extract import bounded, read
from rag.extract.limits import Bounds
from rag.sources.web import Sitemap
from tests.documents.test_sources_web import HOST, Web

SPELLED = {
    "entries left open": f"<urlset><url><loc>{HOST}/a</loc><url><loc>{HOST}/b</loc>",
    "broken off": f"<urlset><url><loc>{HOST}/a</loc></url><url><loc>{HOST}/b</loc></url><url><lo",
    "attributes and spaces": f"<url id='1'><loc >\n {HOST}/a \n</loc></url><url\n><loc>{HOST}/b</loc></url>",
    "a prefix": f"<sm:urlset><sm:url><sm:loc>{HOST}/a</sm:loc></sm:url><sm:url><sm:loc>{HOST}/b</sm:loc></sm:url>",
    "in CDATA": f"<url><loc><![CDATA[{HOST}/a]]></loc></url><url><loc><![CDATA[ {HOST}/b ]]></loc></url>",
    "with pictures": (
        f"<url><image:image><image:loc>{HOST}/p.png</image:loc></image:image><loc>{HOST}/a</loc></url>"
        f"<url><loc>{HOST}/b</loc><image:image><image:loc>{HOST}/p.png</image:loc></image:image></url>"
    ),
    "an entry without a page": f"<url><loc>{HOST}/a</loc></url><url></url><url><loc>{HOST}/b</loc></url>",
}


def pages(text: str) -> list[str]:
    items = Sitemap(f"{HOST}/s.xml", Web({"/s.xml": text}), read, wait=lambda _: None).items()
    return [item.uri.removeprefix(HOST) for item in items]


@pytest.mark.parametrize("text", SPELLED.values(), ids=SPELLED)
def test_a_sitemap_is_read_however_it_is_written(text: str) -> None:
    assert pages(text) == ["/a", "/b"]


@pytest.mark.parametrize("piece", ["<url>", "<url", "<url ", "<loc>" + " " * 200, "<a:", "<url><loc><![CDATA["])
def test_a_megabyte_of_what_never_ends_is_read_at_once(piece: str) -> None:
    hostile = piece * (1_000_000 // len(piece))
    assert pages(f"<url><loc>{HOST}/a</loc></url>{hostile}</url><url><loc>{HOST}/b</loc></url>")[0] == "/a"
    with pytest.raises(SourceFailed, match="names no page of its own host"):
        pages(hostile)


def test_a_sitemap_that_takes_too_long_is_told_and_the_others_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.extract.PAGE", Bounds(time_s=0))
    monkeypatch.setattr(bounded, "_CODE", "import time\nprint('ready', flush=True)\ntime.sleep(600)")
    monkeypatch.setattr(bounded, "READERS", bounded.Readers())
    with pytest.raises(SourceFailed, match=r"farm\.example/s\.xml takes longer to read than 0 s"):
        pages("<urlset></urlset>")


def test_a_sitemap_may_name_more_than_a_text_holds() -> None:
    long = "x" * 2_000
    listed = "".join(f"<url><loc>{HOST}/{n}/{long}</loc></url>" for n in range(3_000))
    found = pages(listed)
    assert found[0] == f"/0/{long}"
    assert len(found) == 500
