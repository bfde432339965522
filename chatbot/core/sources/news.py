"""Headlines of the day, or about something, from an RSS or Atom feed."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlsplit

from chatbot.core.sources.fetch import Fetched
from chatbot.errors import BadRequest, FetchFailed
from rag.extract.safe_xml import BadXml, walk

MOST = 25
_KEPT = frozenset(("title", "link", "pubDate", "published", "updated", "source"))
_MOST_CHARS = 1_000


@dataclass
class _Item:
    parts: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        self.parts[name] = (self.parts.get(name, "") + text)[:_MOST_CHARS]

    def line(self) -> str:
        """One headline in Markdown, with who says so and when, as far as the feed tells."""
        title = _plain(self.parts.get("title", "")).replace("[", "(").replace("]", ")")
        link = re.sub(r"[\s<>()]", "", self.parts.get("link", ""))
        date = next((self.parts[name] for name in ("pubDate", "published", "updated") if name in self.parts), "")
        source = _plain(self.parts.get("source", ""))
        if source and title.endswith(f" - {source}"):
            title = title[: -len(source) - 3]
        shown = f"[{title}]({link})" if title and urlsplit(link).scheme in {"http", "https"} else title
        return ", ".join(filter(None, (shown, source, _plain(date)))) if title else ""


def headlines(topic: str, page_url: str, search_url: str, fetch: Callable[[str], Fetched]) -> tuple[str, str]:
    """(headlines as a Markdown list, address of the feed). search_url holds {topic}. Raises BadRequest, FetchFailed."""
    topic = " ".join(topic.split())
    if topic and "{topic}" not in search_url:
        raise BadRequest("this feed cannot be searched: ask for the news without a topic")
    came = fetch(search_url.replace("{topic}", quote_plus(topic)) if topic else page_url)
    lines = [line for item in _items(came) if (line := item.line())]
    if not lines:
        raise FetchFailed(
            f"there is no news about {topic}: try other words" if topic else "the feed holds no headlines"
        )
    numbered = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    return f"# News{f' about {topic}' if topic else ''}\n\n{numbered}", came.final_url


def _items(came: Fetched) -> list[_Item]:
    """The first items of a feed. Raises FetchFailed when it is none, such as a page that asks for consent."""
    items: list[_Item] = []
    path: list[str] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        path.append(name)
        if name in {"item", "entry"}:
            items.append(_Item())
        elif name == "link" and items and attributes.get("rel", "alternate") == "alternate" and "href" in attributes:
            items[-1].add("link", attributes["href"])

    def text(piece: str) -> None:
        if len(items) <= MOST and len(path) >= 2 and path[-1] in _KEPT and path[-2] in {"item", "entry"}:
            items[-1].add(path[-1], piece)

    try:
        walk([came.body], start, lambda _: path.clear() if len(path) == 1 else path.__delitem__(-1), text)
    except BadXml as why:
        host = urlsplit(came.final_url).hostname
        raise FetchFailed(f"what {host} sent is no news feed: try later, or set another with --news_url") from why
    return items[:MOST]


def _plain(text: str) -> str:
    """One line without tags; feeds put HTML into their titles."""
    return " ".join(re.sub(r"<[^<>]{0,300}>", "", html.unescape(text)).split())
