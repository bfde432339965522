"""Open WebUI's export: objects {id, title, chat: {history: {messages, currentId}}}; reasoning stands inside answers."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Mapping
from typing import Any

from chatbot.core.store_rows import NewFile
from chatbot.core.transfer import clean, images, tree
from chatbot.core.transfer.values import Damaged, ImportedChat, Node

_THOUGHT = re.compile(r'<details\s[^<>]{0,500}?type="reasoning"[^<>]{0,500}>')
_END = "</details>"
_SUMMARY_END = "</summary>"


def is_chat(found: Mapping[str, Any]) -> bool:
    """Whether this object is a chat of Open WebUI."""
    chat = found.get("chat")
    return isinstance(chat, dict) and ("history" in chat or "messages" in chat)


def read(found: Mapping[str, Any]) -> ImportedChat:
    """A chat out of its object. Raises Damaged."""
    chat = clean.object_of(found.get("chat"))
    chat_id = clean.key(found.get("id")) or clean.key(chat.get("id"))
    nodes = _nodes(chat)
    times = [node.created_at for node in nodes if node.created_at is not None]
    dated = clean.seconds(found.get("created_at")) or clean.seconds(chat.get("timestamp")) or min(times, default=None)
    created_at = dated or time.time()
    leaf = clean.key(clean.object_of(chat.get("history")).get("currentId"))
    made = tree.build(tree.by_time(nodes), leaf, created_at, joins=True)
    if chat_id is None:
        raise Damaged("it has no id")
    named = clean.tags(clean.object_of(found.get("meta")).get("tags")) or clean.tags(chat.get("tags"))
    return ImportedChat(
        title=clean.title(found.get("title") or chat.get("title"), made.messages[0].content),
        created_at=created_at,
        updated_at=clean.seconds(found.get("updated_at")) or max(times, default=created_at),
        messages=made.messages,
        leaf_key=made.leaf_key,
        source_key=f"openwebui:{chat_id}",
        options=_options(chat),
        tags=named + (("archived",) if found.get("archived") is True and "archived" not in named else ()),
        pinned=found.get("pinned") is True,
        notices=made.notices(),
        is_dated=dated is not None,
    )


def _options(chat: Mapping[str, Any]) -> dict[str, Any]:
    system = clean.text(clean.object_of(chat.get("params")).get("system")) or clean.text(chat.get("system"))
    return {"system_prompt": system} if system.strip() else {}


def _nodes(chat: Mapping[str, Any]) -> list[Node]:
    """The messages of the tree; of a chat without one those of its list, each after the one before."""
    by_id = clean.object_of(clean.object_of(chat.get("history")).get("messages"))
    if by_id:
        return [_node(each, clean.key(key), each.get("parentId")) for key, each in by_id.items() if _is_object(each)]
    found: list[Node] = []
    for number, each in enumerate(clean.objects(chat.get("messages"))):
        found.append(_node(each, f"#{number}", found[-1].key if found else None))
    return found


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _node(found: Mapping[str, Any], key: str | None, parent: object) -> Node:
    role = {"user": "user", "assistant": "assistant"}.get(str(found.get("role")), "")
    content, reasoning = _content(found.get("content")), ""
    if role == "assistant":
        reasoning, content = split_reasoning(content)
    files = clean.objects(found.get("files"))
    read = [(each, _file(each)) for each in files]
    read_files = [file for _, file in read if file] + _pictures(found.get("content"))
    notes = [clean.left_out(each.get("name")) for each, file in read if not file]
    model = clean.line(found.get("model"), 200)
    return Node(
        key=key or "#",
        parent=clean.key(parent),
        role=role,
        content="\n\n".join(filter(None, (content, *notes))),
        created_at=clean.seconds(found.get("timestamp")),
        reasoning=reasoning or clean.text(found.get("reasoning_content")),
        meta={"model": model} if model and role == "assistant" else {},
        files=tuple(read_files),
    )


def _content(value: object) -> str:
    if isinstance(value, list):
        parts = [
            clean.text(each.get("text")) if each.get("type") == "text" else clean.left_out(each.get("name"))
            for each in clean.objects(value)
            if not _picture(each)
        ]
        return "\n\n".join(filter(None, parts))
    return clean.text(value)


def _pictures(value: object) -> list[NewFile]:
    """The pictures among the parts of a message."""
    return [made for each in clean.objects(value) if (made := _picture(each))]


def _picture(part: Mapping[str, Any]) -> NewFile | None:
    return images.from_url(part.get("name"), clean.object_of(part.get("image_url")).get("url"))


def _file(found: Mapping[str, Any]) -> NewFile | None:
    """An attached file whose text, or a picture whose bytes are in the export."""
    if picture := images.from_url(found.get("name"), found.get("url")):
        return picture
    inner = clean.object_of(found.get("file"))
    text = clean.text(clean.object_of(inner.get("data")).get("content")) or clean.text(found.get("content"))
    if not text.strip():
        return None
    name = clean.name(found.get("name") or inner.get("filename"))
    is_page = str(found.get("url", "")).startswith(("http://", "https://"))
    return NewFile(name, "page" if is_page else "text", text, clean.line(found.get("url"), 2_000) if is_page else "")


def split_reasoning(content: str) -> tuple[str, str]:
    """(reasoning, answer): Open WebUI writes the reasoning into the answer, as folded quotes."""
    thoughts, rest, at = [], [], 0
    while (found := _THOUGHT.search(content, at)) is not None:
        end = content.find(_END, found.end())
        if end < 0:
            break
        rest.append(content[at : found.start()])
        inner = content[found.end() : end]
        inner = inner[inner.find(_SUMMARY_END) + len(_SUMMARY_END) :] if _SUMMARY_END in inner else inner
        thoughts.append(_unquoted(inner))
        at = end + len(_END)
    rest.append(content[at:])
    answer = "".join(rest)
    return "\n\n".join(filter(None, thoughts)), answer.strip() if thoughts else answer


def _unquoted(inner: str) -> str:
    lines = [line[2:] if line.startswith("> ") else "" if line == ">" else line for line in inner.strip().split("\n")]
    return html.unescape("\n".join(lines)).strip()
