"""From the tags of a page to Markdown: headings, paragraphs, lists, tables, code, quotes, links. Pure."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

from bs4 import Tag
from bs4.element import NavigableString, PageElement, PreformattedString

_MOST_DEPTH = 120
_SKIPPED = frozenset(("script", "style", "template"))
_BLOCK = frozenset((
    *("address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset"),
    *("figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "main", "ol", "p", "pre"),
    *("section", "summary", "table", "ul", "li", "h1", "h2", "h3", "h4", "h5", "h6", "[document]"),
))  # fmt: skip
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "code": "`", "kbd": "`", "samp": "`", "del": "~~", "s": "~~"}


def write(tag: Tag, base: str = "") -> str:
    """Markdown of what is inside a tag. base: what its links are relative to."""
    text = _Writer(base).block(tag, 0)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


class _Writer:
    def __init__(self, base: str) -> None:
        self._base = base

    def block(self, tag: Tag, depth: int) -> str:
        """A tag that stands on lines of its own, without what it puts around its content."""
        if depth > _MOST_DEPTH:
            return _flat(tag.get_text(" "))
        parts: list[str] = []
        line: list[str] = []
        for child in tag.children:
            if isinstance(child, Tag) and (child.name in _BLOCK or _holds_block(child)):
                parts += (_tidy("".join(line)), self._whole(child, depth + 1))
                line = []
            else:
                line.append(self._inline(child, depth + 1))
        parts.append(_tidy("".join(line)))
        return "\n\n".join(filter(None, parts))

    def _whole(self, tag: Tag, depth: int) -> str:
        """A block with its marks."""
        name = tag.name
        if len(name) == 2 and name[0] == "h" and name[1] in "123456":
            text = _flat(self._line(tag, depth))
            return f"{'#' * int(name[1])} {text}" if text else ""
        if name in {"ul", "ol"}:
            return self._list(tag, depth)
        if name == "pre":
            return _code(tag)
        if name == "table":
            return self._table(tag, depth)
        if name == "hr":
            return "---"
        inner = self.block(tag, depth)
        if name == "blockquote" and inner:
            return "\n".join(f"> {line}".rstrip() for line in inner.splitlines())
        if name == "dd" and inner:
            return f": {inner}"
        return inner

    def _list(self, tag: Tag, depth: int) -> str:
        lines: list[str] = []
        number = 1
        for item in tag.children:
            if not isinstance(item, Tag):
                continue
            inner = self.block(item, depth + 1)
            if not inner:
                continue
            if item.name != "li":  # a list right inside a list
                lines.append(_indented(inner, "  "))
                continue
            mark = f"{number}. " if tag.name == "ol" else "- "
            number += 1
            tight = re.sub(r"\n\n(?=\s*(?:- |\d+\. ))", "\n", inner)
            lines.append(mark + _indented(tight, " " * len(mark)).lstrip())
        return "\n".join(lines)

    def _table(self, tag: Tag, depth: int) -> str:
        """Rows of cells; a table that only arranges the page is written as what is in it."""
        if tag.find("table"):
            return "\n\n".join(filter(None, (self.block(cell, depth + 1) for cell in _cells(tag))))
        rows = [
            [_flat(self._line(cell, depth + 1)).replace("|", "\\|") for cell in row.find_all(["td", "th"])]
            for row in tag.find_all("tr")
        ]
        rows = [row for row in rows if any(row)]
        width = max(map(len, rows), default=0)
        if width <= 1:
            return "\n\n".join(cell for row in rows for cell in row)
        lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
        caption = tag.find("caption")
        title = [f"{_flat(caption.get_text(' '))}\n"] if isinstance(caption, Tag) else []
        return "\n".join([*title, lines[0], "|" + "---|" * width, *lines[1:]])

    def _line(self, tag: Tag, depth: int) -> str:
        if depth > _MOST_DEPTH:
            return tag.get_text(" ")
        return "".join(self._inline(child, depth + 1) for child in tag.children)

    def _inline(self, node: PageElement, depth: int) -> str:
        if not isinstance(node, Tag):
            is_text = isinstance(node, NavigableString) and not isinstance(node, PreformattedString)
            return re.sub(r"\s+", " ", str(node)) if is_text else ""
        if node.name in _SKIPPED:
            return ""
        if node.name == "br":
            return "\n"
        if node.name == "img":
            described = _flat(str(node.get("alt") or ""))
            return f"[picture: {described}]" if described else ""
        text = self._line(node, depth)
        if node.name in _BLOCK:
            return f" {text} "
        if node.name == "a":
            return self._link(text, str(node.get("href") or ""))
        mark = _MARKS.get(node.name, "")
        inner = text.strip()
        if not mark or not inner or mark in inner:
            return text
        return text.replace(inner, f"{mark}{inner}{mark}", 1)

    def _link(self, text: str, href: str) -> str:
        """A link with its whole address, or its text alone when it leads nowhere outside the page."""
        shown = _flat(text)
        try:
            address = urljoin(self._base, href.strip())
            scheme = urlsplit(address).scheme
        except ValueError:
            return text
        if not shown or href.startswith("#") or scheme not in {"http", "https", "mailto"}:
            return text
        if re.search(r"[\s<>]", address):
            address = re.sub(r"[\s<>]", lambda found: f"%{ord(found[0]):02X}", address)
        address = address.replace("(", "%28").replace(")", "%29")
        shown = shown.replace("[", "\\[").replace("]", "\\]")
        return f"{text[: len(text) - len(text.lstrip())]}[{shown}]({address}){' ' if text != text.rstrip() else ''}"


def _holds_block(tag: Tag) -> bool:
    """Whether an inline tag has blocks inside, as links and spans do on many pages."""
    return tag.name not in {"a", "code", *_MARKS} and tag.find(list(_BLOCK)) is not None


def _cells(table: Tag) -> list[Tag]:
    """The cells of a table that are not in a table inside it."""
    return [cell for cell in table.find_all(["td", "th"]) if cell.find_parent("table") is table]


def _code(tag: Tag) -> str:
    """A block of code between fences that it cannot close, with the language that its class names."""
    text = tag.get_text().strip("\n")
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    tags = [each for each in (tag, tag.find("code")) if isinstance(each, Tag)]
    classes = " ".join(word for each in tags for word in each.get_attribute_list("class") if word)
    language = re.search(r"\b(?:language|lang|highlight-source)-([A-Za-z0-9+#]{1,20})", classes)
    fence = "`" * (longest + 1)
    return f"{fence}{language[1] if language else ''}\n{text}\n{fence}" if text.strip() else ""


def _indented(text: str, by: str) -> str:
    return "\n".join(by + line if line else "" for line in text.splitlines())


def _flat(text: str) -> str:
    return " ".join(text.split())


def _tidy(line: str) -> str:
    return re.sub(r" *\n *", "\n", re.sub(r"[ \t]+", " ", line)).strip()
