"""chat library: the shelves of documents, and what is done with them besides asking. Opens them only when it runs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from chatbot.core.mentions import parted
from chatbot.core.store_rows import OWNER
from chatbot.errors import BadRequest
from chatbot.terminal.flags import TerminalSettings
from chatbot.terminal.listing import flat, hanging
from chatbot.terminal.paint import size
from chatbot.terminal.shelves import failure

if TYPE_CHECKING:
    from chatbot.terminal.source_kinds import Named
    from rag.library import Kept, Library, Report, Source
    from rag.shelves import Shelf

Does = Callable[["Library", argparse.Namespace], int]
INTERRUPTED = 130
_AT_ONCE = 500


def run(settings: TerminalSettings, does: Does, found: argparse.Namespace) -> int:
    """Open the library and do one of the commands below; the exit status. Raises ChatError."""
    from chatbot.core.library import open_library
    from rag.errors import RagError

    door = open_library(settings, settings.database())
    found.library_min_score = settings.library_min_score
    try:
        return does(door.open(), found)
    except RagError as why:
        raise failure(why) from why
    finally:
        door.close()


def list_shelves(library: Library, found: argparse.Namespace) -> int:
    """The shelves with their sources."""
    from chatbot.terminal.shelf_lines import shelf_lines, wire

    shelves = library.index.shelves(OWNER)
    if found.names:
        _print_lines([each.name for each in shelves])
    elif found.json:
        _print_json([{**wire(each), "sources": list(map(wire, library.sources(each.id)))} for each in shelves])
    else:
        if not shelves:
            sys.stderr.write("there is no shelf yet: chat library add NAME FOLDER begins one\n")
        _print_lines([line for each in shelves for line in shelf_lines(each, library.sources(each.id), time.time())])
    return 0


def show(library: Library, found: argparse.Namespace) -> int:
    """The documents of a shelf, and what could not be read."""
    from chatbot.terminal.shelf_lines import document_lines, failure_lines, wire

    shelf = library.index.shelf(OWNER, found.shelf)
    failures = [each for source in library.sources(shelf.id) for each in library.failures(source.id)]
    documents = list(_documents(library, shelf))
    if found.json:
        _print_json({**wire(shelf), "documents": list(map(wire, documents)), "failures": list(map(wire, failures))})
        return 0
    _print_lines(document_lines(documents))
    if failures:
        _print_lines(["not read:", *failure_lines(failures)])
    return 0


def _warn(why: str) -> None:
    sys.stderr.write(f"{why}\n")


def search(library: Library, found: argparse.Namespace) -> int:
    """The passages that fit a question; status 1 when none of them is near enough to answer it."""
    from chatbot.core.library.searching import Searching
    from chatbot.terminal.shelf_lines import passage_lines, wire

    there = [shelf.name for shelf in library.index.shelves(OWNER)]
    shelf_ids = [library.index.shelf(OWNER, name).id for name in parted(found.shelf, there) or [found.shelf]]
    searching = Searching(library, _warn, found.library_min_score)
    min_score = searching.min_score()
    passages = searching.passages(" ".join(found.text), shelf_ids, found.number, min_score=min_score)
    is_near = [each.score >= min_score for each in passages]
    if found.json:
        told = [{**wire(each), "is_enough": is_enough} for each, is_enough in zip(passages, is_near, strict=True)]
        _print_json({"passages": told, "min_score": min_score, "has_vectors": library.has_vectors()})
    else:
        if not library.has_vectors():
            sys.stderr.write("searched by words alone: there are no embeddings yet, chat library refresh makes them\n")
        _print_lines(passage_lines(passages, min_score))
    return 0 if any(is_near) else 1


def add(library: Library, found: argparse.Namespace) -> int:
    """Put what is named on a shelf and read it; the shelf is made where there is none."""
    from chatbot.terminal.source_kinds import named
    from rag.errors import UnknownShelf

    said = {
        "depth": found.n_links,
        "n_pages": found.n_pages,
        "only": [each for each in found.only if each] if any(found.only) else "" if found.only else None,
        "ref": found.ref,
        "watch": found.watch,
    }
    options = {name: value for name, value in said.items() if value}
    off = [name for name, value in said.items() if value == "" or value is False]
    wanted = [named(name, found.kind, options) for name in found.sources]
    try:
        shelf = library.index.shelf(OWNER, found.shelf)
    except UnknownShelf:
        shelf = library.index.add_shelf(OWNER, found.shelf, is_shared=found.share)
    if found.share and not shelf.is_shared:
        library.index.change_shelf(OWNER, shelf.id, is_shared=True)
    sources = [_added(library, shelf, each, off) for each in wanted]
    return _read(library, sources, shelf.name, is_json=found.json, fills=shelf.id)


def _added(library: Library, shelf: Shelf, wanted: Named, off: Collection[str]) -> Source:
    """A source on its shelf. One that is there already keeps the options of which nothing is said; off: those that it
    shall have no longer."""
    from chatbot.terminal.shelf_lines import options_text

    sys.stderr.write(f"{flat(wanted.told)}\n")
    for old in library.sources(shelf.id):
        if (old.kind, old.address) == (wanted.kind, wanted.address):
            options = {name: value for name, value in {**old.options, **wanted.options}.items() if name not in off}
            if options == old.options:
                return old
            how = f"with {options_text(options)}" if options else "without options"
            sys.stderr.write(f"it is on {flat(shelf.name)} already, and from now on read {how}\n")
            return library.change_source(OWNER, old.id, options)
    return library.add_source(OWNER, shelf.id, wanted.kind, wanted.address, wanted.options)


def refresh(library: Library, found: argparse.Namespace) -> int:
    """Read again what has changed, of one shelf or of all that are one's own."""
    shelves = [library.index.shelf(OWNER, found.shelf)] if found.shelf else library.index.shelves(OWNER)
    sources = [source for shelf in shelves if shelf.is_own for source in library.sources(shelf.id)]
    return _read(library, sources, found.shelf, is_json=found.json)


def _read(library: Library, sources: list[Source], shelf: str, *, is_json: bool, fills: int | None = None) -> int:
    """Run these sources one after the other; what is wrong with one is said, and the others go on.

    fills: the shelf whose missing vectors are waited for at the end, None for all that are missing.
    """
    from chatbot.terminal.refreshing import Foreground
    from chatbot.terminal.shelf_lines import shown_uri, wire
    from rag.errors import RagError

    foreground, runs, n_failed = Foreground(), [], 0
    for source in sources:
        try:
            report = foreground.refresh(library, source)
            n_failed += _is_in_vain(report)
            told = wire(report)
            told["failures"] = list(map(wire, told["failures"]))
        except RagError as why:
            n_failed += 1
            foreground.say(f"{flat(shown_uri(source.address))}: {why.message}")
            told = {"problem": why.message}
        runs.append({"source_id": source.id, "kind": source.kind, "address": source.address, **told})
        if foreground.was_stopped:
            break
    else:
        foreground.fill(library, fills)
    if is_json:
        _print_json(runs)
    if foreground.was_stopped:
        foreground.say(f"stopped; what was read is kept, and {f'chat library refresh {shelf}'.rstrip()} goes on")
        return INTERRUPTED
    return 1 if n_failed else 0


def _is_in_vain(report: Report) -> bool:
    """Whether nothing could be read of a source that has something."""
    return bool(report.failures) and not report.n_new + report.n_changed + report.n_same + report.n_put_away


def remove(library: Library, found: argparse.Namespace) -> int:
    """Take a shelf, a document of it or a source with all its documents away; status 1 when the person says no."""
    from chatbot.terminal.shelf_lines import counted, shown_uri

    shelf = library.index.shelf(OWNER, found.shelf)
    name = flat(shelf.name)
    if found.item is None:
        if not _is_sure(f"take the shelf {name} with {counted(shelf.n_documents, 'document')} away?", found):
            return 1
        library.index.delete_shelf(OWNER, shelf.id)
        sys.stderr.write(f"{name} is gone; for a day this brings it back: chat library restore shelf:{shelf.id}\n")
        return 0
    if not found.item.strip():
        raise BadRequest(f"what shall go from {name} is empty: leave it out to take the whole shelf away")
    source = next((s for s in library.sources(shelf.id) if found.item in {s.address, shown_uri(s.address)}), None)
    if source:
        if not _is_sure(f"forget {flat(found.item)} with {counted(source.n_documents, 'document')}?", found):
            return 1
        library.remove_source(OWNER, source.id)
        sys.stderr.write(f"{flat(found.item)} is forgotten; chat library add reads it again\n")
        return 0
    document = _document(library, shelf, found.item, is_asked=_is_asked(found))
    title = flat(document.title)
    if not _is_sure(f"take {title} from {name}?", found):
        return 1
    library.delete_document(OWNER, document.id)
    sys.stderr.write(f"{title} is gone; for a day this brings it back: chat library restore document:{document.id}\n")
    return 0


def restore(library: Library, found: argparse.Namespace) -> int:
    """Bring back what was taken away. Raises BadRequest for what names nothing."""
    what, _, number = found.what.partition(":")
    if what not in {"shelf", "document"} or not number.isdigit():
        raise BadRequest("name what was taken away as chat library rm told it: shelf:3 or document:17")
    if what == "shelf":
        library.index.restore_shelf(OWNER, int(number))
    else:
        library.restore_document(OWNER, int(number))
    sys.stderr.write("it is there again\n")
    return 0


def _documents(library: Library, shelf: Shelf, text: str = "") -> Iterator[Kept]:
    """All documents of a shelf, or those whose title or uri has a text."""
    after = ""
    while part := library.documents(shelf.id, after, _AT_ONCE, text):
        yield from part
        after = part[-1].uri


def _document(library: Library, shelf: Shelf, item: str, *, is_asked: bool) -> Kept:
    """The document that a number, a title or a place means. is_asked: a person is asked before it goes, so that a part
    of a title may do. Raises BadRequest for none, for several, and for one that is only like it where nobody is asked.
    """
    from chatbot.terminal.shelf_lines import document_lines, shown_uri

    if item.isdigit() and (found := [each for each in _documents(library, shelf) if each.id == int(item)]):
        return found[0]
    near = list(_documents(library, shelf, item))
    places = [(each, shown_uri(each.uri)) for each in near]
    exact = [each for each, at in places if item in {each.title, each.uri, at, at.rpartition("/")[2]}]
    if len(exact) == 1:
        return exact[0]
    if len(near) == 1 and is_asked and not item.isdigit():
        return near[0]
    if not near:
        raise BadRequest(f"{shelf.name} has no document or source {item}: chat library show {shelf.name} lists them")
    like = "1 document" if len(near) == 1 else f"{len(near)} documents"
    some = "\n".join(document_lines(near[:10]))
    raise BadRequest(f"{shelf.name} has no single document {item}, but {like} like it: give its number\n{some}")


def _is_sure(question: str, found: argparse.Namespace) -> bool:
    """Ask a person; a script has said so already."""
    if not _is_asked(found):
        return True
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _is_asked(found: argparse.Namespace) -> bool:
    """Whether somebody is there to answer, and wants to be asked."""
    return bool(not found.yes and sys.stdin and sys.stdin.isatty() and sys.stderr.isatty())


def _print_lines(lines: list[str]) -> None:
    """Lines of columns; where a person looks, wrapped so that the columns stay."""
    if sys.stdout.isatty():
        lines = [hanging(line, size()[0]) for line in lines]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _print_json(what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what, ensure_ascii=False, indent=1)}\n")
