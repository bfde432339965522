"""Exports of llama.cpp's own page: {conv, messages} objects, and records one a line, a session before its messages.

The shapes are those of ConversationTransferService in llama.cpp's tools/ui. Times are milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from chatbot.core.store_rows import NewFile
from chatbot.core.transfer import clean, images, tree
from chatbot.core.transfer.values import Damaged, ImportedChat, Node


def is_conversation(found: Mapping[str, Any]) -> bool:
    """Whether this object is a conversation with its messages."""
    return isinstance(found.get("conv"), dict) and isinstance(found.get("messages"), list)


def is_session(found: Mapping[str, Any]) -> bool:
    """Whether this record begins a conversation in a file of lines."""
    return found.get("type") == "session" and ("currNode" in found or found.get("harness") == "llama.app")


def message_of(found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The message that a record in a file of lines holds; None for a record of another kind."""
    message = found.get("message")
    return message if found.get("type") == "message" and isinstance(message, dict) else None


def read(conv: Mapping[str, Any], messages: Sequence[object]) -> ImportedChat:
    """A chat out of a conversation and its messages. Raises Damaged."""
    conv_id = clean.key(conv.get("id"))
    if conv_id is None:
        raise Damaged("it has no id")
    changed_at = clean.seconds(conv.get("lastModified"))
    given = [each for each in messages if isinstance(each, dict)]
    times = [at for each in given if (at := clean.seconds(each.get("timestamp"))) is not None]
    dated = min(times, default=changed_at)
    created_at = dated or time.time()
    nodes = [_node(each, number) for number, each in enumerate(given)]
    made = tree.build(tree.by_time(nodes), clean.key(conv.get("currNode")), created_at, joins=True)
    n_damaged = len(messages) - len(given)
    damaged = (f"messages left out that are no objects: {n_damaged:,}",) if n_damaged else ()
    return ImportedChat(
        title=clean.title(conv.get("name"), made.messages[0].content),
        created_at=created_at,
        updated_at=changed_at or max(times, default=created_at),
        messages=made.messages,
        leaf_key=made.leaf_key,
        source_key=f"llama.cpp:{conv_id}",
        options=_options(given),
        pinned=conv.get("pinned") is True,
        notices=made.notices() + damaged,
        is_dated=dated is not None,
    )


def _options(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The system message, which Paddock keeps with a chat's options."""
    told = [clean.text(each.get("content")) for each in messages if each.get("role") == "system"]
    first = next((text for text in told if text.strip()), "")
    return {"system_prompt": first} if first else {}


def _node(found: Mapping[str, Any], number: int) -> Node:
    role = {"user": "user", "assistant": "assistant", "tool": "assistant"}.get(str(found.get("role")), "")
    content = clean.text(found.get("content"))
    if found.get("role") == "tool":
        content = clean.quoted("Result of a tool", content)
    extra = clean.objects(found.get("extra"))
    read = [(each, _file(each)) for each in extra]
    notes = [clean.left_out(each.get("name")) for each, file in read if file is None]
    model = clean.line(found.get("model"), 200)
    return Node(
        key=clean.key(found.get("id")) or f"#{number}",
        parent=clean.key(found.get("parent")),
        role="" if found.get("type") == "root" else role,
        content="\n\n".join(filter(None, (content, *notes))),
        created_at=clean.seconds(found.get("timestamp")),
        reasoning=clean.text(found.get("reasoningContent")) or clean.text(found.get("thinking")),
        meta={"model": model} if model and role == "assistant" else {},
        files=tuple(file for _, file in read if file),
    )


def _file(found: Mapping[str, Any]) -> NewFile | None:
    """An attached file whose text, or a picture whose bytes are in the export."""
    if found.get("type") == "imageFile" and (picture := images.from_url(found.get("name"), found.get("base64Url"))):
        return picture
    if not clean.text(found.get("content")):
        return None
    kind = "pdf" if found.get("type") == "pdfFile" else "text"
    source = clean.line(found.get("uri"), 2_000)
    return NewFile(clean.name(found.get("name")), kind, clean.text(found.get("content")), source)
