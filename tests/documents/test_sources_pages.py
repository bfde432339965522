"""Pages that a crawl meets and that no reader likes: each is told, and the rest is read. A process of its own reads
their links too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.extract import bounded, read, reading
from rag.extract.limits import Bounds
from rag.library import Library
from tests.documents.shelf import WordEmbedder
from tests.documents.test_sources_web import HOST, Web, links

TEXT = "<p>A llama hums in the paddock.</p>"
BROKEN = {
    "a marked section": f"{TEXT}<![foo[ x ]]>{links('n')}",
    "a declaration that never ends": f"{TEXT}{links('n')}<!ELEMENT br EMPTY",
    "deep": "<b>" * 20_000 + TEXT + links("n"),
    "a tag that never ends": f"{TEXT}{links('n')}<a href='",
}


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    made = Library(tmp_path / "library.db", WordEmbedder(), read=read)
    made.index.add_shelf("anna", "farm")
    yield made
    made.close()


@pytest.mark.parametrize("page", BROKEN.values(), ids=BROKEN)
def test_a_page_whose_markup_is_broken_is_read_with_its_links(page: str) -> None:
    web = Web({"/": links("m"), "/m": page, "/n": TEXT})
    assert web.crawl("/") == ["/", "/m", "/n"]


def test_a_page_of_links_alone_leads_on_though_it_has_no_text() -> None:
    menu = f"<nav>{links('a')}</nav><div hidden>{links('b')}</div><script>x</script>"
    assert Web({"/": menu, "/a": TEXT, "/b": TEXT}).crawl("/") == ["/", "/a", "/b"]


def test_links_that_a_page_does_not_answer_for_are_not_followed() -> None:
    page = f'{TEXT}<a rel="ugc nofollow" href="a">x</a><a href="">x</a><a name="c">x</a><A HREF="b">x</A>'
    assert Web({"/": page, "/a": TEXT, "/b": TEXT}).crawl("/") == ["/", "/b"]


def test_a_page_that_takes_too_long_is_told_once_and_the_others_are_read(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = bounded.Readers()
    monkeypatch.setattr(reading, "READERS", readers)
    monkeypatch.setattr(reading, "PAGE", Bounds(time_s=1))
    web = Web({"/": TEXT + links("slow", "n"), "/slow": "<p><b>x" * 2_000_000, "/n": TEXT})
    monkeypatch.setattr(library, "_fetch", web)
    source = library.add_source("anna", 1, "crawl", f"{HOST}/")
    report = library.refresh(source.id)
    readers.close()
    assert report.n_new == 2
    assert [(each.uri, each.reason) for each in report.failures] == [
        (f"{HOST}/slow", "takes longer to read than 1 s: split it, or add it as plain text")
    ]
