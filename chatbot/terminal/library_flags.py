"""The command line of `chat library`. Reads flags, does nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields

from chatbot.settings import ChatSettings, kind_of
from chatbot.terminal import library
from chatbot.terminal.source_kinds import KINDS

_Add = Callable[[argparse.ArgumentParser], None]
_FETCHING = ("network", "allowed_fetch_hosts", "max_file_mb")  # the settings that pages and repositories are fetched by


def add_acts(parser: argparse.ArgumentParser) -> None:
    """What can be done with the library, each with its flags; `acts` of what is read is what does it."""
    acts = parser.add_subparsers(metavar="|".join(_ACTS), required=True)
    for name, (does, told, add) in _ACTS.items():
        each = acts.add_parser(name, help=told, description=told, allow_abbrev=False)
        each.set_defaults(acts=does)
        add(each)
        each.add_argument("--url", help="Address of the OpenAI-compatible model server.")
        each.add_argument("--data_dir", "--data-dir", metavar="DIR", help="Folder of the chats, as in the settings.")


def _list(parser: argparse.ArgumentParser) -> None:
    shapes = parser.add_mutually_exclusive_group()
    shapes.add_argument("--json", action="store_true", help="A JSON list.")
    shapes.add_argument("--names", action="store_true", help="Only the names, a line each.")


def _add(parser: argparse.ArgumentParser) -> None:
    _add_shelf(parser, "A shelf; it is made when it is not there.")
    parser.add_argument(
        "sources", nargs="+", metavar="PATH|URL|REPO", help="Folders, files, pages, sitemaps and git repositories."
    )
    parser.add_argument("--kind", choices=KINDS, help="What they are; without it their names tell.")
    parser.add_argument(
        "--depth", dest="n_links", type=int, metavar="N", help="Follow the links of a page so many times."
    )
    parser.add_argument("--pages", dest="n_pages", type=int, metavar="N", help="The most pages that are read.")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="Only files of such names, such as '*.md'; may be repeated. '' takes what was given before back.",
    )
    parser.add_argument("--ref", metavar="BRANCH", help="The branch or tag of a repository; '' is its own.")
    parser.add_argument(
        "--watch",
        action=argparse.BooleanOptionalAction,
        help="Read what changes in a folder for as long as the web server runs.",
    )
    parser.add_argument("--share", action="store_true", help="Let all users of the page ask this shelf.")
    parser.add_argument("--json", action="store_true", help="A JSON list of what each run did.")
    _add_embedding(parser)
    _add_fetching(parser)


def _search(parser: argparse.ArgumentParser) -> None:
    _add_shelf(parser, "A shelf, or several with commas between them.")
    parser.add_argument("text", nargs="+", metavar="QUESTION", help="What is looked for.")
    parser.add_argument("--number", type=_counted, default=6, metavar="N", help="The most passages that are shown.")
    parser.add_argument("--json", action="store_true", help="A JSON object.")
    _add_embedding(parser)


def _refresh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shelf", nargs="?", default="", metavar="SHELF", help="A shelf; all without it.")
    parser.add_argument("--json", action="store_true", help="A JSON list of what each run did.")
    _add_embedding(parser)
    _add_fetching(parser)


def _rm(parser: argparse.ArgumentParser) -> None:
    _add_shelf(parser, "A shelf.")
    parser.add_argument(
        "item",
        nargs="?",
        metavar="DOCUMENT|SOURCE",
        help="A document by its number, title or place, or a source by its place; the whole shelf without it. A part "
        "of a title is enough where somebody is asked.",
    )
    parser.add_argument("-y", "--yes", action="store_true", help="Do not ask.")


def _restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help="As chat library rm told it: shelf:3 or document:17.")


def _show(parser: argparse.ArgumentParser) -> None:
    _add_shelf(parser, "A shelf.")
    parser.add_argument("--json", action="store_true", help="A JSON object.")


def _counted(text: str) -> int:
    """A number of things, of which there is at least one. Raises ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is no number of passages: give 1 or more")
    return int(text)


def _add_shelf(parser: argparse.ArgumentParser, told: str) -> None:
    parser.add_argument("shelf", metavar="SHELF", help=told)


def _add_fetching(parser: argparse.ArgumentParser) -> None:
    for each in fields(ChatSettings):
        if each.name in _FETCHING:
            names = dict.fromkeys((f"--{each.name}", f"--{each.name.replace('_', '-')}"))
            parser.add_argument(*names, metavar=kind_of(each).__name__.upper(), help=each.metadata["help"])


def _add_embedding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--embedding_url", "--embedding-url", metavar="URL", help="Another server for the embeddings.")
    parser.add_argument("--embedding_model", "--embedding-model", metavar="NAME", help="Which model makes them.")


_ACTS: dict[str, tuple[library.Does, str, _Add]] = {
    "list": (library.list_shelves, "The shelves and their sources.", _list),
    "add": (
        library.add,
        "Read documents onto a shelf; what was read before is not read again. Options take the place of those that a "
        "source has already. What cannot be read is told and the rest goes on: status 1 when nothing could be read of "
        "one of those that are named.",
        _add,
    ),
    "search": (library.search, "The passages that fit a question, with scores; status 1 when none answers.", _search),
    "refresh": (library.refresh, "Read again what has changed; status 1 as with add.", _refresh),
    "show": (library.show, "The documents of a shelf, and what could not be read.", _show),
    "rm": (library.remove, "Take a shelf, a document or a source away; on a terminal it asks.", _rm),
    "restore": (library.restore, "Bring back what was taken away.", _restore),
}
ACTS = tuple(_ACTS)
