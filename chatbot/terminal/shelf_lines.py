"""Shelves, sources, documents, passages and runs of the library as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from chatbot.terminal.listing import flat, when
from rag.documents import place

if TYPE_CHECKING:
    from rag.documents import Passage
    from rag.ingest import Failure, Progress, Report
    from rag.library import Kept, Source
    from rag.shelves import Shelf

_MINUTE, _HOUR = 60, 3600
_TEXT_CHARS = 240


def shelf_lines(shelf: Shelf, sources: Sequence[Source], now: float) -> list[str]:
    """A shelf in a line, and a line for each of its sources below."""
    about = [counted(shelf.n_documents, "document"), "shared" if shelf.is_shared else "", _owner(shelf)]
    lines = [f"{flat(shelf.name)}  {', '.join(filter(None, about))}"]
    return lines + [f"  {line}" for line in columns([_source(each, now) for each in sources])]


def _owner(shelf: Shelf) -> str:
    return "" if shelf.is_own else "another's"


def _source(source: Source, now: float) -> tuple[str, ...]:
    refreshed = when(source.refreshed_at, now) if source.refreshed_at else "never"
    failed = f", {source.n_failures:,} not read" if source.n_failures else ""
    state = "" if source.state in {"ok", "new"} else f", {source.state}"
    problem = f": {flat(source.problem)}" if source.problem else ""
    told = f"{counted(source.n_documents, 'document')}{failed}{state}{problem}"
    return source.kind, refreshed, flat(shown_uri(source.address)), told


def document_lines(documents: Iterable[Kept]) -> list[str]:
    """A line a document: its number, its title, how long it is, where it is from."""
    rows = [
        (str(each.id), flat(each.title), f"{each.n_chars:,} characters", flat(shown_uri(each.uri)))
        for each in documents
    ]
    return columns(rows)


def failure_lines(failures: Iterable[Failure]) -> list[str]:
    """A line for each document that could not be taken, with the reason."""
    return [f"{flat(shown_uri(each.uri))}  {flat(each.reason)}" for each in failures]


def passage_lines(passages: Sequence[Passage], min_score: float) -> list[str]:
    """Each passage with its score and its text; a line where those begin that are too far to answer."""
    lines: list[str] = []
    is_near = True
    for number, each in enumerate(passages, 1):
        if is_near and each.score < min_score:
            is_near = False
            lines.append(f"-- below {min_score:.2f} nothing counts as an answer --")
        page = f", page {each.page}" if each.page else ""
        lines.append(f"{number:>2}  {each.score:.2f}  {flat(place(each.title, each.headings))}{page}")
        lines.append(f"          {flat(shown_uri(each.uri))}")
        lines.append(f"          {_shortened(flat(each.text))}")
    return lines


def progress_text(progress: Progress) -> str:
    """How far a run is, in one line."""
    n_all, n_done = progress.n_all, progress.n_done
    parts = [counted(n_done, "document") if n_all is None else f"{n_done:,} of {counted(n_all, 'document')}"]
    parts += [f"{duration(progress.left_s)} left"] if progress.left_s is not None else []
    parts.append(counted(progress.n_chunks, "passage"))
    name = shown_uri(progress.uri).rstrip("/").rpartition("/")[2]
    return " · ".join([*parts, *([flat(name)] if name else [])])


def report_text(report: Report) -> str:
    """What a run did, in one line."""
    told = [
        f"{n:,} {word}"
        for n, word in (
            (report.n_new, "new"),
            (report.n_changed, "changed"),
            (report.n_removed, "gone"),
            (report.n_same, "as before"),
            (len(report.failures), "not read"),
        )
        if n
    ]
    return ", ".join(told) or ("nothing was found there" if report.is_whole else "nothing is read yet")


def options_text(options: Mapping[str, Any]) -> str:
    """The options of a source as they are typed."""
    words = {"n_pages": "--pages"}
    told: list[str] = []
    for name, value in options.items():
        flag = words.get(name, f"--{name}")
        told += [flag] if value is True else [f"{flag} {flat(str(each))}" for each in _list(value)]
    return " ".join(told)


def duration(seconds: float) -> str:
    """A time as a person says it."""
    whole = max(1, round(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return f"{round(whole / _MINUTE)} min"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def shown_uri(uri: str) -> str:
    """Where something is from, as a person would type it: a path without its scheme."""
    if uri.startswith("file://"):
        return unquote(uri.removeprefix("file://"))
    return uri.removeprefix("file:")


def counted(n: int, word: str) -> str:
    """A number of things."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns, but the last, are as wide as their widest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*(f"{text:{width}}" for text, width in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def wire(value: Any) -> dict[str, Any]:
    """A value of the library as JSON has it."""
    found = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {name: dict(each) if isinstance(each, Mapping) else each for name, each in found.items()}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_CHARS else f"{text[: _TEXT_CHARS - 1]}…"
