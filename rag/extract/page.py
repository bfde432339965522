"""What a person would read of a web page, as Markdown: its main part, without menus, scripts and hidden text. Pure.

Runs in the child process, since a hostile page can take long to parse.
"""

from __future__ import annotations

from dataclasses import dataclass

from bs4 import BeautifulSoup, Comment, Tag

from rag.extract.markdown import write

_NEVER = frozenset((
    *("script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "embed", "audio", "video", "map"),
    *("head", "title", "link", "meta", "input", "button", "select", "textarea", "nav", "dialog"),
))  # fmt: skip
_FURNITURE = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog", "alert"))
_MAIN = ("main", "[role=main]", "article")
_CONTAINERS = ["div", "section", "article", "main", "center", "form"]
_LEAST_CHARS = 200  # of a main part; less is a page that marks it up and fills it by script
_LEAST_SHARE = 0.7  # of the text outside of links; what holds less of it is one of several parts


@dataclass(frozen=True)
class Page:
    """A page's title and its main part; markdown is empty when there is no text without running scripts."""

    title: str
    markdown: str


def readable(html: str, url: str = "") -> Page:
    """Read a page. url: makes its links whole."""
    soup = BeautifulSoup(html, "html.parser")
    title, base = _title(soup), _base(soup, url)
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for tag in soup.find_all(_is_unread):
        if not tag.decomposed:
            tag.decompose()
    main = _main(soup)
    for name in ("header", "footer", "aside"):  # within an article its header holds the headline
        for tag in main.find_all(name):
            if not tag.decomposed and (name != "header" or not tag.find(["h1", "h2"])):
                tag.decompose()
    return Page(title, write(main, base))


def _title(soup: BeautifulSoup) -> str:
    meta = soup.find("meta", attrs={"property": "og:title"})
    named = str(meta.get("content") or "") if isinstance(meta, Tag) else ""
    for tag in (soup.title, soup.find("h1")):
        named = named or (tag.get_text(" ") if isinstance(tag, Tag) else "")
    return " ".join(named.split())[:200]


def _base(soup: BeautifulSoup, url: str) -> str:
    """What relative links are relative to."""
    from urllib.parse import urljoin

    tag = soup.find("base", href=True)
    try:
        return urljoin(url, str(tag.get("href"))) if isinstance(tag, Tag) else url
    except ValueError:
        return url


def _is_unread(tag: Tag) -> bool:
    """Whether nobody sees this, or it is not what the page is about."""
    if tag.name in _NEVER:
        return True
    if tag.has_attr("hidden") or tag.get("aria-hidden") == "true" or tag.get("role") in _FURNITURE:
        return True
    style = "".join(str(tag.get("style") or "").lower().split())
    return "display:none" in style or "visibility:hidden" in style or "font-size:0;" in f"{style};"


def _main(soup: BeautifulSoup) -> Tag:
    """The part that the page marks as its main one, or the smallest one that holds nearly all of its text."""
    body = soup.body or soup
    n_all = len(body.get_text())
    for selector in _MAIN:
        found = max(soup.select(selector), key=lambda tag: len(tag.get_text()), default=None)
        if found is not None and len(found.get_text()) >= max(_LEAST_CHARS, n_all / 5):
            return found
    sums = _unlinked(body)
    best, least = body, max(1, sums[id(body)]) * _LEAST_SHARE
    while True:
        inner = [tag for tag in best.find_all(_CONTAINERS, recursive=False) if sums[id(tag)] >= least]
        if not inner:
            return best
        best = inner[0]


def _unlinked(body: Tag) -> dict[int, int]:
    """Characters inside each tag, by its id, that are not in links: menus are links, articles are not."""
    sums, linked = {id(body): 0}, {id(body): False}
    tags: list[Tag] = []
    for node in body.descendants:
        inside = linked[id(node.parent)]
        if isinstance(node, Tag):
            tags.append(node)
            sums[id(node)], linked[id(node)] = 0, inside or node.name == "a"
        elif not inside:
            sums[id(node.parent)] += len(str(node).strip())
    for tag in reversed(tags):  # what is inside comes after what it is in
        sums[id(tag.parent)] += sums[id(tag)]
    return sums
