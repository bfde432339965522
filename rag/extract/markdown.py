"""From the tags of a page to Markdown: headings, paragraphs, lists, tables, code, quotes, links. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin, urlsplit

from rag.extract.marked import unheaded
from rag.extract.tree import BLOCK, HEADINGS, Node

_MOST_DEPTH = 120
_CODE_MARK = "`"
_MARKS = {"strong": "**", "b": "**", "em": "*", "i": "*", "code": "`", "kbd": "`", "samp": "`", "del": "~~", "s": "~~"}
# What generators put behind a heading to link to it: a sign, or nothing that can be seen.
_SIGNS = frozenset(("", "¶", "#", "§", "🔗", "\uf0c1", "Â¶", "∞", "⚓", "ⓘ", "\u200b", "\ue157", "\u200b#"))
_NOTE = re.compile(r"\[(?:\d{1,4}|[a-z]{1,2}|note \d{1,3})\]")
_SPACES = re.compile(r"\s+")
_LANGUAGE = re.compile(r"(?:language|lang|highlight-source|highlight)-([A-Za-z0-9+#]{1,20})")
_NO_LANGUAGE = frozenset(("default", "none", "text", "notranslate", "source", "plaintext", "txt"))
_PARTS = HEADINGS | {"pre", "table", "blockquote"}
_LISTS = frozenset(("ul", "ol"))
_MOST_SPAN = 50


def write(tag: Node, base: str = "", *, is_plain: bool = False) -> str:
    """Markdown of what is inside a tag. base: what its links are relative to. is_plain: without addresses, emphasis."""
    text = _Writer(base, is_plain=is_plain).within(tag, 0)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


class _Writer:
    def __init__(self, base: str, *, is_plain: bool) -> None:
        self._base, self._is_plain = base, is_plain
        self._language = ""
        self._marks = {name: mark for name, mark in _MARKS.items() if mark == _CODE_MARK or not is_plain}

    def within(self, tag: Node, depth: int) -> str:
        """What is in a block; the code in it is in the language that its class names."""
        before = self._language
        if found := _language(tag):
            self._language = found
        inner = self.block(tag, depth)
        self._language = before
        return inner

    def block(self, tag: Node, depth: int) -> str:
        """A tag that stands on lines of its own, without what it puts around its content."""
        if depth > _MOST_DEPTH:
            return _flat(tag.text())
        parts: list[str] = []
        line: list[str] = []
        for child in tag.children:
            if isinstance(child, Node) and (child.name in BLOCK or (child.has_block and self._is_opened(child))):
                if line:
                    parts.append(_paragraph("".join(line)))
                    line = []
                parts.append(self._whole(child, depth + 1))
            else:
                line.append(self._inline(child, depth + 1))
        parts.append(_paragraph("".join(line)))
        return "\n\n".join(filter(None, parts))

    def _is_opened(self, tag: Node) -> bool:
        """Whether the blocks inside an inline tag stand for themselves, as in links and spans of many pages."""
        return (tag.name != "a" or self._is_plain) and tag.name not in self._marks

    def _whole(self, tag: Node, depth: int) -> str:
        """A block with its marks."""
        name = tag.name
        if name in HEADINGS:
            text = _flat(self._line(tag, depth))
            text = text.replace(_CODE_MARK, "") if self._is_plain else text
            return f"{'#' * int(name[1])} {text}" if text else ""
        if name in {"ul", "ol", "menu"}:
            return self._list(tag, depth)
        if name == "pre":
            return _code(tag, self._language)
        if name == "table":
            return self._table(tag, depth)
        if name == "hr":
            return "" if self._is_plain else "---"
        if name == "dt" and "sig" in tag.classes():
            return f"`{_flat(_signless(tag.text()))}`"
        inner = self.within(tag, depth)
        if name == "blockquote" and inner and not self._is_plain:
            return "\n".join(f"> {line}".rstrip() for line in inner.splitlines())
        if name == "dd" and inner and not self._is_plain:
            return f": {inner}"
        return inner

    def _list(self, tag: Node, depth: int) -> str:
        lines: list[str] = []
        number = 1
        for item in tag.children:
            if not isinstance(item, Node):
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

    def _table(self, tag: Node, depth: int) -> str:
        """Rows of cells; a table that only arranges the page is written as what is in it."""
        cells = [list(_inside(row, frozenset(("td", "th")))) for row in _inside(tag, frozenset(("tr",)))]
        caption = next(_inside(tag, frozenset(("caption",))), None)
        title = [_flat(self._line(caption, depth + 1))] if caption else []
        every = [cell for row in cells for cell in row]
        if (
            tag.attributes.get("role") in {"presentation", "none"}
            or max(map(len, cells), default=0) <= 1
            or _arranges(every)
        ):
            return "\n\n".join(filter(None, (*title, *(self.within(cell, depth + 1) for cell in every))))
        rows = [row for row in _grid(cells, [[self._cell(cell, depth) for cell in row] for row in cells]) if any(row)]
        width = max(map(len, rows), default=0)
        lines = ["| " + " | ".join([*row, *[""] * (width - len(row))]) + " |" for row in rows]
        table = "\n".join([*lines[:1], *(["|" + "---|" * width] if lines else []), *lines[1:]])
        return "\n\n".join(filter(None, (*title, table)))

    def _cell(self, cell: Node, depth: int) -> str:
        return _flat(self._line(cell, depth + 1)).replace("|", "\\|")

    def _line(self, tag: Node, depth: int) -> str:
        if depth > _MOST_DEPTH:
            return tag.text()
        return "".join([self._inline(child, depth + 1) for child in tag.children])

    def _inline(self, node: Node | str, depth: int) -> str:
        if isinstance(node, str):
            return _SPACES.sub(" ", node)
        name = node.name
        if name == "br":
            return "\n"
        if name == "img":
            described = _flat(node.attributes.get("alt", ""))
            return f"[picture: {described}]" if described else ""
        if name == "math" and node.attributes.get("alttext"):
            return node.attributes["alttext"]
        if name == "wbr":
            return ""
        text = self._line(node, depth)
        if name in BLOCK:
            return f" {text} "
        if name == "a":
            return self._link(text, node)
        mark = self._marks.get(name, "")
        inner = text.strip()
        if not mark or not inner or mark in inner:
            return text
        return text.replace(inner, f"{mark}{inner}{mark}", 1)

    def _link(self, text: str, node: Node) -> str:
        """A link with its whole address, or its text alone when it leads nowhere outside the page."""
        shown = _flat(text)
        href = node.attributes.get("href", "")
        if shown in _SIGNS and ("#" in href or not href or "headerlink" in node.classes()):
            return ""
        if self._is_plain:  # [1] beside a passage would look like a citation of ours
            return "" if "#" in href and _NOTE.fullmatch(shown) else text
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


def _arranges(cells: list[Node]) -> bool:
    """Whether a table holds what a cell of data does not: it puts parts of the page beside each other."""
    if any(cell.name == "th" for cell in cells):
        return any(cell.find(_PARTS) is not None for cell in cells)
    n_blocks = (sum(isinstance(each, Node) and each.name in BLOCK for each in cell.children) for cell in cells)
    return any(n > 1 for n in n_blocks) or any(cell.find(_PARTS | _LISTS) is not None for cell in cells)


def _inside(tag: Node, names: frozenset[str]) -> Iterator[Node]:
    """The tags of these names inside a table or a row, but not in a table inside it."""
    waiting = list(reversed(tag.children))
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            continue
        if each.name in names:
            yield each
        elif each.name != "table":
            waiting.extend(reversed(each.children))


def _grid(cells: list[list[Node]], texts: list[list[str]]) -> list[list[str]]:
    """Rows of equal columns: a cell over several columns leaves the others empty, one over several rows is in each."""
    rows: list[list[str]] = []
    lasting: dict[int, tuple[str, int]] = {}  # column: text, and rows that it still covers
    for nodes, words in zip(cells, texts, strict=True):
        row: list[str] = []

        def fill(row: list[str] = row) -> None:
            while len(row) in lasting:
                text, n_left = lasting.pop(len(row))
                if n_left > 1:
                    lasting[len(row)] = (text, n_left - 1)
                row.append(text)

        for node, text in zip(nodes, words, strict=True):
            fill()
            if (n_rows := _span(node, "rowspan")) > 1:
                lasting[len(row)] = (text, n_rows - 1)
            row += [text, *[""] * (_span(node, "colspan") - 1)]
        fill()
        rows.append(row)
    return rows


def _span(cell: Node, name: str) -> int:
    said = cell.attributes.get(name, "")
    return max(1, min(_MOST_SPAN, int(said))) if said.isascii() and said.isdecimal() and len(said) < 5 else 1


def _language(tag: Node) -> str:
    """The language that a tag's class names, or nothing."""
    for word in tag.classes():
        found = _LANGUAGE.fullmatch(word)
        name = found[1].lower() if found else ""
        if name and name not in _NO_LANGUAGE:
            return {"python3": "python", "ipython3": "python", "shell": "sh"}.get(name, name)
    return ""


def _code(tag: Node, language: str) -> str:
    """A block of code between fences that it cannot close, with the language that its class names."""
    text = tag.text().strip("\n")
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    inner = tag.find(frozenset(("code",)))
    language = _language(tag) or (_language(inner) if inner else "") or language
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}" if text.strip() else ""


def _signless(text: str) -> str:
    return text.rstrip().rstrip("¶#§\uf0c1")


def _indented(text: str, by: str) -> str:
    return "\n".join([by + line if line else "" for line in text.splitlines()])


def _flat(text: str) -> str:
    return " ".join(text.split())


def _paragraph(line: str) -> str:
    """A paragraph that cannot be taken for a heading."""
    if "  " in line:
        line = re.sub(r" {2,}", " ", line)
    if "\n" in line:
        line = re.sub(r" ?\n ?", "\n", line)
    return unheaded(line.strip())
