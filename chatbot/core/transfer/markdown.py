"""One branch of a chat as Markdown that a person can read, and that can be read back.

Comments that Markdown shows to nobody stand around each text. They bear a mark that no text of the chat holds, so that
a text is written as it is: a message may speak of such comments, or leave a block of code open.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from chatbot.core import pictures
from chatbot.core.store_rows import Chat, NewFile, Stored, StoredFile
from chatbot.core.transfer import clean, own, tree
from chatbot.core.transfer.values import Damaged, ImportedChat, Node

_HEADINGS = {"user": "You", "assistant": "Assistant"}
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$")
_FRONT = re.compile(r"---\n((?:[a-z_]+: .*\n)+)---\n")
_MARK = re.compile(r"[0-9a-f]{8,64}")


def write(
    chat: Chat, branch: Sequence[Stored], files: Mapping[str, Sequence[StoredFile]], options: Mapping[str, Any]
) -> str:
    """The shown branch of a chat; files are those of each message by its id."""
    texts = [each.content + each.reasoning for each in branch]
    texts += [each.text for some in files.values() for each in some]
    mark = _free_mark(chat.id, texts)
    front = {
        "title": chat.title,
        "date": _iso(chat.created_at),
        "updated": _iso(chat.updated_at),
        "tags": list(chat.tags),
        "pinned": chat.pinned,
        "options": dict(options),
        "paddock": {"chat": chat.id, "mark": mark, "version": own.VERSION},
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in front.items()]
    parts = ["---", *lines, "---", "", f"# {' '.join(chat.title.split())}", ""]
    for stored in branch:
        parts += _message(stored, files.get(stored.id, ()), mark)
    return "\n".join(parts)


def _message(stored: Stored, files: Sequence[StoredFile], mark: str) -> Iterator[str]:
    about = {"role": stored.role, "at": _iso(stored.created_at), "status": stored.status.value, "meta": stored.meta}
    yield _comment(mark, "message", about)
    yield f"## {_HEADINGS.get(stored.role, 'Message')}"
    yield ""
    for file in files:
        if file.kind == pictures.KIND:
            yield from (_comment(mark, "picture", {"name": file.name}), f"[picture {_shown(file.name)}]", "")
            continue
        about = {"name": file.name, "kind": file.kind, "source": file.source}
        yield from _folded(f"File: {file.name}", _section(mark, "file", clean.fenced(file.text), about))
    if stored.reasoning:
        yield from _folded("Thoughts", _section(mark, "reasoning", stored.reasoning, {}))
    yield from _section(mark, "text", stored.content, {})
    yield from _footnotes(clean.library(stored.meta.get("library")))
    yield ""


def _footnotes(library: Mapping[str, Any]) -> Iterator[str]:
    """Where an answer is from, for who reads the file; what is read back stands in the message's comment."""
    sources = library.get("sources", [])
    if sources:
        yield from ("", "Sources:", "")
    for each in sources:
        parts = [each["title"], *each["headings"][each["headings"][:1] == [each["title"]] :]]
        where = _shown(" > ".join(filter(None, parts)))
        page = f", page {each['page']}" if each["page"] else ""
        held = [mark["confirmed"] for mark in library["marks"] if mark["n"] == each["n"]]
        doubt = "" if all(held) else " (not confirmed)"
        yield f"- \\[{each['n']}\\] {where}{page}: {_shown(each['link'] or each['uri'])}{doubt}"


def _folded(summary: str, inside: Iterator[str]) -> Iterator[str]:
    yield from ("<details>", f"<summary>{_shown(summary)}</summary>", "", *inside, "", "</details>", "")


def _shown(words: str) -> str:
    """A text in one line that begins no tag."""
    return clean.line(words, 300).replace("&", "&amp;").replace("<", "&lt;")


def _section(mark: str, kind: str, words: str, about: Mapping[str, Any]) -> Iterator[str]:
    """A text between its comments; a block of code that it leaves open is closed, and the last comment says so."""
    closing = _open_fence(words)
    yield _comment(mark, kind, about)
    yield words
    yield from closing
    yield _comment(mark, "end", {"added": len(closing)})


def _comment(mark: str, kind: str, about: Mapping[str, Any]) -> str:
    inner = json.dumps(about, ensure_ascii=False).replace(">", "\\u003e").replace("--", "\\u002d\\u002d")
    return f"<!-- {mark} {kind} {inner} -->"


def _open_fence(words: str) -> list[str]:
    """The line that closes the block of code in which this text ends, if it does."""
    fence = ""
    for line in words.split("\n"):
        found = _FENCE.match(line)
        if found is None:
            continue
        if not fence:
            fence = found[1] if "`" not in found[2] or found[1][0] == "~" else ""
        elif found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return [fence] if fence else []


def _free_mark(chat_id: str, texts: Sequence[str]) -> str:
    """The same short mark for the same chat, longer only when a text happens to hold it."""
    digest = hashlib.sha256(chat_id.encode()).hexdigest()
    for n_chars in range(8, 65, 8):
        if not any(digest[:n_chars] in text for text in texts):
            return digest[:n_chars]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat()


def is_own(words: str) -> bool:
    """Whether this text is a chat that Paddock wrote as Markdown."""
    found = _FRONT.match(_unix(words[:1_000_000]))
    return found is not None and "paddock: " in found[1]


def read(words: str) -> ImportedChat:
    """A chat out of its Markdown. Raises Damaged."""
    words = _unix(words)
    front = _front(words)
    about = clean.object_of(front.get("paddock"))
    chat_id, mark = clean.key(about.get("chat")), about.get("mark")
    if about.get("version") != own.VERSION:
        raise Damaged(f"it was written by a newer Paddock (this one reads format {own.VERSION}): update Paddock")
    if chat_id is None or not isinstance(mark, str) or not _MARK.fullmatch(mark):
        raise Damaged("its first lines do not say which chat it is")
    nodes: list[Node] = []
    for message in _messages(words, mark):
        nodes.append(_node(message, len(nodes)))
    dated = clean.seconds(front.get("date"))
    created_at = dated or time.time()
    made = tree.build(nodes, nodes[-1].key if nodes else None, created_at)
    return ImportedChat(
        title=clean.title(front.get("title"), made.messages[0].content),
        created_at=created_at,
        updated_at=clean.seconds(front.get("updated")) or created_at,
        messages=made.messages,
        leaf_key=made.leaf_key,
        source_key=f"paddock:{chat_id}",
        options=clean.settings(front.get("options")),
        tags=clean.tags(front.get("tags")),
        pinned=front.get("pinned") is True,
        is_dated=dated is not None,
    )


@dataclass(frozen=True)
class _Message:
    """A message's comment and its sections: (kind, what its comment says, text)."""

    about: Mapping[str, Any]
    sections: tuple[tuple[str, Mapping[str, Any], str], ...]


def _unix(words: str) -> str:
    """Without the line ends that some editors put in, and the mark they begin files with."""
    words = words.removeprefix("\ufeff")
    return words.replace("\r\n", "\n") if words.startswith("---\r\n") else words


def _front(words: str) -> dict[str, Any]:
    found = _FRONT.match(words)
    front: dict[str, Any] = {}
    for line in found[1].split("\n") if found else ():
        name, _, value = line.partition(": ")
        front[name] = _json(value)
    return front


def _json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _messages(words: str, mark: str) -> Iterator[_Message]:
    """The messages, by the comments that bear the mark."""
    comments = list(re.finditer(rf"^<!-- {mark} ([a-z]+) (.*) -->$", words, re.M))
    about: Mapping[str, Any] | None = None
    sections: list[tuple[str, Mapping[str, Any], str]] = []
    for number, comment in enumerate(comments):
        kind, said = comment[1], clean.object_of(_json(comment[2]))
        if kind == "message":
            if about is not None:
                yield _Message(about, tuple(sections))
            about, sections = said, []
        elif kind != "end":
            after = comments[number + 1] if number + 1 < len(comments) else None
            sections.append((kind, said, _between(words, comment, after)))
    if about is not None:
        yield _Message(about, tuple(sections))


def _between(words: str, begin: re.Match[str], end: re.Match[str] | None) -> str:
    """The text of a section, without the line that was added to close a block of code."""
    text = words[begin.end() + 1 : end.start() - 1 if end else len(words)]
    if end is not None and end[1] == "end" and clean.object_of(_json(end[2])).get("added") == 1:
        return text.rpartition("\n")[0]
    return text


def _node(message: _Message, number: int) -> Node:
    texts = {kind: clean.text(text) for kind, _, text in message.sections}
    named = [clean.left_out(said.get("name"), "picture") for kind, said, _ in message.sections if kind == "picture"]
    role = message.about.get("role")
    return Node(
        key=f"#{number}",
        parent=f"#{number - 1}" if number else None,
        role=str(role) if role in own.ROLES else "",
        content="\n\n".join(filter(None, (texts.get("text", ""), *named))),
        created_at=clean.seconds(message.about.get("at")),
        reasoning=texts.get("reasoning", ""),
        status=own.status(message.about.get("status")),
        meta=clean.meta(message.about.get("meta")),
        files=tuple(file for kind, said, text in message.sections if kind == "file" and (file := _file(said, text))),
    )


def _file(said: Mapping[str, Any], text: str) -> NewFile | None:
    """A file out of the block of code that holds its text."""
    return own.attached({**said, "text": text.partition("\n")[2].rpartition("\n")[0]})
