"""What a person can bring in from the web: a page by its address, headlines, the weather. Never on a model's word."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from chatbot.core import files
from chatbot.core.sources import fetch, news, weather
from chatbot.core.sources.fetch import Fetched, Limits, Net
from chatbot.core.sources.guarded import Guarded
from chatbot.errors import AddressRefused, BadRequest, FetchFailed, FileRefused, FileTooLarge
from chatbot.settings import ChatSettings

COMMANDS = ("url", "news", "weather")
_PAGE_S = 30.0  # for one page of a source


@dataclass(frozen=True)
class Found:
    """Something to add to a message as a file. say: for the person; source: its address; kind: the file's.

    media_type and data: of a picture, which has no text.
    """

    say: str
    name: str
    text: str
    source: str
    kind: str = "page"
    media_type: str = ""
    data: bytes | None = None


def run(command: str, argument: str, settings: ChatSettings, net: Net | None = None) -> Found:
    """Do one of COMMANDS. Takes ten seconds at most, and some more for a large page.

    Raises BadRequest, AddressRefused, FetchFailed or FileRefused, each with a sentence for the person.
    """
    if settings.network != "true":
        raise AddressRefused("fetching is turned off here: start with --network true to read pages, news and weather")
    get = partial(fetch.get, allowed=_allowed(settings), net=net or Net())
    argument = argument.strip()
    if command == "url":
        return _page(get(argument, accept="text/html, text/*;q=0.9, application/pdf;q=0.8, */*;q=0.5"))
    if command == "news":
        text, source = news.headlines(argument, settings.news_url, settings.news_search_url, get)
        name = f"News about {argument}" if argument else "News"
        return Found(f"{text.count(chr(10)) - 1} headlines", files.clean_name(name), text, source, "news")
    if command == "weather":
        text, source = weather.report(argument, settings.weather_url, get)
        title = text.partition("\n")[0].removeprefix("# ")
        return Found(f"{title}.", files.clean_name(title), text, source, "weather")
    raise BadRequest(f"there is no command {command[:40]}: {', '.join(COMMANDS)} are known")


def for_library(settings: ChatSettings, net: Net | None = None) -> Guarded | None:
    """The way to the net for the library's sources; None where fetching is turned off."""
    if settings.network != "true":
        return None
    return Guarded(_allowed(settings), Limits(settings.max_file_mb * 1_000_000, _PAGE_S), net or Net())


def _allowed(settings: ChatSettings) -> frozenset[str]:
    """The hosts inside the house that may be asked."""
    return frozenset(filter(None, (name.strip(" []").lower() for name in settings.allowed_fetch_hosts.split(","))))


def _page(came: Fetched) -> Found:
    """A page, or a file that lies on the web."""
    parts = urlsplit(came.final_url)
    host, last = parts.hostname or "", parts.path.rstrip("/").rpartition("/")[2]
    try:
        read = files.extract(last or host, came.body, content_type=came.content_type, url=came.final_url)
    except (FileRefused, FileTooLarge) as why:
        raise FetchFailed(f"the page was fetched from {host} and cannot be read: {why.message}") from why
    name = files.clean_name((read.title or last or host).replace("/", " "))
    has = "a picture" if read.data is not None else f"{len(read.text):,} characters"
    more = (came.final_url, read.kind, read.media_type, read.data)
    return Found(f"{name}: {has} from {host}", name, read.text, *more)
