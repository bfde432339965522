"""A page's tags as a light tree: what nobody sees is left out at once, unclosed tags end where HTML says. Pure.

Not a browser's tree, and much quicker to build than one of a library: an ingest reads thousands of pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser

_MOST_LINKS = 10_000
_MOST_LINK = 2_048  # characters
_MOST_DEPTH = 300  # deeper tags are read as if they were not there, their text as their parent's
VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
BLOCK = frozenset((
    *("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "main", "ol", "p", "pre"),
    *("section", "summary", "table", "ul", "li", "h1", "h2", "h3", "h4", "h5", "h6", "menu", "search"),
))  # fmt: skip
HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_NEVER = frozenset((
    *("script", "style", "noscript", "template", "svg", "canvas", "iframe", "object", "embed", "audio", "video", "map"),
    *("head", "title", "link", "meta", "input", "select", "textarea", "nav", "dialog", "annotation", "search"),
))  # fmt: skip
_FURNITURE = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "menu", "dialog", "alert"))
# Names that many generators give to what surrounds a text, or to numbers and signs beside it.
_FURNITURE_NAMES = frozenset((
    *("navheader", "navfooter", "navbar", "breadcrumb", "breadcrumbs", "site-header", "site-footer", "page-footer"),
    *("footer", "sphinxsidebar", "skip-link", "skip-to-content", "viewcode-link", "mw-editsection", "mw-jump-link"),
    *("toc", "table-of-contents", "linenos", "lineno", "linenodiv", "copybtn", "cookie-banner", "printfooter"),
    *("catlinks", "prev-next-bottom", "hideme"),
))  # fmt: skip
_IN_HEAD = frozenset(("title", "meta", "link", "base", "script", "style", "noscript", "template", "head"))
_GROUPS = ("thead", "tbody", "tfoot")
# (tags that a tag ends when it begins, tags beyond which it does not look for them)
_ENDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset(("li",)), frozenset(("ul", "ol", "menu"))),
    **dict.fromkeys(("dt", "dd"), (frozenset(("dt", "dd")), frozenset(("dl",)))),
    **dict.fromkeys(("td", "th"), (frozenset(("td", "th", "caption")), frozenset(("tr", "table")))),
    "tr": (frozenset(("tr", "caption")), frozenset(("table",))),
    **dict.fromkeys(_GROUPS, (frozenset((*_GROUPS, "caption")), frozenset(("table",)))),
    "body": (frozenset(("head",)), frozenset()),
}  # fmt: skip
_UNSEEN = frozenset(("hidden", "data-nosnippet"))  # the second is no text of the page for search engines either
_P = frozenset(("p",))
_CELLS = frozenset(("td", "th", "caption"))
_TABLE = frozenset(("table", "thead", "tbody", "tfoot", "tr", *_CELLS))

Attributes = dict[str, str]


class Node:
    """A tag with what is inside it: texts and further tags. has_block: whether a block is somewhere inside."""

    __slots__ = ("attributes", "children", "has_block", "name")

    def __init__(self, name: str, attributes: Attributes) -> None:
        self.name, self.attributes = name, attributes
        self.children: list[Node | str] = []
        self.has_block = False

    def text(self) -> str:
        """All of its text, as it stands in the source."""
        return "".join(self._texts())

    def _texts(self) -> list[str]:
        found: list[str] = []
        waiting: list[Node | str] = [self]
        while waiting:
            each = waiting.pop()
            if isinstance(each, str):
                found.append(each)
            elif each.name == "br":
                found.append("\n")
            else:
                waiting.extend(reversed(each.children))
        return found

    def find(self, names: frozenset[str]) -> Node | None:
        """The first tag inside it of one of these names."""
        waiting: list[Node | str] = list(reversed(self.children))
        while waiting:
            each = waiting.pop()
            if isinstance(each, Node):
                if each.name in names:
                    return each
                waiting.extend(reversed(each.children))
        return None

    def classes(self) -> list[str]:
        """The names that its class gives it."""
        return self.attributes.get("class", "").split()


class Builder(HTMLParser):
    """Takes a page and keeps what a person can see of it, and what its head says of it."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.base = self.named = self.title = ""
        self.mains: list[Node] = []  # what the page marks as its main part
        self.articles: list[Node] = []
        self.links: dict[str, None] = {}  # where the page leads, menus and hidden parts too
        self._open = [self.root]
        self._is_title = False

    def updatepos(self, i: int, j: int) -> int:
        """Lines are not counted: nobody asks where a tag stands."""
        return j

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """A section of a kind that nobody knows is a comment, as browsers take it."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "a":
            self._link(attributes)
        if tag in _IN_HEAD:
            self._note(tag, attributes)
        elif self._open[-1].name == "head":
            self._open.pop()  # the first tag of a body whose own tag was left out
        if tag in _ENDS:
            self._end(*_ENDS[tag])
        elif tag in BLOCK:
            self._end(_P, _TABLE)
        if len(self._open) > _MOST_DEPTH and tag not in VOID:
            return
        node = Node(tag, attributes)
        if not self._is_unread(tag, attributes):
            self._keep(node)
        if tag not in VOID:
            self._open.append(node)

    def _keep(self, node: Node) -> None:
        """Put a tag into the one that is open."""
        self._open[-1].children.append(node)
        if node.name in BLOCK:
            self._mark()
        if node.name == "main" or node.attributes.get("role") == "main":
            self.mains.append(node)
        elif node.name == "article":
            self.articles.append(node)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """HTML has no such tags but the void ones; XHTML and SVG do."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        self._is_title = False
        last = len(self._open) - 1
        for at in range(last, 0, -1):
            name = self._open[at].name
            if name == tag:
                del self._open[at:]
                return
            if name in _CELLS and tag not in _TABLE:
                return  # a stray end inside a cell does not end the table

    def handle_data(self, data: str) -> None:
        if self._is_title:
            self.title += data
        self._open[-1].children.append(data)

    def unknown_decl(self, data: str) -> None:
        """A section of XML is its text, as browsers take it in XHTML."""
        if data.startswith("CDATA["):
            self.handle_data(data.removeprefix("CDATA["))

    def _link(self, attributes: Attributes) -> None:
        link = attributes.get("href", "").strip()
        is_answered_for = "nofollow" not in attributes.get("rel", "").lower()
        if is_answered_for and 0 < len(link) <= _MOST_LINK and len(self.links) < _MOST_LINKS:
            self.links[link] = None

    def _note(self, tag: str, attributes: Attributes) -> None:
        """What the head says of the page."""
        if tag == "title":
            self._is_title = not self.title and self._open[-1].name in {"", "html", "head", "body"}
        elif tag == "base":
            self.base = self.base or attributes.get("href", "")
        elif tag == "meta" and attributes.get("property") == "og:title":
            self.named = self.named or attributes.get("content", "")

    def _end(self, names: frozenset[str], border: frozenset[str]) -> None:
        """End what the tag that begins cannot stand in."""
        for at in range(len(self._open) - 1, 0, -1):
            name = self._open[at].name
            if name in names:
                del self._open[at:]
                return
            if name in border:
                return

    def _mark(self) -> None:
        """All open tags hold a block now."""
        for each in reversed(self._open):
            if each.has_block:
                return
            each.has_block = True

    def _is_unread(self, tag: str, attributes: Attributes) -> bool:
        """Whether nobody sees this, or it is not what the page is about."""
        if tag in _NEVER or (tag == "button" and not self._is_heading_button()):
            return True
        if not attributes:
            return False
        if (
            not attributes.keys().isdisjoint(_UNSEEN)
            or attributes.get("aria-hidden") == "true"
            or attributes.get("role") in _FURNITURE
        ):
            return True
        names = attributes.get("class", "").lower().split()
        if not _FURNITURE_NAMES.isdisjoint(names) or attributes.get("id", "").lower() in _FURNITURE_NAMES:
            return tag != "body"
        if "style" not in attributes:
            return False
        style = "".join(attributes["style"].lower().split())
        return "display:none" in style or "visibility:hidden" in style or "font-size:0;" in f"{style};"

    def _is_heading_button(self) -> bool:
        """Whether a button is all that a heading has, as where parts of a page fold."""
        node = self._open[-1]
        return node.name in HEADINGS and not any(not isinstance(each, str) or each.strip() for each in node.children)


def build(html: str) -> Builder:
    """Read a page."""
    builder = Builder()
    builder.feed(html)
    builder.close()
    return builder
