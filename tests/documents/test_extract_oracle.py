"""Our reader of pages against BeautifulSoup, which reads them slowly and as everybody knows it: the same links, in the
same order, and no word of the text that it does not have."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
from bs4 import BeautifulSoup

from rag.extract.page import readable

URL = "https://farm.example/deep/page.html"
PAGES = {
    "plain": "<title>Oats</title><h1>Oats</h1><p>They grow <a href='a'>here</a> and <a href='/b'>there</a>.</p>",
    "around": "<nav><a href='n'>menu</a></nav><main><p>Words <a href='m?x=1&amp;y=2'>on</a></p></main><footer>"
    "<a href='f'>f</a></footer>",
    "lists": "<ul><li>one <a href='1'>1</a><li>two <ol><li><a href='../2#x'>2</a></ol></ul>",
    "tables": "<table><tr><td><a href='//other.example/t'>t</a><td>x<tr><td colspan=2>y</table>",
    "quotes": '<p><a href="q%20q">a</a><a href=bare>b</a><a HREF=\'C\'>c</a><a class=x>no</a><a href="">empty</a></p>',
    "entities": "<p>&lt;a href='no'&gt; <a href='&auml;'>&auml;</a> &copy; 2 &nbsp; 3</p>",
    "code": "<pre><code>if a &lt; b: go('&lt;a href=x&gt;')</code></pre><p><a href='after'>after</a></p>",
    "comments": "<!-- <a href='no'>no</a> --><p>x</p><script>'<a href=no>'</script><style>a{}</style><a href='y'>y</a>",
    "unclosed": "<div><p>a<div>b <a href='u'>c<p>d <b>e<i>f</b>g</i> <a href='v'>h",
    "a base": "<base href='https://else.example/dir/'><p><a href='w'>w</a></p>",
}


@pytest.mark.parametrize("html", PAGES.values(), ids=PAGES)
def test_links_and_words_are_those_of_the_page(html: str) -> None:
    soup = BeautifulSoup(html, "html.parser")
    base = soup.find("base", href=True)
    beside = urljoin(URL, str(base["href"])) if base else URL
    wanted = [urljoin(beside, str(each["href"])) for each in soup.find_all("a", href=True) if each["href"]]
    found = readable(html, URL, is_plain=True)
    assert list(found.links) == list(dict.fromkeys(wanted))
    for unseen in soup(["script", "style"]):
        unseen.decompose()
    letters = re.sub(r"\W", "", soup.get_text())
    for line in found.markdown.splitlines():
        assert re.sub(r"\W", "", re.sub(r"^\s*\d+\. ", "", line)) in letters
