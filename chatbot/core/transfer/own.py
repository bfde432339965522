"""Paddock's own export: one JSON object a chat, a list of them for several. All branches, times, files, pictures."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from chatbot.core import pictures
from chatbot.core.events import Status
from chatbot.core.store_rows import Chat, NewFile, Notes, Stored, StoredFile
from chatbot.core.transfer import clean, images, tree
from chatbot.core.transfer.values import Damaged, ImportedChat, Node

FORMAT = "paddock-chat"
VERSION = 1
ROLES = ("user", "assistant")


def write(
    chat: Chat,
    messages: Sequence[Stored],
    files: Mapping[str, Sequence[StoredFile]],
    options: Mapping[str, Any],
    notes: Sequence[Notes] = (),
) -> str:
    """A chat as JSON text; files are those of each message by its id."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "id": chat.id,
        "title": chat.title,
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
        "pinned": chat.pinned,
        "tags": list(chat.tags),
        "options": dict(options),
        "leaf": chat.leaf_id,
        "notes": [asdict(each) for each in notes],
        "messages": [_message(each, files.get(each.id, ())) for each in messages],
    }
    return json.dumps(body, ensure_ascii=False, indent=1)


def _message(stored: Stored, files: Sequence[StoredFile]) -> dict[str, Any]:
    return {
        "id": stored.id,
        "parent": stored.parent_id,
        "role": stored.role,
        "status": stored.status.value,
        "created_at": stored.created_at,
        "content": stored.content,
        "reasoning": stored.reasoning,
        "meta": stored.meta,
        "files": [_file(each) for each in files],
    }


def _file(file: StoredFile) -> dict[str, Any]:
    """A file with its text, a picture with its bytes in base64."""
    about = {"name": file.name, "kind": file.kind, "source": file.source, "text": file.text}
    if file.data is None:
        return about
    return {**about, "media_type": file.media_type, "data": base64.b64encode(file.data).decode("ascii")}


def is_own(found: Mapping[str, Any]) -> bool:
    """Whether this object is a chat in Paddock's format."""
    return found.get("format") == FORMAT


def read(found: Mapping[str, Any]) -> ImportedChat:
    """A chat out of its JSON object. Raises Damaged."""
    version = found.get("version")
    if version != VERSION:
        raise Damaged(f"it was written by a newer Paddock (format {version}, this one reads {VERSION}): update Paddock")
    dated = clean.seconds(found.get("created_at"))
    created_at = dated or time.time()
    nodes = [_node(each, number) for number, each in enumerate(clean.objects(found.get("messages")))]
    is_undone = "leaf" in found and found["leaf"] is None
    made = tree.build(nodes, clean.key(found.get("leaf")), created_at, shows_none=is_undone)
    chat_id, n_odd = clean.key(found.get("id")), sum(not node.role for node in nodes)
    if chat_id is None:
        raise Damaged("it has no id")
    return ImportedChat(
        title=clean.title(found.get("title"), made.messages[0].content),
        created_at=created_at,
        updated_at=clean.seconds(found.get("updated_at")) or created_at,
        messages=made.messages,
        leaf_key=made.leaf_key,
        source_key=f"paddock:{chat_id}",
        options=clean.settings(found.get("options")),
        tags=clean.tags(found.get("tags")),
        pinned=found.get("pinned") is True,
        notices=made.notices() + ((f"messages of an unknown kind left out: {n_odd:,}",) if n_odd else ()),
        is_dated=dated is not None,
        notes=_notes(found.get("notes"), {each.key for each in made.messages}),
    )


def _notes(found: Any, keys: Collection[str]) -> tuple[Notes, ...]:
    """Those whose place is known. Earlier versions wrote one object, not a list."""
    given = [found] if isinstance(found, dict) else clean.objects(found)
    return tuple(made for each in given if (made := _note(each, keys)))


def _note(found: Mapping[str, Any], keys: Collection[str]) -> Notes | None:
    text, through, n_folded = clean.text(found.get("text")), clean.key(found.get("through")), found.get("n_folded")
    is_whole = text and through in keys and isinstance(n_folded, int) and 0 <= n_folded <= len(keys)
    given = found.get("outdated")
    outdated = tuple(e for e in given if isinstance(e, str) and e in keys) if isinstance(given, list) else ()
    return Notes(text, str(through), int(n_folded or 0), outdated) if is_whole else None


def _node(found: Mapping[str, Any], number: int) -> Node:
    role = found.get("role")
    files = clean.objects(found.get("files"))
    read_files = [(each, attached(each)) for each in files]
    lost = [clean.left_out(each.get("name"), "picture") for each, file in read_files if file is None]
    return Node(
        key=clean.key(found.get("id")) or f"#{number}",
        parent=clean.key(found.get("parent")),
        role=str(role) if role in ROLES else "",
        content="\n\n".join(filter(None, (clean.text(found.get("content")), *lost))),
        created_at=clean.seconds(found.get("created_at")),
        reasoning=clean.text(found.get("reasoning")),
        status=status(found.get("status")),
        meta=clean.meta(found.get("meta")),
        files=tuple(file for _, file in read_files if file is not None),
    )


def status(value: object) -> Status:
    """How a message ended. One that was written while its answer ran is one that was cut off."""
    try:
        found = Status(value)
    except ValueError:
        return Status.DONE
    return found if found.is_final else Status.INTERRUPTED


def attached(found: Mapping[str, Any]) -> NewFile | None:
    """A file that goes with a message; None for a picture whose data is missing or no picture's."""
    if found.get("kind") == pictures.KIND:
        made = images.from_base64(found.get("name"), found.get("data"))
        return made and replace(made, source=clean.line(found.get("source"), 2_000))
    return NewFile(
        name=clean.name(found.get("name")),
        kind=clean.line(found.get("kind"), 40) or "text",
        text=clean.text(found.get("text")),
        source=clean.line(found.get("source"), 2_000),
    )
