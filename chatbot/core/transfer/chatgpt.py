"""ChatGPT's export, conversations.json: a mapping of nodes with parents, of which many are hidden or hold no text."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chatbot.core.store_rows import NewFile
from chatbot.core.transfer import clean, images, tree
from chatbot.core.transfer.values import Damaged, ImportedChat, Node

# What is told of the conversation beside it, or said again elsewhere.
_NO_MESSAGES = ("reasoning_recap", "user_editable_context", "model_editable_context", "tether_browsing_display")
_WORDS = {"image": "picture", "audio": "recording", "video": "video", "real": "recording"}


def is_conversation(found: Mapping[str, Any]) -> bool:
    """Whether this object is a conversation of ChatGPT."""
    return isinstance(found.get("mapping"), dict)


def read(found: Mapping[str, Any], find: images.Lookup = images.nowhere) -> ImportedChat:
    """A chat out of its object; find gives the pictures of its archive. Raises Damaged."""
    chat_id = clean.key(found.get("conversation_id")) or clean.key(found.get("id"))
    mapping = clean.object_of(found.get("mapping"))
    given = [(key, each) for raw, each in mapping.items() if isinstance(each, dict) and (key := clean.key(raw))]
    nodes = [_node(key, each, find) for key, each in given]
    times = [node.created_at for node in nodes if node.role and node.created_at is not None]
    dated = clean.seconds(found.get("create_time")) or min(times, default=None)
    created_at = dated or time.time()
    made = tree.build(tree.by_time(nodes), clean.key(found.get("current_node")), created_at, joins=True)
    if chat_id is None:
        raise Damaged("it has no id")
    n_damaged = len(mapping) - len(nodes)
    damaged = (f"messages left out that are no objects: {n_damaged:,}",) if n_damaged else ()
    return ImportedChat(
        title=clean.title(found.get("title"), made.messages[0].content),
        created_at=created_at,
        updated_at=clean.seconds(found.get("update_time")) or max(times, default=created_at),
        messages=made.messages,
        leaf_key=made.leaf_key,
        source_key=f"chatgpt:{chat_id}",
        tags=("archived",) if found.get("is_archived") is True else (),
        pinned=found.get("is_starred") is True or clean.seconds(found.get("pinned_time")) is not None,
        notices=made.notices() + damaged,
        is_dated=dated is not None,
    )


def _node(key: str, found: Mapping[str, Any], find: images.Lookup) -> Node:
    message = clean.object_of(found.get("message"))
    parent, created_at = clean.key(found.get("parent")), clean.seconds(message.get("create_time"))
    author = str(clean.object_of(message.get("author")).get("role"))
    role = {"user": "user", "assistant": "assistant", "tool": "assistant"}.get(author, "")
    about = clean.object_of(message.get("metadata"))
    content = clean.object_of(message.get("content"))
    is_hidden = about.get("is_visually_hidden_from_conversation") is True
    if not role or is_hidden or content.get("content_type") in _NO_MESSAGES:
        return Node(key, parent, "", "", created_at)
    attached = clean.objects(about.get("attachments"))
    pictures = _pictures(content, attached, find)
    said = _said(content, pictures, is_tool=author == "tool")
    notes = [clean.left_out(each.get("name"), "file") for each in attached if each.get("id") not in pictures]
    text = "\n\n".join(filter(None, (said, *notes)))
    reasoning = _thoughts(content)
    model = clean.line(about.get("model_slug"), 200) if role == "assistant" else ""
    if not text.strip() and not reasoning and not pictures:
        return Node(key, parent, "", "", created_at)
    meta, files = {"model": model} if model else {}, tuple(pictures.values())
    return Node(key, parent, role, text, created_at, reasoning, meta=meta, files=files)


def _pictures(
    content: Mapping[str, Any], attached: Sequence[Mapping[str, Any]], find: images.Lookup
) -> dict[str, NewFile]:
    """The pictures of a message by their ids, as far as they lie in the archive."""
    names = {str(each.get("id")): each.get("name") for each in attached}
    parts = content.get("parts")
    assets = [_asset(part) for part in clean.objects(parts)]
    return {each: made for each in assets if each and (made := images.taken(names.get(each), find(each)))}


def _asset(part: Mapping[str, Any]) -> str:
    """The id of a picture that a part points to."""
    pointer = part.get("asset_pointer") if part.get("content_type") == "image_asset_pointer" else None
    return images.asset_of(pointer) if isinstance(pointer, str) else ""


def _said(content: Mapping[str, Any], pictures: Collection[str], *, is_tool: bool) -> str:
    """The text of a message, whatever kind of content it has."""
    kind, text = content.get("content_type"), clean.text(content.get("text"))
    if kind == "code":
        language = clean.line(content.get("language"), 20)
        return clean.fenced(text, "" if language == "unknown" else language) if text.strip() else ""
    if kind == "execution_output":
        return clean.quoted("Result of a tool", text)
    if kind == "tether_quote":
        return clean.quoted(clean.line(content.get("title"), 200) or "Quote", text)
    parts = content.get("parts")
    told = [part for part in parts if not _is_there(part, pictures)] if isinstance(parts, list) else []
    words = "\n\n".join(filter(None, map(_part, told))) if isinstance(parts, list) else text
    only_text = isinstance(parts, list) and all(isinstance(part, str) for part in parts)
    return clean.quoted("Result of a tool", words) if is_tool and only_text else words


def _is_there(part: object, pictures: Collection[str]) -> bool:
    return isinstance(part, dict) and _asset(part) in pictures


def _part(part: object) -> str:
    """A text as it is; of other things that they were there."""
    if not isinstance(part, dict):
        return clean.text(part)
    if spoken := clean.text(part.get("text")):
        return spoken
    kind = clean.line(part.get("content_type"), 60).split("_")[0]
    return clean.left_out("", _WORDS.get(kind, "part"))


def _thoughts(content: Mapping[str, Any]) -> str:
    if content.get("content_type") != "thoughts":
        return ""
    told = [
        "\n\n".join(filter(None, (clean.text(each.get("summary")), clean.text(each.get("content")))))
        for each in clean.objects(content.get("thoughts"))
    ]
    return "\n\n".join(filter(None, told))
