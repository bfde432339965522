"""The text of a DOCX as Markdown: paragraphs, headings, lists, tables. Reads the ZIP and its XML in pieces."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rag.extract.limits import MAX_CHARS, MAX_PART_BYTES, Unreadable
from rag.extract.marked import unheaded
from rag.extract.safe_xml import BadXml, walk

_DOCUMENT, _STYLES, _CORE = "word/document.xml", "word/styles.xml", "docProps/core.xml"
_MAX_ENTRIES = 10_000
_MAX_PARENTS = 10
_MAX_TITLE = 200
_MOST_COLUMNS = 63  # of a table, in Word
_LEVELS = frozenset("012345678")
_PIECE = 65_536
_OTHERS = (
    ("xl/workbook.xml", "is a spreadsheet: save the sheet that you mean as CSV"),
    ("ppt/presentation.xml", "is a presentation: save it as PDF"),
    ("content.xml", "is an OpenDocument file: save it as DOCX or PDF"),
    ("META-INF/container.xml", "is an e-book: convert it to PDF or to plain text"),
)


def read(data: bytes) -> tuple[str, str]:
    """(text, title). Raises Unreadable with the reason."""
    damaged = "is a damaged DOCX: open it in a word processor and save it again"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if len(names) > _MAX_ENTRIES:
                raise Unreadable(f"is an archive of {len(names):,} files: unpack it and add the ones that you mean")
            if _DOCUMENT not in names:
                raise Unreadable(next((said for name, said in _OTHERS if name in names), "is an archive: unpack it"))
            return _text(archive, names), _title(archive, names)
    except (zipfile.BadZipFile, zlib.error, BadXml, NotImplementedError, EOFError, RuntimeError, ValueError) as why:
        raise Unreadable(damaged) from why


def _text(archive: zipfile.ZipFile, names: set[str]) -> str:
    parts, styles = [], _Styles()
    if _STYLES in names:
        walk(_pieces(archive, _STYLES), styles.start, lambda _: None, lambda _: None)
    for name in (_DOCUMENT, "word/footnotes.xml", "word/endnotes.xml"):
        if name in names:
            writer = _Writer(styles)
            walk(_pieces(archive, name), writer.start, writer.end, writer.text)
            parts.append(writer.finish())
    text = "\n\n".join(filter(None, parts))
    if not text.strip():
        raise Unreadable("has no text, perhaps only pictures")
    return text


def _title(archive: zipfile.ZipFile, names: set[str]) -> str:
    """What the document says that it is called; a title that cannot be read is none."""
    title = _Title()
    if _CORE in names:
        try:
            walk(_pieces(archive, _CORE), title.start, title.end, title.add)
        except BadXml:
            return ""
    return " ".join(title.text.split())[:_MAX_TITLE]


def _pieces(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """The part, unpacked while it is read: what an archive says of its sizes is not believed."""
    n_bytes = 0
    with archive.open(name) as part:
        while piece := part.read(_PIECE):
            n_bytes += len(piece)
            if n_bytes > MAX_PART_BYTES:
                raise Unreadable(f"unpacks to more than {MAX_PART_BYTES // 1_000_000} MB of text: split it")
            yield piece


class _Styles:
    """Takes the events of styles.xml: a heading's id is in the language of its program, its name is English."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._levels: dict[str, int] = {}
        self._lists: set[str] = set()
        self._id = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        value = attributes.get("w:val", "")
        if name == "style":
            self._id = attributes.get("w:styleId", "")
        elif not self._id or len(self._names) >= _MAX_ENTRIES:
            return
        elif name == "name":
            self._names.setdefault(self._id, value.lower())
        elif name == "basedOn":
            self._parents.setdefault(self._id, value)
        elif name == "outlineLvl" and value in _LEVELS:
            self._levels.setdefault(self._id, int(value))
        elif name == "numPr":
            self._lists.add(self._id)

    def prefix(self, style: str) -> str:
        """What stands before a paragraph of this style: the mark of a heading or of a list, of its own or inherited."""
        for _ in range(_MAX_PARENTS):
            name = self._names.get(style, style.lower())
            level = name.removeprefix("heading").strip()
            if level.isdecimal() and level.isascii() and 1 <= int(level) <= 9:
                return "#" * min(6, int(level)) + " "
            if name == "title":
                return "# "
            if style in self._levels:
                return "#" * min(6, self._levels[style] + 1) + " "
            if style in self._lists:
                last = name[-1:]
                return "  " * (int(last) - 1 if last in _LEVELS and last != "0" else 0) + "- "
            if style not in self._parents:
                break
            style = self._parents[style]
        return ""


class _Title:
    """Takes the events of core.xml, where a program keeps what the document is called."""

    def __init__(self) -> None:
        self.text = ""
        self._is_in = False

    def start(self, name: str, _: Mapping[str, str]) -> None:
        self._is_in = name == "title"

    def end(self, _: str) -> None:
        self._is_in = False

    def add(self, piece: str) -> None:
        if self._is_in and len(self.text) < _MAX_TITLE:
            self.text += piece


@dataclass
class _Cell:
    """A cell of a table that is being read. n_columns: how many it takes; goes_on: it is one with that above it."""

    blocks: list[str] = field(default_factory=list)
    n_columns: int = 1
    goes_on: bool = False


class _Writer:
    """Takes the events of WordprocessingML (ECMA-376, part 1, chapter 17) and writes Markdown."""

    def __init__(self, styles: _Styles) -> None:
        self._styles = styles
        self._blocks: list[str] = []
        self._paragraphs: list[list[str]] = []  # the open ones: a text box holds paragraphs inside a paragraph
        self._prefix = ""
        self._tables: list[list[list[str]]] = []
        self._cells: list[_Cell] = []
        self._is_text = False
        self._n_skipped = self._n_chars = 0
        self._was_list = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if self._n_skipped or name == "Fallback":  # the same content again, for old programs
            self._n_skipped += 1
        elif name == "p":
            self._paragraphs.append([])
            self._prefix = ""
        elif name in {"t", "tab", "br", "cr", "noBreakHyphen"}:
            self._is_text = name == "t"
            self._add({"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}.get(name, ""))
        elif name == "pStyle":
            self._prefix = self._styles.prefix(attributes.get("w:val", ""))
        elif name == "outlineLvl" and attributes.get("w:val", "") in _LEVELS:
            self._prefix = "#" * min(6, int(attributes["w:val"]) + 1) + " "
        elif name == "ilvl" and not self._prefix.startswith("#"):
            level = attributes.get("w:val", "0")
            self._prefix = "  " * (int(level) if level in _LEVELS else 0) + "- "
        elif name == "tbl":
            self._tables.append([])
        elif self._tables:
            self._start_in_table(name, attributes)

    def _start_in_table(self, name: str, attributes: Mapping[str, str]) -> None:
        rows = self._tables[-1]
        if name == "tr":
            rows.append([])
        elif name == "gridBefore" and rows:
            rows[-1] += [""] * _columns(attributes)
        elif name == "tc":
            self._cells.append(_Cell())
        elif name == "gridSpan" and self._cells:
            self._cells[-1].n_columns = max(1, _columns(attributes))
        elif name == "vMerge" and self._cells:
            self._cells[-1].goes_on = attributes.get("w:val", "continue") == "continue"

    def end(self, name: str) -> None:
        if self._n_skipped:
            self._n_skipped -= 1
        elif name == "t":
            self._is_text = False
        elif name == "p" and self._paragraphs:
            text = "".join(self._paragraphs.pop()).strip()
            if text:
                first, end, rest = text.partition("\n")
                first = f"{self._prefix}{first}" if self._prefix or self._cells else unheaded(first)
                self._put(f"{first}{end}{unheaded(rest)}", is_list=self._prefix.endswith("- "))
            self._prefix = ""
        elif name == "tc" and self._cells and self._tables and self._tables[-1]:
            self._end_cell(self._cells.pop(), self._tables[-1])
        elif name == "tbl" and self._tables:
            self._put(_table(self._tables.pop()))

    def text(self, piece: str) -> None:
        if self._is_text and not self._n_skipped:
            self._add(piece)

    def finish(self) -> str:
        """All of it."""
        return "\n".join(self._blocks).strip()

    def _end_cell(self, cell: _Cell, rows: list[list[str]]) -> None:
        """Put a cell into its row, so that each value stands under its title."""
        at, above = len(rows[-1]), rows[-2] if len(rows) > 1 else []
        text = " ".join(" ".join(cell.blocks).split())
        if cell.goes_on and not text and at < len(above):
            text = above[at]
            self._n_chars += len(text)
        rows[-1] += [text, *[""] * (cell.n_columns - 1)]

    def _add(self, piece: str) -> None:
        self._n_chars += len(piece)
        if self._n_chars > MAX_CHARS:
            raise Unreadable(f"holds more than {MAX_CHARS:,} characters: split it")
        if self._paragraphs:
            self._paragraphs[-1].append(piece)

    def _put(self, block: str, *, is_list: bool = False) -> None:
        if self._cells:
            self._cells[-1].blocks.append(block)
            return
        if self._blocks and not (is_list and self._was_list):
            self._blocks.append("")
        self._was_list = is_list
        self._blocks.append(block)


def _columns(attributes: Mapping[str, str]) -> int:
    said = attributes.get("w:val", "")
    return min(_MOST_COLUMNS, int(said)) if said.isascii() and said.isdecimal() and len(said) < 5 else 0


def _table(rows: list[list[str]]) -> str:
    rows = [row for row in rows if any(row)]
    width = max(map(len, rows), default=0)
    lines = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row + [""] * (width - len(row))) + " |" for row in rows
    ]
    return "\n".join([*lines[:1], "|" + "---|" * width, *lines[1:]]) if rows else ""
