"""What a person would read of a web page, as Markdown: its main part, without menus, scripts and hidden text. Pure.

Runs in the child process, since a hostile page can take long to parse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin

from rag.extract.markdown import write
from rag.extract.tree import Builder, Node, build

_CONTAINERS = frozenset(("div", "section", "article", "main", "center", "form", "body", "html"))
_LEAST_CHARS = 200  # of a main part; less is a page that marks it up and fills it by script
_LEAST_SHARE = 0.7  # of the text outside of links; what holds less of it is one of several parts
_HEADLINE = frozenset(("h1", "h2"))
_H1, _H2 = frozenset(("h1",)), frozenset(("h2",))
_MOST_TITLE = 200
_BETWEEN = "-\u2013\u2014|·:»•/"


@dataclass(frozen=True)
class Page:
    """A page's title and its main part; markdown is empty when there is no text without running scripts. links: where
    all of the page leads, each once, without those that it does not answer for (nofollow)."""

    title: str
    markdown: str
    links: tuple[str, ...] = ()


def readable(html: str, url: str = "", *, is_plain: bool = False) -> Page:
    """Read a page. url: makes its links whole. is_plain: for a search, links and emphasis are their text alone."""
    built = build(html)
    try:
        base = urljoin(url, built.base)
    except ValueError:
        base = url
    main = _main(built)
    _strip(main)
    return Page(_title(built), write(main, base, is_plain=is_plain), tuple(_whole(built.links, base)))


def _whole(links: Iterable[str], base: str) -> Iterator[str]:
    """Links as addresses; what is none by any reading is left out."""
    for link in links:
        with suppress(ValueError):
            yield urljoin(base, link)


def _title(built: Builder) -> str:
    """What it is called: without the name of the site where its first heading says the rest."""
    named = " ".join((built.named or built.title).split())
    headings = [_heading(built.root, names) for names in (_H1, _H2)]
    for heading in headings:
        rest = named[len(heading) :]
        if len(heading) > 2 and named.startswith(heading) and rest.lstrip()[:1] in _BETWEEN:
            return heading[:_MOST_TITLE]
    return (named or headings[0])[:_MOST_TITLE]


def _heading(root: Node, names: frozenset[str]) -> str:
    """The words of the first heading of this level."""
    found = root.find(names)
    return " ".join(found.text().split()).rstrip("¶#§ ") if found else ""


def _strip(main: Node) -> None:
    """Take out what surrounds the text inside its main part; a header with the headline stays."""
    waiting = [main]
    while waiting:
        node = waiting.pop()
        tags = [each for each in node.children if isinstance(each, Node)]
        gone = [
            each
            for each in tags
            if each.name in {"footer", "aside"} or (each.name == "header" and each.find(_HEADLINE) is None)
        ]
        if gone:
            node.children = [each for each in node.children if isinstance(each, str) or each not in gone]
        waiting += [each for each in tags if each not in gone]


def _main(built: Builder) -> Node:
    """The part that the page marks as its main one, or the smallest one that holds nearly all of its text."""
    n_all, sums = _lengths(built.root)
    for marked in (built.mains, built.articles):
        best = max(marked, key=lambda node: sums.get(id(node), (0, 0))[0], default=None)
        if best is not None and sums.get(id(best), (0, 0))[0] >= max(_LEAST_CHARS, n_all / 5):
            return best
    return _largest(built.root, sums)


def _largest(root: Node, sums: dict[int, tuple[int, int]]) -> Node:
    """The smallest part that holds nearly all text outside of links, with the headline that stands before it."""
    best, heads = root, []
    least = max(1, sums[id(best)][1]) * _LEAST_SHARE
    while True:
        tags = _tags(best.children)
        inner = next((each for each in tags if each.name in _CONTAINERS and sums[id(each)][1] >= least), None)
        if inner is None or "highlight" in inner.attributes.get("class", ""):
            break
        for each in tags[: tags.index(inner)]:
            n_all, n_free = sums[id(each)]
            if n_free * 2 > n_all and (each.name == "h1" or each.find(_H1) is not None):
                heads.append(each)
        best = inner
    if not heads:
        return best
    whole = Node("div", {})
    whole.children = [*heads, best]
    whole.has_block = True
    return whole


def _tags(children: Sequence[Node | str]) -> list[Node]:
    return [each for each in children if isinstance(each, Node)]


def _lengths(root: Node) -> tuple[int, dict[int, tuple[int, int]]]:
    """Characters in all, and inside each tag by its id: all, and those not in links: menus are links, texts are not."""
    order: list[tuple[Node, bool]] = []
    waiting = [(root, False)]
    while waiting:
        node, is_linked = waiting.pop()
        order.append((node, is_linked))
        waiting += [(each, is_linked or each.name == "a") for each in _tags(node.children)]
    sums: dict[int, tuple[int, int]] = {}
    for node, is_linked in reversed(order):  # what is inside comes after what it is in
        n_all = n_free = 0
        for each in node.children:
            if isinstance(each, str):
                n_text = len(each.strip())
                n_all += n_text
                n_free += 0 if is_linked else n_text
            else:
                inside = sums[id(each)]
                n_all, n_free = n_all + inside[0], n_free + inside[1]
        sums[id(node)] = (n_all, n_free)
    return sums[id(root)][0], sums
